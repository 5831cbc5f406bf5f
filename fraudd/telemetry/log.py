"""Logs one event per line to standard output, as JSON for journald or text for a terminal."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from fraudd.prediction.formats import rfc3339, trace_id
from fraudd.telemetry.log_stream import LogStream

_logger = logging.getLogger("fraudd")
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_encoded = json.JSONEncoder(default=str).encode
#: Writes an event as a line, without the logging library. None before ``configure``.
_write: Callable[[int, str, Mapping[str, Any]], None] | None = None
#: The stream of a log that a thread writes.
_stream: LogStream | None = None


def trace(traceparent: str | None) -> None:
    """Put the trace ID on every later line of this task and of the tasks that it starts."""
    _traceparent.set(traceparent)


def debug(event: str, **fields: object) -> None:
    """Log a detail of one run."""
    _log(logging.DEBUG, event, fields)


def info(event: str, **fields: object) -> None:
    """Log normal operation."""
    _log(logging.INFO, event, fields)


def warning(event: str, *, traceback: bool = False, **fields: object) -> None:
    """Log a problem to investigate if it continues. ``traceback`` adds the current exception."""
    _log(logging.WARNING, event, fields, traceback)


def error(event: str, *, traceback: bool = False, **fields: object) -> None:
    """Log a problem that needs action. ``traceback`` adds the current exception."""
    _log(logging.ERROR, event, fields, traceback)


def configure(
    *, level: str, form: Literal["json", "text"], stream: TextIO | LogStream | None = None
) -> None:
    """Send every log record of the process to ``stream`` (None: standard output), in ``form``."""
    global _write  # noqa: PLW0603 # a process has one log
    stream = stream or sys.stdout
    format_line = _json_line if form == "json" else _text_line

    def write(level: int, event: str, fields: Mapping[str, Any]) -> None:
        # The logging library reads the real clock, too. No decision depends on this time.
        at = time.time_ns() // 1_000_000  # noqa: TID251
        stream.write(format_line(at, level, event, fields) + "\n")
        stream.flush()

    _write = write
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines(format_line))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    _logger.setLevel(level.upper())


@contextmanager
def in_background(
    *, level: str, form: Literal["json", "text"], report: Callable[[int], None]
) -> Iterator[None]:
    """Log to standard output in a thread: a reader that stops reading must not stop the daemon.

    ``report`` logs the number of lines that were dropped meanwhile.
    """
    global _stream  # noqa: PLW0603 # a process has one log
    _stream = LogStream(sys.stdout.fileno(), report=report)
    configure(level=level, form=form, stream=_stream)
    try:
        yield
    finally:
        _stream.close()


def dropped_lines() -> int:
    """Return the number of lines that were dropped because nobody read the log."""
    return 0 if _stream is None else _stream.dropped


def _log(level: int, event: str, fields: dict[str, object], traceback: bool = False) -> None:
    if not _logger.isEnabledFor(level):
        return
    if (traceparent := _traceparent.get()) is not None:
        fields["trace_id"] = trace_id(traceparent)
    if _write is not None and not traceback:
        # Every request writes a line, and this takes a third of the time of the logging library.
        try:
            _write(level, event, fields)
        except (OSError, ValueError):
            pass  # The pipe is closed or the disk full. logging reports that without raising.
        else:
            return
    _logger.log(level, event, extra={"fields": fields}, exc_info=traceback)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)
    return fields


class _Lines(logging.Formatter):
    """Formats lines of the logging library: lines of other packages, and lines with tracebacks."""

    def __init__(self, format_line: Callable[[int, int, str, Mapping[str, Any]], str]) -> None:
        super().__init__()
        self._format_line = format_line

    def format(self, record: logging.LogRecord) -> str:
        at = int(record.created * 1000)
        return self._format_line(at, record.levelno, record.getMessage(), _fields(record))


def _json_line(at: int, level: int, event: str, fields: Mapping[str, Any]) -> str:
    name = logging.getLevelName(level).lower()
    return _encoded({"time": rfc3339(at), "level": name, "event": event, **fields})


def _text_line(at: int, level: int, event: str, fields: Mapping[str, Any]) -> str:
    pairs = [f"{name}={_quoted(fields[name])}" for name in fields if name != "traceback"]
    line = " ".join([rfc3339(at), f"{logging.getLevelName(level):7}", event, *pairs])
    if "traceback" not in fields:
        return line
    # Indented, so that no line of a traceback can look like a line of the log.
    return "\n    ".join([line, *(_printable(part) for part in fields["traceback"].split("\n"))])


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and " " not in text and '"' not in text and text
    return text if plain else json.dumps(text)
