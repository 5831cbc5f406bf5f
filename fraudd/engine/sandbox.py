"""Entities that an integrator can ask for without fraud data, as payment providers' test cards."""

from dataclasses import dataclass

from fraudd.errors import PermanentError
from fraudd.ports import FeatureValues, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What comes of a test entity: a score, or none, and after how long."""

    scored: Scored | None
    seconds: float = 0.0

    def features(self, now: int) -> FeatureValues:
        """Give what its run reads: nothing. Raises ``PermanentError`` where it is to fail."""
        if self.scored is None:
            raise PermanentError("test", "this test entity always fails")
        return FeatureValues(values={}, as_of=now, connecting_ms=0, files_ms={})


_APPROVED = Scored(score=0.05, decision="approve", reasons=())
_TRIALS = {
    "test:approve": Trial(scored=_APPROVED),
    "test:review": Trial(scored=Scored(score=0.6, decision="review", reasons=())),
    "test:block": Trial(scored=Scored(score=0.98, decision="block", reasons=())),
    "test:fail": Trial(scored=None),
    "test:slow-5": Trial(scored=_APPROVED, seconds=5.0),
}


def trial(entity_id: str) -> Trial | None:
    """Give what comes of a test entity; None for every other."""
    return _TRIALS.get(entity_id)
