"""Message attributes, which SNS and SQS take alike."""

from collections.abc import Mapping
from typing import Any


def string_attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Give message attributes, all of them texts, as SNS and SQS take them."""
    return {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
