"""Subcommands of ``fraudd``, one module or package each; `cli` imports only the chosen one."""
