"""The age of the oldest pending run, put together from the pages that the sweeper reads."""

from fraudd.engine.sweeper import OldestPending
from tests.stack.times import NOW


def test_nothing_seen_is_no_age() -> None:
    assert OldestPending().seconds("interactive", NOW) == 0


def test_the_oldest_of_all_partitions_counts_and_grows_older() -> None:
    oldest = OldestPending()
    oldest.page_read(0, [("interactive", NOW - 70_000), ("interactive", NOW - 65_000)], more=False)
    oldest.page_read(1, [("interactive", NOW - 90_000)], more=False)
    assert oldest.seconds("interactive", NOW) == 90
    assert oldest.seconds("interactive", NOW + 5_000) == 95


def test_a_lane_does_not_hide_another() -> None:
    oldest = OldestPending()
    oldest.page_read(0, [("bulk", NOW - 900_000), ("interactive", NOW - 61_000)], more=False)
    assert (oldest.seconds("bulk", NOW), oldest.seconds("interactive", NOW)) == (900, 61)


def test_what_has_ended_is_forgotten_when_its_partition_was_gone_through() -> None:
    oldest = OldestPending()
    oldest.page_read(0, [("interactive", NOW - 300_000)], more=False)
    oldest.page_read(0, [("interactive", NOW - 100_000)], more=True)
    assert oldest.seconds("interactive", NOW) == 300, "a later page may still have it"
    oldest.page_read(0, [], more=False)
    assert oldest.seconds("interactive", NOW) == 100
    oldest.page_read(0, [], more=False)
    assert oldest.seconds("interactive", NOW) == 0


def test_an_older_run_on_a_first_page_counts_at_once() -> None:
    oldest = OldestPending()
    oldest.page_read(0, [], more=False)
    oldest.page_read(0, [("interactive", NOW - 61_000)], more=True)
    assert oldest.seconds("interactive", NOW) == 61
