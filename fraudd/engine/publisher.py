"""Sends wake-up messages, each in the lane of its run."""

from fraudd.engine.guard import Guard
from fraudd.errors import RunError, Unavailable
from fraudd.ports import Queues, Store, Topics
from fraudd.prediction.events import wake_up
from fraudd.prediction.record import Lane, Record
from fraudd.prediction.transitions import unpublished
from fraudd.telemetry import log


class Publisher:
    """Sends to the topic in the interactive lane, and to the queue itself in the bulk lane."""

    def __init__(self, topics: Topics, queues: Queues, guard: Guard) -> None:
        self._topics = topics
        self._queues = queues
        self._guard = guard

    def is_out(self, record: Record) -> bool:
        """Return whether the part that takes this message is unreachable, and no trial is due."""
        if lane_of(record, self._queues) == "bulk":
            return self._guard.is_out("bulk_queue", "request")
        return self._guard.is_out("topics", "request")

    async def send(self, record: Record, *, trial: bool = False) -> None:
        """Send the wake-up message of a pending run.

        Raises ``Unavailable``. If the part is known to be unreachable, only a ``trial`` calls it: a
        client waits, and the call may take until its timeout.
        """
        if not trial and self.is_out(record):
            raise Unavailable("topics", "unreachable, and not yet tried again")
        if lane_of(record, self._queues) == "bulk":
            await self._queues["bulk"].send(wake_up(record))
        else:
            await self._topics.request(wake_up(record))

    async def send_or_note(self, record: Record, store: Store, *, trial: bool = False) -> bool:
        """Send the wake-up message of a run whose record says that it is sent.

        If it cannot be sent, the record notes that it is missing, and this returns False.
        """
        try:
            await self.send(record, trial=trial)
        except (Unavailable, RunError) as error:
            log.warning(
                "run.not_published",
                entity_id=record.entity_id,
                run_id=record.run_id,
                error=str(error),
            )
            await store.apply(unpublished(record))
            return False
        return True


def lane_of(record: Record, queues: Queues) -> Lane:
    """Return the lane that wakes a run: interactive if the bulk lane is no longer configured."""
    return "bulk" if record.lane == "bulk" and "bulk" in queues else "interactive"
