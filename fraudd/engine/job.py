"""A received message while a consumer works on it, and the permit it was received with."""

from dataclasses import dataclass
from typing import Any, Literal

from fraudd.engine.lease import Lease
from fraudd.engine.test_entities import PrescribedRun
from fraudd.ports import Permit
from fraudd.prediction.record import Record


@dataclass(kw_only=True)
class Job:
    """A message in flight and its connection permit. ``/v1/status`` shows it."""

    lease: Lease
    permit: Permit
    entity_id: str | None = None
    run_id: str | None = None
    phase: Literal["claiming", "waiting_alone", "database", "model", "storing"] = "claiming"
    #: The prescribed run of a test entity. None for every other entity.
    prescribed: PrescribedRun | None = None
    #: Whether no other run may be computed meanwhile, because processes died during this run.
    alone: bool = False
    #: Whether the job still needs its permit. It gives it back as soon as it does not.
    needs_database: bool = True
    #: Seconds that the claim took, without the wait for a run that must be alone.
    claiming_seconds: float = 0.0
    #: Seconds of reading features so far, without outages.
    worked_seconds: float = 0.0

    #: The record as this job claimed it. None: there is no claim.
    claim: Record | None = None

    @property
    def names(self) -> dict[str, Any]:
        """The fields that identify the job in a log line."""
        return {"entity_id": self.entity_id, "run_id": self.run_id}

    @property
    def test_mark(self) -> dict[str, Any]:
        """The mark that a stored outcome of a test entity has."""
        return {} if self.prescribed is None else {"test": True}
