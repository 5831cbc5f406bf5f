"""Secrets from systemd credentials and files."""

import os
from pathlib import Path

from fraudd.errors import Misconfigured


def credential(name: str | None) -> str:
    """Read a secret from systemd's credentials directory, or from a path. No name: empty.

    Raises ``Misconfigured`` with the path.
    """
    if name is None:
        return ""
    path = credential_path(name)
    try:
        secret = path.read_text("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise Misconfigured(f"credential {name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"credential {name}: {path} is not UTF-8 text") from None
    if not secret and "/" not in name:
        # The unit sets an empty credential if the file does not exist.
        raise Misconfigured(
            f"credential {name}: empty. Write the secret into the file of LoadCredential={name}: in"
            " the unit, then restart"
        )
    return secret


def credential_path(name: str) -> Path:
    """Return the path of a secret. Raises ``Misconfigured`` without systemd's directory."""
    if "/" in name:
        return Path(name)
    if (directory := os.environ.get("CREDENTIALS_DIRECTORY")) is not None:
        return Path(directory) / name
    raise Misconfigured(
        f"credential {name}: $CREDENTIALS_DIRECTORY is not set. Run under systemd with"
        f" LoadCredential={name}:/path, or set the path of a file"
    )


def set_credentials_directory(path: Path) -> None:
    """Read credentials from a folder, as systemd would hand them over to the service."""
    os.environ["CREDENTIALS_DIRECTORY"] = str(path)
