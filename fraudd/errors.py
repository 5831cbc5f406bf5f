"""What may go wrong: adapters translate foreign errors into these, once."""


class Misconfigured(Exception):
    """Something that the installation gave cannot be used. ``problems``: a line for each reason."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unavailable(Exception):
    """Something that every run needs is out of reach, or refuses us: no fault of this run.

    ``part`` is ``store``, ``queue``, ``bulk_queue``, ``topics``, ``database``, or ``clock``:
    this daemon's own is off.
    """

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.part = part
        self.detail = detail


class BackPressure(Unavailable):
    """A part has no room for one more of us just now, which is not yet an outage.

    Whoever meets it keeps what they hold and asks again a little later.
    """


class Full(Exception):
    """More runs are owed than the installation allows: none is opened before some have ended."""

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RunError(Exception):
    """A run went wrong. ``type`` is a stable slug, ``detail`` a sentence for a reader."""

    def __init__(self, type_: str, detail: str) -> None:
        super().__init__(f"{type_}: {detail}")
        self.type = type_
        self.detail = detail


class PermanentError(RunError):
    """Trying again would end the same: the entity is unknown, a feature is not a number."""


class TransientError(RunError):
    """Trying again may well succeed: a deadlock, a lost connection, a query over its deadline."""
