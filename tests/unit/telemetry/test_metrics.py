"""The list of metrics in ``docs/reference.md``, held to the registry in both directions."""

import re
from collections.abc import Mapping
from inspect import signature

from prometheus_client.metrics import MetricWrapperBase

from fraudd.telemetry.metrics import Metrics
from tests.sources import quoted, table

#: What a number counts or measures, in Prometheus' base units; or nothing: a count of what is now.
SUFFIXES = {"counter": "_total", "info": "_info"}


def collectors() -> Mapping[str, MetricWrapperBase]:
    """The metrics of the registry, by the name they are asked for by."""
    held = [one for one in vars(Metrics()).values() if isinstance(one, MetricWrapperBase)]
    return {f"{one._name}{SUFFIXES.get(str(one._type), '')}": one for one in held}


def listed() -> Mapping[str, set[str]]:
    """The labels of each metric that the reference lists."""
    rows = table("Metrics")
    found = {quoted(name)[0]: set(quoted(labels)) for name, labels, _ in rows}
    assert len(found) == len(rows), "one metric a row, and none twice"
    return found


def test_every_metric_is_listed_and_every_one_listed_is_there() -> None:
    assert collectors().keys() == listed().keys()


def test_labels_are_as_listed() -> None:
    # Given with its value, not before.
    info = {"fraudd_info": {"version", *signature(Metrics.describe).parameters} - {"self"}}
    labels = {name: set(one._labelnames) for name, one in collectors().items()}
    assert labels | info == listed()


def test_units_are_prometheus_base_units() -> None:
    for name in collectors():
        assert name.startswith("fraudd_")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kilobytes|percent)(_|$)", name)


def test_outcomes_that_alerts_look_at_are_there_from_the_start() -> None:
    told = Metrics().exposition().decode()
    assert 'fraudd_messages_total{outcome="done"} 0.0' in told
    assert 'fraudd_messages_total{outcome="failed"} 0.0' in told
