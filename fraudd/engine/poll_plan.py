"""Decides which lane to poll, for how many messages, and for how long.

The interactive lane goes first. A slot is an idle consumer together with a connection permit.

- With two slots or more, a long poll of the interactive lane keeps one of them. The bulk lane is
  polled at the same time with the others.
- With one slot, the lanes take turns: the bulk lane is next after an empty interactive lane.
- With an open breaker, there is one slot, for the trial call.

Pure: time is an argument, in seconds of a monotonic clock.
"""

import math
from dataclasses import dataclass

from fraudd.engine.breaker import Breaker, Go, Permission, Wait, WaitForChange
from fraudd.prediction.record import Lane
from fraudd.telemetry.clock_skew import ClockSkew

#: ``ReceiveMessage`` returns at most ten messages.
MAX_MESSAGES_PER_POLL = 10
#: A poll that waits asks all SQS servers. A poll without a wait asks only some of them. A poll with
#: this wait keeps slots from the interactive lane, so the wait is the shortest possible.
SHORT_WAIT_SECONDS = 1
#: How often fraudd polls an empty bulk queue. With its depth samples, this costs as many calls as
#: one long poll. When this daemon starts a bulk run, it polls at once.
EMPTY_SECONDS = 30.0
#: How often a poll asks all servers while the lanes take turns: at most a tenth of the time.
FULL_POLL_SECONDS = 10.0
#: For how long an empty interactive lane gives the bulk lane its turn. It may fill meanwhile.
TURN_SECONDS = 1.0
#: How often fraudd checks the clock skew again. Responses of AWS update it meanwhile.
_SKEW_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One poll of one lane."""

    lane: Lane
    max_messages: int
    #: None: the configured wait of a long poll.
    wait_seconds: int | None = None
    #: Whether the bulk lane may be polled at the same time, with the other slots.
    shared: bool = False


class Lanes:
    """The poll plan of the interactive lane, and of the bulk lane if there is one."""

    def __init__(self, breaker: Breaker, skew: ClockSkew, *, has_bulk: bool) -> None:
        self._breaker = breaker
        self._skew = skew
        self._has_bulk = has_bulk
        #: Why no poll may begin, for example because features and model are not tested yet.
        self.held_by: str | None = None
        self._outstanding: dict[Lane, Poll] = {}
        #: Whether the last poll of the interactive lane returned messages: there may be more.
        self._more_likely = False
        #: When a poll last found the interactive lane empty. The turn of the bulk lane resets it.
        self._empty_at = -math.inf
        #: When a poll that asked all servers last found the interactive lane empty.
        self._full_poll_at = -math.inf
        #: When the bulk lane is worth a poll.
        self._bulk_due_at = -math.inf

    @property
    def blocked_by(self) -> str | None:
        """Describe why no messages are taken. None: they are taken."""
        return self._skew.blocked_by or self._breaker.blocked_by or self.held_by

    def may_poll(self, now: float, *, in_flight: int) -> Permission:
        """Return whether a poll may begin, with ``in_flight`` messages and outstanding polls."""
        if self._skew.blocked_by is not None:
            return Wait(_SKEW_SECONDS)
        if self.held_by is not None:
            return WaitForChange()
        return self._breaker.may_poll(now, in_flight=in_flight)

    def next_poll(self, now: float, *, slots: int, jobs: int) -> Poll | Wait | WaitForChange:
        """Return the poll for the first of ``slots``, with ``jobs`` messages in flight."""
        permission = self.may_poll(now, in_flight=jobs + len(self._outstanding))
        if not isinstance(permission, Go):
            return permission
        closed = self._breaker.state == "closed"
        if not self._has_bulk:
            return Poll(lane="interactive", max_messages=MAX_MESSAGES_PER_POLL if closed else 1)
        if closed and slots > 1:
            if self._more_likely:
                return Poll(lane="interactive", max_messages=MAX_MESSAGES_PER_POLL, wait_seconds=0)
            return Poll(lane="interactive", max_messages=1, shared=True)
        if not isinstance(self._may_poll_bulk(now), Go):
            return Poll(lane="interactive", max_messages=1)
        if now - self._empty_at < TURN_SECONDS:
            return Poll(lane="bulk", max_messages=1, wait_seconds=SHORT_WAIT_SECONDS)
        full = now - self._full_poll_at >= FULL_POLL_SECONDS
        return Poll(
            lane="interactive", max_messages=1, wait_seconds=SHORT_WAIT_SECONDS if full else 0
        )

    def next_shared_poll(self, now: float) -> Poll | Wait | WaitForChange:
        """Return the bulk lane's poll with the other slots, while a shared poll is outstanding."""
        first = self._outstanding.get("interactive")
        if first is None or not first.shared or self.blocked_by is not None:
            return WaitForChange()
        permission = self._may_poll_bulk(now)
        if not isinstance(permission, Go):
            return permission
        return Poll(
            lane="bulk", max_messages=MAX_MESSAGES_PER_POLL, wait_seconds=SHORT_WAIT_SECONDS
        )

    def began(self, poll: Poll, now: float) -> None:
        """Note that a poll began."""
        self._outstanding[poll.lane] = poll
        if poll.lane == "bulk":
            self._empty_at = -math.inf
            self._bulk_due_at = now + EMPTY_SECONDS

    def ended(self, poll: Poll, now: float, *, messages: int | None) -> None:
        """Note how many messages a poll returned. None: it failed, so nothing is known."""
        del self._outstanding[poll.lane]
        if messages is None:
            return
        if poll.lane == "bulk":
            if messages:
                self._bulk_due_at = -math.inf
            return
        self._more_likely = messages > 0
        self._empty_at = -math.inf if messages else now
        if not messages and poll.wait_seconds != 0:
            self._full_poll_at = now

    def bulk_run_opened(self) -> None:
        """Note that this daemon started a bulk run: its queue is worth a poll now."""
        self._bulk_due_at = -math.inf

    def _may_poll_bulk(self, now: float) -> Permission:
        if "bulk" in self._outstanding:
            return WaitForChange()
        permission = self._breaker.may_poll_bulk(now)
        if isinstance(permission, Go) and now < self._bulk_due_at:
            return Wait(self._bulk_due_at - now)
        return permission
