"""The configuration file: read whole, checked whole, every problem reported at once."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from fraudd.config.problems import complaint
from fraudd.config.schema import Config
from fraudd.errors import Misconfigured

__all__ = ("Config", "load")


def load(path: Path) -> Config:
    """Read a configuration file; relative paths in it are relative to its folder.

    Raises ``Misconfigured`` with all that is wrong: file, line where it can be told, key, remedy.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path}: not TOML: {error}") from None
    try:
        return Config.model_validate(values, context=path.absolute().parent)
    except ValidationError as error:
        problems = [complaint(path, text, detail, Config) for detail in error.errors()]
        raise Misconfigured(*problems) from None
