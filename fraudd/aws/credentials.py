"""The AWS credentials: where they come from, and whether AWS accepts them."""

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from fraudd.aws.session import Clients
from fraudd.errors import Unavailable

#: AWS refuses the credentials themselves, whatever the call.
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
    """Name the source of the AWS credentials, as botocore calls it; None: there are none.

    Raises ``Unavailable`` if the source gives no credentials.
    """
    try:
        resolved = await get_session().get_credentials()
    except BotoCoreError as error:
        raise Unavailable("AWS credentials", str(error)) from error
    return resolved.method if resolved is not None else None


async def not_accepted(clients: Clients, table: str) -> str | None:
    """Explain why AWS rejects the credentials; None: AWS accepts them, or is unreachable."""
    try:
        await clients.dynamodb.describe_table(TableName=table)
    except ClientError as error:
        details = error.response.get("Error", {})
        if details.get("Code") in _NOT_ACCEPTED:
            return f"{details['Code']}: {details.get('Message', '')}".rstrip(": ")
    except (BotoCoreError, OSError):
        pass  # the check of each part reports it
    return None
