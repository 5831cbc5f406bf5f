"""Where callers reach the daemon: the socket that systemd hands over, or one of its own."""

import ipaddress
import os
import socket

from fraudd.config import Config
from fraudd.config.schema import HttpSection
from fraudd.daemon import systemd
from fraudd.errors import Misconfigured
from fraudd.telemetry import log

#: Callers that come at once wait for so long as it takes to accept them; those that come while
#: one daemon follows another on the same socket wait there too: five seconds at 200 a second.
BACKLOG = 1024


def listener(config: Config) -> socket.socket:
    """Take the address before anything else: another daemon there is the commonest mistake.

    With a socket from systemd its own address counts, whatever ``[http] listen`` says. Raises
    ``Misconfigured``, also where anybody could call from another machine.
    """
    given = systemd.handed_over()
    if given is None:
        return _own(config.http)
    try:
        _refuse_strangers(config.http, given)
    except Misconfigured:
        given.close()
        raise
    address = address_of(given)
    if "listen" in config.http.model_fields_set and address != config.http.listen:
        log.warning("daemon.address_mismatch", address=address, listen=config.http.listen)
    return given


def address_of(listening: socket.socket) -> str:
    """Write where a socket listens as ``[http] listen`` has it."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _own(http: HttpSection) -> socket.socket:
    host, port = http.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {http.listen}: {os.strerror(error.errno or 0)}; see [http] listen"
        ) from None


def _refuse_strangers(http: HttpSection, given: socket.socket) -> None:
    """Demand of the address really listened on what the configuration demands of its own."""
    host = given.getsockname()[0]
    if http.tokens_credential is None and not ipaddress.ip_address(host).is_loopback:
        raise Misconfigured(
            f"systemd listens on {address_of(given)} for us: ListenStream= must be a loopback"
            " address, unless [http] tokens_credential says who may call"
        )
