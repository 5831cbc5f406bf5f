"""Does a heavy entity hold up the callers of all others? `make bench-stall` (about two minutes).

Starts a stack and a daemon of its own. A process of its own looks results up at a fixed rate;
meanwhile a shop with hundreds of thousands of orders is scored again and again, or nothing is,
in turns. Prints how late the daemon's event loop came at worst, what the look-ups took with and
without a job, and by how much memory rose; ends with status 1 where a budget is broken.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from fraudd.local import stack
from fraudd.local.settings import Settings
from tests.bench import heavy, stage
from tests.bench.lookups import LookUp
from tests.stack.paths import ROOT

#: Look-ups a second.
RATE = 50
#: Demo shops that are looked up.
SHOPS = 20
#: Seconds of a turn, with the job and without, and how many turns of each. Turns, because on a
#: machine that does other things too, two long phases would compare two different machines.
TURN_SECONDS, TURNS = 10.0, 4

#: A third of a share of the cores; at 19 a machine that is busy lets it run into its deadlines.
_DATABASE_NICENESS = 5

LARGEST_LATENESS_MS = 15.0
LARGEST_P99_RATIO = 2.0
LARGEST_RISE_MB = 30.0

Turn = tuple[float, float]


@dataclass(kw_only=True)
class Seen:
    """What was measured: turns by the monotonic clock, look-ups by when they were due."""

    idle_mb: float
    quiet: list[Turn] = field(default_factory=list)
    busy: list[Turn] = field(default_factory=list)
    lookups: list[LookUp] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    lateness_ms: float = 0.0
    peak_mb: float = 0.0
    #: Of the time in which the daemon could have run, what it had no core in.
    starved: float = 0.0

    def of(self, turns: Sequence[Turn]) -> list[LookUp]:
        """The look-ups that were due in one of the turns."""
        return [one for one in self.lookups if any(a <= one[0] < b for a, b in turns)]


def main() -> None:
    """Measure, print a table, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=400_000, help="of the heavy shop")
    parser.add_argument("--turns", type=int, default=TURNS, help="with the job, and without")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fraudd-stall-") as folder:
        settings = stage.settings(Path(folder), scale=0.05, seed=1)
        with stack.up(settings) as config:
            asyncio.run(heavy.add(settings, arguments.orders))
            _step_back(settings)
            with stage.daemon(settings, config) as daemon:
                seen = asyncio.run(_measure(settings, daemon.pid, arguments.turns))
    sys.exit(_judge(seen, arguments.orders))


async def _measure(settings: Settings, pid: int, turns: int) -> Seen:
    base = f"http://127.0.0.1:{settings.http_port}"
    async with aiohttp.ClientSession(base) as http:
        await asyncio.sleep(2.0)  # at rest
        seen = Seen(idle_mb=_memory_mb(pid, "VmRSS"))
        shops = (settings.state / "labels-now.csv").read_text().split()[1 : SHOPS + 1]
        names = [line.partition(",")[0] for line in shops]
        for name in names:
            await _scored(http, name)
        async with _looking_up(base, names, seen):
            await _warm_up(http)
            _forget_peak(pid)
            before = _core_seconds(pid)
            for _ in range(turns):
                await _quiet_turn(seen)
                await _busy_turn(http, seen)
            ran, waited = (a - b for a, b in zip(_core_seconds(pid), before, strict=True))
            seen.starved = waited / (ran + waited)
        seen.peak_mb = _memory_mb(pid, "VmHWM")
    return seen


async def _warm_up(http: aiohttp.ClientSession) -> None:
    """Let the database read its pages, and both processes do what they do once."""
    await _scored(http, heavy.SHOP)
    await asyncio.sleep(2.0)


async def _quiet_turn(seen: Seen) -> None:
    began = time.monotonic()
    await asyncio.sleep(TURN_SECONDS)
    seen.quiet.append((began, time.monotonic()))


async def _busy_turn(http: aiohttp.ClientSession, seen: Seen) -> None:
    """Score the heavy shop again and again, and whole runs only."""
    began = time.monotonic()
    while time.monotonic() < began + TURN_SECONDS:
        body = await _scored(http, heavy.SHOP)
        seen.runs.append(body["result"]["timing_ms"])
    seen.busy.append((began, time.monotonic()))
    lag = (await stage.counters(http))["fraudd_event_loop_lag_seconds"]
    seen.lateness_ms = max(seen.lateness_ms, lag * 1000)


