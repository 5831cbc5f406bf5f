"""The limit of pending runs in a lane (``[http] max_pending``): above it, requests get 429."""

from collections.abc import Iterator
from contextlib import contextmanager

from fraudd.engine.depth_sampler import DepthSampler
from fraudd.errors import Full
from fraudd.prediction.record import Lane


class PendingLimit:
    """Limits the pending runs of a lane, unless ``max_pending`` is None."""

    def __init__(self, *, lane: Lane, sampler: DepthSampler, max_pending: int | None) -> None:
        self._lane = lane
        self._sampler = sampler
        self._max_pending = max_pending
        self._being_opened = 0

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Reserve room for a run while it is opened. Raises ``Full`` if too many are pending."""
        pending = self._sampler.backlog.pending + self._being_opened
        if self._max_pending is not None and pending >= self._max_pending:
            raise Full(
                f"about {pending} runs are pending in the {self._lane} lane, and [http] max_pending"
                f" is {self._max_pending}",
                retry_after_seconds=self._sampler.estimate(),
            )
        self._being_opened += 1
        try:
            yield
        finally:
            self._being_opened -= 1
