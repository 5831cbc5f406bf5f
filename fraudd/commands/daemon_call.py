"""A call of a daemon from a subcommand, and its output."""

import argparse
import asyncio
import json
import signal
from collections.abc import Awaitable, Callable

from fraudd.client import Client, Prediction, Problem
from fraudd.commands.terminal import say
from fraudd.prediction.formats import rfc3339

#: A person waits at the terminal. A daemon that restarts is back within this time.
_TIMEOUT_SECONDS = 10.0
#: A shell reports this status for a process that SIGINT ended.
INTERRUPTED = 130


def call(
    arguments: argparse.Namespace,
    work: Callable[[Client], Awaitable[int]],
    *,
    timeout: float = _TIMEOUT_SECONDS,
) -> int:
    """Do work with a client, and return its exit status: 1 for a problem, 2 for wrong usage."""
    try:
        token = arguments.token_file and arguments.token_file.read_text("utf-8-sig").strip()
        client = Client(arguments.url, token=token, timeout=timeout)
    except OSError as error:
        say(f"--token-file: cannot read {arguments.token_file}: {error.strerror}")
        return 2
    except UnicodeDecodeError:
        say(f"--token-file: {arguments.token_file} is not text")
        return 2
    except ValueError as error:
        say(str(error))
        return 2

    try:
        return asyncio.run(_interruptible(client, work))
    except Problem as problem:
        say(str(problem))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


async def _interruptible(client: Client, work: Callable[[Client], Awaitable[int]]) -> int:
    # A shell makes background processes ignore SIGINT. A handler of our own still receives it.
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    async with client:
        return await work(client)


def show(prediction: Prediction, *, as_json: bool) -> None:
    """Print a prediction."""
    print(json.dumps(prediction.body) if as_json else describe(prediction), flush=True)


def describe(prediction: Prediction) -> str:
    """Describe a prediction: one line, and one line for each reason."""
    line = f"{prediction.entity_id}  {prediction.status}"
    if prediction.pending and prediction.estimated_seconds is not None:
        line += f", about {prediction.estimated_seconds} s left"
    if prediction.error is not None:
        line += f"  {prediction.error.type}: {prediction.error.detail}"
    if (result := prediction.result) is None:
        return line
    as_of = rfc3339(round(result.as_of.timestamp() * 1000))
    reasons = (f"  {reason.contribution:+.2f}  {reason.text}" for reason in result.reasons)
    score = f"  {result.score:.4f} {result.decision}  as of {as_of} by model {result.model}"
    return "\n".join([line + score, *reasons])
