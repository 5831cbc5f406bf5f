"""The endpoint that each AWS client calls, and what depends on it: credentials and proxies."""

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import AioSession
from botocore.configprovider import ConfiguredEndpointProvider

from fraudd.errors import Misconfigured

#: The services that fraudd calls, as botocore names them.
SERVICES = ("dynamodb", "sns", "sqs")


def configured_endpoint(session: AioSession, service: str, endpoint_url: str | None) -> str | None:
    """Return the endpoint that a client of ``service`` calls. None: the public one of the region.

    Without ``[aws] endpoint_url`` the AWS SDK also reads ``AWS_ENDPOINT_URL``,
    ``AWS_ENDPOINT_URL_SQS`` and so on, and the profile:
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if endpoint_url is not None or session.get_config_variable("ignore_configured_endpoint_urls"):
        return endpoint_url
    provider = ConfiguredEndpointProvider(
        full_config=session.full_config,
        scoped_config=session.get_scoped_config(),
        client_name=service,
    )
    found: str | None = provider.provide()
    return found


def client_settings(endpoint_url: str | None) -> dict[str, Any]:
    """Return the arguments of ``create_client`` that follow from the endpoint.

    A server on loopback is an emulator. It must never receive real credentials.
    """
    if is_loopback(endpoint_url):
        return {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
    return {"endpoint_url": endpoint_url}


def proxies(endpoint_url: str | None) -> dict[str, str] | None:
    """Return the proxies of a client: none for loopback. None: those of the environment."""
    return {} if is_loopback(endpoint_url) else None


def check_ca_bundle(session: AioSession) -> None:
    """Check that the configured certificates exist. Raises ``Misconfigured``.

    Python's own error does not name the file.
    """
    bundle = session.get_config_variable("ca_bundle")
    if bundle is not None and not Path(bundle).exists():
        raise Misconfigured(
            f"AWS certificates: there is no file {bundle}: correct AWS_CA_BUNDLE, or ca_bundle in"
            " the profile"
        )


def is_loopback(endpoint_url: str | None) -> bool:
    """Return whether an endpoint is on this machine."""
    host = urlsplit(endpoint_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
