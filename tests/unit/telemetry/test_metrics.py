"""The list of metrics in ``docs/reference.md``, held to the registry in both directions."""

import re
from collections.abc import Mapping
from functools import cache
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from fraudd.daemon.gauges import Gauges
from fraudd.engine.settlement import Outcome
from fraudd.telemetry.metrics import Metrics
from tests.documents.sources import REFERENCE, quoted, table
from tests.unit.daemon.snapshots import SERVING

#: What a number counts or measures, in Prometheus' base units; or nothing: a count of what is now.
SUFFIXES = {"counter": "_total", "info": "_info"}


@cache
def collectors() -> Mapping[str, tuple[str, set[str]]]:
    """The help text and the labels of each metric of a daemon, by the name in a query."""
    moved = [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    declared = {
        f"{metric._name}{SUFFIXES.get(str(metric._type), '')}": (
            metric._documentation,
            set(metric._labelnames),
        )
        for metric in moved
    }
    shown = {
        f"{family.name}{SUFFIXES.get(family.type, '')}": (family.documentation, _labels(family))
        for family in Gauges(lambda: SERVING).collect()
    }
    assert not declared.keys() & shown.keys()
    return declared | shown


def _labels(family: Metric) -> set[str]:
    [labels] = {frozenset(sample.labels) for sample in family.samples}
    return set(labels)


def listed() -> Mapping[str, tuple[str, set[str]]]:
    """The meaning and the labels of each metric that the reference lists."""
    rows = table("Metrics")
    metrics = {
        quoted(name)[0]: (meaning.replace("`", ""), set(quoted(labels)))
        for name, labels, meaning in rows
    }
    assert len(metrics) == len(rows), "one metric a row, and none twice"
    return metrics


def test_every_metric_is_listed_and_every_one_listed_is_there() -> None:
    assert collectors().keys() == listed().keys()


def test_labels_are_as_listed() -> None:
    for name, (_, labels) in collectors().items():
        assert labels == listed()[name][1], name


def test_the_help_text_is_the_meaning_in_the_reference() -> None:
    for name, (text, _) in collectors().items():
        assert text == listed()[name][0], name


def test_units_are_prometheus_base_units() -> None:
    for name in collectors():
        assert name.startswith("fraudd_")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kilobytes|percent)(_|$)", name)


def test_outcomes_that_alerts_look_at_are_there_from_the_start() -> None:
    exposition = Metrics().exposition().decode()
    assert 'fraudd_messages_total{outcome="done"} 0.0' in exposition
    assert 'fraudd_messages_total{outcome="failed"} 0.0' in exposition


def test_every_outcome_of_a_message_is_explained() -> None:
    _, _, after = REFERENCE.read_text("utf-8").partition("\n| outcome | meaning |\n")
    rows, _, _ = after.partition("\n\n")
    assert re.findall(r"^\| `(\w+)` \| \S+ .+\. \|$", rows, re.MULTILINE) == [*get_args(Outcome)]


def test_a_scrape_has_counters_and_gauges() -> None:
    metrics = Metrics()
    metrics.registry.register(Gauges(lambda: SERVING))
    exposition = metrics.exposition().decode()
    for name, (text, _) in collectors().items():
        assert f"# HELP {name} {text}\n" in exposition, name
    assert isinstance(metrics.registry, CollectorRegistry)
