"""Bugs in how the bulk lane is polled, sent to, settled and left."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

from fraudd.engine.breaker import Wait, WaitForChange
from fraudd.engine.claims import Claims
from fraudd.engine.consumers import Consumers
from fraudd.engine.engine import Engine
from fraudd.engine.intake import Intake
from fraudd.engine.lease import Lease
from fraudd.engine.poll_plan import Lanes, Poll
from fraudd.engine.publisher import Publisher
from fraudd.engine.settlement import Settlement
from fraudd.engine.sweeper import Sweeper
from fraudd.ports import Applied, Ports
from fraudd.prediction.decisions import Drop, OnMessage, Promote
from fraudd.prediction.record import Lane, Record
from fraudd.prediction.transitions import promoted
from tests.simulation.bugs import bug, put, put_at


@bug
def cancel_the_bulk_poll_on_drain(stack: ExitStack) -> None:
    real = Consumers.stop

    def stop(self: Consumers) -> None:
        real(self)
        self._pollers[-1].cancel()

    put(stack, Consumers, "stop", stop)


@bug
def let_the_bulk_lane_have_the_last_permit(stack: ExitStack) -> None:
    def next_shared_poll(self: Lanes, now: float) -> Poll | WaitForChange:
        busy = self.blocked_by is not None or "bulk" in self._outstanding
        return WaitForChange() if busy else Poll(lane="bulk", max_messages=10, wait_seconds=1)

    put(stack, Lanes, "next_shared_poll", next_shared_poll)


@bug
def poll_the_bulk_lane_before_the_other(stack: ExitStack) -> None:
    real = Lanes.next_poll

    def next_poll(self: Lanes, now: float, **terms: int) -> Poll | Wait | WaitForChange:
        self._empty_at = now
        return real(self, now, **terms)

    put(stack, Lanes, "next_poll", next_poll)


@bug
def send_bulk_runs_by_the_topic(stack: ExitStack) -> None:
    put_at(stack, "fraudd.engine.publisher.lane_of", lambda record, queues: "interactive")


@bug
def sweep_into_the_wrong_lane(stack: ExitStack) -> None:
    class Elsewhere(Publisher):
        async def send(self, record: Record, *, trial: bool = False) -> None:
            lane: Literal["bulk"] | None = None if record.lane == "bulk" else "bulk"
            await super().send(replace(record, lane=lane), trial=trial)

    real = Engine._sweeper

    def _sweeper(self: Engine, ports: Ports) -> Sweeper:
        rightly, self._publisher = (
            self._publisher,
            Elsewhere(ports.topics, ports.queues, self._guard),
        )
        sweeper = real(self, ports)
        self._publisher = rightly
        return sweeper

    put(stack, Engine, "_sweeper", _sweeper)


@bug
def settle_every_message_in_the_interactive_queue(stack: ExitStack) -> None:
    real = Settlement.delete

    async def delete(self: Settlement, lease: Lease) -> None:
        lease.message = replace(lease.message, lane="interactive")
        await real(self, lease)

    put(stack, Settlement, "delete", delete)


@bug
def leave_who_asks_in_the_bulk_lane(stack: ExitStack) -> None:
    async def _wake(self: Intake, record: Record, lane: Lane) -> Record:
        return record

    put(stack, Intake, "_wake", _wake)


@bug
def take_a_run_that_waits_in_bulk_for_an_answer_to_an_event(stack: ExitStack) -> None:
    real = Claims._decide

    def _decide(self: Claims, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        decision = real(self, lease, event, record)
        return Drop("covered") if isinstance(decision, Promote) else decision

    put(stack, Claims, "_decide", _decide)


@bug
def promote_without_another_wake_up(stack: ExitStack) -> None:
    async def promote(self: Intake, record: Record) -> Applied:
        return await self._store.apply(promoted(record, now=self._clock.now()))

    put(stack, Intake, "promote", promote)
