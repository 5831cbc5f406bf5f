"""``fraudd demo``: the local stack and the daemon on it, until Ctrl-C."""

import argparse
import shlex
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from fraudd.commands.arguments import describe
from fraudd.errors import Misconfigured
from fraudd.local import stack
from fraudd.local.process import Command, running, tail
from fraudd.local.settings import Settings, settings

#: Eight is 5 million orders and 2.5 GB of memory while they are made.
_LARGEST_SCALE = 20.0

_DAEMON_READY = """
ready: http://127.0.0.1:{port}

  curl -s http://127.0.0.1:{port}/v1/predictions \\
    -H 'Content-Type: application/json' -d '{{"entity_id": "shop-42"}}'

The first answer says "started"; ask again for the score. The daemon's log is {log}.
Ctrl-C stops everything.
"""

_STACK_READY = """
ready for daemons. One at http://127.0.0.1:{port}:

  {command}

Another one listens elsewhere: sed 's/:{port}/:{other}/' {config} > {second}

Ctrl-C stops the stack.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Bring up a private MariaDB with demo shops, an AWS emulator, a trained model"
        " and the daemon, on loopback only; Ctrl-C stops all of it. HTTP_PORT, AWS_PORT and"
        " MYSQL_PORT change the ports; FRAUDD_MYSQL=mysql://user:password@host:port/database"
        " takes a MySQL or MariaDB of your own, started with --local-infile=1. Runs in a checkout"
        " and keeps its state in ./.local.",
        examples=[
            "fraudd demo",
            "HTTP_PORT=8090 fraudd demo --scale 0.1",
            "fraudd demo --stack-only",
        ],
    )
    parser.add_argument(
        "--stack-only", action="store_true", help="leave the daemon out, to start it by hand"
    )
    parser.add_argument(
        "--scale", type=_scale, default=1.0, help="size of the demo platform (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the platform (default: 1)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out: until a signal, or until the daemon ends by itself."""
    given = settings(Path.cwd(), scale=arguments.scale, seed=arguments.seed)
    _be_interrupted_by_signals()
    try:
        with stack.up(given) as config:
            if arguments.stack_only:
                print(_stack_ready(given, config), flush=True)
                signal.pause()
            return _with_daemon(given, config)
    except KeyboardInterrupt:
        print("stopped")
        return 0


def _stack_ready(given: Settings, config: Path) -> str:
    return _STACK_READY.format(
        port=given.http_port,
        other=given.http_port + 1,
        command=shlex.join(_serve(config)),
        config=_short(config),
        second=_short(config.with_name("second.toml")),
    )


def _scale(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _LARGEST_SCALE:
        raise argparse.ArgumentTypeError(f"{text[:20]}: more than 0, {_LARGEST_SCALE:g} at most")
    return value


def _with_daemon(given: Settings, config: Path) -> int:
    command = Command(
        name="the daemon",
        arguments=_serve(config),
        environment=None,
        log=given.state / "fraudd.log",
        is_up=lambda: _ready(given.http_port),
    )
    with running(command) as daemon:
        log = command.log.relative_to(given.root)
        print(_DAEMON_READY.format(port=given.http_port, log=log), flush=True)
        status = daemon.wait()
    raise Misconfigured(f"the daemon ended with status {status}:\n{tail(command.log)}")


def _serve(config: Path) -> list[str]:
    """The command that starts a daemon on the stack: the shipped one, with another file."""
    program = Path(sys.executable).with_name("fraudd")
    return [_short(program), "serve", "--config", _short(config)]


def _short(path: Path) -> str:
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _be_interrupted_by_signals() -> None:
    """Take SIGTERM and SIGHUP as Ctrl-C, which a shell lets background processes ignore."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
