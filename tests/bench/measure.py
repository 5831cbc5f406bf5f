"""The main job in figures, on the full demo platform: `make measure` (about three minutes).

Starts a stack and a daemon of its own, asks for every shop over HTTP, and prints how well the
scores separate, what the burst cost, how many connections there were at most, memory.
"""

import argparse
import asyncio
import csv
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import aiomysql
import numpy as np

from fraudd.local import stack
from fraudd.local.settings import Settings
from fraudd.scoring.training.evaluation import average_precision, roc_auc
from tests.bench import stage

BURST = 300


def main() -> None:
    """Measure, and print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the demo platform")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fraudd-measure-") as folder:
        settings = stage.settings(Path(folder), scale=arguments.scale, seed=arguments.seed)
        with stack.up(settings) as config, stage.daemon(settings, config) as daemon:
            figures = asyncio.run(_measure(settings, daemon.pid))
    print(json.dumps(figures, indent=2))


async def _measure(settings: Settings, pid: int) -> dict[str, Any]:
    labels = _labels(settings.state / "labels-now.csv")
    base = f"http://127.0.0.1:{settings.http_port}"
    connector = aiohttp.TCPConnector(limit=50)
    async with aiohttp.ClientSession(base, connector=connector) as http:
        await asyncio.sleep(2.0)  # at rest
        figures: dict[str, Any] = {"rss_idle_mb": _rss_mb(pid)}
        figures |= await _burst(settings, http, list(labels)[:BURST])
        figures["rss_busy_mb"] = _rss_mb(pid)
        figures |= await _separation(http, labels)
        async with http.get("/v1/status") as answer:
            figures["dead_lettered"] = (await answer.json())["queue"]["dead_lettered"]
    return figures


async def _burst(
    settings: Settings, http: aiohttp.ClientSession, shops: list[str]
) -> dict[str, Any]:
    before = await stage.counters(http)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        most = group.create_task(_most_connections(settings, until := asyncio.Event()))
        bodies = await _scored(http, shops)
        until.set()
    seconds = time.perf_counter() - began
    after = await stage.counters(http)
    calls = {
        name.partition('operation="')[2].rstrip('"}'): after[name] - before.get(name, 0)
        for name in after
        if name.startswith("fraudd_aws_calls_total")
    }
    looked_up = 0.0  # GetItem of the GETs that this very measurement polls with
    for name in after:
        if name.startswith("fraudd_http_request_seconds_count") and 'method="GET"' in name:
            looked_up += (after[name] - before.get(name, 0)) * ("predictions" in name)
    return {
        "burst": len(shops),
        "burst_done": sum(body["status"] == "done" for body in bodies.values()),
        "burst_seconds": round(seconds, 2),
        "burst_database_seconds": round(
            sum(body["result"]["timing_ms"]["database"] for body in bodies.values()) / 1000, 2
        ),
        "burst_most_connections": most.result(),
        "aws_calls_per_prediction": round((sum(calls.values()) - looked_up) / len(shops), 3),
        "aws_calls": {name: count for name, count in sorted(calls.items()) if count},
        "aws_calls_of_polling_get": looked_up,
    }


async def _separation(http: aiohttp.ClientSession, labels: dict[str, bool]) -> dict[str, Any]:
    began = time.perf_counter()
    bodies = await _scored(http, list(labels))
    seconds = time.perf_counter() - began
    truth = np.array(list(labels.values()))
    scores = np.array([bodies[shop]["result"]["score"] for shop in labels])
    rate = float(truth.mean())
    precision = average_precision(truth, scores)
    return {
        "shops": len(labels),
        "seconds": round(seconds, 1),
        "fraud_rate": round(rate, 4),
        "auc": round(roc_auc(truth, scores), 4),
        "average_precision": round(precision, 4),
        "average_precision_over_rate": round(precision / rate, 1),
        "decisions": {
            decision: [
                sum(1 for s in labels if bodies[s]["result"]["decision"] == decision and labels[s]),
                sum(1 for s in labels if bodies[s]["result"]["decision"] == decision),
            ]
            for decision in ("block", "review", "approve")
        },
    }


async def _scored(http: aiohttp.ClientSession, shops: list[str]) -> dict[str, Any]:
    """Ask for all at once, and wait for all."""
    bodies: dict[str, Any] = {}

    async def one(shop: str) -> None:
        async with http.post("/v1/predictions", json={"entity_id": shop}) as answer:
            body, headers = await answer.json(), answer.headers
        while body["status"] in ("started", "calculating"):
            await asyncio.sleep(min(int(headers["Retry-After"]), 3))
            async with http.get(f"/v1/predictions/{shop}") as answer:
                body, headers = await answer.json(), answer.headers
        bodies[shop] = body

    async with asyncio.TaskGroup() as group:
        for shop in shops:
            group.create_task(one(shop))
    return bodies


async def _most_connections(settings: Settings, until: asyncio.Event) -> int:
    """Sample the server's process list every 50 ms; rows being torn down do not count."""
    connection = await aiomysql.connect(host="127.0.0.1", port=settings.mysql_port, user="root")
    most = 0
    async with connection.cursor() as cursor:
        while not until.is_set():
            await cursor.execute("SHOW PROCESSLIST")
            rows = await cursor.fetchall()
            most = max(most, sum(row[1] == "fraudd" and row[4] != "Killed" for row in rows))
            await asyncio.sleep(0.05)
    await connection.ensure_closed()
    return most


def _labels(path: Path) -> dict[str, bool]:
    with path.open() as lines:
        return {row["entity_id"]: row["label"] == "1" for row in csv.DictReader(lines)}


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    main()
