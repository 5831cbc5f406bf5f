"""Translates what AWS, its SDK, and the network raise into the errors of fraudd."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

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
        "UnsupportedOperation",
        "ValidationError",
        "ValidationException",
    }
)
#: AWS is reachable, but this call exceeds a rate. Other calls may succeed meanwhile.
_THROTTLED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
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
        code = code_of(error)
        detail = text_of(error)
        if code in _THROTTLED:
            raise BackPressure(part, detail) from error
        if of_a_run and code in _REJECTED:
            raise RunError("refused_by_aws", f"{part}: {detail}") from error
        raise Unavailable(part, detail) from error
    except Exception as error:
        raise Unavailable(part, str(error) or type(error).__name__) from error


def code_of(error: ClientError) -> str:
    """The code of an error, without the name of a service, which some services put before it."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def text_of(error: ClientError) -> str:
    """The operation, the code and the message of an error."""
    details = error.response.get("Error", {})
    code, message = details.get("Code", "unknown"), details.get("Message", "")
    return f"{error.operation_name}: {code}: {message}".rstrip(": ")
