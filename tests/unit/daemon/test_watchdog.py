"""What systemd hears of a daemon while it runs."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudd.daemon.watchdog import Watchdog


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.seconds


class Systemd:
    """What was told since it was last asked."""

    def __init__(self, manager: socket.socket) -> None:
        self._manager = manager

    def heard(self) -> list[str]:
        told = []
        while True:
            try:
                told.append(self._manager.recv(5_000).decode())
            except BlockingIOError:
                return told


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Systemd(manager)


def test_the_watchdog_is_fed_three_times_an_interval(systemd: Systemd) -> None:
    clock = Hand()
    heart = Watchdog(watchdog_seconds=30, stalled=lambda: False, status=lambda: "well", clock=clock)
    fed = 0
    for _ in range(90):
        heart.beat()
        fed += sum(told.startswith("WATCHDOG=1\n") for told in systemd.heard())
        clock.seconds += 1.0
    assert 9 <= fed <= 12


def test_a_deaf_daemon_starves_and_says_why_once(
    systemd: Systemd,
) -> None:
    clock, stalled = Hand(), [True]
    heart = Watchdog(
        watchdog_seconds=30, stalled=lambda: stalled[0], status=lambda: "x", clock=clock
    )
    for _ in range(40):
        heart.beat()
        clock.seconds += 1.0
    assert systemd.heard() == ["STATUS=x"]
    stalled[0] = False
    clock.seconds += 10.0
    heart.beat()
    assert systemd.heard() == ["WATCHDOG=1\nSTATUS=x"]


def test_without_a_watchdog_what_changes_is_told_and_nothing_else(systemd: Systemd) -> None:
    clock, doing = Hand(), ["serving"]
    heart = Watchdog(
        watchdog_seconds=None, stalled=lambda: False, status=lambda: doing[0], clock=clock
    )
    for line in ("serving", "serving", "draining", "draining"):
        doing[0] = line
        heart.beat()
        clock.seconds += 1.0
    assert systemd.heard() == ["STATUS=serving", "STATUS=draining"]


def test_what_else_is_to_be_told_comes_first_and_with_the_status(systemd: Systemd) -> None:
    heart = Watchdog(
        watchdog_seconds=None, stalled=lambda: False, status=lambda: "well", clock=Hand()
    )
    heart.beat("RELOADING=1", "MONOTONIC_USEC=5")
    assert systemd.heard() == ["RELOADING=1\nMONOTONIC_USEC=5\nSTATUS=well"]
