"""Times that tests agree on."""

#: A day that the unit tests call now, in epoch milliseconds.
NOW = 1_795_500_000_000
