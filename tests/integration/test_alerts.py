"""``config/alerts.yaml`` and ``config/grafana.json``, held to metrics, runbook and promtool."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraudd import DOCS_URL
from tests.stack import programs
from tests.stack.paths import ROOT
from tests.unit.telemetry.test_metrics import collectors

ALERTS = ROOT / "config" / "alerts.yaml"
TESTS = ROOT / "config" / "alerts.test.yaml"
DASHBOARD = ROOT / "config" / "grafana.json"
RUNBOOK = ROOT / "docs" / "operations.md"
#: Where the documents are published.

#: What Prometheus and its client library know by themselves.
FOREIGN = {
    "ALERTS",
    "up",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
}


@cache
def rules() -> Sequence[Mapping[str, Any]]:
    """Every rule."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@cache
def panels() -> Sequence[Mapping[str, Any]]:
    """Every panel of the dashboard that shows something."""
    found = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] not in ("row", "text")]


def queries() -> Sequence[tuple[str, str]]:
    """Every query, and who asks it."""
    of_rules = [(rule["alert"], rule["expr"]) for rule in rules()]
    return of_rules + [
        (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
    ]


def names(query: str) -> set[str]:
    """The metrics that a query asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|ignoring|without) \([^)]*\)", "", query)
    words = re.findall(r"\b[A-Za-z][A-Za-z0-9_]*\b(?!\s*\()", bare)
    return {word for word in words if word.startswith("fraudd_") or word in FOREIGN or "_" in word}


def promtool(*arguments: str | Path) -> None:
    """Run promtool, which must find nothing wrong."""
    done = subprocess.run(
        [programs.prometheus("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool("check", "rules", ALERTS)


def test_every_rule_fires_when_it_must_and_then_alone() -> None:
    promtool("test", "rules", TESTS)


def test_every_rule_is_tested_to_fire_and_to_keep_quiet() -> None:
    tests = yaml.safe_load(TESTS.read_text("utf-8"))["tests"]
    fires: set[str] = set()
    quiet: set[str] = set()
    for test in tests:
        for one in test.get("alert_rule_test", ()):
            (fires if one["exp_alerts"] else quiet).add(one["alertname"])
        for one in test.get("promql_expr_test", ()):
            [alert] = re.findall(r'alertname="(\w+)"', one["expr"])
            (fires if one["exp_samples"] else quiet).add(alert)
    names = {rule["alert"] for rule in rules()}
    assert len(names) == len(rules())
    assert (fires, quiet) == (names, names)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_what_it_means_and_where_to_read_on(
    rule: Mapping[str, Any],
) -> None:
    assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = annotations["runbook_url"].partition("#")
    assert page == f"{DOCS_URL}{RUNBOOK.stem}/"
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert anchor == rule["alert"].lower()
    assert anchor in anchors


@pytest.mark.parametrize(("asker", "query"), queries())
def test_a_query_asks_for_metrics_that_there_are(asker: str, query: str) -> None:
    known = set(collectors()) | FOREIGN
    for name in names(query):
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert base in known or name in known, f"{asker}: {name}"
    assert names(query), query


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    variables = {"$entity": "shop", "$instance": "a", "$__rate_interval": "5m", "$__range": "1h"}
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert len(asked) > 20
    recorded = []
    for number, template in enumerate(asked):
        query = template
        for variable, value in variables.items():
            query = query.replace(variable, value)
        assert "$" not in query
        recorded.append({"record": f"query:{number}", "expr": query})
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", path)


def test_the_dashboard_can_be_pointed_at_any_prometheus_and_any_daemons() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert dashboard["uid"] == "fraudd"
    variables = {one["name"]: one["type"] for one in dashboard["templating"]["list"]}
    assert variables == {"datasource": "datasource", "entity": "query", "instance": "query"}
    for panel in panels():
        assert panel["datasource"]["uid"] == "$datasource", panel["title"]
        assert panel["description"], panel["title"]
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
