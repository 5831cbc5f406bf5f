"""Looks results up at a fixed rate, whatever the answers take: a process of its own for benches.

`python -m tests.bench.lookups URL RATE ENTITY...` goes on until its standard input is closed, and
prints a JSON list, of each look-up three numbers: when it was due (seconds of the monotonic clock,
which all processes share), the milliseconds from then until the whole answer was there, and by how
many milliseconds this very process woke up too late for it.
"""

import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import Sequence

import aiohttp

LookUp = tuple[float, float, float]

#: A look-up that takes longer is counted with this.
_LIMIT_SECONDS = 10.0


async def look_up(base: str, rate: float, entities: Sequence[str]) -> list[LookUp]:
    """Look up until standard input is closed."""
    seen: list[LookUp] = []
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    timeout = aiohttp.ClientTimeout(total=_LIMIT_SECONDS)

    async def one(entity: str, due: float, late: float) -> None:
        try:
            async with http.get(f"/v1/predictions/{entity}", timeout=timeout) as answer:
                assert (await answer.json())["status"] == "done", f"{entity} has no result"
        except TimeoutError:
            pass
        seen.append((due, (time.monotonic() - due) * 1000, late * 1000))

    async with aiohttp.ClientSession(base) as http, asyncio.TaskGroup() as group:
        began = time.monotonic()
        for number, entity in enumerate(itertools.cycle(entities)):
            due = began + number / rate
            await asyncio.sleep(due - time.monotonic())
            if over.is_set():
                break
            group.create_task(one(entity, due, time.monotonic() - due))
    return seen


if __name__ == "__main__":
    gc.freeze()
    _, url, rate, *entities = sys.argv
    print(json.dumps(asyncio.run(look_up(url, float(rate), entities))))
