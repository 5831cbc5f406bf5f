"""What callers prefer (RFC 7240): of all preferences, ``wait`` is the one that is honoured."""

import re
from collections.abc import Iterable

#: A preference is ``name [= word] *(; parameter)``; a word is a name or a quoted string. Nothing is
#: ever matched in two ways, so that no header takes long.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_SPACE = r"[ \t]*+"
_WORD = rf'(?:{_NAME}|"(?:[^"\\]|\\.)*+")'
_PREFERENCE = re.compile(
    rf"(?P<name>{_NAME}){_SPACE}(?:={_SPACE}(?P<word>{_WORD})?+{_SPACE})?+"
    rf"(?:;{_SPACE}(?:{_NAME}{_SPACE}(?:={_SPACE}{_WORD}?+{_SPACE})?+)?+)*+(?:,|$)"
)
#: Empty members of a list are to be ignored (RFC 9110, 5.6.1).
_BETWEEN = ", \t"
#: More digits than any number of seconds that is worth waiting for.
_SECONDS = re.compile(r'"?([0-9]{1,9})"?')


def preferred_wait(headers: Iterable[str]) -> int | None:
    """Read how many seconds the caller is ready to wait from the ``Prefer`` headers.

    Of several the first counts. What cannot be read is no error but no preference.
    """
    rest = ",".join(headers).lstrip(_BETWEEN)
    while match := _PREFERENCE.match(rest):
        if match["name"].lower() == "wait":
            seconds = _SECONDS.fullmatch(match["word"] or "")
            return int(seconds[1]) if seconds else None
        rest = rest[match.end() :].lstrip(_BETWEEN)
    return None
