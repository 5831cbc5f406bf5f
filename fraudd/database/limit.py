"""The connection limit, which follows the load of the database (AIMD).

Pure: time is an argument.
"""

import math

#: A lower limit needs this long to show in the server's counts, so it is not halved again before.
HALVED_SECONDS = 10.0
#: A server that refuses every connection for this long is unreachable.
NO_ROOM_SECONDS = 10.0


class AdaptiveLimit:
    """The number of permits. It is halved on a busy server, and raised by one per calm reading.

    Additive increase and multiplicative decrease, as in TCP (RFC 5681). The limit is at least
    one, because a daemon without connections gets no readings.
    """

    def __init__(self, maximum: int, *, busy_threads: int) -> None:
        self.maximum = maximum
        self.value = maximum
        #: The last reading. It is 0 before the first one.
        self.threads_running = 0
        self._busy_threads = busy_threads
        self._halved_at = -math.inf
        #: When the current series of refusals began.
        self._no_room_since: float | None = None
        self._refused_at = -math.inf

    def observe(self, threads_running: int, now: float) -> None:
        """Adapt to the number of threads that run on the server."""
        # A reading needs a connection, so the server had room.
        self._no_room_since = None
        self.threads_running = threads_running
        if threads_running <= self._busy_threads:
            self.value = min(self.maximum, self.value + 1)
        elif now - self._halved_at >= HALVED_SECONDS:
            self.value = max(1, self.value // 2)
            self._halved_at = now

    def refused(self, now: float, *, connected: bool) -> bool:
        """Adapt to a connection that the server refused. Returns whether it is unreachable.

        ``connected``: whether this daemon has other open connections.
        """
        self.value = max(1, self.value - 1)
        if connected or now - self._refused_at > NO_ROOM_SECONDS:
            self._no_room_since = None
        self._refused_at = now
        if connected:
            return False
        if self._no_room_since is None:
            self._no_room_since = now
        return now - self._no_room_since >= NO_ROOM_SECONDS
