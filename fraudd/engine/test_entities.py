"""Test entities, which an integrator can request without fraud data, like test card numbers."""

from dataclasses import dataclass

from fraudd.errors import PermanentError
from fraudd.ports import FeatureValues, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescribedRun:
    """The prescribed run of a test entity: its score (None: it fails), and how long it takes."""

    scored: Scored | None
    seconds: float = 0.0

    def features(self, now: int) -> FeatureValues:
        """Return no features. Raises ``PermanentError`` if the run has to fail."""
        if self.scored is None:
            raise PermanentError("test", "this test entity always fails")
        return FeatureValues(values={}, as_of=now, connecting_ms=0, files_ms={})


_APPROVED = Scored(score=0.05, decision="approve", reasons=())
_RUNS = {
    "test:approve": PrescribedRun(scored=_APPROVED),
    "test:review": PrescribedRun(scored=Scored(score=0.6, decision="review", reasons=())),
    "test:block": PrescribedRun(scored=Scored(score=0.98, decision="block", reasons=())),
    "test:fail": PrescribedRun(scored=None),
    "test:slow-5": PrescribedRun(scored=_APPROVED, seconds=5.0),
}


def prescribed_run(entity_id: str) -> PrescribedRun | None:
    """Return the prescribed run of a test entity, or None for every other entity."""
    return _RUNS.get(entity_id)
