"""`fraudd check`: one module per checked part; `judge_…` functions are pure."""
