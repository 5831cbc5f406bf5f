"""The parts that a test runs on: AWS, a database, a configuration, a daemon, and its clients."""
