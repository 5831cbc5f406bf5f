"""Training on the demo platform, and the model file that comes of it."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from fraudd.commands.train import summary, train_model
from fraudd.config import Config
from fraudd.config.schema import ModelSection
from fraudd.errors import Misconfigured, PermanentError
from fraudd.local.platform.seed import scenarios
from fraudd.local.settings import Settings
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring.training.dataset import Vectors, read_labels
from fraudd.scoring.training.train import Report, train
from tests.stack.paths import ROOT
from tests.stack.platform import training_config

FILES = files.load(ROOT / "config" / "features")


@pytest.fixture(scope="session")
def settings(platform: Settings, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration that reads the demo platform."""
    assert platform.database is not None
    return training_config(platform.database, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
async def trained(settings: Config, platform: Settings) -> Report:
    """A model trained on the demo's labels."""
    assert platform.database is not None
    seen: list[tuple[int, int]] = []
    report = await train_model(
        settings,
        platform.state / "labels.csv",
        label_delay_days=21.0,
        kinds=await scenarios(platform.database),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] == len(read_labels(platform.state / "labels.csv"))
    return report


async def test_the_report_says_what_the_model_is_worth_and_the_file_keeps_it(
    trained: Report, settings: Config
) -> None:
    assert trained.auc > 0.8
    assert trained.average_precision > 5 * trained.fraud_rate
    assert 0 < trained.review_threshold <= trained.block_threshold <= 1
    assert set(trained.recall) == {"bust_out", "card_testing", "ring", "takeover"}
    booster = xgboost.Booster()
    booster.load_model(settings.model.path)
    assert f'"auc": {trained.auc}' in str(booster.attr("training"))
    assert booster.attr("sql_digest") == FILES.digest
    told = summary(trained)
    assert "AUC" in told
    assert "bust_out" in told


async def test_a_score_comes_with_decision_and_reasons_in_words(
    trained: Report, settings: Config
) -> None:
    scorer = model.load(settings.model.path, FILES)
    assert scorer.same_sql
    nothing_known = dict.fromkeys(FILES.features, math.nan)
    scored = scorer.score(nothing_known)
    assert 0 <= scored.score <= 1
    assert len(scored.reasons) == 5
    sizes = [abs(reason["contribution"]) for reason in scored.reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert all(reason["value"] is None for reason in scored.reasons)
    assert all(reason["text"].endswith(": unknown") for reason in scored.reasons)


async def test_the_vector_is_built_by_name(trained: Report, settings: Config) -> None:
    scorer = model.load(settings.model.path, FILES)
    values = {name: float(n) for n, name in enumerate(FILES.features)}
    shuffled = dict(sorted(values.items(), reverse=True))
    assert scorer.score(values) == scorer.score(shuffled)
    del values["orders_1d"]
    with pytest.raises(PermanentError, match="orders_1d"):
        scorer.score(values)


async def test_the_contributions_add_up_to_the_score(trained: Report, settings: Config) -> None:
    booster = xgboost.Booster()
    booster.load_model(settings.model.path)
    names = booster.feature_names
    row = xgboost.DMatrix(np.zeros((1, len(names or []))), feature_names=names)
    total = float(booster.predict(row, pred_contribs=True).sum())
    scorer = model.load(settings.model.path, FILES)
    score = scorer.score(dict.fromkeys(FILES.features, 0.0)).score
    assert score == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-4)


async def test_a_score_keeps_to_one_thread(trained: Report, settings: Config) -> None:
    scorer = model.load(settings.model.path, FILES)
    nothing_known = dict.fromkeys(FILES.features, math.nan)
    scorer.score(nothing_known)
    process, thread = time.process_time(), time.thread_time()
    for _ in range(200):
        scorer.score(nothing_known)
    process, thread = time.process_time() - process, time.thread_time() - thread
    # Another thread that helped would take about as long.
    assert process < 1.3 * thread


@pytest.mark.parametrize(
    ("review", "block", "decision"),
    [(0.0, 0.0, "block"), (0.0, 1.0, "review"), (1.0, 1.0, "approve")],
)
async def test_configured_thresholds_take_precedence(
    trained: Report, settings: Config, review: float, block: float, decision: str
) -> None:
    scorer = model.load(settings.model.path, FILES, review_threshold=review, block_threshold=block)
    assert scorer.score(dict.fromkeys(FILES.features, 0.0)).decision == decision


async def test_a_model_of_other_features_is_refused_with_the_difference(
    trained: Report, settings: Config, tmp_path: Path
) -> None:
    for file in FILES.files:
        text = (ROOT / "config" / "features" / file.name).read_text()
        (tmp_path / file.name).write_text(text.replace("orders_1d", "orders_2d"))
    with pytest.raises(
        Misconfigured, match=r"SQL lacks orders_1d; the model does not know orders_2d"
    ):
        model.load(settings.model.path, files.load(tmp_path))


async def test_sql_that_changed_since_the_training_is_noticed(
    trained: Report, settings: Config, tmp_path: Path
) -> None:
    for file in FILES.files:
        text = (ROOT / "config" / "features" / file.name).read_text()
        (tmp_path / file.name).write_text(text.replace("INTERVAL 1 DAY", "INTERVAL 2 DAY"))
    assert not model.load(settings.model.path, files.load(tmp_path)).same_sql


async def test_a_model_that_is_missing_or_none_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Misconfigured, match=r"cannot read the model .*: No such file.*fraudd train"
    ):
        model.load(tmp_path / "model.ubj", FILES)
    (tmp_path / "model.ubj").write_bytes(b"nonsense")
    with pytest.raises(Misconfigured, match="not an xgboost model"):
        model.load(tmp_path / "model.ubj", FILES)


