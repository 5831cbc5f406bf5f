"""The shipped flows in virtual time, in a seeded world that fails in every way it can."""
