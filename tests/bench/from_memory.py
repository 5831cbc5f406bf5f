"""The daemon, with its records in its own memory: what all but the reading costs.

`python -m tests.bench.from_memory serve --config FILE` is `fraudd serve`, but that each record is
read from the table once and then remembered.
"""

import sys

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.cli import main
from fraudd.prediction.record import Record

if __name__ == "__main__":
    read = DynamoDbStore.get
    known: dict[str, Record | None] = {}

    async def get(self: DynamoDbStore, entity_id: str) -> Record | None:
        """Read a record the first time, and remember it."""
        if entity_id not in known:
            known[entity_id] = await read(self, entity_id)
        return known[entity_id]

    DynamoDbStore.get = get  # type: ignore[method-assign]
    sys.exit(main())
