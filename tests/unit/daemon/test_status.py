"""The line that ``systemctl status`` shows."""

from dataclasses import replace

import pytest

from fraudd.daemon.status_line import Doing, Refusal, status_line

SERVING = Doing(
    phase="serving",
    address="127.0.0.1:8080",
    jobs=1,
    consumers=3,
    blocked_by=None,
    waiting=12,
    model="2026-11-24-3f9ac1",
    refusal=None,
)


@pytest.mark.parametrize(
    ("doing", "line"),
    [
        (
            SERVING,
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1",
        ),
        (
            replace(SERVING, blocked_by="database: refused", waiting=None),
            "serving at 127.0.0.1:8080, taking no messages: database: refused;"
            " 1 of 3 consumers busy; queue unknown; model 2026-11-24-3f9ac1",
        ),
        (
            replace(SERVING, phase="reloading"),
            "reloading, still serving at 127.0.0.1:8080; 1 of 3 consumers busy;"
            " 12 waiting in the queue; model 2026-11-24-3f9ac1",
        ),
        (
            replace(SERVING, refusal=Refusal(at=0, problems=("no model", "b", "c"))),
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1;"
            " refused the reload of 1970-01-01T00:00:00.000Z: no model (and 2 more)",
        ),
        (
            replace(SERVING, phase="draining"),
            "draining: 1 job left; still serving at 127.0.0.1:8080",
        ),
        (
            replace(SERVING, phase="draining", jobs=2),
            "draining: 2 jobs left; still serving at 127.0.0.1:8080",
        ),
        (replace(SERVING, phase="closing"), "closing: the last callers are answered"),
    ],
)
def test_the_line_says_what_the_daemon_does(doing: Doing, line: str) -> None:
    assert status_line(doing) == line


def test_an_error_of_many_lines_is_one_line_of_bounded_length() -> None:
    line = status_line(
        replace(SERVING, blocked_by="database: a\nSTATUS=all is well\n" + "x" * 1000)
    )
    assert "\n" not in line
    assert len(line) == 400
    assert line.endswith("…")
