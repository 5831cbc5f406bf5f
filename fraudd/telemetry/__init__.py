"""Logs, metrics, and the skew of the clock."""
