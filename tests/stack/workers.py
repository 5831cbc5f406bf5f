"""Several processes run tests side by side on one machine: each has ports of its own."""

import os
import socket
from itertools import count

#: Below the ports that the kernel gives to outgoing connections.
_FIRST_PORT, _PORTS_OF_A_WORKER, _WORKERS = 10_000, 1_000, 20
#: The number of this worker of pytest-xdist, or 0 if there is only one process.
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
#: Runs that start together begin at different ports.
_steps = count(os.getpid() * 37)


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on, and that no other worker gives."""
    first = _FIRST_PORT + NUMBER * _PORTS_OF_A_WORKER
    for _ in range(_PORTS_OF_A_WORKER):
        port = first + next(_steps) % _PORTS_OF_A_WORKER
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free between {first} and {first + _PORTS_OF_A_WORKER}")
