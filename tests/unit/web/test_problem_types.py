"""Problem types: each has a title of its own, and the page about them is current."""

from pathlib import Path

import pytest

from fraudd.client.models import parse_problem
from fraudd.web.openapi.problem_types import PROBLEM_TYPES, type_url
from fraudd.web.problems import Problem
from tests import pages


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == pages.pages()[path], "run python -m tests.pages"


def test_every_type_is_a_heading_of_the_page() -> None:
    page = pages.problems()
    for slug in PROBLEM_TYPES:
        assert type_url(slug) == f"https://fraudd.readthedocs.io/en/latest/problems/#{slug}"
        assert f"\n## {slug}\n" in page


def test_every_title_is_short_and_of_one_type_alone() -> None:
    titles = [problem.title for problem in PROBLEM_TYPES.values()]
    assert len(set(titles)) == len(titles)
    assert all(len(title) <= 40 and not title.endswith(".") for title in titles)


def test_causes_and_remedies_are_sentences() -> None:
    for problem in PROBLEM_TYPES.values():
        assert problem.cause.endswith(".")
        assert problem.remedy.endswith(".")


def test_whoever_is_to_retry_after_a_time_learns_it() -> None:
    for slug, problem in PROBLEM_TYPES.items():
        if "Retry-After" in problem.remedy:
            assert problem.header == "Retry-After", slug


def test_the_client_reads_types_as_the_daemon_writes_them() -> None:
    for slug, problem_type in PROBLEM_TYPES.items():
        problem = parse_problem(Problem(slug, "detail").document("/"), status=0)
        assert (problem.slug, problem.status) == (slug, problem_type.status)
