"""The part of ``fraudd check`` that compares regions: a call to another one finds nothing."""

import re
from collections.abc import Iterator

from fraudd.commands.check.findings import Finding, failed, ok
from fraudd.config import Config

#: https://docs.aws.amazon.com/general/latest/gr/sqs-service.html, the old names among them; what
#: has no region in it (an emulator, a VPC endpoint by its own name) is not compared.
_OF_URL = re.compile(r"https?://(?:(?:vpce-[\w.-]+\.)?sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.")


def judge_regions(settings: Config) -> Iterator[Finding]:
    """Say which ARN or URL is not of the region that is called."""
    region = settings.aws.region
    found = {
        "[topics] requests_arn": _of_arn(settings.topics.requests_arn),
        "[topics] completions_arn": _of_arn(settings.topics.completions_arn),
        "[queue] url": _of_url(settings.queue.url),
        "[queue] bulk_url": _of_url(settings.queue.bulk_url),
        "[queue] dead_letter_url": _of_url(settings.queue.dead_letter_url),
    }
    wrong = {key: other for key, other in found.items() if other not in (None, region)}
    for key, other in wrong.items():
        yield failed(
            f"region: {key} is of {other or 'no region'}, but [aws] region is {region}, and nothing"
            " else is called: correct one of them; nothing on AWS was looked at"
        )
    if not wrong:
        yield ok(f"region: {region} in all that names one")


def _of_arn(arn: str) -> str:
    """The region of an ARN; empty where it is none."""
    parts = arn.split(":")
    return parts[3] if len(parts) == 6 and parts[0] == "arn" else ""


def _of_url(url: str | None) -> str | None:
    found = _OF_URL.match(url or "")
    return (found[1] or found[2]) if found else None
