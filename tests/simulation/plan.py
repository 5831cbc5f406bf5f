"""The plan of a seed, drawn before it begins: its kinds of fault, and its sizes."""

import random
from dataclasses import dataclass, replace
from typing import Final

from fraudd.prediction.decisions import MAX_DOUBLINGS
from fraudd.prediction.record import SHARDS

#: Every kind of fault. A large sweep must meet each of them.
KINDS: Final = (
    # the way to the parts
    "slow_network",
    "partition",
    "request_lost",
    "answer_lost",
    "throttled",
    # the parts
    "store_down",
    "queue_down",
    "bulk_queue_down",
    "topics_down",
    "database_down",
    "index_lags",
    "items_expire",
    "message_twice",
    "message_late",
    "empty_read",
    "stale_counts",
    "gone_poll_takes",
    "publish_twice",
    "publish_late",
    "publish_vanishes",
    "envelopes",
    # the database
    "database_slow",
    "database_kills",
    "database_full",
    "database_busy",
    "deadlocks",
    "hangs_for_half_a_day",
    # the daemons
    "crash",
    "sigterm",
    "sigterm_twice",
    "clock_skewed",
    "clock_minutes_off",
    # the runs
    "fails_for_good",
    "fails_each_time",
    "never_ends",
    "kills_the_process",
    "every_run_fails",
    # the callers, and other services
    "burst",
    "force",
    "forget",
    "vanish",
    "foreign",
    "foreign_twice",
    "malformed",
    "redriven",
    "bulk",
)
#: Actions of clients and other services are not faults. They are as likely in a calm seed.
_TRAFFIC = frozenset({"burst", "force", "forget", "vanish", "foreign", "envelopes", "bulk"})

