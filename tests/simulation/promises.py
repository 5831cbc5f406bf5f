"""What fraudd promises: each by the sentence that a broken seed prints."""

from typing import Final

from fraudd.prediction.record import SKEW_MARGIN_MS

ENDS: Final = "every accepted request ends within its bound"
NEWEST: Final = "an older run never overwrites a newer one"
CLAIMED: Final = "a run is worked on under one live claim"
DURABLE: Final = "a message is deleted only after what it asked for is durable"
BURIED: Final = "no healthy message is dead-lettered"
OUTAGE: Final = "an outage, or a drain, costs no attempt"
HEALTHY: Final = "a healthy run never fails"
COVERED: Final = "an event is covered by a run that read after it was sent"
RECEIVES: Final = "a receive begins an attempt, unless the world is to blame"
CONNECTIONS: Final = "no more connections than permits"
PERMIT: Final = "no message is held without a permit"
READABLE: Final = "who was told 202 never finds 404 or an older state"
ONE_RUN: Final = "concurrent requests open one run"
ANNOUNCED: Final = "every run that ended is announced"
AFTER_DURABLE: Final = "nothing is announced before it is durable"
POLLS: Final = "no poll while something is wrong or the daemon drains"
DRAINED: Final = "after a drain no message stays hidden"
BACKED_OFF: Final = "a run is not claimed before its back-off is over"
FORGOTTEN: Final = "what is forgotten stays forgotten"
BOUNDED: Final = "nothing grows without bound"
SWEPT: Final = "a wake-up is sent again only where it is lost"
LET_GO: Final = "whoever is done with a message lets go of it"
LATE_BEAT: Final = "no late beat undoes what was decided"
OWN_LANE: Final = "a wake-up is sent in its run's own lane"
PRIORITY: Final = "the bulk lane gets what the interactive lane leaves"
HASTENED: Final = "who asks in the interactive lane does not wait in the bulk lane"
PROBES: Final = "one fault that hits every run costs one attempt a probe"

PROMISES: Final = (
    ENDS, NEWEST, CLAIMED, DURABLE, BURIED, OUTAGE, HEALTHY, COVERED, RECEIVES, CONNECTIONS,
    PERMIT, READABLE, ONE_RUN, ANNOUNCED, AFTER_DURABLE, POLLS, DRAINED, BACKED_OFF, FORGOTTEN,
    BOUNDED, PROBES, SWEPT, LET_GO, LATE_BEAT, OWN_LANE, PRIORITY, HASTENED,
)  # fmt: skip

#: How far two clocks that are taken for right may be apart, and what whole numbers cut off.
APART_MS = SKEW_MARGIN_MS + 10
