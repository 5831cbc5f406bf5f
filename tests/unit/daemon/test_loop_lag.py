"""How late the event loop comes, and for how long that is remembered."""

import asyncio

from fraudd.daemon.loop_lag import LargestOfMinute, LoopLag
from tests.simulation.clocks import SimulatedClock
from tests.simulation.loop import VirtualLoop, run_virtually


def test_the_largest_of_a_minute_is_remembered_for_a_minute() -> None:
    largest = LargestOfMinute()
    assert largest.at(1000.0) == 0.0
    largest.add(0.004, 1000.1)
    largest.add(0.030, 1000.2)
    largest.add(0.002, 1000.3)
    largest.add(0.010, 1030.0)
    assert largest.at(1030.0) == 0.030
    assert largest.at(1059.9) == 0.030
    assert largest.at(1061.0) == 0.010
    assert largest.at(1100.0) == 0.0


def test_a_minute_of_ticks_costs_a_number_a_second() -> None:
    largest = LargestOfMinute()
    for tick in range(200_000):
        largest.add(tick % 1000 / 1e6, tick * 0.002)
    assert largest.at(400.0) == 999 / 1e6
    assert len(largest._seconds) == 60


class CountingClock(SimulatedClock):
    """A clock that knows how often it was looked at."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


async def _held_up(*, busy: bool) -> tuple[float, int]:
    """Look for a second, be held up for 50 ms; gives the lateness, and the wake-ups before."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    clock = CountingClock(loop, 0)
    lag = LoopLag(busy=lambda: busy, clock=clock)
    looking = loop.create_task(lag.run())
    await asyncio.sleep(1.0005)
    wakeups = clock.looks // 2
    loop._now += 0.05
    await asyncio.sleep(1.0)
    looking.cancel()
    return lag.seconds, wakeups


def test_with_a_job_in_hand_the_loop_is_seen_to_be_late() -> None:
    seconds, wakeups = run_virtually(_held_up(busy=True))
    assert 0.048 <= seconds <= 0.05
    assert wakeups == 500


def test_at_rest_the_loop_is_seldom_woken() -> None:
    seconds, wakeups = run_virtually(_held_up(busy=False))
    assert seconds == 0
    assert wakeups == 4
