"""`fraudd dlq`: list, redrive, and purge dead letters."""
