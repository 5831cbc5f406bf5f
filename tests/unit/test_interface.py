"""Names in interfaces: a change since the last release stands in the CHANGELOG."""

import json

from tests.interface import RELEASED, names
from tests.stack.paths import ROOT


def test_every_name_that_changed_since_the_release_is_in_the_changelog() -> None:
    _, _, after = (ROOT / "CHANGELOG.md").read_text("utf-8").partition("## Unreleased\n")
    unreleased, _, _ = after.partition("\n## ")
    released = json.loads(RELEASED.read_text("utf-8"))
    missing = [
        f"{interface}: {name}"
        for interface, now in names().items()
        for name in sorted(set(now) ^ set(released[interface]))
        if name.rsplit(" ", 1)[-1] not in unreleased
    ]
    assert not missing, "add a line under Unreleased that names them"
