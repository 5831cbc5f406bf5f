"""The contract of the queue and of its topic."""

import asyncio

from fraudd.prediction.events import DETAIL, REASON, SENT, RequestEvent, parse_request
from fraudd.prediction.formats import new_ulid
from tests.contracts.parts import Contract, Parts, received
from tests.stack.times import NOW

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = RequestEvent(
    entity_id="shop-1", run_id=new_ulid(NOW, 1), requested_at=NOW, traceparent=TRACE
)


async def a_request_is_received_once_deleted_and_gone(parts: Parts) -> None:
    """A published request arrives in the queue. After its deletion it never comes back."""
    await parts.topics.request(EVENT)
    message = await received(parts)
    event = parse_request(message.body, attributes=message.attributes, sent_at=message.sent_at)
    assert (event.entity_id, event.run_id) == ("shop-1", EVENT.run_id)
    assert event.traceparent == TRACE
    assert message.receive_count == 1
    assert (await parts.queue.depth()).in_flight == 1
    await parts.queue.delete(message)
    depth = await parts.queue.depth()
    assert (depth.visible, depth.in_flight, depth.delayed, depth.dead_lettered) == (0, 0, 0, 0)


async def what_is_sent_past_the_topic_is_received(parts: Parts) -> None:
    """Concurrent sends arrive once each, each with its trace."""
    events = [
        RequestEvent(entity_id=f"shop-{n}", run_id=new_ulid(NOW, n), traceparent=TRACE)
        for n in range(23)
    ]
    async with asyncio.TaskGroup() as group:
        for event in events:
            group.create_task(parts.queue.send(event))
    seen: list[str] = []
    while messages := await parts.queue.receive(10):
        for one in messages:
            event = parse_request(one.body, attributes=one.attributes, sent_at=one.sent_at)
            assert event.traceparent == TRACE
            seen.append(event.entity_id)
    assert sorted(seen) == sorted(event.entity_id for event in events)


async def what_is_gone_is_let_go_of_without_an_error(parts: Parts) -> None:
    """A second deletion, and a change of visibility after it, have no effect."""
    await parts.topics.request(EVENT)
    message = await received(parts)
    await parts.queue.delete(message)
    await parts.queue.delete(message)
    await parts.queue.hide(message, 5)
    assert (await parts.queue.depth()).in_flight == 0


async def a_message_in_hand_is_hidden_until_it_is_given_back(parts: Parts) -> None:
    """A released message is visible at once, with one more receive and a new receipt handle."""
    await parts.topics.request(EVENT)
    first = await received(parts)
    assert await parts.queue.receive(1) == []
    await parts.queue.hide(first, 0)
    second = await received(parts)
    assert second.message_id == first.message_id
    assert second.receive_count == 2
    assert second.receipt_handle != first.receipt_handle
    assert second.sent_at == first.sent_at


async def a_message_given_back_for_a_while_is_seen_when_it_is_over(parts: Parts) -> None:
    """It is not visible before. A waiting poll wakes when it is."""
    await parts.topics.request(EVENT)
    await parts.queue.hide(await received(parts), 1.5)
    assert await parts.queue.receive(1) == []
    await asyncio.sleep(0.6)
    assert (await received(parts)).receive_count == 2


async def a_stale_receipt_does_no_harm(parts: Parts) -> None:
    """An old receipt handle may delete the message or not. The newest one deletes it."""
    await parts.topics.request(EVENT)
    stale = await received(parts)
    await parts.queue.hide(stale, 0)
    newest = await received(parts)
    await parts.queue.delete(stale)
    await parts.queue.delete(newest)
    depth = await parts.queue.depth()
    assert (depth.visible, depth.in_flight) == (0, 0)


async def a_poll_wakes_on_arrival(parts: Parts) -> None:
    """The poll returns long before its wait is over."""
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(received(parts))
        await asyncio.sleep(0.2)
        await parts.topics.request(EVENT)
        async with asyncio.timeout(0.7):
            assert (await poll).receive_count == 1


async def a_poll_brings_no_more_than_it_asked_for(parts: Parts) -> None:
    """The queue may hold more messages."""
    for _ in range(5):
        await parts.send('{"entity_id": "shop-1"}')
    seen: list[str] = []
    while messages := await parts.queue.receive(2):
        assert len(messages) <= 2
        seen += [message.message_id for message in messages]
    assert len(seen) == len(set(seen)) == 5


async def a_copy_begins_anew_and_says_when_it_was_first_sent(parts: Parts) -> None:
    """The copy is delayed and has no receives. The original is deleted."""
    await parts.topics.request(EVENT)
    message = await received(parts)
    await parts.queue.send_again(message, 1)
    depth = await parts.queue.depth()
    assert (depth.visible, depth.in_flight, depth.delayed) == (0, 0, 1)
    await asyncio.sleep(0.5)
    copy = await received(parts)
    assert (copy.body, copy.receive_count) == (message.body, 1)
    assert copy.attributes[SENT] == str(message.sent_at)
    await parts.queue.send_again(copy, 0)
    assert (await received(parts)).attributes[SENT] == str(message.sent_at)


async def a_dead_letter_says_why_and_keeps_its_body(parts: Parts) -> None:
    """The message is deleted from the main queue."""
    await parts.send("nonsense")
    message = await received(parts)
    await parts.queue.dead_letter(message, reason="malformed", detail="not JSON")
    [(body, attributes)] = await parts.dead_letters()
    assert body == "nonsense"
    assert (attributes[REASON], attributes[DETAIL]) == ("malformed", "not JSON")
    depth = await parts.queue.depth()
    assert (depth.in_flight, depth.dead_lettered) == (0, 1)


async def what_is_received_too_often_is_taken_away(parts: Parts) -> None:
    """SQS itself moves it, without a reason."""
    await parts.queue.depth()
    most = parts.queue.max_receive_count
    assert most is not None
    await parts.topics.request(EVENT)
    for count in range(1, most + 1):
        message = await received(parts)
        assert message.receive_count == count
        await parts.queue.hide(message, 0)
    assert await parts.queue.receive(1) == []
    [(body, attributes)] = await parts.dead_letters()
    assert body == message.body
    assert REASON not in attributes


QUEUE_CONTRACTS: tuple[Contract, ...] = (
    a_request_is_received_once_deleted_and_gone,
    what_is_sent_past_the_topic_is_received,
    what_is_gone_is_let_go_of_without_an_error,
    a_message_in_hand_is_hidden_until_it_is_given_back,
    a_message_given_back_for_a_while_is_seen_when_it_is_over,
    a_stale_receipt_does_no_harm,
    a_poll_wakes_on_arrival,
    a_poll_brings_no_more_than_it_asked_for,
    a_copy_begins_anew_and_says_when_it_was_first_sent,
    a_dead_letter_says_why_and_keeps_its_body,
    what_is_received_too_often_is_taken_away,
)
