"""Pages of the documents that are generated from code.

``python -m tests.pages`` writes them. A unit test fails if one is not current.
"""

from collections.abc import Mapping
from pathlib import Path

from fraudd.web.openapi.problem_types import PROBLEM_TYPES, ProblemType
from tests.stack.paths import ROOT

_INTRODUCTION = """\
# Problems

<!-- Generated from fraudd/web/openapi/problem_types.py. Run `python -m tests.pages` to update. -->

fraudd describes every HTTP error in a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
Its media type is `application/problem+json`. The `type` is a URL on this page, and its last part
tells problems apart:

```json
{"type": "https://fraudd.readthedocs.io/en/latest/problems/#no-prediction",
 "title": "No prediction for this entity", "status": 404,
 "detail": "no prediction for shop-42: it was never requested, or it has expired. …",
 "instance": "/v1/predictions/shop-42"}
```

- `title` names the problem type, and `detail` explains this occurrence.
- `errors` lists every invalid field with a JSON pointer. Only `invalid-field` has it.
- `retry_after_seconds` has the same value as the header `Retry-After`. In a batch, each problem has
  its own.

Each problem has one of three remedies:

- **Fix**: change the request. A retry of the same request fails again.
- **Retry**: send the same request later. Requests are idempotent per entity, so a retry is safe.
- **Give up**: neither helps. Tell the operator.
"""


def pages() -> Mapping[Path, str]:
    """Return the text of each generated page."""
    return {ROOT / "docs" / "problems.md": problems()}


def problems() -> str:
    """Return the page of all problem types."""
    rows = [
        f"| [`{slug}`](#{slug}) | {problem.status} | {problem.title} | {problem.action} |"
        for slug, problem in PROBLEM_TYPES.items()
    ]
    table = ["| problem | status | title | your client |", "|---|---|---|---|", *rows]
    sections = [_section(slug, problem) for slug, problem in PROBLEM_TYPES.items()]
    return "\n".join([_INTRODUCTION, *table, "", *sections])


def _section(slug: str, problem: ProblemType) -> str:
    return f"""\
## {slug}

**{problem.status} {problem.title}.** {problem.cause}

**{problem.action.capitalize()}.** {problem.remedy}
"""


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
        print(path)
