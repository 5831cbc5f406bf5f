"""Logs, metrics, and clock skew."""
