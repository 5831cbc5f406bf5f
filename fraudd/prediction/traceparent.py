"""W3C Trace Context: which trace a run belongs to (https://www.w3.org/TR/trace-context/)."""

import re

#: The message attribute and CloudEvents attribute that carry it.
TRACEPARENT = "traceparent"

_WRITTEN = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_ULID_DIGITS = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdefghijklmnopqrstuv")


def parse_traceparent(given: str | None) -> str | None:
    """Read what a caller sent; None where there is nothing valid, which is then ignored.

    A later version is read as far as it is like this one, and carried on as this one.
    """
    if given is None or (match := _WRITTEN.fullmatch(given)) is None:
        return None
    version, trace, parent, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(parent, 16):
        return None
    return f"00-{trace}-{parent}-{flags}"


def new_traceparent(run_id: str) -> str:
    """Begin a trace for a run that came without one: its id is the run's own, as hexadecimal."""
    number = int(run_id.translate(_ULID_DIGITS), 32)
    return f"00-{number:032x}-{number & (1 << 64) - 1 or 1:016x}-00"


def trace_id(traceparent: str) -> str:
    """Give the id of the whole trace."""
    return traceparent.split("-")[1]
