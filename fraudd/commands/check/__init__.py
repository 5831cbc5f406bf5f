"""`fraudd check`: one module for each checked part, in which `judge_…` functions are pure."""
