"""``fraudd dlq`` as a process."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stack.aws import Aws
from tests.stack.configuration import as_toml, sections
from tests.stack.paths import FRAUDD, ROOT
from tests.stack.process import PATIENCE_SECONDS

Dlq = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def config(tmp_path: Path, aws: Aws, aws_endpoint: str) -> Path:
    """A configuration with nothing but AWS behind it."""
    path = tmp_path / "fraudd.toml"
    values = sections(
        aws.names,
        aws={"endpoint_url": aws_endpoint},
        database={"host": "database.invalid", "user": "nobody", "name": "nothing"},
        features={"directory": ROOT / "config" / "features"},
        model={"path": "none.ubj"},
    )
    path.write_text(as_toml(values))
    return path


@pytest.fixture
def dlq(config: Path) -> Dlq:
    """Run the command to its end, away from any terminal."""

    def run(action: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [FRAUDD, "dlq", action, "--config", config, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def on_terminal(terminal: int, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command that has a terminal as its controlling one, so that Ctrl-C reaches it."""
    return subprocess.Popen(
        arguments,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509
    )


def on_pipes(*arguments: str) -> "subprocess.Popen[str]":
    """Start a command whose output is read at its end."""
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
async def two_dead(aws: Aws) -> None:
    """One message that failed, and one that is no request."""
    for body, reason in (('{"entity_id": "shop-1"}', "deadlock"), ("nonsense", "malformed")):
        await aws.clients.sqs.send_message(QueueUrl=aws.names.queue_url, MessageBody=body)
        [message] = await aws.queue.receive(1)
        await aws.queue.dead_letter(message, reason=reason, detail="told by the test")


async def test_an_operator_looks_sends_back_and_deletes(aws: Aws, dlq: Dlq, two_dead: None) -> None:
    listed = dlq("ls")
    assert listed.returncode == 0
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["AGE", "REASON", "ENTITY", "RECEIVES", "MESSAGE", "ID", "DETAIL"]
    assert len(lines) == 2
    assert all("told by the test" in line for line in lines)

    [entry] = map(json.loads, dlq("ls", "--json", "--entity", "shop-1").stdout.splitlines())
    assert (entry["reason"], entry["entity_id"]) == ("deadlock", "shop-1")
    assert entry["receive_count"] == 2
    assert entry["message_id"]

    dry = dlq("redrive", "--dry-run")
    assert (dry.returncode, (await aws.queue.depth()).dead_lettered) == (0, 2)
    assert "would send back 1 of 2 messages" in dry.stdout
    assert "shop-1" in dry.stdout

    redriven = dlq("redrive")
    assert (redriven.returncode, redriven.stdout) == (0, "sent back 1 of 2 messages\n")
    assert "kept 1 malformed messages; --reason malformed sends them back" in redriven.stderr
    [message] = await aws.queue.receive(10)
    assert message.attributes["fraudd.reason"] == "deadlock"

    refused = dlq("purge")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "pass --yes to delete" in refused.stderr
    assert (await aws.queue.depth()).dead_lettered == 1
    purged = dlq("purge", "--yes")
    assert (purged.returncode, purged.stdout) == (0, "deleted 1 of 1 messages\n")
    assert (await aws.queue.depth()).dead_lettered == 0


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y\n", 0, 0), ("\n", 1, 2), ("\x03", 1, 2)]
)
async def test_on_a_terminal_purge_asks_first(
    aws: Aws, config: Path, two_dead: None, answer: str, status: int, left: int
) -> None:
    ours, theirs = pty.openpty()
    with on_terminal(theirs, FRAUDD, "dlq", "purge", "--config", str(config)) as process:
        os.close(theirs)
        asked = b""
        while b"[y/N] " not in asked:
            asked += os.read(ours, 1000)
        assert b"Permanently delete about 2 messages of http" in asked
        os.write(ours, answer.encode())
        told = b""
        try:
            while piece := os.read(ours, 1000):
                told += piece
        except OSError:  # the end of a terminal
            pass
        assert process.wait(PATIENCE_SECONDS) == status
    os.close(ours)
    assert b"Traceback" not in told
    assert (b"deleting [###" in told) is (left == 0), "the bar is drawn"
    assert (await aws.queue.depth()).dead_lettered == left


async def test_ctrl_c_leaves_everything_visible(aws: Aws, config: Path, two_dead: None) -> None:
    with on_pipes(FRAUDD, "dlq", "ls", "--config", str(config)) as process:
        # The look has begun once it holds messages; it then polls for a second more.
        while (await aws.queue.depth()).dead_lettered == 2 and process.poll() is None:
            pass
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "stopped by a signal" in told
    assert "Traceback" not in told
    assert (await aws.queue.depth()).dead_lettered == 2


def test_what_is_out_of_reach_is_told_in_one_line(config: Path, dlq: Dlq) -> None:
    text = config.read_text()
    config.write_text(text.replace('endpoint_url = "', 'endpoint_url = "http://127.0.0.1:1" #'))
    failed = dlq("ls")
    assert (failed.returncode, failed.stdout) == (1, "")
    [line] = failed.stderr.splitlines()
    assert line.startswith("fraudd: queue (")
    config.write_text(text.replace("[queue]", "[queu]"))
    assert dlq("ls").returncode == 78
