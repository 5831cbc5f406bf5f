"""Reads gathered into few calls: which call answers which read, and the reach of a failure."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.aws.batching import BatchReader, TableItem
from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients
from fraudd.errors import BackPressure, Unavailable
from fraudd.telemetry.clock_skew import ClockSkew
from tests.simulation.loop import run_virtually


class Table:
    """A table in memory, whose calls take ``seconds`` and can be made to fail."""

    def __init__(self, *, seconds: float = 0.001) -> None:
        self.seconds = seconds
        self.version = 0
        #: The keys of each call, in the order of sending.
        self.calls: list[list[str]] = []
        self.in_flight = self.most_in_flight = self.cut_off = 0
        self.unprocessed: Callable[[list[str]], Iterable[str]] = lambda keys: ()
        self.refuse: Callable[[list[str]], Exception | None] = lambda keys: None

    async def get_item(self, **asked: Any) -> Any:
        assert asked["ConsistentRead"]
        key = asked["Key"]["entity_id"]["S"]
        [item] = await self._answered([key])
        return {"Item": item} if item else {}

    async def batch_get_item(self, **asked: Any) -> Any:
        [(name, part)] = asked["RequestItems"].items()
        assert part["ConsistentRead"]
        keys = [key["entity_id"]["S"] for key in part["Keys"]]
        assert 1 < len(keys) <= 100
        assert len(keys) == len(set(keys)), "DynamoDB refuses a key that stands twice"
        items = await self._answered(keys)
        left = list(self.unprocessed(keys))
        answer: dict[str, Any] = {
            "Responses": {
                name: [i for i in reversed(items) if i and i["entity_id"]["S"] not in left]
            }
        }
        if left:
            unprocessed = [{"entity_id": {"S": key}} for key in left]
            answer["UnprocessedKeys"] = {name: {"Keys": unprocessed}}
        return answer

    async def _answered(self, keys: list[str]) -> list[TableItem | None]:
        self.calls.append(keys)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        version = self.version
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.in_flight -= 1
        if (error := self.refuse(keys)) is not None:
            raise error
        return [
            {"entity_id": {"S": key}, "version": {"N": str(version)}}
            if not key.startswith("absent")
            else None
            for key in keys
        ]


def reads(table: Table) -> BatchReader:
    return BatchReader(cast(Any, table), "records", patience_seconds=5.0)


async def asked(reads: BatchReader, names: Iterable[str]) -> list[Any]:
    """Read all at once. Returns the item or the error of each."""
    return await asyncio.gather(*(reads.get(name) for name in names), return_exceptions=True)


def names(answers: Iterable[Any]) -> list[str | None]:
    return [answer and answer["entity_id"]["S"] for answer in answers]


def test_a_lone_read_is_one_get_item_at_once() -> None:
    async def scene() -> None:
        table = Table(seconds=1)
        began = asyncio.get_running_loop().time()
        assert names(await asked(reads(table), ["shop-1"])) == ["shop-1"]
        assert asyncio.get_running_loop().time() - began == 1
        assert table.calls == [["shop-1"]]

    run_virtually(scene())


def test_what_is_asked_in_one_turn_of_the_loop_goes_together() -> None:
    async def scene() -> None:
        table = Table()
        wanted = [f"shop-{number}" for number in range(100)]
        assert names(await asked(reads(table), wanted)) == wanted
        assert table.calls == [wanted]

    run_virtually(scene())


def test_what_is_asked_while_a_call_is_out_goes_together_as_it_returns() -> None:
    async def scene() -> None:
        table = Table(seconds=0.0015)
        gathering = reads(table)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(gathering.get(f"shop-{number}"))
                await asyncio.sleep(0.0001)
        assert loop.time() - began == pytest.approx(2 * 0.0015)
        assert table.calls == [["shop-0"], [f"shop-{number}" for number in range(1, 10)]]

    run_virtually(scene())


def test_a_call_that_hangs_holds_nobody_else_up() -> None:
    async def scene() -> None:
        table = Table(seconds=60)
        gathering = reads(table)
        async with asyncio.TaskGroup() as group:
            hanging = group.create_task(gathering.get("shop-1"))
            await asyncio.sleep(0.0001)
            table.seconds = 0.001
            async with asyncio.timeout(0.01):
                assert names(await asked(gathering, ["shop-2", "shop-3"])) == ["shop-2", "shop-3"]
            hanging.cancel()

    run_virtually(scene())


def test_while_all_calls_hang_the_loop_is_left_in_peace() -> None:
    async def scene() -> None:
        table = Table(seconds=1)
        gathering = reads(table)
        loop = asyncio.get_running_loop()
        later, turns = loop.call_later, []

        def call_later(*given: Any, **more: Any) -> asyncio.TimerHandle:
            turns.append(loop.time())
            return later(*given, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", call_later)
            wanted = [f"shop-{number}" for number in range(850)]
            assert names(await asked(gathering, wanted)) == wanted
        assert [len(keys) for keys in table.calls] == [100] * 8 + [50]
        assert loop.time() == 2
        assert len(turns) < 20

    run_virtually(scene())


def test_duplicates_are_folded_and_all_get_the_item() -> None:
    async def scene() -> None:
        table = Table()
        wanted = ["shop-1", "absent", "shop-1", "shop-2", "absent", "shop-1"]
        answers = names(await asked(reads(table), wanted))
        assert answers == [None if name == "absent" else name for name in wanted]
        assert table.calls == [["shop-1", "absent", "shop-2"]]

    run_virtually(scene())


def test_more_than_a_call_takes_goes_in_several_beside_each_other() -> None:
    async def scene() -> None:
        table = Table()
        wanted = [f"shop-{number}" for number in range(2000)]
        assert names(await asked(reads(table), wanted)) == wanted
        assert [len(keys) for keys in table.calls] == [100] * 20
        assert table.most_in_flight == 8

    run_virtually(scene())


def test_a_read_never_joins_a_call_that_was_sent_before_it_was_asked_for() -> None:
    async def scene() -> None:
        table = Table()
        gathering = reads(table)
        async with asyncio.TaskGroup() as group:
            early = group.create_task(gathering.get("shop-1"))
            await asyncio.sleep(0.0005)
            table.version = 1  # a write that was acknowledged meanwhile
            late = group.create_task(gathering.get("shop-1"))
        seen = [item and item["version"]["N"] for item in (early.result(), late.result())]
        assert seen == ["0", "1"]

    run_virtually(scene())


def test_a_call_that_fails_fails_its_own_callers_and_no_others() -> None:
    async def scene() -> None:
        table = Table()
        table.refuse = lambda keys: OSError("reset") if "shop-1" in keys else None
        gathering = reads(table)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(asked(gathering, ["shop-1", "shop-2"]))
            await asyncio.sleep(0.0005)
            second = group.create_task(asked(gathering, ["shop-3", "shop-4"]))
        assert [str(error) for error in first.result()] == ["reset", "reset"]
        assert names(second.result()) == ["shop-3", "shop-4"]

    run_virtually(scene())


def test_the_store_tells_a_failed_call_as_unavailable_to_each_caller() -> None:
    async def scene() -> None:
        table = Table()
        table.refuse = lambda keys: OSError("reset")
        clients = Clients(
            dynamodb=cast(Any, table),
            sns=cast(Any, None),
            sqs=cast(Any, None),
            polls=cast(Any, None),
            where="here",
            endpoints={},
            read_timeout_seconds=5.0,
            skew=ClockSkew(),
            another=cast(Any, None),
        )
        store = DynamoDbStore(clients, "records")
        errors = await asyncio.gather(
            *(store.get(f"shop-{number % 2}") for number in range(3)), return_exceptions=True
        )
        assert [type(error) for error in errors] == [Unavailable] * 3
        assert len({id(error) for error in errors}) == 3

    run_virtually(scene())


def test_keys_left_unprocessed_are_asked_for_again_and_hold_up_no_others() -> None:
    async def scene() -> None:
        table = Table()
        table.unprocessed = lambda keys: keys[1:] if len(table.calls) < 3 else ()
        gathering = reads(table)
        loop = asyncio.get_running_loop()
        at: dict[str, float] = {}

        async def one(name: str) -> None:
            await gathering.get(name)
            at[name] = loop.time()

        async with asyncio.TaskGroup() as group:
            for name in ("shop-1", "shop-2", "shop-3"):
                group.create_task(one(name))
        assert table.calls == [["shop-1", "shop-2", "shop-3"], ["shop-2", "shop-3"], ["shop-3"]]
        assert list(at.values()) == pytest.approx([0.001, 0.052, 0.153])

    run_virtually(scene())


def test_keys_left_unprocessed_for_too_long_are_unavailable() -> None:
    async def scene() -> None:
        table = Table()
        table.unprocessed = lambda keys: [key for key in keys if key != "shop-1"]
        began = asyncio.get_running_loop().time()
        answers = await asked(reads(table), ["shop-1", "shop-2", "shop-3"])
        assert names(answers[:1]) == ["shop-1"]
        assert [type(error) for error in answers[1:]] == [BackPressure, BackPressure]
        assert "left shop-2 unprocessed" in str(answers[1])
        assert asyncio.get_running_loop().time() - began < 5.0

    run_virtually(scene())


def test_who_asks_for_the_same_does_not_renew_the_patience_of_those_before() -> None:
    async def scene() -> None:
        table = Table()
        table.unprocessed = lambda keys: keys
        gathering = BatchReader(cast(Any, table), "records", patience_seconds=0.5)
        loop = asyncio.get_running_loop()

        async def ask_all_the_time() -> None:
            while True:
                await asyncio.sleep(0.0003)
                group.create_task(asked(gathering, ["shop-1", "shop-2"]))

        async with asyncio.TaskGroup() as group:
            others = group.create_task(ask_all_the_time())
            answers = await asked(gathering, ["shop-1", "shop-2"])
            assert [type(error) for error in answers] == [BackPressure, BackPressure]
            assert loop.time() < 0.5
            others.cancel()

    run_virtually(scene())


def test_a_caller_who_is_cancelled_harms_nobody_in_the_same_call() -> None:
    async def scene() -> None:
        table = Table()
        gathering = reads(table)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(gathering.get(name)) for name in ("shop-1", "shop-1", "shop-2")
            ]
            await asyncio.sleep(0.0005)
            tasks[0].cancel()
        assert tasks[0].cancelled()
        assert names(task.result() for task in tasks[1:]) == ["shop-1", "shop-2"]
        assert (table.calls, table.cut_off) == ([["shop-1", "shop-2"]], 0)

    run_virtually(scene())


def test_nothing_is_read_for_those_who_are_gone_before_it_is_sent() -> None:
    async def scene() -> None:
        table = Table()
        gathering = reads(table)
        async with asyncio.TaskGroup() as group:
            group.create_task(gathering.get("shop-1"))
            await asyncio.sleep(0.0005)
            gone = [group.create_task(gathering.get("shop-2")) for _ in range(2)]
            stays = group.create_task(gathering.get("shop-3"))
            await asyncio.sleep(0)
            for task in gone:
                task.cancel()
        assert names([stays.result()]) == ["shop-3"]
        assert table.calls == [["shop-1"], ["shop-3"]]

    run_virtually(scene())


def test_a_call_ends_with_the_last_who_waits_for_it() -> None:
    async def scene() -> None:
        table = Table(seconds=60)
        gathering = reads(table)
        tasks = [asyncio.ensure_future(gathering.get(name)) for name in ("shop-1", "shop-2")]
        await asyncio.sleep(1)
        tasks[0].cancel()
        await asyncio.sleep(1)
        assert (table.in_flight, table.cut_off) == (1, 0)
        tasks[1].cancel()
        await asyncio.sleep(1)
        assert (table.in_flight, table.cut_off) == (0, 1)
        assert len(asyncio.all_tasks()) == 1, "a task was left behind"

    run_virtually(scene())


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),  # which entity
            st.integers(0, 40),  # when, in ten thousandths
            st.none() | st.integers(0, 30),  # cancelled after this time
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 40),
    st.sets(st.integers(0, 20), max_size=5),
    st.sets(st.integers(0, 20), max_size=5),
)
def test_everybody_is_answered_once_with_what_was_true_when_they_asked_or_later(
    callers: list[tuple[int, int, int | None]],
    call_length: int,
    failing: set[int],
    leaving: set[int],
) -> None:
    async def scene() -> None:
        table = Table(seconds=call_length / 10_000)
        table.refuse = lambda keys: OSError("reset") if len(table.calls) in failing else None
        table.unprocessed = lambda keys: keys[::2] if len(table.calls) in leaving else ()
        gathering = reads(table)

        async def one(whom: int, when: int, gone: int | None) -> None:
            await asyncio.sleep(when / 10_000)
            table.version += 1
            least = table.version
            try:
                async with asyncio.timeout(None if gone is None else gone / 10_000):
                    item = await gathering.get(f"shop-{whom}")
            except (TimeoutError, OSError):
                return
            assert item is not None
            assert item["entity_id"]["S"] == f"shop-{whom}"
            assert int(item["version"]["N"]) >= least

        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(one(*caller))
        await asyncio.sleep(1)
        assert table.in_flight == 0
        assert len(asyncio.all_tasks()) == 1, "a task was left behind"

    run_virtually(scene())
