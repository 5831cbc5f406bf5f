"""The AWS credentials: where they come from, and whether AWS accepts them."""

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from fraudd.aws.credentials_errors import credentials_error
from fraudd.aws.session import Clients

#: AWS rejects the credentials themselves with these codes, in every call.
_NOT_ACCEPTED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)


async def source() -> str | None:
    """The source of the AWS credentials, as botocore names it. None: there are no credentials.

    Raises ``Unavailable`` or ``Misconfigured`` if the source fails.
    """
    try:
        resolved = await get_session().get_credentials()
    except Exception as error:
        raise credentials_error(error) from error
    return resolved.method if resolved is not None else None


async def not_accepted(clients: Clients, table: str) -> str | None:
    """The error with which AWS rejects the credentials. None: there is none, or no connection."""
    try:
        await clients.dynamodb.describe_table(TableName=table)
    except ClientError as error:
        details = error.response.get("Error", {})
        if details.get("Code") in _NOT_ACCEPTED:
            return f"{details['Code']}: {details.get('Message', '')}".rstrip(": ")
    except (BotoCoreError, OSError):
        pass  # The check of each part reports it.
    return None
