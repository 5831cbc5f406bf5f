"""A message that this daemon received twice, while the job that has it ends."""

import asyncio
from types import SimpleNamespace
from typing import Any

from fraudd.engine.claims import Claims


def test_a_hand_over_to_a_job_that_ends_meanwhile_releases_the_message() -> None:
    released: list[float] = []

    async def release_message(lease: object, *, seconds: float) -> None:
        released.append(seconds)

    parts: dict[str, Any] = dict.fromkeys(
        ["patient", "prompt", "intake", "guard", "clock", "limits"], None
    )
    settlement: Any = SimpleNamespace(release_message=release_message)
    claims = Claims(settlement=settlement, **parts)
    message = SimpleNamespace(message_id="m")
    first: Any = SimpleNamespace(message=message)
    holding = claims.holding(first)
    holding.__enter__()

    async def stop() -> None:
        holding.__exit__(None, None, None)

    second: Any = SimpleNamespace(message=message, stop=stop)
    assert asyncio.run(claims._hand_over(second)) == "released_before_run"
    assert released == [0]
