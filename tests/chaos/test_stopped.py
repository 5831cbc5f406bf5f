"""SIGTERM under load: what is in hand is finished or released, and nothing stays hidden."""

import signal

from tests.chaos.stage import PERMITS, Stage

#: What an end takes beside waiting: a run is released by a write and a receipt, and then
#: connections say goodbye, for which two seconds are the most. The rest is a busy machine.
_MARGIN_SECONDS = 5.0
_WAIT_SECONDS = 2
_DRAIN_SECONDS = 1.0
#: The server goes on with a statement that was cut off, and counts its connection meanwhile.
_WITH_CUT_OFF = PERMITS + 1


async def test_what_runs_at_the_end_of_a_drain_is_released_and_seen_at_once(stage: Stage) -> None:
    load = [f"shop-{n}" for n in range(12)]
    await stage.database.set_paces(dict.fromkeys(load, 0.4))
    async with stage.database.held_up("shop-held") as reached:
        async with stage.daemon("one", drain_seconds=_DRAIN_SECONDS) as one:
            await one.ready()
            runs = await one.ask_for_all(["shop-held", *load])
            await reached()
            await stage.announced.at_least(2)
            one.signal(signal.SIGTERM)
            status, seconds = await one.ended(_DRAIN_SECONDS + 1 + _MARGIN_SECONDS)
        print(f"ended after {seconds:.2f} s")
        assert status == 0
        assert seconds <= _DRAIN_SECONDS + 1 + _MARGIN_SECONDS
        waiting = await stage.waiting()
        assert "shop-held" in waiting
        assert stage.connections["one"] <= _WITH_CUT_OFF
    async with stage.daemon("next") as successor:
        await successor.ready()
        assert await stage.all_done(runs, successor) == {}
        assert await successor.sample("fraudd_receives_total") == len(waiting)


async def test_an_outstanding_poll_is_awaited_and_what_it_brings_is_worked_on(
    stage: Stage,
) -> None:
    async with stage.database.held_up("shop-held") as reached:
        async with stage.daemon(
            "one", wait_seconds=_WAIT_SECONDS, drain_seconds=_DRAIN_SECONDS
        ) as one:
            await one.ready()
            runs = await one.ask_for_all(["shop-held"])
            await reached()
            await one.polls()
            one.signal(signal.SIGTERM)
            # Callers are served meanwhile.
            runs["shop-late"] = await one.ask("shop-late")
            status, seconds = await one.ended(_WAIT_SECONDS + _DRAIN_SECONDS + _MARGIN_SECONDS)
        print(f"ended after {seconds:.2f} s")
        assert status == 0
        assert seconds <= _WAIT_SECONDS + _DRAIN_SECONDS + _MARGIN_SECONDS
        await stage.announced.all_of([runs["shop-late"]])
        assert await stage.waiting() == ["shop-held"]
    async with stage.daemon("next") as successor:
        await successor.ready()
        assert await stage.all_done(runs, successor) == {}


async def test_a_second_sigterm_releases_at_once(stage: Stage) -> None:
    # Both permits are busy, so that no poll is outstanding: one that is cut off may take a message.
    held = ["shop-1", "shop-2"]
    async with stage.database.held_up(*held) as reached:
        async with stage.daemon("one", wait_seconds=20, drain_seconds=60) as one:
            await one.ready()
            runs = await one.ask_for_all([*held, "shop-3"])
            await reached()
            one.signal(signal.SIGTERM)
            await one.drains()
            one.signal(signal.SIGTERM)
            status, seconds = await one.ended(_MARGIN_SECONDS)
        print(f"ended after {seconds:.2f} s")
        assert status == 0
        assert seconds <= _MARGIN_SECONDS
        assert await stage.waiting() == ["shop-1", "shop-2", "shop-3"]
    async with stage.daemon("next") as successor:
        await successor.ready()
        assert await stage.all_done(runs, successor) == {}
