"""A daemon killed in the middle of a job."""

from tests.chaos.conftest import PERMITS, Stage, Took

_DIED_ONCE = Took(attempts=1, deaths=1)
_LOAD = [f"shop-{n}" for n in range(20)]


async def test_the_run_of_a_killed_daemon_completes_at_another(stage: Stage) -> None:
    await stage.database.set_paces(dict.fromkeys(_LOAD, 0.2))
    async with stage.daemon("one") as one, stage.daemon("other") as other:
        async with stage.database.held_up("shop-held") as reached:
            runs = await one.ask_for_all(["shop-held", *_LOAD])
            await reached()
            by_one = await one.works_on("shop-held")
            doomed, survivor = (one, other) if by_one else (other, one)
            await doomed.kill()
        odd = await stage.all_done(runs, survivor)
    # The death is noted of what was in hand and of nothing else; a first death is no attempt.
    assert odd["shop-held"] == _DIED_ONCE
    assert set(odd.values()) == {_DIED_ONCE}
    assert len(odd) <= PERMITS + 1
    assert max(stage.connections["one"], stage.connections["other"]) <= PERMITS


async def test_the_run_of_a_killed_daemon_completes_after_its_restart(stage: Stage) -> None:
    async with stage.database.held_up("shop-held") as reached:
        async with stage.daemon("doomed") as doomed:
            runs = await doomed.ask_for_all(["shop-held", "shop-1"])
            await reached()
            await stage.announced.all_of([runs["shop-1"]])
            await doomed.kill()
        record = await stage.aws.store.get("shop-held")
        assert record is not None
        assert (record.state, record.attempts) == ("running", 1)
    async with stage.daemon("restarted") as restarted:
        assert await stage.all_done(runs, restarted) == {"shop-held": _DIED_ONCE}
    assert max(stage.connections["doomed"], stage.connections["restarted"]) <= PERMITS
