"""The results table in DynamoDB: one item per entity, one conditional write per transition."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic_core import from_json

from fraudd.aws.batching import BatchReader
from fraudd.aws.session import Clients
from fraudd.aws.table_index import INDEX, IndexState, TableIndex
from fraudd.aws.translation import code_of, translated
from fraudd.errors import Unavailable, Unreadable
from fraudd.ports import Applied, Entry, Page
from fraudd.prediction.record import Record, State, Transition, Value, already_applied

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef

#: The number of entries that the sweeper reads at a time.
_PAGE_SIZE = 100
_NUMBERS = frozenset(
    {
        "requested_at",
        "published_at",
        "started_at",
        "finished_at",
        "attempts",
        "deaths",
        "overruns",
        "requeues",
        "again",
        "not_before",
        "lease_until",
        "listed_at",
        "deleted_at",
        "expires_at",
    }
)
_JSON = frozenset({"result", "error"})
_STRINGS = frozenset({"entity_id", "state", "run_id", "worker", "listed", "traceparent", "lane"})


#: The attributes that every record with a run has, and those that a claimed one has in addition.
_OF_A_RUN = ("run_id", "requested_at")
_OF_A_CLAIM = (*_OF_A_RUN, "worker", "lease_until")
_REQUIRED: Mapping[State, tuple[str, ...]] = {
    "queued": _OF_A_RUN,
    "running": _OF_A_CLAIM,
    "done": _OF_A_RUN,
    "failed": _OF_A_RUN,
    "deleted": (),
}


class DynamoDbStore:
    """The records. ``get`` and ``apply`` raise ``Unreadable`` for a record that is damaged.

    Everything that is about no single run is ``Unavailable``.
    """

    def __init__(self, clients: Clients, table: str) -> None:
        self._dynamodb = clients.dynamodb
        self._where = clients.where
        self._table = table
        self._reads = BatchReader(
            clients.dynamodb, table, patience_seconds=clients.read_timeout_seconds
        )
        #: The index that ``listed`` reads, as of the last call that showed its state.
        self.index = TableIndex(table)

    @property
    def index_state(self) -> IndexState:
        """Whether the index can be read, as of the last call that showed it."""
        return self.index.state

    async def get(self, entity_id: str) -> Record | None:
        """Read a record with strong consistency, in one call with other reads of this moment."""
        with translated("store"):
            return _record(entity_id, await self._reads.get(entity_id))

    async def apply(self, transition: Transition) -> Applied:
        """Apply a transition with one conditional write.

        A failed condition returns the item, so no second read is needed. The SDK retries a write
        whose response was lost. If the item shows that the first attempt succeeded, the transition
        counts as applied.
        """
        with translated("store", of_a_run=True):
            try:
                answer = await self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"entity_id": {"S": transition.entity_id}},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **_expressions(transition),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                item: Any = error.response.get("Item")
                old = _record(transition.entity_id, item)
                return Applied(already_applied(transition, old), old)
            return Applied(True, _record(transition.entity_id, answer["Attributes"]))

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """Read a page of the sparse index up to ``listed_at`` = ``until``, oldest entries first.

        DynamoDB refuses to start behind ``until``, which happens after a clock was set back. Then
        the page begins at the first entry.
        """
        with translated("store"):
            try:
                page = await self._page(listed, until=until, after=after)
            except ClientError as error:
                if after is None or not _is_about_the_start(error):
                    self.index.refused(error)
                    raise
                page = await self._page(listed, until=until, after=None)
        self.index.answered()
        return page

    async def _page(self, listed: str, *, until: int, after: Entry | None) -> Page:
        start: Any = {}
        if after is not None:
            start["ExclusiveStartKey"] = {
                "listed": {"S": listed},
                "listed_at": {"N": str(after.listed_at)},
                "entity_id": {"S": after.entity_id},
            }
        answer = await self._dynamodb.query(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="#listed = :listed AND #listed_at <= :until",
            ExpressionAttributeNames={"#listed": "listed", "#listed_at": "listed_at"},
            ExpressionAttributeValues={":listed": {"S": listed}, ":until": {"N": str(until)}},
            Limit=_PAGE_SIZE,
            **start,
        )
        entries = [
            Entry(int(item["listed_at"]["N"]), item["entity_id"]["S"]) for item in answer["Items"]
        ]
        return Page(entries, "LastEvaluatedKey" in answer)

    async def check(self) -> None:
        """Check that the table exists and has the right key. Look whether its index can be read.

        A missing index does not fail the check: look-ups and requests need no index.
        """
        with translated("store"):
            try:
                answer = await self._dynamodb.describe_table(TableName=self._table)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                raise Unavailable(
                    "store",
                    f"no table {self._table} at {self._where}: see [results] table,"
                    " or run 'fraudd provision'",
                ) from None
            key = [part["AttributeName"] for part in answer["Table"]["KeySchema"]]
            self.index.described(answer["Table"].get("GlobalSecondaryIndexes", []))
        if key != ["entity_id"]:
            raise Unavailable(
                "store",
                f"the key of table {self._table} is {', '.join(key)}, not entity_id:"
                " see [results] table",
            )


def _expressions(transition: Transition) -> dict[str, Any]:
    """Compile a transition into DynamoDB's condition and update expressions."""
    names: dict[str, str] = {}
    values: dict[str, AttributeValueTypeDef] = {}

    def name(attribute: str) -> str:
        names[f"#{attribute}"] = attribute
        return f"#{attribute}"

    def placeholder(prefix: str, attribute: str, value: Value) -> str:
        values[f":{prefix}_{attribute}"] = _encoded(attribute, value)
        return f":{prefix}_{attribute}"

    condition = [
        f"attribute_not_exists({name(attribute)})"
        if value is None
        else f"{name(attribute)} = {placeholder('is', attribute, value)}"
        for attribute, value in transition.expects.items()
    ]
    assigned = [
        f"{name(attribute)} = {placeholder('to', attribute, value)}"
        for attribute, value in transition.sets.items()
        if value is not None
    ]
    removed = [name(attribute) for attribute, value in transition.sets.items() if value is None]
    clauses = {"SET": assigned, "REMOVE": removed}
    compiled: dict[str, Any] = {
        "UpdateExpression": " ".join(
            f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts
        ),
        "ExpressionAttributeNames": names,
    }
    if condition:
        compiled["ConditionExpression"] = " AND ".join(condition)
    if values:
        compiled["ExpressionAttributeValues"] = values
    return compiled


