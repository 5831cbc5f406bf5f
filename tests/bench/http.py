"""Look-ups by HTTP, fraudd against one GetItem a request: `make bench-http` (six minutes).

Compares, in turns and each alone under load: the daemon; a plain aiohttp and aiobotocore handler
with one GetItem a request; the daemon with its records in memory; a bare aiohttp route. DynamoDB is
a stand-in that costs next to nothing (`table.py`), at no distance, and a few milliseconds away as
in AWS. The server under load has the first CPU for itself where there are two, load and table the
others. Prints a table, draws a plot, and ends with status 1 where a target is missed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fraudd.aws.session import AwsTerms, open_clients
from fraudd.clock import SystemClock
from fraudd.config import load
from fraudd.local import stack
from fraudd.local.process import Command, answers, running
from fraudd.local.settings import Settings
from tests.bench import http_report, stage
from tests.bench.http_report import Turn
from tests.bench.wrk import Wrk
from tests.stack.paths import ROOT
from tests.stack.workers import free_port

ENTITIES = 1000
CALLERS = (1, 8, 32, 128, 256)
SECONDS = 1
TURNS = 5
#: How far DynamoDB is away: at no distance CPU alone counts; a few milliseconds are AWS's own.
DELAYS_MS = (0, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What is put under load."""

    name: str
    pid: int
    port: int
    path: str


