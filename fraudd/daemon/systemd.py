"""What passes between systemd and the service; nothing where there is no systemd.

Out: sd_notify(3). In: the listening socket, sd_listen_fds(3), and how often it wants to hear from
us, sd_watchdog_enabled(3).
"""

import os
import socket
from collections.abc import Mapping

from fraudd.errors import Misconfigured
from fraudd.telemetry import log

#: SD_LISTEN_FDS_START: what is handed over comes after standard input, output and error.
_FIRST = 3
#: The manager reads this much of a datagram (NOTIFY_BUFFER_MAX); of a text we send less.
_MAX_BYTES = 4_096


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1`` to the service manager, if there is one.

    It never waits and never fails: a manager that cannot be told is logged.
    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    told = "\n".join(assignments).encode("utf-8", "replace")[:_MAX_BYTES]
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    try:
        with socket.socket(socket.AF_UNIX, kind) as manager:
            manager.connect(address)
            manager.sendall(told)
    except OSError as error:
        log.warning("systemd.notify_failed", error=error.strerror, assignment=assignments[0])


def handed_over() -> socket.socket | None:
    """Take the listening socket that systemd opened for us; None where it opened none.

    What said so is gone from the environment afterwards. Raises ``Misconfigured`` where it is not
    one socket that listens on a TCP port.
    """
    ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    said = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if not ours or said in ("", "0"):
        return None
    if said != "1":
        raise Misconfigured(
            f"systemd handed over {said[:9]!r} sockets, and fraudd listens on one: leave one"
            " ListenStream= in the socket unit"
        )
    return _listening(_FIRST)


def _listening(number: int) -> socket.socket:
    """Make a socket of a file descriptor, which is our own from now on."""
    try:
        os.set_inheritable(number, False)
        given = socket.socket(fileno=number)
    except OSError as error:
        raise Misconfigured(
            f"what systemd handed over is no socket: {error.strerror}; see the socket unit"
        ) from None
    listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    internet = given.family in (socket.AF_INET, socket.AF_INET6)
    if internet and given.type == socket.SOCK_STREAM and listens:
        return given
    found = (
        f"a {given.type.name} of {given.family.name}{'' if listens else ' that does not listen'}"
    )
    given.close()
    raise Misconfigured(
        f"what systemd handed over is {found}: the socket unit needs ListenStream= with an"
        " address and a port, and Accept=no"
    )


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Give after how many seconds of silence systemd ends this process; None: never."""
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not for_us or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6
