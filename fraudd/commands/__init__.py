"""The subcommands: one module or package each, of which `cli` imports only the chosen one."""
