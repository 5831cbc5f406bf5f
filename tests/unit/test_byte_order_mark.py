"""Files that a spreadsheet or an editor begins with a byte order mark read like others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudd import config
from fraudd.commands.backfill.command import read_ids
from fraudd.config.secrets import credential
from fraudd.errors import Misconfigured
from fraudd.scoring import feature_files
from fraudd.scoring.training.dataset import read_labels
from tests.unit.config.test_config import MINIMAL
from tests.unit.scoring.test_feature_files import SHOP

READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "config.toml": (MINIMAL, config.load),
    "password": ("secret", lambda path: credential(str(path))),
    "shop.sql": (SHOP, lambda path: feature_files.load(path.parent).digest),
    "labels.csv": ("entity_id,as_of,label\nshop-1,2026-01-01T00:00:00Z,1\n", read_labels),
    "ids.txt": ("shop-1\nshop-2\n", lambda path: read_ids(path.read_text("utf-8"))),
}


@pytest.mark.parametrize("name", READERS)
def test_a_mark_changes_nothing(tmp_path: Path, name: str) -> None:
    text, read = READERS[name]
    path = tmp_path / name
    path.write_text(text, "utf-8")
    without = read(path)
    path.write_text(text, "utf-8-sig")
    assert read(path) == without


def test_labels_of_another_encoding_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("entity_id,as_of,label\nショップ,2026-01-01,1\n".encode("shift_jis"))
    with pytest.raises(Misconfigured, match=r"labels\.csv are not UTF-8"):
        read_labels(path)
