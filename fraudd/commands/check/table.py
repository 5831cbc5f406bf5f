"""Checks of the results table."""

from collections.abc import Iterator

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent
from fraudd.aws.provisioning.resources import INDEX_KEY, KEY, TTL_ATTRIBUTE
from fraudd.aws.provisioning.states import IndexState, TableState
from fraudd.aws.session import Clients
from fraudd.aws.table_index import INDEX, REMEDIES, index_state, unreadable_index
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning

#: A table serves requests while it is updated.
_SERVING = ("ACTIVE", "UPDATING")


async def check_table(name: str, clients: Clients, findings: Findings) -> None:
    """Check the table, its expiry and its recovery."""
    with findings.caught("table: "):
        try:
            table = await describe.table(clients, name)
        except Absent:
            findings.add(
                failed(
                    f"table: {name} does not exist at {clients.where}",
                    fix="run 'fraudd provision', or correct [results] table",
                )
            )
            return
        findings.add(*judge_table(name, table))
        with findings.caught("table: expiry: "):
            findings.add(judge_expiry(name, await describe.time_to_live(clients, name)))
        with findings.caught("table: point-in-time recovery: "):
            recovers = await describe.point_in_time_recovery(clients, name)
            findings.add(judge_recovery(name, recovers=recovers))


def judge_table(name: str, table: TableState) -> Iterator[Finding]:
    """Judge key, index, billing and protection of the table."""
    if table.status not in _SERVING:
        yield failed(f"table: {name} is {table.status}", fix="wait until it is ACTIVE")
    elif table.key != KEY:
        yield failed(
            f"table: the key of {name} is {', '.join(table.key)}, not {', '.join(KEY)}; AWS cannot"
            " change a key",
            fix="create another table with 'fraudd provision', and set [results] table",
        )
    else:
        yield ok(f"table: {name}, key {', '.join(KEY)}")
    yield _judge_index(name, table.indexes.get(INDEX))
    if table.on_demand:
        yield ok("table: billed per request")
    else:
        yield warning(
            f"table: {name} has provisioned capacity; AWS throttles requests above it, which fraudd"
            " counts as an outage",
            fix="set BillingMode to PAY_PER_REQUEST, or scale the capacity automatically",
        )
    if table.deletion_protection:
        yield ok("table: protected against deletion")
    else:
        yield warning(
            f"table: one call can delete {name}",
            fix=f"aws dynamodb update-table --table-name {name} --deletion-protection-enabled",
        )


def judge_expiry(name: str, attribute: str | None) -> Finding:
    """Judge whether records expire."""
    if attribute == TTL_ATTRIBUTE:
        return ok(f"table: records expire by {TTL_ATTRIBUTE}")
    state = "no TTL" if attribute is None else f"its TTL on {attribute}"
    return failed(
        f"table: {name} has {state}, so no record ever expires",
        fix=f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification"
        f" Enabled=true,AttributeName={TTL_ATTRIBUTE}",
    )


def judge_recovery(name: str, *, recovers: bool) -> Finding:
    """Judge whether the table can be restored."""
    if recovers:
        return ok("table: point-in-time recovery is on")
    return warning(
        f"table: {name} cannot be restored: point-in-time recovery is off",
        fix=f"aws dynamodb update-continuous-backups --table-name {name}"
        " --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
    )


def _judge_index(name: str, index: IndexState | None) -> Finding:
    expected = f"{INDEX}, key {', '.join(INDEX_KEY)}, KEYS_ONLY"
    state = index_state(None if index is None else index.status)
    if index is None or state == "missing":
        return failed(f"table: {unreadable_index(state, name)}", fix=REMEDIES[state])
    if index.key != INDEX_KEY:
        return failed(
            f"table: index {INDEX} has the key {', '.join(index.key)}",
            fix=f"delete it, then create {expected}",
        )
    if state == "filling":
        return failed(f"table: {unreadable_index(state, name)}", fix=REMEDIES[state])
    if index.projection != "KEYS_ONLY":
        return warning(
            f"table: index {INDEX} projects {index.projection}, so every heartbeat also writes to"
            " the index",
            fix=f"delete it, then create {expected}",
        )
    return ok(f"table: index {expected}")
