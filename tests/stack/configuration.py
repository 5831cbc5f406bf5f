"""Configurations of daemons under test: an installation on the emulator, and how one differs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fraudd.aws.provisioning.apply import Provisioned
from fraudd.local.settings import DatabaseServer
from tests.stack.aws import REGION


def sections(
    names: Provisioned, server: DatabaseServer | None = None, /, **differences: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Give the sections of a configuration: AWS, the database, and the keys that differ."""
    values: dict[str, dict[str, Any]] = {
        "aws": {"region": REGION},
        "queue": {"url": names.queue_url},
        "topics": {"requests_arn": names.requests_arn, "completions_arn": names.completions_arn},
        "results": {"table": names.table},
    }
    if server is not None:
        values["database"] = {
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "name": server.name,
        }
    for section, keys in differences.items():
        values.setdefault(section, {}).update(keys)
    return values


def as_toml(values: Mapping[str, Mapping[str, Any]]) -> str:
    """Write sections as a configuration file."""
    lines = []
    for section, keys in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_value(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    # TOML writes texts, numbers, booleans and lists as JSON does.
    return json.dumps(str(value) if isinstance(value, Path) else value)
