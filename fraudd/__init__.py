"""Fraud scores on demand: computed from MySQL, carried by SQS, without losing a request."""

from typing import Final

__version__ = "0.1.0"
#: The published documents. Problem types, alerts, and messages link to its pages.
DOCS_URL: Final = "https://fraudd.readthedocs.io/en/latest/"
