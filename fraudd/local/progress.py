"""Shows the progress of the set-up on the terminal."""

import sys
from collections.abc import Callable

from fraudd.ports import Clock


class Progress:
    """Prints a line for each step, with the seconds since the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        print(f"{self._clock.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def counter(self, text: str) -> Callable[[int, int], None]:
        """Return a function that shows a count and its total. In a log it shows each tenth."""
        printed_tenths = 0

        def count(done: int, total: int) -> None:
            nonlocal printed_tenths
            if sys.stdout.isatty():
                end = "\n" if done == total else ""
                seconds = self._clock.monotonic() - self._began
                print(f"\r{seconds:6.1f} s  {text}: {done:,}/{total:,}", end=end, flush=True)
            elif done * 10 // total > printed_tenths:
                printed_tenths = done * 10 // total
                self.say(f"{text}: {done:,}/{total:,}")

        return count