async def _scored(http: aiohttp.ClientSession, name: str) -> Any:
    """Have it scored anew; gives the body."""
    async with http.post("/v1/predictions", json={"entity_id": name, "force": True}) as answer:
        body = await answer.json()
    while body["status"] in ("started", "calculating"):
        await asyncio.sleep(0.1)
        async with http.get(f"/v1/predictions/{name}") as answer:
            body = await answer.json()
    assert body["status"] == "done", f"{name}: {body}"
    return body


@asynccontextmanager
async def _looking_up(base: str, names: Sequence[str], seen: Seen) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.lookups",
        base,
        str(RATE),
        *names,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield
    finally:
        written, _ = await process.communicate(b"")
    seen.lookups += json.loads(written)


def _judge(seen: Seen, orders: int) -> int:
    """Print the tables; give the exit status."""
    print(f"{len(seen.runs)} runs of a shop with {orders:,} orders, {RATE} look-ups a second")
    _print_timing(seen.runs)
    quiet, busy = seen.of(seen.quiet), seen.of(seen.busy)
    without, with_job = _print_lookups("no job", quiet), _print_lookups("with a job", busy)
    print(f"memory: {seen.idle_mb:.1f} MB idle, {seen.peak_mb:.1f} MB at the peak")
    # Who shares two cores with others is late for reasons that are not its own.
    late = max(late for _, _, late in busy)
    print(f"the machine: the daemon had no core for {seen.starved:.0%} of the time it wanted one,")
    print(f"  and the process that looks up, which does little else, came {late:.1f} ms late\n")
    print(f"{'':34} measured   budget")
    kept = True
    for what, value, budget in (
        ("largest lateness of the loop, ms", seen.lateness_ms, LARGEST_LATENESS_MS),
        ("p99 with a job over p99 without", with_job / without, LARGEST_P99_RATIO),
        ("rise of memory over idle, MB", seen.peak_mb - seen.idle_mb, LARGEST_RISE_MB),
    ):
        verdict = "" if value <= budget else "   broken"
        print(f"{what:34} {value:8.2f} {budget:8.0f}{verdict}")
        kept &= value <= budget
    return 0 if kept else 1


def _print_timing(runs: Sequence[dict[str, Any]]) -> None:
    """Where a run's time goes: the median of each part, and of the feature files over 1 %."""
    for part in runs[0]:
        if part == "files":
            for name in runs[0][part]:
                milliseconds = median(run[part][name] for run in runs)
                if milliseconds > median(run["total"] for run in runs) / 100:
                    print(f"    {name:18} {milliseconds:8.0f} ms")
        else:
            print(f"  {part:20} {median(run[part] for run in runs):8.0f} ms")


def _print_lookups(name: str, lookups: Sequence[LookUp]) -> float:
    """Print what the look-ups took; gives the p99."""
    milliseconds = [ms for _, ms, _ in lookups]
    hundredths = quantiles(milliseconds, n=100)
    print(
        f"{len(lookups):6} look-ups {name:10}: p50 {hundredths[49]:.1f} ms,"
        f" p99 {hundredths[98]:.1f} ms, at most {max(milliseconds):.1f} ms"
    )
    return hundredths[98]


def _step_back(settings: Settings) -> None:
    """Let the database have what the others leave, for elsewhere it has a machine of its own."""
    server = int((settings.state / "mariadb" / "mysql.pid").read_text())
    for thread in Path(f"/proc/{server}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), _DATABASE_NICENESS)
    # sched(7), "The autogroup feature": sessions share the machine evenly, whatever their niceness.
    autogroup = Path(f"/proc/{server}/autogroup")
    if autogroup.exists():
        autogroup.write_text(str(_DATABASE_NICENESS))


def _memory_mb(pid: int, name: str) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if name in line]
    return int(line.split()[1]) / 1000


def _core_seconds(pid: int) -> tuple[float, float]:
    """How long the main thread ran, and how long it waited for a core (sched-stats.rst)."""
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def _forget_peak(pid: int) -> None:
    """From now on VmHWM is the peak since now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
