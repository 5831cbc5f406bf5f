"""Translates what AWS, its SDK, and the network raise into the errors of fraudd."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from fraudd.errors import BackPressure, Misconfigured, RunError, Unavailable

#: AWS rejects the request itself with these codes. A retry would fail, too.
_REJECTED = frozenset(
    {
        "BatchRequestTooLong",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "ItemCollectionSizeLimitExceededException",
        "ParameterValueInvalid",
        "ValidationError",
        "ValidationException",
    }
)
#: AWS is reachable, but this call exceeds a rate. Other calls may succeed meanwhile.
_THROTTLED = frozenset(
    {
        "KMSThrottling",
        "KMSThrottlingException",
        "KmsThrottled",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


@contextmanager
def translated(part: str, *, of_a_run: bool = False) -> Iterator[None]:
    """Translate everything that a call of AWS raises.

    ``BackPressure`` is a throttled call. If the argument of the call comes from a run
    (``of_a_run``) and AWS rejects it, it is a ``RunError``: the part is well. Everything else is
    ``Unavailable``, also what no caller expects from an SDK: expired credentials are a
    ``RuntimeError``, and the answer of a captive proxy is a ``KeyError``.
    """
    try:
        yield
    except (Unavailable, RunError, Misconfigured):
        raise
    except ClientError as error:
        raise refusal(part, code_of(error), text_of(error), of_a_run=of_a_run) from error
    except Exception as error:
        raise Unavailable(part, str(error) or type(error).__name__) from error


def refusal(part: str, code: str, detail: str, *, of_a_run: bool) -> Unavailable | RunError:
    """The error for a call, or one entry of a batch, that AWS refuses with ``code``."""
    if code in _THROTTLED:
        return BackPressure(part, detail)
    if of_a_run and code in _REJECTED:
        return RunError("refused_by_aws", f"{part}: {detail}")
    return Unavailable(part, detail)


def code_of(error: ClientError) -> str:
    """The code of an error, without the name of a service, which some services put before it."""
    return bare_code(error.response.get("Error", {}).get("Code", ""))


def expect_message_id(response: Mapping[str, Any]) -> None:
    """Check that SNS or SQS has accepted a message. Raises ``ResponseParserError``.

    A middlebox may answer in their place.
    """
    if not response.get("MessageId"):
        raise ResponseParserError("the response names no message")


def bare_code(code: object) -> str:
    """A code without the name of a service."""
    return str(code).rpartition(".")[2]


def text_of(error: ClientError) -> str:
    """The operation, the code and the message of an error."""
    details = error.response.get("Error", {})
    code, message = details.get("Code", "unknown"), details.get("Message", "")
    return f"{error.operation_name}: {code}: {message}".rstrip(": ")
