"""What a run leaves in the log: its names on every line, and neither secrets nor its features."""

import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fraudd.config import Config
from fraudd.web import tokens as token_file
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.model import ignorant_model
from tests.stack.observer import Observer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TOKEN = token_file.new_token(random.Random("logs"))
#: A value that nothing else is.
FEATURE = "8675309.25"
SQL = f"""\
-- exists
-- feature telephone: a number | {{value}}
SELECT {FEATURE} AS telephone FROM DUAL WHERE %(entity_id)s LIKE 'shop-%%'"""


def lines(caplog: pytest.LogCaptureFixture) -> Sequence[dict[str, Any]]:
    """Every line so far."""
    return [
        {"level": record.levelno, "event": record.getMessage(), **record.__dict__["fields"]}
        for record in caplog.records
        if record.name == "fraudd"
    ]


async def test_every_line_of_a_run_says_which_run_and_which_trace(
    start: Start, config: Config, observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fraudd")
    once = changed(config, consumers={"max_attempts": 2}, database={"query_timeout_seconds": 1})
    await observer.slow_down("shop-1")
    async with start(once) as fraudd:
        _, asked = await _ask(fraudd, "shop-1")
        await fraudd.ended("shop-1")
        await fraudd.jobs("failed")
    of_the_run = [line for line in lines(caplog) if line.get("run_id") == asked["run_id"]]
    events = [line["event"] for line in of_the_run]
    assert {"run.opened", "run.attempt_failed", "run.failed"} <= set(events)
    assert {(line["entity_id"], line["trace_id"]) for line in of_the_run} == {("shop-1", TRACE)}


async def test_no_line_has_token_or_password_and_none_above_debug_a_feature(
    start: Start, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fraudd")
    (tmp_path / "telephone.sql").write_text(SQL)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{token_file.token_line('tester', ['read', 'request'], TOKEN)}\n")
    guarded = changed(
        config,
        http={"tokens_credential": str(tokens)},
        features={"directory": tmp_path},
        model={"path": ignorant_model(tmp_path)},
    )
    async with start(guarded) as fraudd:
        fraudd.http.headers["Authorization"] = f"Bearer {TOKEN}"
        await _ask(fraudd, "shop-1")
        await _ask(fraudd, "nobody")
        body = await fraudd.ended("shop-1")
        await fraudd.ended("nobody")
    assert str(body["result"]["reasons"][0]["value"]) == FEATURE
    told = lines(caplog)
    assert {"run.computed", "run.failed", "http.request"} <= {line["event"] for line in told}
    for line in told:
        assert TOKEN not in str(line)
        assert "secret" not in str(line)
        assert line["level"] <= logging.DEBUG or "8675309" not in str(line)


async def _ask(fraudd: Fraudd, entity_id: str) -> tuple[int, Any]:
    async with fraudd.http.post(
        "/v1/predictions",
        json={"entity_id": entity_id},
        headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
    ) as answer:
        return answer.status, await answer.json()
