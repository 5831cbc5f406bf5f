"""What passes between systemd and the service."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraudd.daemon import systemd
from fraudd.daemon.systemd import notify, passed_socket, watchdog_seconds
from fraudd.errors import Misconfigured


def test_the_service_manager_is_told_over_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1", "STATUS=serving")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"


def test_an_abstract_socket_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0fraudd-test-notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "@fraudd-test-notify")
        notify("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_a_manager_that_does_not_listen_or_is_overrun_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("WATCHDOG=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(1_000):  # Linux queues 10, systemd 512
            notify("WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1"


def test_a_status_that_is_no_text_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("STATUS=\udcff")
        assert manager.recv(100).decode() == "STATUS=?"


@contextmanager
def handing(given: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hand a socket over, by whatever number it has."""
    number = os.dup(given.fileno())
    monkeypatch.setattr(systemd, "_FIRST", number)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "http")
    yield
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & os.environ.keys()


def test_a_listening_socket_is_taken_and_no_child_inherits_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given, handing(given, monkeypatch):
        taken = passed_socket()
        assert taken is not None
        with taken:
            assert taken.getsockname() == given.getsockname()
            assert not taken.get_inheritable()
        # Closed here, it listens on for whoever comes next.
        socket.create_connection(given.getsockname()).close()


@pytest.mark.parametrize(
    ("family", "kind", "says"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "a SOCK_STREAM of AF_INET not listening"),
        (socket.AF_INET, socket.SOCK_DGRAM, "a SOCK_DGRAM of AF_INET not listening"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "a SOCK_STREAM of AF_UNIX"),
    ],
)
def test_another_kind_of_socket_is_refused(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(family, kind) as given, handing(given, monkeypatch):
        if family == socket.AF_UNIX:
            given.bind(str(tmp_path / "socket"))
            given.listen()
        with pytest.raises(Misconfigured, match=says):
            passed_socket()


def test_what_is_no_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(systemd, "_FIRST", file.fileno())
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        with pytest.raises(Misconfigured, match="from systemd is not a socket"):
            passed_socket()


@pytest.mark.parametrize("count", ["2", "x"])
def test_one_socket_is_enough(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    with pytest.raises(Misconfigured, match="Keep one ListenStream="):
        passed_socket()


def test_sockets_of_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert passed_socket() is None
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
    ],
)
def test_how_often_systemd_wants_to_hear_from_us(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environment) == seconds
