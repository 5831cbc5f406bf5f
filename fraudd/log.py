"""Logs: one event a line on standard output, as JSON for journald or as text for a terminal."""

import json
import logging
import sys
from contextvars import ContextVar
from typing import Any, Literal

from fraudd.answer import rfc3339
from fraudd.traceparent import trace_id

_logger = logging.getLogger("fraudd")
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def trace(traceparent: str | None) -> None:
    """Put the trace's id on every line that this task, and what it starts, logs from now on."""
    _traceparent.set(traceparent)


def debug(event: str, **fields: object) -> None:
    """Log what helps to follow one run."""
    _log(logging.DEBUG, event, fields)


def info(event: str, **fields: object) -> None:
    """Log what happened as it should."""
    _log(logging.INFO, event, fields)


def warning(event: str, *, traceback: bool = False, **fields: object) -> None:
    """Log what an operator may have to look at; ``traceback`` adds the exception in hand."""
    _log(logging.WARNING, event, fields, traceback)


def error(event: str, *, traceback: bool = False, **fields: object) -> None:
    """Log what an operator has to look at; ``traceback`` adds the exception in hand."""
    _log(logging.ERROR, event, fields, traceback)


def configure(*, level: str, form: Literal["json", "text"]) -> None:
    """Send every log record of the process to standard output, in ``form``."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    _logger.setLevel(level.upper())


def _log(level: int, event: str, fields: dict[str, object], traceback: bool = False) -> None:
    if _logger.isEnabledFor(level):
        if (traceparent := _traceparent.get()) is not None:
            fields["trace_id"] = trace_id(traceparent)
        _logger.log(level, event, extra={"fields": fields}, exc_info=traceback)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)
    return fields


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        return json.dumps(line, default=str)


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        traceback = fields.pop("traceback", None)
        shown = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
        line = f"{rfc3339(int(record.created * 1000))} {record.levelname:7} {record.getMessage()}"
        line = f"{line} {shown}" if shown else line
        if not traceback:
            return line
        # Indented, so that no line of an error's text is taken for one of the log.
        return "\n    ".join([line, *(_printable(part) for part in traceback.split("\n"))])


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and " " not in text and '"' not in text and text
    return text if plain else json.dumps(text)
