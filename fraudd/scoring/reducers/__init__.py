"""Reducers: each turns a column of many rows into one value."""
