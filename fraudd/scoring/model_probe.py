"""Loads a model in a process of its own, which may crash.

xgboost crashes or hangs on some truncated files. We truncated a model of 9 kB at 200 lengths: 14 of
the files did this.
"""

import signal
import subprocess
import sys

import numpy as np
import xgboost

#: Start and imports take half a second if a core is free. Reading takes no time.
_MAX_SECONDS = 20.0


def crash_of(content: bytes) -> str | None:
    """Describe how a process crashes that reads this model, or return None. Takes a second."""
    try:
        # -P: Python imports nothing from the working directory.
        process = subprocess.run(  # the same Python and package
            [sys.executable, "-P", "-m", "fraudd.scoring.model_probe"],
            input=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {_MAX_SECONDS:g} s"
    if process.returncode < 0:
        return f"crashed: {signal.Signals(-process.returncode).name}"
    return None if process.returncode == 0 else f"exited with status {process.returncode}"


def _load_and_predict(content: bytes) -> None:
    """Read a model and score an empty row. An error is no crash: the daemon reports it."""
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(content))
        names = booster.feature_names or []
        row = np.full((1, len(names)), np.nan)
        booster.predict(xgboost.DMatrix(row, feature_names=names, nthread=1))
    except (xgboost.core.XGBoostError, UnicodeDecodeError):
        return


if __name__ == "__main__":
    _load_and_predict(sys.stdin.buffer.read())
