"""The configuration file. ``load`` reports all problems at once."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from fraudd.config.problems import problem
from fraudd.config.schema import Config
from fraudd.errors import Misconfigured

__all__ = ("Config", "load")


def load(path: Path) -> Config:
    """Read a configuration file. Relative paths in it are relative to its folder.

    Raises ``Misconfigured`` with every problem: file, line if known, key, and remedy.
    """
    try:
        text = path.read_text("utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path}: not TOML: {error}") from None
    try:
        return Config.model_validate(values, context=path.absolute().parent)
    except ValidationError as error:
        problems = [problem(path, text, detail, Config) for detail in error.errors()]
        raise Misconfigured(*problems) from None