def main() -> None:
    """Measure, print a table, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--callers", type=int, nargs="+", default=list(CALLERS))
    parser.add_argument("--delays-ms", type=int, nargs="+", default=list(DELAYS_MS))
    parser.add_argument("--plot", type=Path, help="write the plot there, as SVG")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fraudd-http-") as name:
        folder = Path(name)
        settings = stage.settings(folder, scale=0.05, seed=1)
        wrk = Wrk(ROOT / ".tools", folder)
        with stack.up(settings) as config:
            items = _items(settings, config)
            turned: list[Turn] = []
            for delay_ms in arguments.delays_ms:
                with _servers(settings, config, items, delay_ms) as servers:
                    turned += _measure(wrk, servers, arguments.callers, arguments.turns, delay_ms)
    print(http_report.table(turned))
    if arguments.plot:
        arguments.plot.write_text(http_report.plot(turned))
    sys.exit(http_report.judge(turned))


def _items(settings: Settings, config: Path) -> Path:
    """Score a demo shop, and give its record to a thousand names."""
    shop = (settings.state / "labels-now.csv").read_text().split()[1].partition(",")[0]
    with stage.daemon(settings, config):
        item = asyncio.run(_scored_item(settings, config, shop))
    path = settings.state / "items.json"
    names = [f"shop-{number}" for number in range(1, ENTITIES + 1)]
    path.write_text(json.dumps({name: item | {"entity_id": {"S": name}} for name in names}))
    return path


async def _scored_item(settings: Settings, config: Path, shop: str) -> dict[str, Any]:
    base = f"http://127.0.0.1:{settings.http_port}"
    async with aiohttp.ClientSession(base) as http:
        async with http.post("/v1/predictions", json={"entity_id": shop}):
            pass
        body: dict[str, Any] = {}
        while body.get("status") != "done":
            await asyncio.sleep(0.1)
            async with http.get(f"/v1/predictions/{shop}") as answer:
                body = await answer.json()
            assert body["status"] != "failed", body
    terms = AwsTerms(
        region="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{settings.aws_port}",
        connect_timeout_seconds=2.0,
        read_timeout_seconds=10.0,
        max_connections=1,
        poll_seconds=1.0,
    )
    async with open_clients(terms, lambda _: None, SystemClock()) as clients:
        stored = await clients.dynamodb.get_item(
            TableName=load(config).results.table, Key={"entity_id": {"S": shop}}
        )
    return dict(stored["Item"])


@contextmanager
def _servers(
    settings: Settings, config: Path, items: Path, delay_ms: int
) -> Iterator[list[Server]]:
    """Start the table, and what reads from it."""
    table_port, plain_port, memory_port = free_port(), free_port(), free_port()
    endpoint = f"http://127.0.0.1:{table_port}"
    paths = {}
    for name, port in (("daemon", settings.http_port), ("memory", memory_port)):
        paths[name] = config.with_name(f"{name}.toml")
        paths[name].write_text(
            config.read_text()
            .replace(f"127.0.0.1:{settings.http_port}", f"127.0.0.1:{port}")
            .replace(f"http://127.0.0.1:{settings.aws_port}", endpoint, 1)
        )
    table = ("tests.bench.table", table_port, settings.aws_port, items, delay_ms)
    plain = ("tests.bench.plain_handler", plain_port, endpoint, load(config).results.table)
    memory = ("tests.bench.from_memory", "serve", "--config", paths["memory"])
    with contextlib.ExitStack() as entered:

        def start(arguments: tuple[object, ...], port: int, *, first_cpu: bool) -> int:
            command = _module(arguments, settings.state, port)
            pid = entered.enter_context(running(command)).pid
            _pin(pid, first=first_cpu)
            return pid

        start(table, table_port, first_cpu=False)
        daemon_pid = entered.enter_context(stage.daemon(settings, paths["daemon"])).pid
        _pin(daemon_pid, first=True)
        memory_pid = start(memory, memory_port, first_cpu=True)
        plain_pid = start(plain, plain_port, first_cpu=True)
        look_up = "/v1/predictions/shop-"
        _pin(0, first=False)
        yield [
            Server(name="fraudd", pid=daemon_pid, port=settings.http_port, path=look_up),
            Server(name="plain", pid=plain_pid, port=plain_port, path=look_up),
            Server(name="tuned", pid=plain_pid, port=plain_port, path="/tuned/shop-"),
            Server(name="memory", pid=memory_pid, port=memory_port, path=look_up),
            Server(name="bare", pid=plain_pid, port=plain_port, path="/bare/shop-"),
        ]
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _module(arguments: tuple[object, ...], folder: Path, port: int) -> Command:
    """Say how to start a module of the benches that listens on a port."""
    name = str(arguments[0])
    return Command(
        name=name,
        arguments=[sys.executable, "-m", *map(str, arguments)],
        environment=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        log=folder / f"{name}.log",
        is_up=lambda: answers(port),
    )


def _measure(
    wrk: Wrk, servers: list[Server], callers: list[int], turns: int, delay_ms: int
) -> list[Turn]:
    """Turns, because a machine that does other things too is never the same machine for long."""
    _same_bodies(servers)
    for server in servers:  # each record is read once by the one that remembers them
        wrk.load(server.port, server.path, entities=ENTITIES, callers=32, seconds=2)
    turned = []
    for turn in range(turns):
        for number in callers:
            for server in servers:
                before = _cpu_seconds(server.pid)
                load = wrk.load(
                    server.port, server.path, entities=ENTITIES, callers=number, seconds=SECONDS
                )
                used = _cpu_seconds(server.pid) - before
                turned.append(
                    Turn(
                        number=turn,
                        delay_ms=delay_ms,
                        server=server.name,
                        callers=number,
                        per_second=load.requests / load.seconds,
                        p50_ms=load.p50_ms,
                        p99_ms=load.p99_ms,
                        cpu_us=used / load.requests * 1e6,
                    )
                )
    return turned


def _same_bodies(servers: list[Server]) -> None:
    """See that who is compared answers the same."""
    bodies = []
    for server in servers[:4]:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.path}7") as answer:
            bodies.append(json.load(answer))
    assert all(body == bodies[0] for body in bodies), bodies


def _pin(pid: int, *, first: bool) -> None:
    """Give a process the first CPU, or all others, where there are several."""
    cpus = sorted(os.sched_getaffinity(pid))
    if len(cpus) > 1:
        for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus[:1] if first else cpus[1:])


def _cpu_seconds(pid: int) -> float:
    """What a process has used, in user and kernel mode: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
