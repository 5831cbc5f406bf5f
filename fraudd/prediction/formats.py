"""Texts that standards define: ULID, RFC 3339, W3C Trace Context."""

import re
from datetime import date, timedelta
from functools import lru_cache

#: A ULID: 48 bits of time and 80 random bits in Crockford's base 32 (https://github.com/ulid/spec).
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

#: The message attribute and the CloudEvents attribute that carry a trace.
TRACEPARENT = "traceparent"

_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_DIGIT_PAIRS = [first + second for first in _ULID_DIGITS for second in _ULID_DIGITS]
_TO_BASE_32 = str.maketrans(_ULID_DIGITS, "0123456789abcdefghijklmnopqrstuv")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def new_ulid(now: int, random_bits: int) -> str:
    """Make a ULID from the time in epoch milliseconds and 80 random bits."""
    number = (now << 80) | random_bits
    return "".join([_ULID_DIGIT_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def rfc3339(epoch_ms: int) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds."""
    # This takes half the time of datetime, and each response body has up to five times.
    days, day_ms = divmod(epoch_ms, 86_400_000)
    seconds, milliseconds = divmod(day_ms, 1000)
    time = (_iso_date(days), seconds // 3600, seconds // 60 % 60, seconds % 60, milliseconds)
    return "%sT%02d:%02d:%02d.%03dZ" % time  # noqa: UP031 (an f-string takes longer)


@lru_cache(maxsize=128)
def _iso_date(days: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=days)).isoformat()


def parse_traceparent(header: str | None) -> str | None:
    """Parse a client's ``traceparent`` (https://www.w3.org/TR/trace-context/).

    An invalid one is ignored, so the result is None. As the standard demands, a later version
    is read like version 00, and passed on as version 00.
    """
    if header is None or (match := _TRACEPARENT.fullmatch(header)) is None:
        return None
    version, trace, parent, flags, suffix = match.groups()
    if version == "ff" or (version == "00" and suffix) or not int(trace, 16) or not int(parent, 16):
        return None
    return f"00-{trace}-{parent}-{flags}"


def new_traceparent(run_id: str) -> str:
    """Start the trace of a run that came without one. Its ID is the run ID in hexadecimal."""
    number = int(run_id.translate(_TO_BASE_32), 32)
    return f"00-{number:032x}-{number & (1 << 64) - 1 or 1:016x}-00"


def trace_id(traceparent: str) -> str:
    """Return the ID of the whole trace."""
    return traceparent.split("-")[1]
