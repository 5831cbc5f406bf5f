"""Folders and programs of this checkout."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The `fraudd` command that is installed beside the interpreter.
FRAUDD = str(Path(sys.executable).with_name("fraudd"))
