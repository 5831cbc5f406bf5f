"""`fraudd backfill`: scores for a file of IDs."""
