"""Checks that all ARNs and URLs name the region that fraudd calls."""

import re
from collections.abc import Iterator

from fraudd.commands.check.findings import Finding, failed, ok
from fraudd.config import Config

#: Current and old host names of SQS. A URL without a region, for example of an emulator or a VPC
#: endpoint with a name of its own, is not compared.
#: https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
_SQS_URL = re.compile(r"https?://(?:(?:vpce-[\w.-]+\.)?sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.")


def judge_regions(settings: Config) -> Iterator[Finding]:
    """Report each ARN or URL of another region than ``[aws] region``."""
    region = settings.aws.region
    regions = {
        "[topics] requests_arn": _region_of_arn(settings.topics.requests_arn),
        "[topics] completions_arn": _region_of_arn(settings.topics.completions_arn),
        "[queue] url": _region_of_url(settings.queue.url),
        "[queue] bulk_url": _region_of_url(settings.queue.bulk_url),
        "[queue] dead_letter_url": _region_of_url(settings.queue.dead_letter_url),
    }
    wrong = {key: other for key, other in regions.items() if other not in (None, region)}
    for key, other in wrong.items():
        yield failed(
            f"region: {key} names {f'the region {other}' if other else 'no region'}, but [aws]"
            f" region is {region}; AWS was not checked",
            fix=f"correct {key} or [aws] region",
        )
    if not wrong:
        yield ok(f"region: {region} in all ARNs and URLs")


def _region_of_arn(arn: str) -> str:
    """Return the region of an ARN, or an empty text for any other text."""
    parts = arn.split(":")
    return parts[3] if len(parts) == 6 and parts[0] == "arn" else ""


def _region_of_url(url: str | None) -> str | None:
    match = _SQS_URL.match(url or "")
    return (match[1] or match[2]) if match else None
