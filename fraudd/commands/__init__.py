"""The subcommands of the command line, one file or package each."""
