"""The listening socket: the one that systemd passes, or a new one."""

import ipaddress
import os
import socket

from fraudd.config import Config
from fraudd.config.schema import HttpSection
from fraudd.daemon import systemd
from fraudd.errors import Misconfigured
from fraudd.telemetry import log

#: Connections that may queue while a daemon restarts on the same socket: 5 s at 200 per second.
BACKLOG = 1024


def listener(config: Config) -> socket.socket:
    """Take the address before any other resource, because it is often in use by another daemon.

    The address of systemd's socket replaces ``[http] listen``. Raises ``Misconfigured``, also if
    other machines could connect without a token.
    """
    passed = systemd.passed_socket()
    if passed is None:
        return _bind(config.http)
    try:
        _require_tokens(config.http, passed)
    except Misconfigured:
        passed.close()
        raise
    address = address_of(passed)
    if "listen" in config.http.model_fields_set and address != config.http.listen:
        log.warning("daemon.address_mismatch", address=address, listen=config.http.listen)
    return passed


def address_of(listening: socket.socket) -> str:
    """Write the address of a socket in the form of ``[http] listen``."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(http: HttpSection) -> socket.socket:
    host, port = http.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {http.listen}: {os.strerror(error.errno or 0)}; see [http] listen"
        ) from None


def _require_tokens(http: HttpSection, passed: socket.socket) -> None:
    """Hold systemd's socket to the rule for ``[http] listen``: loopback, or tokens."""
    host = passed.getsockname()[0]
    if http.tokens_credential is None and not ipaddress.ip_address(host).is_loopback:
        raise Misconfigured(
            f"systemd listens on {address_of(passed)}, but [http] tokens_credential is not set."
            " Set it, or set ListenStream= in the socket unit to a loopback address"
        )
