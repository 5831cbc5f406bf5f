"""Sends the wake-ups of runs, each in its run's own lane."""

from fraudd.ports import Queues, Topics
from fraudd.prediction.events import wake_up
from fraudd.prediction.record import Lane, Record


class Publisher:
    """By the topic in the interactive lane, straight to its queue in the bulk lane."""

    def __init__(self, topics: Topics, queues: Queues) -> None:
        self._topics = topics
        self._queues = queues

    async def send(self, record: Record) -> None:
        """Send the wake-up of a pending run. Raises ``Unavailable``."""
        if lane_of(record, self._queues) == "bulk":
            await self._queues["bulk"].send(wake_up(record))
        else:
            await self._topics.request(wake_up(record))


def lane_of(record: Record, queues: Queues) -> Lane:
    """Give the lane that a run is woken in: the other one where its own is not there any more."""
    return "bulk" if record.lane == "bulk" and "bulk" in queues else "interactive"
