"""Prometheus' own tools, unpacked from Debian's package below ``.tools``: nobody needs be root."""

from pathlib import Path

from fraudd.local import debian
from tests.conftest import ROOT


def program(name: str) -> Path:
    """Give ``promtool`` or ``prometheus``, fetched the first time."""
    folder = debian.unpacked(
        ROOT / ".tools",
        "prometheus",
        [("prometheus",)],
        otherwise="unpack Prometheus 2.42 or newer into .tools/prometheus, as usr/bin/promtool",
    )
    return folder / "usr" / "bin" / name


if __name__ == "__main__":
    print(program("promtool"))
