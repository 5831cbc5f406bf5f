"""``fraudd check`` is silent on an installation that works, and finds each thing that is wrong."""

from collections import Counter
from collections.abc import Sequence

import pytest

from fraudd.aws.session import Clients
from fraudd.local.settings import DatabaseServer, Settings
from fraudd.scoring import model
from tests.acceptance import plants_aws, plants_database, plants_here
from tests.acceptance.installation import Installation, Report, checked, installed
from tests.acceptance.plants import Plant, grouped
from tests.stack.paths import ROOT

PLANTS = [*plants_here.PLANTS, *plants_aws.PLANTS, *plants_database.PLANTS]


@pytest.fixture(scope="module")
async def good(
    tmp_path_factory: pytest.TempPathFactory,
    aws_clients: Clients,
    aws_endpoint: str,
    database: DatabaseServer,
    platform: Settings,
) -> Report:
    """What is said of an installation that works."""
    folder = tmp_path_factory.mktemp("good")
    async with installed(folder, aws_clients, aws_endpoint, database) as one:
        return await checked(one)


def test_of_what_works_nothing_is_said_but_ok(good: Report) -> None:
    assert good.marked("warning", "failed") == []
    assert good.status == 0
    assert good.summary == f"{len(good.lines)} ok, 0 warning, 0 failed"
    assert list(dict.fromkeys(line.part for line in good.lines)) == [
        "configuration",
        "tokens",
        "model",
        "region",
        "AWS credentials",
        "table",
        "queue",
        "bulk queue",
        "dead-letter queue",
        "topic of requests",
        "queue policy",
        "subscription",
        "topic of completions",
        "clock",
        "password",
        "database",
        "server",
        "time zone",
        "account",
        "deadlines",
        "features",
        "plans",
        "score",
    ]


def test_the_reference_names_every_part(good: Report) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    section = reference.partition("### `fraudd check`")[2].partition("\n### ")[0]
    named = {
        part
        for row in section.splitlines()
        if row.startswith("| `")
        for part in row.split("|")[1].strip(" `").split("`, `")
    }
    told = {line.part for line in good.lines} | {plant.part for plant in PLANTS}
    assert told <= named, told - named


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
async def test_what_is_planted_is_told_in_one_line_and_nothing_else_changes(
    plant: Plant, good: Report, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await found([plant], good, installation, monkeypatch)


@pytest.mark.parametrize(
    "group", grouped(PLANTS), ids=lambda group: f"{group[0].name}, and {len(group) - 1} more"
)
async def test_several_that_hide_nothing_from_each_other_are_all_told(
    group: Sequence[Plant],
    good: Report,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await found(group, good, installation, monkeypatch)


async def found(
    plants: Sequence[Plant],
    good: Report,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plant misconfigurations, and see one line about each of them and no other change."""
    if not any(plant.proves for plant in plants):
        monkeypatch.setattr(model, "crash_of", lambda _: None)
    try:
        for plant in plants:
            await plant.act(installation)
        report = await checked(installation)
    finally:
        for plant in plants:
            installation.sql(*plant.undo)
    lines = {line.part: line for line in report.lines if line.level != "ok"}
    printed = [line for line in report.lines if line.level != "ok"]
    assert sorted(lines) == sorted(plant.part for plant in plants), printed
    assert len(printed) == len(plants), printed
    for plant in plants:
        line = lines[plant.part]
        text = installation.plain(line.detail)
        assert (line.level, text[: len(plant.says)]) == (plant.level, plant.says)
        assert plant.has in text
        assert plant.remedy in (installation.plain(line.fix) or text)
    assert report.status == any(plant.level == "failed" for plant in plants)
    changed = Counter(line.part for line in good.lines)
    changed.subtract(line.part for line in report.lines if line not in printed)
    expected = {part for plant in plants for part in (plant.part, *plant.hides)}
    assert {part for part, times in changed.items() if times} <= expected, "nothing else changes"
