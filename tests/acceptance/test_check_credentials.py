"""``fraudd check`` with AWS credentials that do not do, and a clock that is not AWS's.

The emulator takes any credentials. The other one, moto, knows users and what they may do.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiobotocore.session import get_session
from aiohttp import ClientSession, web

from fraudd.local.process import Command, answers, running
from fraudd.local.settings import DatabaseServer, Settings
from tests.acceptance.installation import Installation, checked, installed
from tests.stack.aws import REGION, clients_of
from tests.stack.paths import ROOT
from tests.stack.workers import free_port

#: What the daemon needs to start, without what only the check looks at.
DAEMON = ("sqs:*", "sns:GetTopicAttributes", "dynamodb:DescribeTable")
CHECK = (
    "sns:ListSubscriptionsByTopic",
    "sns:GetSubscriptionAttributes",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:DescribeContinuousBackups",
)


@dataclass(slots=True)
class Answer:
    """An answer on its way to the one who called."""

    status: int
    content_type: str
    body: bytes
    date: float


def json_errors(answer: Answer) -> None:
    """Tell who may not call in the protocol of the call, as AWS does; moto does so in XML."""
    if answer.status == 403 and answer.content_type.startswith("application/x-amz-json"):
        [code] = re.findall(rb"<Code>(.*?)</Code>", answer.body)
        answer.body = json.dumps({"__type": code.decode(), "message": "no"}).encode()


@asynccontextmanager
async def between(url: str, change: Callable[[Answer], None]) -> AsyncIterator[int]:
    """Stand between an AWS API and who calls it; gives the port."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        async with http.request(request.method, url, headers=request.headers, data=body) as answer:
            told = Answer(
                status=answer.status,
                content_type=request.headers["Content-Type"],
                body=await answer.read(),
                date=time(),
            )
        change(told)
        headers = {
            "Content-Type": answer.headers["Content-Type"],
            "Date": formatdate(told.date, usegmt=True),
        }
        return web.Response(status=told.status, body=told.body, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    async with ClientSession(auto_decompress=False) as http:
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield port
        finally:
            await runner.cleanup()


@pytest.fixture
def moto(tmp_path: Path) -> Iterator[int]:
    """The port of an AWS API of its own."""
    port = free_port()
    server = Command(
        name="moto's server",
        arguments=[str(ROOT / ".tools/moto/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        environment=None,
        log=tmp_path / "moto.log",
        is_up=lambda: answers(port),
    )
    with running(server):
        yield port


@pytest.fixture
async def guarded(
    moto: int, tmp_path: Path, database: DatabaseServer, platform: Settings
) -> AsyncIterator[Installation]:
    """An installation on it, reached by an address that is not of loopback: no placeholders."""
    folder = tmp_path / "installation"
    folder.mkdir()
    url = f"http://127.0.0.1:{moto}"
    async with (
        clients_of(url) as clients,
        between(url, json_errors) as port,
        installed(folder, clients, f"http://0.0.0.0:{port}", database) as one,
    ):
        yield one


async def sign_in(
    port: int, monkeypatch: pytest.MonkeyPatch, *allowed: str, key: str | None = None
) -> None:
    """Be a user who may call some operations; from now on nobody else is let in."""
    url = f"http://127.0.0.1:{port}"
    made = get_session().create_client(
        "iam",
        REGION,
        endpoint_url=url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    async with made as client:
        iam: Any = client
        await iam.create_user(UserName="operator")
        statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
        await iam.put_user_policy(
            UserName="operator",
            PolicyName="rights",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        pair = (await iam.create_access_key(UserName="operator"))["AccessKey"]
    async with ClientSession() as http, http.post(f"{url}/moto-api/reset-auth", data="0") as done:
        assert done.status == 200
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key or pair["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", pair["SecretAccessKey"])


async def test_real_credentials_are_told_by_where_they_come_from(
    guarded: Installation, moto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(moto, monkeypatch, *DAEMON, *CHECK)
    report = await checked(guarded)
    assert "AWS credentials: env" in report.marked("ok")
    [told] = report.marked("warning", "failed")
    assert told.startswith("AWS credentials: sent to http://0.0.0.0:")
    assert told.endswith(" without TLS")
    [fix] = report.fixes("warning")
    assert fix.startswith("use https in [aws] endpoint_url")


async def test_rights_that_only_the_check_needs_are_a_warning_each(
    guarded: Installation, moto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(moto, monkeypatch, *DAEMON)
    report = await checked(guarded)
    assert report.marked("failed") == []
    _, expiry, recovery, *subscriptions = report.marked("warning")
    name, names = guarded.aws.names.table, guarded.aws.names
    allow, why = "access denied: allow", "(only 'fraudd check' needs it)"
    assert expiry == f"table: expiry: {allow} dynamodb:DescribeTimeToLive on table {name} {why}"
    assert recovery == (
        "table: point-in-time recovery:"
        f" {allow} dynamodb:DescribeContinuousBackups on table {name} {why}"
    )
    assert subscriptions == [
        f"subscription: {allow} sns:ListSubscriptionsByTopic on {arn} {why}"
        for arn in (names.requests_arn, names.completions_arn)
    ]


async def test_rights_that_the_daemon_needs_are_a_failure(
    guarded: Installation, moto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(moto, monkeypatch, "dynamodb:*", "sns:*", "sqs:GetQueueUrl")
    report = await checked(guarded)
    [told] = report.marked("failed")
    assert told == (
        f"queue: {guarded.aws.names.queue_url}: access denied: allow"
        f" sqs:GetQueueAttributes on {guarded.aws.names.queue_url}"
        " (the daemon cannot start without it)"
    )


async def test_credentials_that_aws_does_not_know_are_told_once(
    guarded: Installation, moto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(moto, monkeypatch, *DAEMON, key="AKIAIOSFODNN7EXAMPLE")
    report = await checked(guarded)
    [told] = report.marked("warning", "failed")
    assert told.startswith(
        "AWS credentials: AWS does not accept them (env): InvalidClientTokenId: "
    )
    assert report.fixes("failed") == ["renew them; check this machine's clock and [aws] region"]
    assert not any(line.part in ("table", "queue") for line in report.lines)


async def test_no_credentials_at_all_are_told_once(
    guarded: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    report = await checked(guarded)
    [told] = report.marked("warning", "failed")
    assert told == "AWS credentials: none"
    [fix] = report.fixes("failed")
    assert fix.startswith("attach a role to the instance, or set AWS_ACCESS_KEY")


async def test_a_profile_that_is_not_there_is_told_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    report = await checked(installation)
    assert report.marked("warning", "failed") == [
        "AWS credentials: The config profile (nobody) could not be found"
    ]


@pytest.mark.parametrize(("seconds", "direction"), [(30, "behind"), (-30, "ahead of")])
async def test_a_clock_that_is_off_is_told(
    installation: Installation, aws_endpoint: str, seconds: float, direction: str
) -> None:
    def move(answer: Answer) -> None:
        answer.date += seconds

    async with between(aws_endpoint, move) as port:
        installation.change("endpoint_url", f'endpoint_url = "http://127.0.0.1:{port}"')
        report = await checked(installation)
    [told] = report.marked("warning", "failed")
    assert report.status == 1
    assert told.startswith("clock: the clock is ")
    assert told.endswith(f" s {direction} AWS: synchronize it with NTP")
