"""SIGHUP: new feature SQL and a new model while runs go on, or none of it."""

import asyncio
import gc
import os
import shutil
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fraudd.config import Config
from fraudd.errors import Misconfigured
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring import model_probe as proof
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.features import FEATURES
from tests.stack.model import ignorant_model
from tests.stack.observer import Observer

#: A feature that only new SQL has.
NEW = """\
-- feature length: characters of the name, once more | {value:.0f} characters
SELECT CHAR_LENGTH(%(entity_id)s) AS length"""


@pytest.fixture
def folder(model_file: Path, tmp_path: Path) -> Path:
    """Feature files and a model that may be changed."""
    return Path(shutil.copytree(model_file.parent, tmp_path / "scorer"))


@pytest.fixture
def config(config: Config, folder: Path) -> Config:
    return changed(
        config,
        features={"directory": str(folder)},
        model={"path": str(folder / "model.ubj")},
        database={"password_credential": str(folder / "password")},
    )


async def reloaded(fraudd: Fraudd) -> Any:
    """Reload once; gives what the status says of it."""
    before = (await fraudd.status())["reload"]
    fraudd.daemon.reload()
    async with asyncio.timeout(20):
        while (told := (await fraudd.status())["reload"]) == before:
            await asyncio.sleep(0.01)
    return told


async def served(fraudd: Fraudd, entity_id: str) -> Any:
    """Let an entity be scored anew; gives its result."""
    await fraudd.ask(entity_id, force=True)
    async with fraudd.http.get(
        f"/v1/predictions/{entity_id}?include=features", headers={"Prefer": "wait=20"}
    ) as answer:
        body = await answer.json()
    assert body["status"] == "done", body
    return body["result"]


async def test_new_sql_and_a_new_model_serve_from_the_next_run_on(
    start: Start, config: Config, folder: Path
) -> None:
    async with start(config) as fraudd:
        before = await fraudd.status()
        old = await served(fraudd, "shop-1")
        (folder / "length.sql").write_text(NEW)
        ignorant_model(folder)
        told = await reloaded(fraudd)
        assert (told["outcome"], told["problems"]) == ("done", [])
        new = await served(fraudd, "shop-1")
        assert old["model"] == before["model"]
        assert new["features"] == old["features"] | {"length": 6.0}
        after = await fraudd.status()
        assert after["model"] == new["model"] != old["model"]
        assert after["features_version"] != before["features_version"]
        assert fraudd.sample("fraudd_reloads_total", outcome="done") == 1
        assert fraudd.sample(
            "fraudd_info",
            version=after["version"],
            model=after["model"],
            features_version=after["features_version"],
        )


Break = Callable[[Path], object]


def cut_off_the_model(folder: Path) -> None:
    content = (folder / "model.ubj").read_bytes()
    (folder / "model.ubj").write_bytes(content[: len(content) // 3])


def make_a_model_of_other_features(folder: Path) -> None:
    (folder / "length.sql").write_text(NEW)
    (folder / "size.sql").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_off_the_model, "not an xgboost model, or truncated"),
        (lambda folder: (folder / "model.ubj").unlink(), "cannot read the model"),
        (
            make_a_model_of_other_features,
            "the SQL lacks size; the model does not know length",
        ),
        (
            lambda folder: ignorant_model(folder, objective="reg:squarederror", base_score=37),
            "not a probability from 0 to 1",
        ),
        (
            lambda folder: (folder / "size.sql").write_text(
                FEATURES["size"].replace("CHAR_LENGTH", "CHARLENGTH")
            ),
            "size.sql: ",
        ),
        (
            lambda folder: (folder / "size.sql").write_text(
                FEATURES["size"].replace("CHAR_LENGTH(%(entity_id)s)", "n", 1) + " FROM gone"
                " WHERE id = %(entity_id)s"
            ),
            "size.sql: ",
        ),
        (
            lambda folder: (folder / "size.sql").write_text(
                FEATURES["size"].replace("AS size", "AS size, 1 AS more")
            ),
            "size.sql: column more is not declared",
        ),
        (
            lambda folder: (folder / "size.sql").write_bytes(b"-- \xff"),
            "size.sql is not UTF-8 text",
        ),
    ],
)
async def test_what_cannot_be_used_leaves_the_old_in_place_and_is_told(
    start: Start, config: Config, folder: Path, spoil: Break, says: str
) -> None:
    spare = Path(shutil.copytree(folder, folder.with_name("spare")))
    async with start(config) as fraudd:
        before = await fraudd.status()
        spoil(folder)
        told = await reloaded(fraudd)
        assert told["outcome"] == "refused"
        assert says in "; ".join(told["problems"])
        after = await fraudd.status()
        assert (after["model"], after["features_version"]) == (
            before["model"],
            before["features_version"],
        )
        assert after["breaker"] == "closed"
        assert fraudd.sample("fraudd_reloads_total", outcome="refused") == 1
        shutil.copytree(spare, folder, dirs_exist_ok=True)
        assert (await served(fraudd, "shop-1"))["features"]["size"] == 6.0
        (folder / "length.sql").unlink(missing_ok=True)
        assert (await reloaded(fraudd))["outcome"] == "done"


