"""RDS tokens equal those of AWS's own library."""

import asyncio
from typing import Any

import botocore.session
import pytest
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


async def test_without_credentials_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(Unavailable, match="no AWS credentials to sign an RDS token with"):
        await RdsToken(host=HOST, port=3306, user="fraudd", region="eu-central-1").sign()