def _encoded(attribute: str, value: Value) -> "AttributeValueTypeDef":
    if attribute in _JSON:
        return {"S": json.dumps(value, separators=(",", ":"))}
    return {"N": str(value)} if attribute in _NUMBERS else {"S": str(value)}


def _record(entity_id: str, item: "Mapping[str, AttributeValueTypeDef] | None") -> Record | None:
    """Parse an item. Attributes that this version does not know are ignored.

    Raises ``Unreadable`` with the attribute.
    """
    if not item:
        return None
    fields: dict[str, Any] = {}
    for attribute, typed in item.items():
        try:
            if attribute in _NUMBERS:
                fields[attribute] = int(typed["N"])
            elif attribute in _JSON:
                fields[attribute] = _outcome(typed["S"])
            elif attribute in _STRINGS:
                fields[attribute] = typed["S"]
        except (KeyError, TypeError):
            raise Unreadable(entity_id, f"{attribute} is of type {_type_of(typed)}") from None
        except ValueError as error:
            raise Unreadable(entity_id, f"{attribute}: {error}") from None
    state: Any = fields.get("state")
    if state not in _REQUIRED:
        raise Unreadable(entity_id, f"its state is {state!r}")
    if missing := [name for name in _REQUIRED[state] if name not in fields]:
        raise Unreadable(entity_id, f"it is {state} without {', '.join(missing)}")
    return Record(**{"entity_id": entity_id, **fields})


def _type_of(typed: object) -> str:
    """The type of an attribute, in DynamoDB's words."""
    return ", ".join(map(str, typed)) if isinstance(typed, Mapping) else type(typed).__name__


def _outcome(text: str) -> Any:
    outcome = from_json(text)
    if not isinstance(outcome, dict):
        raise ValueError("it is not a JSON object")
    # Whether an outcome has expired is asked before anything else, in lists for every record.
    for name, kind in (("run_id", str), ("expires_at", int)):
        if not isinstance(outcome.get(name), kind):
            raise ValueError(f"its {name} is {outcome.get(name)!r}")
    return outcome


def _is_about_the_start(error: ClientError) -> bool:
    """Whether DynamoDB refuses the key that a page should begin behind.

    "The provided starting key is outside query boundaries based on provided conditions", or it
    "is invalid", or it "does not match the range key predicate".
    """
    text = str(error.response.get("Error", {}).get("Message", ""))
    return code_of(error) == "ValidationException" and "starting key" in text.lower()
