"""Programs of others, unpacked from Debian's packages below ``.tools``: nobody needs be root."""

from pathlib import Path

from fraudd.local import debian, mariadb

TOOLS = Path(__file__).parents[2] / ".tools"


def prometheus(name: str) -> Path:
    """Give ``promtool`` or ``prometheus``, fetched the first time."""
    folder = debian.unpacked(
        TOOLS,
        "prometheus",
        [("prometheus",)],
        otherwise="unpack Prometheus 2.42 or newer into .tools/prometheus, as usr/bin/promtool",
    )
    return folder / "usr" / "bin" / name


if __name__ == "__main__":
    # Before several processes need them: each of them would fetch its own.
    print(mariadb.find(TOOLS).server, prometheus("promtool"))