async def test_a_run_keeps_the_sql_and_the_model_it_began_with(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        before = await fraudd.status()
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        (folder / "length.sql").write_text(NEW)
        (folder / "size.sql").unlink()
        ignorant_model(folder)
        assert (await reloaded(fraudd))["outcome"] == "done"
        new = await served(fraudd, "shop-2")
        await observer.let_go("shop-1")
        await fraudd.ended("shop-1")
        async with fraudd.http.get("/v1/predictions/shop-1?include=features") as answer:
            old = (await answer.json())["result"]
        after = await fraudd.status()
    assert (old["model"], new["model"]) == (before["model"], after["model"])
    assert "length" in new["features"] and "size" not in new["features"]
    assert "size" in old["features"] and "length" not in old["features"]


async def in_check(observer: Observer) -> Callable[[], Awaitable[None]]:
    """Hold up the trying out of feature files; gives what lets it go on."""
    await observer.hold_up("fraudd:nobody")
    return lambda: observer.let_go("fraudd:nobody")


async def test_what_is_asked_for_meanwhile_is_done_once_afterwards_and_reads_anew(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    async with start(config) as fraudd:
        let_go = await in_check(observer)
        ignorant_model(folder, seed=2)
        fraudd.daemon.reload()
        await observer.busy("User lock")
        ignorant_model(folder, seed=3)
        for _ in range(5):
            fraudd.daemon.reload()
        await let_go()
        async with asyncio.timeout(20):
            while fraudd.sample("fraudd_reloads_total", outcome="done") < 2:
                await asyncio.sleep(0.01)
        third = (await fraudd.status())["model"]
        # Nothing is left to be done: one more finds the same.
        await reloaded(fraudd)
        assert (await fraudd.status())["model"] == third
        assert fraudd.sample("fraudd_reloads_total", outcome="done") == 3


async def test_a_stop_drops_what_is_under_way(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    async with start(config) as fraudd:
        before = await fraudd.status()
        let_go = await in_check(observer)
        ignorant_model(folder, seed=2)
        fraudd.daemon.reload()
        await observer.busy("User lock")
        await fraudd.ask("shop-1")
        fraudd.daemon.stop()
        fraudd.daemon.reload()
        assert (await fraudd.status())["reload"] is None
        assert (await fraudd.status())["model"] == before["model"]
        async with asyncio.timeout(20):
            await fraudd.task
    await let_go()
    assert await observer.theirs() == []


async def test_what_is_in_hand_goes_on_with_the_sql_that_mends_it(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    """A table that is renamed is an outage: its runs wait, and cost no attempt."""
    config = changed(config, runs={"backoff_base_seconds": 300, "backoff_max_seconds": 600})
    async with start(config) as fraudd:
        await observer.rows("RENAME TABLE things TO items")
        await fraudd.ask("shop-1")
        await fraudd.breaker("outage")
        (folder / "things.sql").write_text(FEATURES["things"].replace("FROM things", "FROM items"))
        assert (await reloaded(fraudd))["outcome"] == "done"
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["attempts"]) == ("done", 1)
        assert (await fraudd.status())["breaker"] == "closed"


async def test_a_slow_disk_holds_up_nobody(start: Start, config: Config, folder: Path) -> None:
    """A pipe in the model's place: reading it waits until somebody writes."""
    async with start(config) as fraudd:
        content = ignorant_model(folder, seed=2).read_bytes()
        (folder / "model.ubj").unlink()
        os.mkfifo(folder / "model.ubj")
        before = await fraudd.status()
        # Where the loop itself reads, nothing else would ever end this.
        rescue = threading.Timer(15, (folder / "model.ubj").write_bytes, [content])
        rescue.start()
        fraudd.daemon.reload()
        assert (await served(fraudd, "shop-1"))["model"] == before["model"]
        rescue.cancel()
        await asyncio.to_thread((folder / "model.ubj").write_bytes, content)
        async with asyncio.timeout(20):
            while (after := await fraudd.status())["reload"] is None:
                await asyncio.sleep(0.01)
        assert after["model"] != before["model"]


async def test_what_served_before_is_let_go_of_once_no_run_needs_it(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    """Without the garbage collector, which never looks at what there was at start."""
    gc.disable()
    try:
        async with start(config) as fraudd:
            first = weakref.ref(fraudd.daemon.scorers.current().model)
            await observer.hold_up("shop-1")
            await fraudd.ask("shop-1")
            await observer.busy("User lock")
            ignorant_model(folder, seed=2)
            assert (await reloaded(fraudd))["outcome"] == "done"
            assert first() is not None
            await observer.let_go("shop-1")
            assert (await fraudd.ended("shop-1"))["status"] == "done"
            await fraudd.jobs("done")
            assert first() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("of_200", [0, 5, 7, 19, 100, 199])
def test_a_model_that_was_cut_off_is_refused_by_a_process_that_lives_on(
    folder: Path, of_200: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some never come to an end.
    monkeypatch.setattr(proof, "_MAX_SECONDS", 4.0)
    content = (folder / "model.ubj").read_bytes()
    (folder / "model.ubj").write_bytes(content[: len(content) * of_200 // 200])
    with pytest.raises(Misconfigured, match="model"):
        model.load(folder / "model.ubj", files.load(folder), probe=True)


async def test_in_an_outage_of_the_database_nothing_is_exchanged(
    start: Start, config: Config, folder: Path, observer: Observer
) -> None:
    async with start(config) as fraudd:
        before = await fraudd.status()
        (folder / "password").rename(folder / "hidden")
        await observer.hang_up()
        ignorant_model(folder, seed=2)
        told = await reloaded(fraudd)
        assert told["outcome"] == "refused"
        assert "database" in told["problems"][0]
        assert (await fraudd.status())["model"] == before["model"]
        (folder / "hidden").rename(folder / "password")
        assert (await reloaded(fraudd))["outcome"] == "done"
        assert (await fraudd.status())["model"] != before["model"]
