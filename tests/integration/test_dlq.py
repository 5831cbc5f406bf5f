"""``fraudd dlq`` on a real queue: what it shows, what it moves, and what it leaves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fraudd.aws.dead_letters import DeadLetter, DeadLetters, find_dead_letters
from fraudd.aws.session import Clients
from fraudd.commands.dlq.rows import entity_of, reason_of
from fraudd.commands.dlq.scan import Act, Selection, Totals, purge, redrive, scan
from fraudd.errors import Misconfigured, Unavailable
from fraudd.ports import Message
from fraudd.prediction.events import parse_request
from tests.stack.aws import Aws
from tests.stack.times import NOW


@pytest.fixture
async def letters(aws: Aws) -> DeadLetters:
    """The dead-letter queue, found by the redrive policy."""
    return await find_dead_letters(aws.clients, main_url=aws.names.queue_url, url=None)


async def put(aws: Aws, letters: DeadLetters, body: str, **attributes: str) -> None:
    """Put a message into the dead-letter queue."""
    await aws.clients.sqs.send_message(
        QueueUrl=letters.url,
        MessageBody=body,
        MessageAttributes={
            f"fraudd.{name}": {"DataType": "String", "StringValue": value}
            for name, value in attributes.items()
        },
    )


async def fill(aws: Aws, letters: DeadLetters, count: int, **attributes: str) -> None:
    """Put requests of shop-0, shop-1, ... there."""
    for number in range(count):
        await put(aws, letters, f'{{"entity_id": "shop-{number}"}}', **attributes)


async def go_through(
    letters: DeadLetters,
    act: Act | None,
    wanted: Selection | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> Totals:
    """Do what the command does."""
    return await scan(
        letters,
        wanted or Selection(),
        act,
        redriving=act is not purge,
        stopped=stopped,
        progress=lambda _: None,
    )


async def everything(aws: Aws) -> Sequence[Message]:
    """Receive all that is in the main queue."""
    found: list[Message] = []
    while batch := await aws.queue.receive(10):
        found += batch
    return found


async def dead(letters: DeadLetters) -> list[str]:
    """The bodies of what can be received from the dead-letter queue at this moment, sorted."""
    found = []
    while batch := await letters.receive():
        found += [letter.body for letter in batch]
    return sorted(found)


async def test_looking_finds_each_message_once_and_leaves_all_of_them_visible(
    aws: Aws, letters: DeadLetters
) -> None:
    await fill(aws, letters, 23, reason="deadlock")
    tally = await go_through(letters, None)
    assert tally.seen == 23
    assert len({letter.message_id for letter in tally.selected}) == 23
    assert await letters.counts() == (23, 0)
    again = await go_through(letters, None)
    assert {letter.receive_count for letter in again.selected} == {2}


async def test_a_message_that_is_delivered_again_is_shown_once_and_let_go_of(
    aws: Aws, letters: DeadLetters
) -> None:
    await fill(aws, letters, 3)
    shown = 0
    async with letters.scan(stopped=lambda: False, warn=pytest.fail) as look:
        async for batch in look.batches():
            shown += len(batch)
            # As if the time they are hidden for had run out in the middle.
            await letters.release(look.held)
    assert shown == 3
    assert await letters.counts() == (3, 0)


async def test_an_interrupted_look_makes_everything_visible_again(
    aws: Aws, letters: DeadLetters
) -> None:
    await fill(aws, letters, 12)
    held = asyncio.Event()

    async def look_for_ever() -> None:
        async with letters.scan(stopped=lambda: False, warn=pytest.fail) as look:
            async for _ in look.batches():
                held.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(look_for_ever())
    await held.wait()
    assert (await letters.counts())[1] == 10
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await letters.counts() == (12, 0)


async def test_a_look_that_is_stopped_takes_no_more(aws: Aws, letters: DeadLetters) -> None:
    await fill(aws, letters, 25)
    answers = iter([False, True])
    tally = await go_through(letters, redrive, stopped=lambda: next(answers))
    assert (tally.seen, tally.handled) == (10, 10)
    assert await letters.counts() == (15, 0)


async def test_what_somebody_else_looks_at_is_told(aws: Aws, letters: DeadLetters) -> None:
    await fill(aws, letters, 3)
    assert len(await letters.receive()) == 3
    tally = await go_through(letters, None)
    assert (tally.seen, tally.hidden_elsewhere) == (0, 3)


async def test_what_is_sent_back_is_the_same_but_a_request(aws: Aws, letters: DeadLetters) -> None:
    body = '{"entity_id": "shop-1", "run_id": "01M882XAC44Z2ZSZT7E7GR8CYW"}'
    await put(aws, letters, body, reason="deadlock", detail="1213", sent=str(NOW))
    tally = await go_through(letters, redrive)
    assert (tally.seen, tally.handled, tally.failures) == (1, 1, [])
    [message] = await everything(aws)
    assert message.body == body
    assert message.attributes == {
        "fraudd.reason": "deadlock",
        "fraudd.detail": "1213",
        "fraudd.sent": str(NOW),
    }
    event = parse_request(message.body, attributes=message.attributes, sent_at=message.sent_at)
    assert (event.entity_id, event.run_id, event.sent_at) == ("shop-1", None, NOW)
    assert await letters.counts() == (0, 0)


async def test_what_sqs_moved_wakes_its_run(aws: Aws, letters: DeadLetters) -> None:
    body, run_id = '{"entity_id": "shop-1"}', "01M882XAC44Z2ZSZT7E7GR8CYW"
    await put(aws, letters, body, run_id=run_id)
    [letter] = (await go_through(letters, None)).selected
    assert (reason_of(letter), entity_of(letter)) == ("moved by SQS", "shop-1")
    await go_through(letters, redrive)
    [message] = await everything(aws)
    assert message.attributes == {
        "fraudd.run_id": run_id,
        "fraudd.sent": str(letter.enqueued_at),
    }
    event = parse_request(message.body, attributes=message.attributes, sent_at=message.sent_at)
    assert event.run_id == run_id


@pytest.mark.parametrize("broken", ["send_message", "delete_message"])
async def test_a_message_is_at_worst_twice_there_and_never_nowhere(
    aws: Aws, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    await fill(aws, letters, 3, reason="deadlock")

    async def refuse(**_: Any) -> None:
        raise TimeoutError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(aws.clients.sqs, broken, refuse)
        tally = await go_through(letters, redrive)
    assert (tally.handled, len(tally.failures)) == (0, 3)
    twice = broken == "delete_message"
    assert all(("so it exists twice" in failure) is twice for failure in tally.failures)
    assert len(await everything(aws)) == (3 if twice else 0)
    assert await letters.counts() == (3, 0)


async def test_one_that_cannot_be_sent_does_not_hold_up_the_others(
    aws: Aws, letters: DeadLetters
) -> None:
    await fill(aws, letters, 3)

    async def act(queue: DeadLetters, letter: DeadLetter) -> None:
        if entity_of(letter) == "shop-1":
            raise Unavailable("queue", "refused")
        await redrive(queue, letter)

    tally = await go_through(letters, act)
    assert (tally.handled, len(tally.failures)) == (2, 1)
    assert await letters.counts() == (1, 0)


async def test_malformed_ones_stay_unless_named(aws: Aws, letters: DeadLetters) -> None:
    await put(aws, letters, "nonsense", reason="malformed")
    await put(aws, letters, '{"entity_id": "shop-1"}', reason="deadlock")
    tally = await go_through(letters, redrive)
    assert (tally.handled, tally.malformed_kept) == (1, 1)
    assert await letters.counts() == (1, 0)
    named = await go_through(letters, redrive, Selection(reason="malformed"))
    assert (named.handled, named.malformed_kept) == (1, 0)
    assert {message.body for message in await everything(aws)} == {
        "nonsense",
        '{"entity_id": "shop-1"}',
    }


@pytest.mark.parametrize("act", [redrive, purge])
async def test_only_what_is_asked_for_is_touched(aws: Aws, letters: DeadLetters, act: Act) -> None:
    await fill(aws, letters, 4, reason="deadlock")
    await put(aws, letters, '{"entity_id": "shop-1", "n": 2}', reason="exhausted")
    by_entity = await go_through(letters, act, Selection(entity="shop-1", reason="exhausted"))
    assert by_entity.handled == 1
    limited = await go_through(letters, act, Selection(limit=2))
    assert limited.handled == 2
    assert await letters.counts() == (2, 0)
    rest = await go_through(letters, act, Selection(reason="exhausted"))
    assert (rest.seen, rest.handled) == (2, 0)
    assert len(await everything(aws)) == (3 if act is redrive else 0)


async def test_a_limit_reaches_beyond_one_receive(aws: Aws, letters: DeadLetters) -> None:
    await fill(aws, letters, 25)
    assert (await go_through(letters, purge, Selection(limit=13))).handled == 13
    assert await letters.counts() == (12, 0)


async def test_what_fails_again_at_once_does_not_go_round_for_ever(
    aws: Aws, letters: DeadLetters
) -> None:
    await fill(aws, letters, 2, reason="deadlock")

    async def in_vain(queue: DeadLetters, letter: DeadLetter) -> None:
        await redrive(queue, letter)
        for message in await aws.queue.receive(10):
            await aws.queue.dead_letter(message, reason="deadlock", detail="again")

    async with asyncio.timeout(30):
        tally = await go_through(letters, in_vain)
    assert (tally.handled, tally.returned) == (2, 2)
    assert await dead(letters) == ['{"entity_id": "shop-0"}', '{"entity_id": "shop-1"}']


async def test_a_queue_without_a_dead_letter_queue_is_told_with_the_remedy(
    aws_clients: Clients,
) -> None:
    url = (await aws_clients.sqs.create_queue(QueueName="bare-of-dead-letters"))["QueueUrl"]
    with pytest.raises(Misconfigured, match="no redrive policy: set one, or set"):
        await find_dead_letters(aws_clients, main_url=url, url=None)
    with pytest.raises(Unavailable, match=r"nowhere at http.*see \[queue\] url"):
        await find_dead_letters(aws_clients, main_url=f"{url}-nowhere", url=None)
    with pytest.raises(Unavailable, match=r"nowhere at http.*see \[queue\] dead_letter_url"):
        await find_dead_letters(aws_clients, main_url=url, url=f"{url}-nowhere")
