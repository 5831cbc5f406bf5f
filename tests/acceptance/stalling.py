"""The shipped command, whose event loop stands still from SIGUSR1 on."""

import signal
import sys
import time
from typing import Any

from fraudd.cli import main


def stand_still(*_: Any) -> None:
    """Hold the main thread up: all that runs on the loop waits."""
    time.sleep(600)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, stand_still)
    sys.exit(main())
