"""One seed from its plan to its end: faults anywhere, then none, and everything must end."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from fraudd.engine.settlement import Outcome
from tests.simulation.chaos import Chaos
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.plan import Plan, draw
from tests.simulation.process import HOME
from tests.simulation.promises import ENDS
from tests.simulation.trace import Trace
from tests.simulation.traffic import Traffic
from tests.simulation.world import Failure, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a seed."""

    plan: Plan
    failure: Failure | None
    trace: Trace
    runs: int
    receives: int
    simulated_seconds: float
    struck: Counter[str]
    outcomes: Counter[str]


def run_seed(seed: int, *, logs: bool = False, plan: Plan | None = None) -> Result:
    """Run one seed; ``logs`` adds fraudd's own log to the trace."""
    plan = plan or draw(seed)
    loop = VirtualLoop()
    world = World(plan, loop)
    undo = _listen(world, logs=logs)
    try:
        with _no_garbage_collection():
            loop.run_until_complete(_play(world))
    except Deadlock:
        world.fail("liveness", ENDS, None, "nothing is ready, and nothing is scheduled")
    finally:
        world.close()
        undo()
    return Result(
        plan=plan,
        failure=world.failure,
        trace=world.trace,
        runs=len(world.lives.runs),
        receives=len(world.receives),
        simulated_seconds=loop.time(),
        struck=world.faults.struck,
        outcomes=_outcomes(world),
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect garbage after a seed instead of within it: that is a third of the seed's time."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


async def _play(world: World) -> None:
    """The safety phase, then the liveness phase."""
    traffic, chaos = Traffic(world), Chaos(world)
    world.database.draw_poisons(traffic.entities)
    world.start_all()
    loop = asyncio.get_running_loop()
    callers = [loop.create_task(caller) for caller in traffic.all()]
    troubles = [loop.create_task(trouble) for trouble in chaos.troubles()]
    await _within(world, world.plan.fault_seconds)
    for task in troubles:
        task.cancel()
    world.note("world", None, "faults end")
    world.faults.calm()
    world.database.calm()
    if world.failure is None:
        await asyncio.wait(callers, timeout=1000)
        world.closing = True
        world.look_whether_over()
        await _watched(world)
        if not world.over.is_set():
            owed = world.pending()
            world.fail(
                "liveness",
                ENDS,
                owed[0] if owed else None,
                f"{len(owed)} runs and {len(world.messages)} messages are left: {owed}",
            )
    if world.failure is None:
        await _rest(world)
        world.end_checks.at_the_end()


async def _watched(world: World) -> None:
    """Wait for the end of all that is pending; meanwhile no wake-up may be missing for long."""
    silent_since: dict[str, float] = {}
    end = world.loop.time() + world.plan.patience
    while world.loop.time() < end and not world.over.is_set():
        await _within(world, 30)
        silent = world.silent()
        now = world.loop.time()
        silent_since = {run_id: silent_since.get(run_id, now) for run_id in silent}
        for run_id, since in silent_since.items():
            if now - since > world.plan.longest_silence:
                world.fail("liveness", ENDS, silent[run_id], f"nobody wakes {run_id} again")


async def _rest(world: World) -> None:
    """Let daemons finish what they have in hand, though nothing hangs on it any more."""
    for _ in range(30):
        await asyncio.sleep(world.plan.visibility / 10)
        if not any(process.engine.consumers.jobs for process in world.alive()):
            return


async def _within(world: World, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await world.over.wait()
    except TimeoutError:
        return


def _outcomes(world: World) -> Counter[str]:
    found: Counter[str] = Counter()
    for metric in world.metrics.messages.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                found[sample.labels["outcome"]] += int(sample.value)
    return found


def _listen(world: World, *, logs: bool) -> Callable[[], None]:
    """Hear of fraudd's errors, or add its whole log to the trace; gives the way to stop."""
    logger = logging.getLogger("fraudd")
    handler = _ToTrace(world)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if logs else logging.ERROR)
    logger.propagate = False

    def undo() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]

    return undo


class _ToTrace(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = HOME.get()
        fields = dict(getattr(record, "fields", {}))
        entity_id = fields.pop("entity_id", None)
        who = process.name if process is not None else "world"
        self._world.note(who, entity_id, f"log: {record.getMessage()}", **fields)
        if record.getMessage() == "message.bug" and record.exc_info:
            told = logging.Formatter().formatException(record.exc_info)
            self._world.fail("crash", "a message ends with a known outcome", entity_id, told)


#: Every outcome of a job that there is, bugs aside: one of these fails its seed.
OUTCOMES: tuple[str, ...] = tuple(one for one in get_args(Outcome) if one != "bug")
