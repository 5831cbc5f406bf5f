"""A daemon killed in the middle of a job."""

import pytest

from tests.chaos.stage import PERMITS, Stage, Took

#: The death is noted; but any of those in hand may have caused it, so the attempt is given back.
_DIED_ONCE = Took(attempts=1, deaths=1)


async def test_the_run_of_a_killed_daemon_completes_at_another(stage: Stage) -> None:
    load = [f"shop-{n}" for n in range(20)]
    await stage.database.set_paces(dict.fromkeys(load, 0.2))
    async with stage.two_daemons() as (one, other):
        async with stage.database.held_up("shop-held") as reached:
            runs = await one.ask_for_all(["shop-held", *load])
            await reached()
            by_one = await one.works_on("shop-held")
            doomed, survivor = (one, other) if by_one else (other, one)
            await doomed.kill()
        odd = await stage.all_done(runs, survivor)
    assert odd["shop-held"] == _DIED_ONCE
    assert set(odd.values()) == {_DIED_ONCE}
    assert len(odd) <= PERMITS + 1, "a daemon has one for each consumer in hand"
    assert max(stage.connections["one"], stage.connections["other"]) <= PERMITS


@pytest.mark.slow
async def test_the_run_of_a_killed_daemon_completes_after_its_restart(stage: Stage) -> None:
    async with stage.database.held_up("shop-held") as reached:
        async with stage.daemon("doomed") as doomed:
            await doomed.ready()
            runs = await doomed.ask_for_all(["shop-held", "shop-1"])
            await reached()
            await stage.announced.all_of([runs["shop-1"]])
            await doomed.kill()
        record = await stage.aws.store.get("shop-held")
        assert record is not None
        assert (record.state, record.attempts) == ("running", 1)
    async with stage.daemon("restarted") as restarted:
        await restarted.ready()
        assert await stage.all_done(runs, restarted) == {"shop-held": _DIED_ONCE}
    assert max(stage.connections["doomed"], stage.connections["restarted"]) <= PERMITS


@pytest.mark.slow
async def test_a_run_whose_process_dies_each_time_fails_and_says_so(stage: Stage) -> None:
    async with stage.database.held_up("shop-held") as reached:
        # The first two deaths are given back: whatever was in hand may have caused them.
        for name in ("first", "second", "third"):
            async with stage.daemon(name, max_attempts=1) as doomed:
                await doomed.ready()
                if name == "first":
                    run_id = await doomed.ask("shop-held")
                await reached()
                await doomed.kill()
                await stage.database.hang_up_on(name)
    async with stage.daemon("last", max_attempts=1) as last:
        await last.ready()
        await stage.announced.all_of([run_id])
        body = await last.look_up("shop-held")
        runs = await last.ask_for_all(["shop-1"])
        await stage.announced.all_of(runs.values())
    assert body["status"] == "failed"
    assert (body["error"]["type"], body["error"]["attempts"]) == ("exhausted", 1)
    depth = await stage.aws.queue.depth()
    assert (depth.visible, depth.in_flight, depth.dead_lettered) == (0, 0, 1)
