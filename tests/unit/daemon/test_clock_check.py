"""While the clock is in doubt, the time is asked for, also by an idle daemon."""

import asyncio

import pytest

from fraudd.daemon import clock_check
from fraudd.daemon.clock_check import ClockCheck
from fraudd.errors import Unavailable
from fraudd.telemetry.clock_skew import ClockSkew
from tests.stack.times import NOW


def odd(skew: ClockSkew) -> None:
    skew.answered(date=NOW, sent=NOW + 60_000, received=NOW + 60_050)


async def test_an_idle_daemon_finds_out_that_its_clock_is_right_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_check, "_SECONDS", 0)
    skew = ClockSkew()
    odd(skew)
    asked: list[int] = []
    done = asyncio.Event()

    async def ask() -> None:
        asked.append(len(asked))
        match len(asked):
            case 1:
                odd(skew)
                assert skew.blocked_by is not None
            case 2:
                raise Unavailable("store", "SignatureDoesNotMatch")
            case _:
                skew.answered(date=NOW, sent=NOW, received=NOW + 50)
                asyncio.get_running_loop().call_later(0.01, done.set)

    task = asyncio.create_task(ClockCheck(skew, ask).run())
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    assert skew.blocked_by is None
    assert len(asked) == 3, "with a right clock nobody asks"