async def test_a_label_of_nobody_is_told_and_no_model_is_written(
    settings: Config, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("entity_id,as_of,label\nshop-999999,2026-11-24T00:00:00Z,1\n")
    elsewhere = settings.model_copy(update={"model": ModelSection(path=tmp_path / "model.ubj")})
    with pytest.raises(Misconfigured, match=r"label of shop-999999 at .*entity unknown"):
        await train_model(
            elsewhere, labels, label_delay_days=21.0, kinds={}, progress=lambda *_: None
        )
    assert list(tmp_path.iterdir()) == [labels]


def vectors(as_of_days: list[int], **changes: Any) -> Vectors:
    """A training set in which the label is the first feature."""
    n = len(as_of_days)
    labels = np.arange(n) % 3 == 0
    matrix = np.column_stack([labels, np.arange(n)]).astype(float)
    return Vectors(
        names=["a", "b"],
        matrix=matrix,
        labels=labels,
        as_of=np.array(as_of_days, dtype=np.int64) * 24 * 3600 * 1000,
        entity_ids=[f"e{i}" for i in range(n)],
    )


def test_no_label_that_was_known_only_later_is_used_in_training() -> None:
    days = [10] * 30 + [20] * 30 + [30] * 30 + [40] * 30
    _, report = train(vectors(days), label_delay_days=11, kinds={})
    assert (report.train_rows, report.test_rows) == (60, 30)
    _, report = train(vectors(days), label_delay_days=10, kinds={})
    assert (report.train_rows, report.test_rows) == (90, 30)


def test_labels_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(Misconfigured, match="labels must span more than 21 days"):
        train(vectors([1] * 30 + [2] * 30), label_delay_days=21, kinds={})


@pytest.mark.parametrize(
    "row",
    ["shop-1,yesterday,1", "shop-1,2026-11-24T00:00:00,1", "shop-1,2026-11-24T00:00:00Z,2", "x"],
)
def test_a_wrong_label_is_told_with_its_line(tmp_path: Path, row: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"entity_id,as_of,label\nshop-1,2026-11-24T00:00:00Z,1\n{row}\n")
    with pytest.raises(Misconfigured, match=r"labels\.csv:3: "):
        read_labels(path)
