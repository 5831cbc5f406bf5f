"""Turns the errors of a source of AWS credentials into those of fraudd."""

from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)

from fraudd.errors import Misconfigured, Unavailable

_REMEDY = (
    "check credential_process in the profile, and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE (a single"
    " line), as the user of the service"
)


def credentials_error(error: Exception) -> Misconfigured | Unavailable:
    """Return ``Unavailable`` if a later try may help, else ``Misconfigured``.

    The source may be a program or a server, and the AWS SDK does not translate its errors.
    """
    text = str(error).rstrip(": ") or type(error).__name__
    # The SDK raises RuntimeError if renewed credentials have expired already.
    if isinstance(error, CredentialRetrievalError | MetadataRetrievalError | RuntimeError):
        return Unavailable("AWS credentials", text)
    # The SDK's own errors name what is wrong. Those of Python, which it lets through, do not.
    remedy = "" if isinstance(error, BotoCoreError) else f": {_REMEDY}"
    return Misconfigured(f"AWS credentials: {text}{remedy}")
