"""The errors of fraudd. Adapters translate the errors of AWS, MySQL and xgboost into these."""


class Misconfigured(Exception):
    """The installation has a configuration that does not work. ``problems``: a line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unavailable(Exception):
    """A dependency is unreachable, or rejects fraudd. The run is not the cause.

    ``part`` is ``store``, ``queue``, ``bulk_queue``, ``topics``, ``database``, or ``clock``. The
    last means that this daemon's own clock is wrong.
    """

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.part = part
        self.detail = detail


class BackPressure(Unavailable):
    """A dependency is at its limit for the moment, which is not yet an outage.

    The run keeps its claim and its permit, and tries again a little later.
    """


class Full(Exception):
    """The lane has ``max_pending`` runs, so a new one starts only after some have ended."""

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RunError(Exception):
    """An attempt failed. ``type`` is a stable slug, ``detail`` is a sentence for a reader.

    ``answered`` is False if the part that was called gave no answer: fraudd's own time limit ended
    the call. Such an error does not show that the part works.
    """

    def __init__(self, type_: str, detail: str, *, answered: bool = True) -> None:
        super().__init__(f"{type_}: {detail}")
        self.type = type_
        self.detail = detail
        self.answered = answered


class Unreadable(RunError):
    """The store has a record that this version cannot read. Only this entity is affected."""

    def __init__(self, entity_id: str, detail: str) -> None:
        super().__init__("record_unreadable", f"the record of {entity_id} cannot be read: {detail}")


class PermanentError(RunError):
    """Another attempt would fail, too: the entity is unknown, or a feature is not a number."""


class TransientError(RunError):
    """Another attempt may succeed: a deadlock, a lost connection, a query that timed out."""
