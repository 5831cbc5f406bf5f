"""Secrets: systemd credentials and files. No other module reads the process's environment."""

import os
from pathlib import Path

from fraudd.errors import Misconfigured


def credential(name: str | None) -> str:
    """Read a secret: a file of that name in systemd's credentials directory, or a file path.

    No name is an empty secret. Raises ``Misconfigured`` that names where it looked.
    """
    if name is None:
        return ""
    path = credential_path(name)
    try:
        secret = path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise Misconfigured(f"credential {name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"credential {name}: {path} is not a text in UTF-8") from None
    if not secret and "/" not in name:
        # The unit puts an empty one in the place of a file that is not there.
        raise Misconfigured(
            f"credential {name}: empty; put it into the file that LoadCredential={name}: of the"
            " unit names, and start again"
        )
    return secret


def credential_path(name: str) -> Path:
    """Say where a secret is. Raises ``Misconfigured`` where systemd does not say it."""
    if "/" in name:
        return Path(name)
    if (directory := os.environ.get("CREDENTIALS_DIRECTORY")) is not None:
        return Path(directory) / name
    raise Misconfigured(
        f"credential {name}: $CREDENTIALS_DIRECTORY is not set; run under systemd with"
        f" LoadCredential={name}:/path, or name a file by its path"
    )
