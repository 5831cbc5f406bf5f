"""What systemd is told about the service (sd_notify(3)); nothing where there is no systemd."""

import os
import socket


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1`` to the service manager, if there is one.

    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.connect(address)
        manager.sendall("\n".join(assignments).encode())
