"""Asks a server on this machine whether it is ready."""

import urllib.error
import urllib.request

#: A proxy of the environment cannot reach 127.0.0.1 of this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_ready(port: int, path: str) -> bool:
    """Return whether a GET of ``path`` on 127.0.0.1 is answered with 200 within a second."""
    try:
        with _opener.open(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
