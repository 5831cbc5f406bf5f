"""Sends wake-up messages, each in the lane of its run."""

from fraudd.ports import Queues, Topics
from fraudd.prediction.events import wake_up
from fraudd.prediction.record import Lane, Record


class Publisher:
    """Sends to the topic in the interactive lane, and to the queue itself in the bulk lane."""

    def __init__(self, topics: Topics, queues: Queues) -> None:
        self._topics = topics
        self._queues = queues

    async def send(self, record: Record) -> None:
        """Send the wake-up message of a pending run. Raises ``Unavailable``."""
        if lane_of(record, self._queues) == "bulk":
            await self._queues["bulk"].send(wake_up(record))
        else:
            await self._topics.request(wake_up(record))


def lane_of(record: Record, queues: Queues) -> Lane:
    """Return the lane that wakes a run: interactive if the bulk lane is no longer configured."""
    return "bulk" if record.lane == "bulk" and "bulk" in queues else "interactive"
