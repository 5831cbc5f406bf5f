"""Servers on this machine are reached without the proxy of the environment."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fraudd.local.http import is_ready


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert is_ready(server.server_port, "/readyz")
        assert not is_ready(server.server_port, "/starting")
        server.shutdown()
        thread.join()
