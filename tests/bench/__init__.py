"""Measurements: each starts what it needs, and prints figures."""
