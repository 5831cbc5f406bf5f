"""The names that users may depend on: a change after a release needs a line in the CHANGELOG.

`python -m tests.interface` writes the names of today. Run it when a version is released.
"""

import json
from pathlib import Path

from fraudd.config.schema import Config
from fraudd.web.openapi.operations import OPERATIONS
from fraudd.web.openapi.problem_types import PROBLEM_TYPES
from tests.documents.sources import quoted, table

RELEASED = Path(__file__).with_name("interface.json")


def names() -> dict[str, list[str]]:
    """Give the names in each interface. Other tests hold the reference's tables to the code."""
    return {
        "configuration": sorted(
            f"[{section}] {key}"
            for section, field in Config.model_fields.items()
            if field.annotation is not None
            for key in field.annotation.model_fields
        ),
        "log events": sorted(quoted(row[0])[0] for row in table("Log events")),
        "metrics": sorted(quoted(row[0])[0] for row in table("Metrics")),
        "operations": sorted(operation.operation_id for operation in OPERATIONS),
        "problem types": sorted(PROBLEM_TYPES),
    }


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(names(), indent=1) + "\n")
