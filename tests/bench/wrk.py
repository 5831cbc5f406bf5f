"""Load by wrk: so many callers, each asking again as soon as it is answered."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fraudd.local import debian

#: Each request is of one of the entities by chance; the figures come as JSON.
_SCRIPT = """\
init = function(args) math.randomseed(os.time()) end
request = function() return wrk.format("GET", "{path}" .. math.random({entities})) end
done = function(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of a turn of load."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


class Wrk:
    """wrk of this machine, else Debian's, unpacked below ``tools``."""

    def __init__(self, tools: Path, folder: Path) -> None:
        self._script = folder / "wrk.lua"
        self._program = shutil.which("wrk")
        self._environment = dict(os.environ)
        if self._program is None:
            packages = [("wrk",), ("libluajit-5.1-2",)]
            usr = debian.unpacked(tools, "wrk", packages, otherwise="install wrk") / "usr"
            self._program = str(usr / "bin" / "wrk")
            libraries = ":".join(str(path) for path in (usr / "lib").glob("*-linux-gnu*"))
            self._environment["LD_LIBRARY_PATH"] = libraries

    def load(self, port: int, path: str, *, entities: int, callers: int, seconds: int) -> Load:
        """Ask for ``path`` with numbers of entities appended. All answers must be 2xx."""
        self._script.write_text(_SCRIPT.format(path=path, entities=entities))
        printed = subprocess.run(
            [
                str(self._program),
                "--threads=1",
                f"--connections={callers}",
                f"--duration={seconds}s",
                f"--script={self._script}",
                f"http://127.0.0.1:{port}",
            ],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        figures = json.loads(printed.splitlines()[-1])
        assert figures["failed"] == 0, f"{figures['failed']} answers were no success:\n{printed}"
        return Load(
            requests=figures["requests"],
            seconds=figures["microseconds"] / 1e6,
            p50_ms=figures["p50"] / 1000,
            p99_ms=figures["p99"] / 1000,
        )
