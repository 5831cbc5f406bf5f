"""The part of ``fraudd check`` that looks at the table of records."""

from collections.abc import Iterator

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent
from fraudd.aws.provisioning.resources import INDEX, INDEX_KEY, KEY, TTL_ATTRIBUTE
from fraudd.aws.provisioning.states import IndexState, TableState
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning

#: A table that is being changed serves as ever.
_SERVING = ("ACTIVE", "UPDATING")


async def see_table(name: str, clients: Clients, findings: Findings) -> None:
    """Look at the table, its expiry and its recovery."""
    with findings.caught("table: "):
        try:
            table = await describe.table(clients, name)
        except Absent:
            findings.add(failed(f"table: no {name} at {clients.where}: see [results] table"))
            return
        findings.add(*judge_table(name, table))
        with findings.caught("table: expiry: "):
            findings.add(judge_expiry(name, await describe.time_to_live(clients, name)))
        with findings.caught("table: point-in-time recovery: "):
            recovers = await describe.point_in_time_recovery(clients, name)
            findings.add(judge_recovery(name, recovers=recovers))


def judge_table(name: str, table: TableState) -> Iterator[Finding]:
    """Judge key, index and what protects the table."""
    if table.status not in _SERVING:
        yield failed(f"table: {name} is {table.status}: wait until it is ACTIVE")
    elif table.key != KEY:
        yield failed(
            f"table: the key of {name} is {', '.join(table.key)}, not {', '.join(KEY)}: it cannot"
            " be changed: make another table, 'fraudd provision' does; see [results] table"
        )
    else:
        yield ok(f"table: {name}, key {', '.join(KEY)}")
    yield _index(table.indexes.get(INDEX))
    if table.on_demand:
        yield ok("table: billed by request")
    else:
        yield warning(
            f"table: {name} has provisioned capacity: what is over it is throttled, and counts as"
            " an outage: set BillingMode to PAY_PER_REQUEST, or scale it automatically"
        )
    if table.deletion_protection:
        yield ok("table: protected against deletion")
    else:
        yield warning(
            f"table: {name} can be deleted by one call: 'aws dynamodb update-table --table-name"
            f" {name} --deletion-protection-enabled'"
        )


def judge_expiry(name: str, attribute: str | None) -> Finding:
    """Judge whether records go when they are to."""
    if attribute == TTL_ATTRIBUTE:
        return ok(f"table: records expire by {TTL_ATTRIBUTE}")
    told = "no TTL" if attribute is None else f"TTL on {attribute}"
    return failed(
        f"table: {name} has {told}, so that no record ever goes, whatever [results] says: 'aws"
        f" dynamodb update-time-to-live --table-name {name} --time-to-live-specification"
        f" Enabled=true,AttributeName={TTL_ATTRIBUTE}'"
    )


def judge_recovery(name: str, *, recovers: bool) -> Finding:
    """Judge whether the table can be restored."""
    if recovers:
        return ok("table: point-in-time recovery is on")
    return warning(
        f"table: {name} cannot be restored as it was: 'aws dynamodb update-continuous-backups"
        f" --table-name {name} --point-in-time-recovery-specification"
        " PointInTimeRecoveryEnabled=true'"
    )


def _index(index: IndexState | None) -> Finding:
    wanted = f"{INDEX}, key {', '.join(INDEX_KEY)}, KEYS_ONLY"
    if index is None:
        return failed(f"table: no index {INDEX}, by which lost runs are found: create {wanted}")
    if index.key != INDEX_KEY:
        return failed(
            f"table: index {INDEX} has the key {', '.join(index.key)}: delete it, create {wanted}"
        )
    if index.status not in _SERVING:
        return failed(f"table: index {INDEX} is {index.status}: wait until it is ACTIVE")
    if index.projection != "KEYS_ONLY":
        return warning(
            f"table: index {INDEX} holds {index.projection} of each record, so that each heartbeat"
            f" writes it, too: delete it, create {wanted}"
        )
    return ok(f"table: index {wanted}")
