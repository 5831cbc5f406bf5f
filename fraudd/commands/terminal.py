"""Messages, bars, durations and safe text for a terminal."""

import sys

#: ECMA-48: erase the line from its start.
ERASE_LINE = "\r\x1b[K"
_UNITS = (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1))


def say(text: str) -> None:
    """Print a message to standard error. Standard output is for results."""
    print(f"fraudd: {text}", file=sys.stderr, flush=True)


def bar(count: int, total: int, *, width: int) -> str:
    """Draw a bar of ``width`` characters for ``count`` of ``total``. A count above 0 is visible."""
    filled = 0
    if total > 0 and count > 0:
        filled = min(width, max(1, width * count // total))
    return f"[{'#' * filled}{'.' * (width - filled)}]"


def duration(seconds: float) -> str:
    """Write a duration in its two largest units."""
    whole = max(0, int(seconds))
    for unit, size, smaller_unit, smaller_size in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller_unit}"
    return f"{whole} s"


def printable(text: str) -> str:
    """Replace every character that could control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def clipped(text: str, width: int) -> str:
    """Make a text printable, and cut it to ``width`` characters."""
    line = printable(text)
    return line if len(line) <= width else f"{line[: width - 1]}…"
