"""Shows on the terminal how far the set-up is."""

import sys
from collections.abc import Callable

from fraudd.ports import Clock


class Progress:
    """Prints a line a step, with the seconds since the beginning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()

    def say(self, text: str) -> None:
        """Print a step."""
        print(f"{self._clock.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def counter(self, text: str) -> Callable[[int, int], None]:
        """Give what to tell how many of how many are done; shows every tenth of it."""
        shown = 0

        def count(done: int, total: int) -> None:
            nonlocal shown
            if sys.stdout.isatty():
                end = "\n" if done == total else ""
                seconds = self._clock.monotonic() - self._began
                print(f"\r{seconds:6.1f} s  {text}: {done:,}/{total:,}", end=end, flush=True)
            elif done * 10 // total > shown:
                shown = done * 10 // total
                self.say(f"{text}: {done:,}/{total:,}")

        return count
