"""The results table in DynamoDB: one item per entity, one conditional write per transition."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from botocore.exceptions import ClientError
from pydantic_core import from_json

from fraudd.aws.batching import BatchReader
from fraudd.aws.session import Clients
from fraudd.aws.translation import translated
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
_STATES = frozenset(get_args(State))
_STRINGS = frozenset({"entity_id", "state", "run_id", "worker", "listed", "traceparent", "lane"})


class DynamoDbStore:
    """The records. Methods raise ``Unavailable``."""

    def __init__(self, clients: Clients, table: str) -> None:
        self._dynamodb = clients.dynamodb
        self._where = clients.where
        self._table = table
        self._reads = BatchReader(
            clients.dynamodb, table, patience_seconds=clients.read_timeout_seconds
        )

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
        try:
            with translated("store"):
                return await self._page(listed, until=until, after=after)
        except Unavailable as error:
            if after is not None and "ExclusiveStartKey" in error.detail:
                return await self.listed(listed, until=until, after=None)
            raise self._explained(error) from error

    def _explained(self, error: Unavailable) -> Unavailable:
        if "index" not in error.detail:
            return error
        return Unavailable(
            "store",
            f"the index by_state of table {self._table} is missing or still being filled;"
            f" 'fraudd provision' creates a missing one: {error.detail}",
        )

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
            IndexName="by_state",
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
        """Check that the table exists and has the right key."""
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
        except KeyError:
            raise Unreadable(entity_id, f"{attribute} is of type {', '.join(typed)}") from None
        except ValueError as error:
            raise Unreadable(entity_id, f"{attribute}: {error}") from None
    if fields.get("state") not in _STATES:
        raise Unreadable(entity_id, f"its state is {fields.get('state')!r}")
    return Record(**{"entity_id": entity_id, **fields})


def _outcome(text: str) -> Any:
    outcome = from_json(text)
    if not isinstance(outcome, dict) or not isinstance(outcome.get("run_id"), str):
        raise ValueError("is not the JSON of an outcome")
    return outcome
