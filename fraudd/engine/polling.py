"""How many messages to ask of which lane's queue, and for how long.

The interactive lane goes first. Where there are two pairs of a consumer and a permit or more, one
is always its own: its long poll is outstanding with that pair, and the bulk lane is polled beside
it with what is left. Where there is one pair the lanes take turns with it.

Pure: time is an argument, in seconds of a monotonic clock.
"""

from dataclasses import dataclass
from typing import Literal

#: ``ReceiveMessage`` gives ten at most.
MAX_MESSAGES_PER_POLL = 10
#: A poll that waits asks all of SQS's servers, one that does not only some of them. It keeps its
#: pairs from the interactive lane meanwhile, so this is the shortest there is.
SHORT_WAIT_SECONDS = 1
#: How often a bulk queue is looked at that was found empty: with its samples that is as many calls
#: as one long poll makes. Runs that are opened in this daemon are looked for at once.
EMPTY_SECONDS = 30.0
#: Of polls in turn so often one asks all servers: a tenth of the time at most.
_FULL_LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPoll:
    """The next poll of the interactive lane, and when the bulk lane is polled: with it, if at all.

    ``beside`` it, with pairs of its own; ``after`` it, with the same pair if that brought nothing.
    """

    most: int
    #: None: as long as configured.
    wait_seconds: int | None
    bulk: Literal["no", "beside", "after"]


def first_poll(
    *,
    lanes: int,
    pairs: int,
    closed: bool,
    brought: bool,
    bulk_due: bool,
    full_look_seconds: float,
) -> FirstPoll:
    """Decide on the next poll of the interactive lane.

    ``pairs`` of a consumer and a permit may be had at once; ``closed``: the breaker is; the last
    poll ``brought`` something; the last that asked all servers was ``full_look_seconds`` ago.
    """
    most = MAX_MESSAGES_PER_POLL if closed else 1
    if lanes == 1:
        return FirstPoll(most=most, wait_seconds=None, bulk="no")
    if closed and pairs > 1:
        if brought:
            # There may be more: the bulk lane gets no pair before it is known that there is not.
            return FirstPoll(most=most, wait_seconds=0, bulk="no")
        return FirstPoll(most=1, wait_seconds=None, bulk="beside")
    if not bulk_due:
        # It may be by the time that this poll is back.
        return FirstPoll(most=1, wait_seconds=None, bulk="after")
    full_look = full_look_seconds >= _FULL_LOOK_SECONDS
    return FirstPoll(most=1, wait_seconds=SHORT_WAIT_SECONDS if full_look else 0, bulk="after")
