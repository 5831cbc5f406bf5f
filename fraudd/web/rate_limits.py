"""Rate limits: a token bucket for each client."""

import ipaddress
import math
from collections import OrderedDict

from fraudd.web.problems import Problem, retryable

#: A rate limiter remembers this number of clients, about 200 bytes each.
_MAX_CLIENTS = 10_000


class RateLimiter:
    """A token bucket for each client: it holds ``burst`` and refills at ``per_second``.

    Pure: time is an argument, in seconds of a monotonic clock.
    """

    def __init__(self, *, per_second: float, burst: float, max_clients: int = _MAX_CLIENTS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_clients = max_clients
        #: Level and time of the last request, in the order of these times.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, now: float) -> float:
        """Take one request from the client's bucket. Returns 0, or the seconds to wait.

        A client that is not among the last ``max_clients`` has a full bucket again.
        """
        level, at = self._buckets.pop(client, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_second)
        allowed = level >= 1
        self._buckets[client] = (level - 1 if allowed else level, now)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self._per_second


def network(address: str | None) -> str:
    """Return the key of a client without a token: an IPv4 address, or an IPv6 /64 network."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def slow_down(slug: str, detail: str, wait_seconds: float) -> Problem:
    """Return the problem 429 for a client that has to wait."""
    seconds = max(1, math.ceil(wait_seconds))
    return retryable(slug, f"{detail}; retry after {seconds} s", seconds)
