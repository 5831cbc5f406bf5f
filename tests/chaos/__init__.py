"""The real daemon killed, paused and cut off, between a real AWS API and a real database."""
