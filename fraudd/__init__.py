"""Fraud scores on demand: computed from MySQL, carried by SQS, without losing a request."""

__version__ = "0.1.0"
