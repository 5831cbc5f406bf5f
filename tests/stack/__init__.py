"""What a test brings up: AWS, a database, a configuration, a daemon, and those who talk to it."""
