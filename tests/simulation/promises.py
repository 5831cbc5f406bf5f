"""What fraudd promises: each by the sentence that a broken seed prints."""

from typing import Final

from fraudd.prediction.record import SKEW_MARGIN_MS

ENDS: Final = "every accepted request ends within its time limit"
NEWEST: Final = "an older run never overwrites a newer one"
CLAIMED: Final = "a run is computed under one valid lease"
STORED: Final = "a message is deleted only after its outcome is stored"
DEAD_LETTERED: Final = "no healthy message is dead-lettered"
OUTAGE: Final = "an outage or a drain costs no attempt"
HEALTHY: Final = "a healthy run never fails"
COVERED: Final = "an event is covered by a run that read after it was sent"
RECEIVES: Final = "each receive starts an attempt, if no fault prevents it"
CONNECTIONS: Final = "no more connections than permits"
PERMIT: Final = "no message is held without a permit"
READABLE: Final = "after a 202 no daemon answers 404 or an older state"
ONE_RUN: Final = "concurrent requests open one run"
PUBLISHED: Final = "every run that has ended is published"
AFTER_STORED: Final = "nothing is published before it is stored"
POLLS: Final = "no poll during an outage or a drain"
DRAINED: Final = "after a drain no message stays hidden"
BACKED_OFF: Final = "no run is claimed before its back-off ends"
DELETED: Final = "a deleted entity stays deleted"
BOUNDED: Final = "nothing grows without bound"
SWEPT: Final = "only a lost wake-up message is sent again"
RELEASED: Final = "every finished message is deleted or released"
LATE_HEARTBEAT: Final = "no late heartbeat reverts a decision"
OWN_LANE: Final = "a wake-up message is sent in the lane of its run"
PRIORITY: Final = "the bulk lane uses only what the interactive lane leaves"
PROMOTED: Final = "an interactive request never waits behind bulk work"
TRIALS: Final = "a systemic failure costs one attempt for each trial call"

PROMISES: Final = (
    ENDS, NEWEST, CLAIMED, STORED, DEAD_LETTERED, OUTAGE, HEALTHY, COVERED, RECEIVES, CONNECTIONS,
    PERMIT, READABLE, ONE_RUN, PUBLISHED, AFTER_STORED, POLLS, DRAINED, BACKED_OFF, DELETED,
    BOUNDED, TRIALS, SWEPT, RELEASED, LATE_HEARTBEAT, OWN_LANE, PRIORITY, PROMOTED,
)  # fmt: skip

#: How far two clocks that are taken for right may be apart, and what whole numbers cut off.
APART_MS = SKEW_MARGIN_MS + 10
