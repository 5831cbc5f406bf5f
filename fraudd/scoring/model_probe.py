"""Whether a process survives a model: found out by one that may die.

xgboost ends the process that reads some files which were cut off, or never comes back: of 200
lengths that a model of 9 kB was cut to, 14 did one or the other.
"""

import signal
import subprocess
import sys

import numpy as np
import xgboost

#: All of it is start and imports, half a second where a core is free.
_MAX_SECONDS = 20.0


def crash_of(content: bytes) -> str | None:
    """Say how a process ends that reads this model; None where it survives. Takes a second."""
    try:
        # -P: nothing in the working directory is taken for a module.
        ended = subprocess.run(  # this very program
            [sys.executable, "-P", "-m", "fraudd.scoring.model_probe"],
            input=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {_MAX_SECONDS:g} s"
    if ended.returncode < 0:
        return f"ends in {signal.Signals(-ended.returncode).name}"
    return None if ended.returncode == 0 else f"ends with status {ended.returncode}"


def _survive(content: bytes) -> None:
    """Read a model and score nothing with it; what is merely refused is for others to tell."""
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(content))
        names = booster.feature_names or []
        row = np.full((1, len(names)), np.nan)
        booster.predict(xgboost.DMatrix(row, feature_names=names, nthread=1))
    except (xgboost.core.XGBoostError, UnicodeDecodeError):
        return


if __name__ == "__main__":
    _survive(sys.stdin.buffer.read())
