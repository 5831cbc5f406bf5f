"""What the subcommands have in common that call a daemon."""

import argparse
import asyncio
import json
import math
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from fraudd.client import Client, Prediction, Problem
from fraudd.prediction.formats import rfc3339

#: Somebody sits and waits; a daemon that is started anew is back sooner.
_PATIENCE_SECONDS = 10.0
#: The shell's status of what SIGINT ended.
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every one of them takes."""
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", help="the daemon (default: %(default)s)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a file with nothing but the token"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, a line each")


def seconds(text: str) -> float:
    """Take a number of seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be seconds, 0 or more")
    return value


def call(
    arguments: argparse.Namespace,
    work: Callable[[Client], Awaitable[int]],
    *,
    timeout: float = _PATIENCE_SECONDS,
) -> int:
    """Do work with a client; gives its exit status, 1 for a problem, 2 for wrong arguments."""
    try:
        token = arguments.token_file and arguments.token_file.read_text("utf-8").strip()
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

    async def within() -> int:
        # A shell has what it starts in the background ignore SIGINT; we were asked all the same.
        task = asyncio.current_task()
        assert task is not None, "we are one"
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        async with client:
            return await work(client)

    try:
        return asyncio.run(within())
    except Problem as problem:
        say(str(problem))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


def say(text: str) -> None:
    """Tell on standard error, where it is no answer."""
    print(f"fraudd: {text}", file=sys.stderr, flush=True)


def show(prediction: Prediction, *, as_json: bool) -> None:
    """Print a prediction."""
    print(json.dumps(prediction.body) if as_json else described(prediction), flush=True)


def described(prediction: Prediction) -> str:
    """Describe a prediction in a line, and a line for each reason."""
    line = f"{prediction.entity_id}  {prediction.status}"
    if prediction.pending and prediction.estimated_seconds is not None:
        line += f", about {prediction.estimated_seconds} s to go"
    if prediction.error is not None:
        line += f"  {prediction.error.type}: {prediction.error.detail}"
    if (result := prediction.result) is None:
        return line
    as_of = rfc3339(round(result.as_of.timestamp() * 1000))
    reasons = (f"  {reason.contribution:+.2f}  {reason.text}" for reason in result.reasons)
    scored = f"  {result.score:.4f} {result.decision}  as of {as_of} by model {result.model}"
    return "\n".join([line + scored, *reasons])
