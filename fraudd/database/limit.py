"""The number of connections that the load of the database allows (AIMD).

Pure: time is an argument.
"""

import math

#: A halved limit needs this long to show in what the server counts.
HALVED_SECONDS = 10.0
#: A server that has had no room for a single connection of ours for so long is out of reach.
NO_ROOM_SECONDS = 10.0


class AdaptiveLimit:
    """How many permits there are: halved while the server is busy, one more at each calm reading.

    Additive increase, multiplicative decrease, as TCP does (RFC 5681). Never under one, for what
    takes nothing learns nothing.
    """

    def __init__(self, maximum: int, *, busy_threads: int) -> None:
        self.maximum = maximum
        self.value = maximum
        #: As observed last; 0 before.
        self.threads_running = 0
        self._busy_threads = busy_threads
        self._halved_at = -math.inf
        #: Since when there has been no room, and when we were last told so.
        self._no_room_since: float | None = None
        self._refused_at = -math.inf

    def observe(self, threads_running: int, now: float) -> None:
        """Note how many threads run on the server, told over a connection that could be had."""
        self._no_room_since = None
        self.threads_running = threads_running
        if threads_running <= self._busy_threads:
            self.value = min(self.maximum, self.value + 1)
        elif now - self._halved_at >= HALVED_SECONDS:
            self.value = max(1, self.value // 2)
            self._halved_at = now

    def refused(self, now: float, *, connected: bool) -> bool:
        """Note that the server had no room for a connection; tells whether it is out of reach.

        ``connected``: whether there are other connections of ours.
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
