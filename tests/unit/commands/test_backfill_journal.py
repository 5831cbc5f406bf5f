"""The journal of a backfill: what a kill leaves is gone on with."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraudd.commands.backfill.journal import Journal, JournalError, Row

IDS = ["shop-1", "shop-2", "shop-3"]
DONE = Row("shop-1", "done", 0.5, "review", "m", "2026-11-24T08:00:00.000Z")
FAILED = Row("shop-2", "failed", error="entity_unknown: é")


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, IDS) as journal:
        assert (journal.requested, journal.ended) == (0, set())
        journal.append(ended=[DONE])
        journal.append(requested=2, ended=[FAILED])
    with Journal(path, IDS) as journal:
        assert (journal.requested, journal.ended) == (2, {"shop-1", "shop-2"})
        assert list(journal.rows()) == [DONE, FAILED]
        journal.append(requested=3)
        assert list(journal.rows()) == [DONE, FAILED]
    with Journal(path, IDS) as journal:
        assert journal.requested == 3


@pytest.mark.parametrize("kept", [1, 2, 8])
def test_a_torn_last_line_counts_as_not_written(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal"
    with Journal(path, IDS) as journal:
        journal.append(requested=1)
        whole = path.read_bytes()
        journal.append(requested=2)
        torn = path.read_bytes()[: len(whole) + kept]
    path.write_bytes(torn)
    with Journal(path, IDS) as journal:
        assert journal.requested == 1
        journal.append(requested=3)
    with Journal(path, IDS) as journal:
        assert journal.requested == 3


def test_a_torn_first_line_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"journal": "fra')
    with Journal(path, IDS) as journal:
        assert journal.requested == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("shop-1\n", "damaged"),
        ("[]\n", "damaged"),
        ("{}\n", "is not a journal"),
        ('{"journal": "fraudd backfill 1"}\n', "damaged"),
    ],
)
def test_a_file_that_is_no_journal_is_left_as_it_is(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "journal"
    path.write_text(content)
    with pytest.raises(JournalError, match=says):
        Journal(path, IDS)
    assert path.read_text() == content


def test_the_journal_of_other_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, IDS):
        pass
    with pytest.raises(JournalError, match=r"journal of other IDs\. Remove it"):
        Journal(path, IDS[:2])


def test_two_backfills_do_not_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, IDS), pytest.raises(JournalError, match="another backfill is using"):
        Journal(path, IDS)
    with Journal(path, IDS):
        pass


@pytest.mark.parametrize("content", [b"shop-1\nshop-2", b"shop-1", b"\x00\x01\x02"])
def test_of_a_file_that_is_no_journal_no_last_line_is_cut(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ids"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is not a journal of a backfill"):
        Journal(path, IDS)
    assert path.read_bytes() == content


def test_a_disk_that_takes_a_part_of_a_line_is_told_of_and_the_part_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, IDS) as journal:
        journal.append(requested=1)
        with at_most(path.stat().st_size + 5), pytest.raises(OSError, match="too large"):
            journal.append(ended=[DONE])
        # Somebody else may have been about to write, too.
        journal.append(ended=[FAILED])
    with Journal(path, IDS) as journal:
        assert (journal.requested, list(journal.rows())) == (1, [FAILED])


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file grow over so many bytes, as on a full disk: what fits is taken."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