#: The share of seeds that simulate half a day, which takes a second or two.
_HALF_A_DAY: Final = 0.004
_CALLS: Final = ("request_lost", "answer_lost", "throttled", "slow_network")
_RUNS: Final = ("fails_for_good", "fails_each_time", "never_ends", "deadlocks", "database_kills")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The world of one seed. Times are in seconds."""

    seed: int
    kinds: frozenset[str]
    #: The probability that a call meets a fault, and that its daemon dies of the call.
    call_faults: float
    call_crashes: float
    fault_seconds: float
    entities: int
    asks: int
    foreign: int
    #: The number of batches in the bulk lane.
    batches: int
    daemons: int
    permits: int
    consumers: int
    max_receive_count: int
    max_attempts: int
    job_timeout: float
    visibility: int
    #: The time that a client waits for a response: less than a sixth of the visibility.
    read_timeout: float
    wait: int
    drain: float
    backoff_base: float
    backoff_max: float
    max_wait: float | None
    max_age: float | None
    retry_failed_after: float
    ttl: float
    sweep_interval: float
    grace: float
    requeue_after: float
    run_seconds: float

    def has(self, kind: str) -> bool:
        """Tell whether this kind of fault exists in the seed."""
        return kind in self.kinds

    @property
    def beat(self) -> float:
        """The visibility time-out of a heartbeat. No release of a message ever uses the same."""
        return self.visibility - 0.0001

    @property
    def longest_silence(self) -> float:
        """The longest time until the sweeper sends a lost wake-up again."""
        a_round = SHARDS * 1.5 * self.sweep_interval + self.grace
        return self.requeue_after * (1 << MAX_DOUBLINGS) + self.visibility + a_round + 60

    @property
    def patience(self) -> float:
        """The longest time after the last fault until every pending run must have ended.

        A wake-up may get lost at the last moment, after five others for the same run. Each
        remaining attempt may need its whole time and the breaker's longest pause. The backlog
        needs permits.
        """
        resent = 2 * self.longest_silence
        attempt = 2 * (self.job_timeout + self.visibility + self.backoff_max) + 300
        backlog = self.entities * (self.job_timeout + 10)
        return resent + (self.max_attempts + 3) * attempt + backlog


def draw(seed: int) -> Plan:
    """Draw the plan of a seed."""
    plan = _draw(seed)
    if plan.has("hangs_for_half_a_day"):
        # Longer than the longest visibility in SQS. One daemon with few calls is quick to simulate.
        return replace(
            plan, daemons=1, job_timeout=13 * 3600.0, visibility=60, wait=20, sweep_interval=20.0
        )
    return plan


def _draw(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    visibility = rng.randint(12, 60)
    backoff_max = rng.choice((rng.uniform(1.0, 3.0), rng.uniform(3.0, 15.0)))
    permits = rng.choice((1, 1, 2, 2, 2, 3, 4))
    fault_seconds = _fault_seconds(rng)
    daemons = _daemons(rng)
    kinds = _kinds(rng)
    few = len(kinds - _TRAFFIC) <= 3
    return Plan(
        seed=seed,
        kinds=kinds,
        call_faults=rng.choice((0.03, 0.1) if few else (0.003, 0.01, 0.03, 0.08)),
        call_crashes=rng.choice((0.001, 0.003, 0.01)),
        fault_seconds=fault_seconds if daemons < 10 else fault_seconds / 5,
        entities=rng.randint(2, 30),
        asks=rng.randint(10, 60),
        foreign=rng.randint(1, 20),
        batches=rng.randint(1, 6),
        daemons=daemons,
        permits=permits,
        consumers=permits + rng.choice((0, 1, 1, 1)),
        max_receive_count=rng.randint(4, 10),
        max_attempts=rng.randint(1, 5),
        job_timeout=rng.uniform(0.5, 2.0) * visibility,
        visibility=visibility,
        read_timeout=min(rng.uniform(0.5, 5.0), visibility / 6.5),
        wait=rng.choice((3, 5, 10, 20, 20)),
        drain=rng.uniform(1.0, 20.0),
        backoff_base=rng.uniform(0.2, 1.0),
        backoff_max=backoff_max,
        max_wait=rng.choice((None, None, None, rng.uniform(30, 300))),
        max_age=rng.choice((None, rng.uniform(20, 300))),
        retry_failed_after=rng.uniform(5, 60),
        ttl=rng.choice((86_400.0, 86_400.0, rng.uniform(60, 400))),
        sweep_interval=rng.choice((rng.uniform(1.5, 4), rng.uniform(4, 20))),
        grace=rng.uniform(2, 15),
        requeue_after=backoff_max + rng.choice((rng.uniform(0.5, 3), rng.uniform(5, 90))),
        run_seconds=rng.choice((0.1, 0.5, 2.0)),
    )


def _kinds(rng: random.Random) -> frozenset[str]:
    """Draw the kinds of fault: none in a tenth of the seeds, a few in four tenths, else many."""
    traffic = [kind for kind in KINDS if kind in _TRAFFIC]
    faults = [kind for kind in KINDS if kind not in _TRAFFIC | {"hangs_for_half_a_day"}]
    if rng.random() < _HALF_A_DAY:
        return frozenset({"hangs_for_half_a_day", "foreign"})
    mood = rng.random()
    if mood < 0.1:
        chosen = []
    elif mood < 0.25:
        # One kind of fault for calls and some for runs, so that there is no other cause.
        chosen = [rng.choice(_CALLS), *rng.sample(_RUNS, rng.randint(1, 2))]
    elif mood < 0.5:
        chosen = rng.sample(faults, rng.randint(1, 3))
    else:
        likely = rng.uniform(0.1, 0.6)
        chosen = [kind for kind in faults if rng.random() < likely]
    return frozenset(chosen + [kind for kind in traffic if rng.random() < 0.5])


def _fault_seconds(rng: random.Random) -> float:
    """Draw how long faults last: usually some minutes, because idle minutes find nothing.

    The sweeper reaches its longest interval only during a long outage, so a fifth is long.
    """
    share = rng.random()
    return 150 + 250 * share / 0.8 if share < 0.8 else 600 + 600 * (share - 0.8) / 0.2


def _daemons(rng: random.Random) -> int:
    """Draw the number of daemons: usually few, sometimes a fleet."""
    size = rng.random()
    if size < 0.02:
        return rng.randint(10, 50)
    if size < 0.15:
        return rng.randint(4, 8)
    return rng.choice((1, 2, 2, 3))
