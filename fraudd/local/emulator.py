"""The AWS emulator: ministack, in a virtual environment of its own."""

from pathlib import Path

from fraudd.errors import Misconfigured
from fraudd.local.http import is_ready
from fraudd.local.process import Command


def command(tools: Path, folder: Path, *, port: int) -> Command:
    """Return the command that starts the emulator on 127.0.0.1, with its state in ``folder``.

    Raises ``Misconfigured`` if it is not installed.
    """
    program = tools / "emulator" / "bin" / "ministack"
    if not program.exists():
        raise Misconfigured(f"no AWS emulator at {program}. Run 'make setup'.")
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    return Command(
        name="the AWS emulator",
        arguments=[str(program)],
        environment={
            "PATH": "/usr/bin:/bin",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "SERVICES": "dynamodb,sns,sqs,sts",
            # The demo does not need these listeners.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state),
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(folder),
        },
        log=folder / "emulator.log",
        is_up=lambda: is_ready(port, "/_ministack/ready"),
    )
