"""One module a subcommand: what it takes, what it does, what it prints."""
