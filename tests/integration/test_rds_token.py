"""RDS tokens equal those of AWS's own library."""

import asyncio
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from botocore.compat import HTTPHeaders
from botocore.signers import generate_db_auth_token

from fraudd.aws.rds_token import RdsToken
from fraudd.errors import Unavailable

HOST = "shop.abc.eu-central-1.rds.amazonaws.com"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a session/token+")


def theirs() -> str:
    client: Any = botocore.session.get_session().create_client("rds", region_name="eu-central-1")
    try:
        return str(generate_db_auth_token(client, HOST, 3306, "fraudd"))
    finally:
        client.close()


async def test_a_token_is_the_one_that_aws_signs(credentials: None) -> None:
    token = RdsToken(host=HOST, port=3306, user="fraudd", region="eu-central-1")
    # Both contain the second of their signature.
    for _ in range(5):
        ours, reference = await token.sign(), await asyncio.to_thread(theirs)
        if ours == reference:
            break
    assert ours == reference
    assert ours.startswith(f"{HOST}:3306/?Action=connect&DBUser=fraudd&X-Amz-Algorithm=")


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A role whose token is in a file, as in Kubernetes. Returns the path of the file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/fraudd")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    return token


async def test_a_token_file_that_is_missing_is_an_outage_of_the_database(role: Path) -> None:
    with pytest.raises(Unavailable, match="cannot sign an RDS token") as failed:
        await RdsToken(host=HOST, port=3306, user="fraudd", region="eu-central-1").sign()
    assert failed.value.part == "database"


async def test_a_role_is_assumed_in_the_configured_region_and_a_rejection_is_an_outage(
    role: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role.write_text("a token")
    called: list[str] = []

    async def rejected(session: Any, request: Any) -> Any:
        called.append(request.url)
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        return AioAWSResponse(request.url, 403, HTTPHeaders(), Answer(body))

    monkeypatch.setattr(AIOHTTPSession, "send", rejected)
    with pytest.raises(Unavailable, match="AccessDenied") as failed:
        await RdsToken(host=HOST, port=3306, user="fraudd", region="eu-central-1").sign()
    assert failed.value.part == "database"
    assert {url.split("/")[2] for url in called} == {"sts.eu-central-1.amazonaws.com"}


class Answer:
    """The body of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        """Read it."""
        return self._body


async def test_without_credentials_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(Unavailable, match="no AWS credentials to sign an RDS token with"):
        await RdsToken(host=HOST, port=3306, user="fraudd", region="eu-central-1").sign()
