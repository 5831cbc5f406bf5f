"""Injects deliberate bugs one at a time, and shows the promise that catches each.

A check that cannot fail proves nothing. Each mutant wraps or replaces one part of the shipped
code. It is caught by the first seed that breaks with it and passes without. ``make mutants``
runs this.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation import bugs_of_lanes, bugs_of_records, bugs_of_running
from tests.simulation.bugs import BUGS
from tests.simulation.seed import run_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """The promise and the seed that caught a bug, if any did."""

    name: str
    promise: str | None
    seed: int | None
    seeds: int


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run a block with one bug."""
    with ExitStack() as stack:
        BUGS[name](stack)
        yield


def hunt(name: str, max_seeds: int) -> Caught:
    """Look for the first seed that a bug breaks."""
    for seed in range(max_seeds):
        with mutated(name):
            failure = run_seed(seed).failure
        if failure is not None and run_seed(seed).failure is None:
            return Caught(name=name, promise=failure.promise, seed=seed, seeds=seed + 1)
    return Caught(name=name, promise=None, seed=None, seeds=max_seeds)


def hunt_all(names: Sequence[str], max_seeds: int) -> Iterator[Caught]:
    """Hunt for many bugs on all cores."""
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=4) as pool:
        waiting: list[Any] = [pool.apply_async(hunt, (name, max_seeds)) for name in names]
        for result in waiting:
            yield result.get()


def main() -> int:
    """Print the table of bugs. Return 1 if one was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument(
        "--seeds", type=int, default=1500, help="maximum number of seeds for each bug"
    )
    parser.add_argument("--only", help="try only bugs whose name contains this text")
    arguments = parser.parse_args()
    names = [name for name in BUGS if not arguments.only or arguments.only in name]
    missed = 0
    print(f"{'bug':54} {'caught by the promise that':62} seeds")
    for caught in hunt_all(names, arguments.seeds):
        missed += caught.promise is None
        print(f"{caught.name:54} {caught.promise or 'NOT CAUGHT':62} {caught.seeds:5}", flush=True)
    print(f"{len(names)} bugs, {missed} not caught")
    return 1 if missed else 0


#: Importing these modules registers their bugs.
BUG_MODULES = (bugs_of_records, bugs_of_running, bugs_of_lanes)

if __name__ == "__main__":
    sys.exit(main())
