"""Reducers: from many rows to one value."""
