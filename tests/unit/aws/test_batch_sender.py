"""Messages gathered into few calls: each sender gets the outcome of its own message."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from fraudd.aws.batching import BatchSender
from fraudd.errors import Unavailable
from tests.simulation.loop import run_virtually


class Queue:
    """A queue in memory, whose calls take ``seconds`` and reject some messages."""

    def __init__(self, *, seconds: float = 0.001, rejected: Iterable[str] = ()) -> None:
        self.seconds = seconds
        self.rejected = set(rejected)
        #: The bodies of each call, in the order of sending.
        self.calls: list[list[str]] = []
        self.refuse: Callable[[], Exception | None] = lambda: None

    async def send_message_batch(self, **asked: Any) -> Any:
        entries = asked["Entries"]
        assert 0 < len(entries) <= 10
        self.calls.append([entry["MessageBody"] for entry in entries])
        await asyncio.sleep(self.seconds)
        if (error := self.refuse()) is not None:
            raise error
        failed = [entry for entry in entries if entry["MessageBody"] in self.rejected]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in entries if entry not in failed],
            "Failed": [{"Id": entry["Id"], "Code": "TooLong"} for entry in failed],
        }


async def sent(sender: BatchSender, bodies: Iterable[str]) -> list[Any]:
    """Send all at once. Returns None or the error of each."""
    return await asyncio.gather(*(sender.send(body, {}) for body in bodies), return_exceptions=True)


def sends(queue: Queue) -> BatchSender:
    return BatchSender(cast(Any, queue), "http://queue")


def test_messages_are_sent_in_batches_and_equal_ones_each() -> None:
    async def scene() -> None:
        queue = Queue()
        bodies = ["equal"] * 25
        assert await sent(sends(queue), bodies) == [None] * 25
        assert [len(call) for call in queue.calls] == [10, 10, 5]

    run_virtually(scene())


def test_a_message_that_sqs_rejects_fails_alone() -> None:
    async def scene() -> None:
        queue = Queue(rejected=["b"])
        answers = await sent(sends(queue), ["a", "b", "c"])
        assert [answers[0], answers[2]] == [None, None]
        assert isinstance(answers[1], Unavailable)
        assert str(answers[1]).endswith("SendMessageBatch: TooLong")
        assert queue.calls == [["a", "b", "c"]]

    run_virtually(scene())


def test_a_call_that_fails_fails_every_message_of_its_own() -> None:
    async def scene() -> None:
        queue = Queue()
        queue.refuse = lambda: OSError("reset") if len(queue.calls) == 1 else None
        sender = sends(queue)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(sent(sender, ["a", "b"]))
            await asyncio.sleep(0.0005)
            second = group.create_task(sent(sender, ["c"]))
        assert [str(error) for error in first.result()] == ["reset", "reset"]
        assert second.result() == [None]

    run_virtually(scene())


def test_a_message_is_sent_even_if_its_sender_is_gone() -> None:
    async def scene() -> None:
        queue = Queue()
        sender = sends(queue)
        out = asyncio.ensure_future(sender.send("a", {}))
        await asyncio.sleep(0.0005)
        waiting = asyncio.ensure_future(sender.send("b", {}))
        await asyncio.sleep(0)
        out.cancel()
        waiting.cancel()
        await asyncio.sleep(1)
        assert queue.calls == [["a"], ["b"]]
        assert len(asyncio.all_tasks()) == 1, "a task was left behind"

    run_virtually(scene())
