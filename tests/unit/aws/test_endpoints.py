"""Which endpoint, credentials and proxies each AWS client uses."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fraudd.aws.session import AwsTerms, Clients, open_clients
from fraudd.clock import SystemClock
from fraudd.errors import Misconfigured

REAL = {"AWS_ACCESS_KEY_ID": "AKIDREAL", "AWS_SECRET_ACCESS_KEY": "secret"}
EMULATOR = "http://127.0.0.1:4566"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment with real credentials, a proxy, and nothing of this machine."""
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def clients_of(endpoint_url: str | None) -> AsyncIterator[Clients]:
    terms = AwsTerms(
        region="eu-central-1",
        endpoint_url=endpoint_url,
        connect_timeout_seconds=1.0,
        read_timeout_seconds=1.0,
        max_connections=1,
        poll_seconds=1.0,
    )
    async with open_clients(terms, lambda _: None, SystemClock()) as clients:
        yield clients


async def key_of(client: Any) -> str:
    """The key that a client signs with."""
    credentials = await client._request_signer._credentials.get_frozen_credentials()
    return str(credentials.access_key)


async def keys(clients: Clients) -> Mapping[str, str]:
    return {name: await key_of(getattr(clients, name)) for name in ("dynamodb", "sns", "sqs")}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "endpoint_url"])
async def test_an_emulator_gets_placeholders_however_it_is_configured(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "AWS_ENDPOINT_URL":
        monkeypatch.setenv(name, EMULATOR)
    async with clients_of(EMULATOR if name == "endpoint_url" else None) as clients:
        assert set((await keys(clients)).values()) == {"local"}
        assert clients.endpoints == dict.fromkeys(("dynamodb", "sns", "sqs"), EMULATOR)


async def test_an_emulator_of_one_service_gets_placeholders_for_that_service_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", EMULATOR)
    async with clients_of(None) as clients:
        assert await keys(clients) == {"dynamodb": "AKIDREAL", "sns": "AKIDREAL", "sqs": "local"}
        assert clients.endpoints == {"sqs": EMULATOR}
        assert await key_of(clients.polls) == "local"


async def test_the_configuration_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", EMULATOR)
    async with clients_of("https://vpce.example.com") as clients:
        assert set((await keys(clients)).values()) == {"AKIDREAL"}


@pytest.mark.parametrize(
    ("endpoint", "proxied"), [(EMULATOR, False), ("http://emulator.example.com", True)]
)
async def test_a_call_to_this_machine_goes_through_no_proxy(endpoint: str, proxied: bool) -> None:
    async with clients_of(endpoint) as clients:
        sqs: Any = clients.sqs
        proxies = sqs._endpoint.http_session._proxy_config
        assert bool(proxies.proxy_url_for(endpoint)) is proxied


async def test_missing_certificates_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "company.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(Misconfigured, match=f"there is no file {bundle}.*AWS_CA_BUNDLE"):
        async with clients_of(None):
            pass


async def test_credentials_that_a_provider_cannot_give_are_a_line_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in REAL:
        monkeypatch.delenv(name)
    (tmp_path / "token").write_text("token\n\nwith line breaks\n")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(Misconfigured, match="AWS credentials: ") as refusal:
        async with clients_of(None):
            pass
    assert len(refusal.value.problems) == 1
    assert "with line breaks" not in str(refusal.value)
