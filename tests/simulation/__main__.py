"""Runs many seeds on all cores: ``python -m tests.simulation --seeds 20000``, or ``--seed 7``."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.plan import KINDS
from tests.simulation.seed import OUTCOMES, Result, run_seed
from tests.simulation.world import Failure

#: A sweep of at least this number of seeds must meet every fault and outcome.
ALL_SEEN_FROM_SEEDS = 800
#: The number of broken seeds that are shown in full.
_SHOWN = 3


@dataclass(slots=True)
class Total:
    """The result of a sweep."""

    seeds: int = 0
    runs: int = 0
    receives: int = 0
    simulated_seconds: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[int, Failure] = field(default_factory=dict)

    def add(self, part: "Total") -> None:
        """Add the result of other seeds."""
        self.seeds += part.seeds
        self.runs += part.runs
        self.receives += part.receives
        self.simulated_seconds += part.simulated_seconds
        self.struck += part.struck
        self.outcomes += part.outcomes
        self.failures |= part.failures

    def never(self) -> list[str]:
        """Return the kinds of fault and the outcomes that no seed met."""
        return [f"fault {kind}" for kind in KINDS if not self.struck[kind]] + [
            f"outcome {outcome}" for outcome in OUTCOMES if not self.outcomes[outcome]
        ]


def sweep(seeds: Iterable[int], *, processes: int | None = None) -> Total:
    """Run seeds on all cores."""
    total = Total()
    # Each seed builds its own world. Forked workers share only imported modules.
    with multiprocessing.get_context("fork").Pool(processes or os.cpu_count()) as pool:
        for part in pool.imap_unordered(one, seeds, chunksize=8):
            total.add(part)
    return total


def one(seed: int) -> Total:
    """Run one seed, and return its counts."""
    result = run_seed(seed)
    return Total(
        seeds=1,
        runs=result.runs,
        receives=result.receives,
        simulated_seconds=result.simulated_seconds,
        struck=result.struck,
        outcomes=result.outcomes,
        failures={} if result.failure is None else {seed: result.failure},
    )


def story(result: Result) -> str:
    """Describe a seed: the broken promise, and the events of its entity."""
    failure = result.failure
    if failure is None:
        return f"seed {result.plan.seed}: all promises kept"
    return "\n".join(
        (
            f"seed {result.plan.seed}: {failure.kind}: {failure.promise}",
            f"  {failure.detail}",
            f"  faults: {', '.join(sorted(result.plan.kinds))}",
            "",
            *map(str, result.trace.life_of(failure.entity_id)),
        )
    )


def report(total: Total, seconds: float) -> str:
    """Describe the result of a sweep."""
    days = total.simulated_seconds / 86_400
    lines = [
        f"{total.seeds} seeds, {total.runs} runs, {total.receives} receives,"
        f" {days:.1f} simulated days in {seconds:.0f} s: {total.seeds / seconds:.1f} seeds/s",
        "faults:   " + ", ".join(f"{k} {n}" for k, n in sorted(total.struck.items())),
        "outcomes: " + ", ".join(f"{k} {n}" for k, n in sorted(total.outcomes.items())),
    ]
    by_promise = Counter(f"{one.kind}: {one.promise}" for one in total.failures.values())
    lines += [f"BROKEN    {count} x {promise}" for promise, count in by_promise.most_common()]
    if total.failures:
        lines.append(f"          seeds {sorted(total.failures)[:20]}")
    return "\n".join(lines)


def main() -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="run this seed alone, and print its events")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        result = run_seed(arguments.seed, logs=True)
        print(story(result))
        return 1 if result.failure else 0
    began = time.monotonic()
    total = sweep(range(arguments.first, arguments.first + arguments.seeds))
    for seed in sorted(total.failures)[:_SHOWN]:
        print(story(run_seed(seed, logs=True)), end="\n\n")
    print(report(total, time.monotonic() - began))
    never = total.never() if total.seeds >= ALL_SEEN_FROM_SEEDS else []
    if never:
        print(f"never met: {', '.join(never)}")
    return 1 if total.failures or never else 0


if __name__ == "__main__":
    sys.exit(main())
