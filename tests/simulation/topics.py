"""The two topics as SNS keeps them: what is published arrives late, twice, or not at all."""

import json
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from fraudd.prediction.events import Completion, RequestEvent
from fraudd.prediction.formats import rfc3339
from tests.simulation.clocks import true_ms
from tests.simulation.queue import Meaning

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class TopicService:
    """The topic of requests, which feeds the queue, and the topic of completions."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"topics {world.plan.seed}")
        #: Messages on their way from the topic to the queue.
        self.under_way = 0

    def publish(
        self,
        who: str,
        body: str,
        meaning: Meaning,
        *,
        attributes: Mapping[str, str] = MappingProxyType({}),
        loses: bool = True,
    ) -> None:
        """Take a message on, to be delivered to the queue."""
        self._world.note(who, meaning.entity_id, "published", run=meaning.run_id)
        self._world.lives.published(who, meaning)
        if loses and self._strikes("publish_vanishes", 0.03):
            self._world.lives.disturb(meaning.entity_id, "its wake-up vanished")
            return
        if self._world.plan.has("envelopes"):
            body = json.dumps(
                {
                    "Type": "Notification",
                    "Message": body,
                    "Timestamp": rfc3339(true_ms(self._world.loop)),
                    "MessageAttributes": {
                        name: {"Type": "String", "Value": value}
                        for name, value in attributes.items()
                    },
                }
            )
            attributes = {}
            self._world.faults.strike("envelopes")
        for _ in range(2 if self._strikes("publish_twice", 0.1) else 1):
            delay = self._rng.uniform(0.005, 0.1)
            if self._strikes("publish_late", 0.1):
                delay = self._rng.uniform(1, 40)
            self.under_way += 1
            self._world.loop.call_later(delay, self._arrive, body, attributes, meaning)

    def _arrive(self, body: str, attributes: Mapping[str, str], meaning: Meaning) -> None:
        self.under_way -= 1
        self._world.queue.send(body, attributes, meaning)

    def _strikes(self, kind: str, likely: float) -> bool:
        return self._world.faults.strikes(kind, likely, self._rng)


class SimulatedTopics:
    """The topics as one process reaches them."""

    def __init__(self, service: TopicService, process: "Process") -> None:
        self._service = service
        self._process = process

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up of a run."""
        world = self._process.world
        meaning = Meaning(
            kind="wake-up" if event.run_id else "request",
            entity_id=event.entity_id,
            run_id=event.run_id,
            asked_at=true_ms(world.loop),
        )
        world.message_checks.waking(self._process, meaning, "interactive")
        await self._call(
            event.entity_id,
            lambda: self._service.publish(
                self._process.name, event.to_json(), meaning, attributes=event.attributes
            ),
        )

    async def announce(self, completion: Completion) -> None:
        """Publish the end of a run."""
        event = completion.event
        await self._call(
            event["subject"],
            lambda: self._process.world.answer_checks.announced(
                self._process, event["subject"], event["id"], event["type"]
            ),
        )

    async def _call(self, about: str, act: Callable[[], None]) -> None:
        await self._process.link.call("topics", act, about=about)
