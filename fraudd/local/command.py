"""``fraudd demo``: runs the local stack and a daemon until Ctrl-C."""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from fraudd.commands.arguments import describe
from fraudd.errors import Misconfigured
from fraudd.local import stack
from fraudd.local.http import is_ready
from fraudd.local.process import Command, running, tail
from fraudd.local.settings import Settings, settings

#: At scale 8, the generator makes 5 million orders and needs 2.5 GB of memory.
_LARGEST_SCALE = 20.0

_DESCRIPTION = (
    "Run all of fraudd on this machine until Ctrl-C: a private MariaDB with demo shops, an AWS"
    " emulator, a trained model, and the daemon. Every server listens on 127.0.0.1 only. Run it in"
    " a checkout, after 'make setup'. It keeps its data in ./.local, so a second start takes"
    " seconds. You can delete this folder at any time."
)

_ENVIRONMENT = """\

environment variables:
  HTTP_PORT     port of the daemon (default: 8080)
  AWS_PORT      port of the AWS emulator (default: 4566)
  MYSQL_PORT    port of the private MariaDB (default: 33306)
  FRAUDD_MYSQL  URL of your own MySQL or MariaDB, which must run with
                --local-infile=1: mysql://user:password@host:port/database
"""

_DAEMON_READY = """
ready: http://127.0.0.1:{port}

  curl -s http://127.0.0.1:{port}/v1/predictions \\
    -H 'Content-Type: application/json' -d '{{"entity_id": "shop-42"}}'

The first answer says "started". Repeat the command to get the score.
The daemon's log is {log}. Ctrl-C stops everything.
"""

_STACK_READY = """
The stack is ready. Start a daemon at http://127.0.0.1:{port}:

  {command}

A second daemon needs another port and its own configuration file:

  sed 's/:{port}/:{other}/' {config} > {second}

Ctrl-C stops the stack.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        _DESCRIPTION,
        examples=[
            "fraudd demo",
            "HTTP_PORT=8090 fraudd demo --scale 0.1",
            "fraudd demo --stack-only",
        ],
    )
    parser.description = f"{parser.description}\n{_ENVIRONMENT}"
    parser.add_argument(
        "--stack-only",
        action="store_true",
        help="start everything except the daemon, and print the command that starts one",
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="FACTOR",
        help="size of the demo platform, up to 20: 1 has about 3,000 shops and 600,000 orders"
        " (default: %(default)g)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="random seed of the demo platform: the same seed makes the same shops"
        " (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo until a signal arrives or the daemon exits."""
    stack_settings = settings(Path.cwd(), scale=arguments.scale, seed=arguments.seed)
    _stop_on_signals()
    try:
        with stack.up(stack_settings) as config:
            if arguments.stack_only:
                print(_stack_ready(stack_settings, config), flush=True)
                signal.pause()
            return _with_daemon(stack_settings, config)
    except KeyboardInterrupt:
        print("stopped")
        return 0


def _stack_ready(stack_settings: Settings, config: Path) -> str:
    return _STACK_READY.format(
        port=stack_settings.http_port,
        other=stack_settings.http_port + 1,
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
        raise argparse.ArgumentTypeError(
            f"{text[:20]}: must be more than 0 and at most {_LARGEST_SCALE:g}"
        )
    return value


def _with_daemon(stack_settings: Settings, config: Path) -> int:
    command = Command(
        name="the daemon",
        arguments=_serve(config),
        environment=None,
        log=stack_settings.state / "fraudd.log",
        is_up=lambda: is_ready(stack_settings.http_port, "/readyz"),
    )
    with running(command) as daemon:
        log = command.log.relative_to(stack_settings.root)
        print(_DAEMON_READY.format(port=stack_settings.http_port, log=log), flush=True)
        status = daemon.wait()
    raise Misconfigured(
        f"the daemon exited with status {status}. Its log {command.log} ends:\n{tail(command.log)}"
    )


def _serve(config: Path) -> list[str]:
    """Return the command that starts a daemon on the stack."""
    program = Path(sys.executable).with_name("fraudd")
    return [_short(program), "serve", "--config", _short(config)]


def _short(path: Path) -> str:
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _stop_on_signals() -> None:
    """Stop on SIGTERM and SIGHUP as on Ctrl-C. A shell makes background jobs ignore Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
