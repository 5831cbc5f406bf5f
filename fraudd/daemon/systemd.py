"""Messages between systemd and the service. Without systemd, each function does nothing.

Implements sd_notify(3), sd_listen_fds(3) for the listening socket, and sd_watchdog_enabled(3).
"""

import os
import socket
from collections.abc import Mapping

from fraudd.errors import Misconfigured
from fraudd.telemetry import log

#: SD_LISTEN_FDS_START: the passed file descriptors follow standard input, output, and error.
_FIRST = 3
#: The service manager reads this much of a datagram (NOTIFY_BUFFER_MAX).
_MAX_BYTES = 4_096


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1`` to the service manager, if there is one.

    This function never waits and never fails. If the manager is unreachable, it logs that.
    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(assignments).encode("utf-8", "replace")[:_MAX_BYTES]
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    try:
        with socket.socket(socket.AF_UNIX, kind) as manager:
            manager.connect(address)
            manager.sendall(message)
    except OSError as error:
        log.warning("systemd.notify_failed", error=error.strerror, assignment=assignments[0])


def passed_socket() -> socket.socket | None:
    """Take the listening socket that systemd opened. None: it opened none.

    Removes the variables that describe the socket from the environment. Raises ``Misconfigured``
    unless systemd passes exactly one socket that listens on a TCP port.
    """
    for_us = os.environ.get("LISTEN_PID") == str(os.getpid())
    count = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if not for_us or count in ("", "0"):
        return None
    if count != "1":
        raise Misconfigured(
            f"systemd passed {count[:9]!r} sockets, but fraudd needs exactly one. Keep one"
            " ListenStream= in the socket unit"
        )
    return _adopt(_FIRST)


def _adopt(number: int) -> socket.socket:
    """Make a socket of a file descriptor, and close it in child processes."""
    try:
        os.set_inheritable(number, False)
        passed = socket.socket(fileno=number)
    except OSError as error:
        raise Misconfigured(
            f"the file descriptor from systemd is not a socket ({error.strerror})."
            " Check the socket unit"
        ) from None
    listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    internet = passed.family in (socket.AF_INET, socket.AF_INET6)
    if internet and passed.type == socket.SOCK_STREAM and listens:
        return passed
    kind = f"a {passed.type.name} of {passed.family.name}{'' if listens else ' not listening'}"
    passed.close()
    raise Misconfigured(
        f"the socket from systemd is {kind}. Set ListenStream= to an address and a port, and"
        " Accept=no, in the socket unit"
    )


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds without a message after which systemd ends this process. None: never."""
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not for_us or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6
