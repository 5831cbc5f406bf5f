"""`fraudd backfill`: arguments, the run, its journal, its progress."""
