"""Describes, compares, and creates the AWS resources of an installation."""
