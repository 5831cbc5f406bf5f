"""Subcommands as processes."""

import asyncio
import sys
from pathlib import Path

FRAUDD = str(Path(sys.executable).with_name("fraudd"))


async def started(*arguments: str) -> asyncio.subprocess.Process:
    """Start a subcommand."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        FRAUDD, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def ran(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a subcommand; gives its exit status, and what it printed as answer and besides."""
    process = await started(*arguments)
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()
