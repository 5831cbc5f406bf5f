"""Shipped files and documents, read as data: the tests compare them with the code."""
