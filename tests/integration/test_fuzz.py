"""The API against its own OpenAPI document, in thousands of valid and invalid requests."""

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fraudd.config import Config
from fraudd.web import auth
from fraudd.web.openapi.operations import OPERATIONS
from tests.stack.aws import Aws
from tests.stack.daemon import Start, changed
from tests.stack.paths import ROOT

ST = ROOT / ".tools" / "schemathesis" / "bin" / "st"
TOKEN = "a-token-of-the-fuzzer"
CONFIG = Path(__file__).with_name("schemathesis.toml")


async def fuzzed(url: str, folder: Path, examples: int) -> tuple[int, str, Any]:
    """Run schemathesis against a daemon; gives exit status, what it printed, and its report."""
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        ST,
        f"--config-file={CONFIG}",
        "run",
        f"{url}/openapi.json",
        f"--max-examples={examples}",
        f"--report-json-path={report}",
        "--no-color",
        cwd=folder,
        env=os.environ | {"FRAUDD_URL": url, "FRAUDD_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(), json.loads(report.read_text())


@pytest.mark.parametrize(
    ("examples", "cases"), [(80, 500), pytest.param(1000, 5000, marks=pytest.mark.slow)]
)
async def test_no_request_brings_what_the_document_does_not_say(
    start: Start,
    config: Config,
    aws: Aws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    examples: int,
    cases: int,
) -> None:
    # It tries every call without a good token, faster than an address may.
    monkeypatch.setattr(auth, "_FAILURES_BURST", 10_000)
    tokens = tmp_path / "tokens"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(f"fuzzer read,request,admin {digest}\n")
    http = {"tokens_credential": str(tokens)}
    # With all lanes there are: what is valid by the document is then valid for the daemon.
    whole = changed(config, http=http, queue={"bulk_url": aws.names.bulk_url})
    async with start(whole) as fraudd:
        status, printed, report = await fuzzed(fraudd.url, tmp_path, examples)
    print(printed)
    assert status == 0, printed
    assert report["complete"]
    assert report["operations"]["tested"] == report["operations"]["total"] == len(OPERATIONS) - 1
    assert report["test_cases"]["generated"] >= cases
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}
    warnings = {kind: told for kind, told in report["warnings"].items() if told}
    # Of its cursors none is one that a daemon gave.
    assert warnings.pop("validation_mismatch", ["GET /v1/predictions"]) == ["GET /v1/predictions"]
    assert warnings == {}
