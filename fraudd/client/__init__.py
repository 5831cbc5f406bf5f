"""The Python client for other services."""

from fraudd.client.client import Client
from fraudd.client.models import Failure, Prediction, Problem, Reason, Result

__all__ = ("Client", "Failure", "Prediction", "Problem", "Reason", "Result")
