"""``fraudd token new``: a token for a caller, and its line for the file."""

import json

import pytest

from fraudd.cli import main
from fraudd.web.tokens import parse


def test_a_new_token_is_let_in_by_the_line_that_comes_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["token", "new", "shop-backend", "--scope", "read,request"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    token = first.split()[-1]
    line = second.partition(":")[2]
    holder = parse(line, source="tokens").find(token)
    assert holder is not None
    assert (holder.name, set(holder.scopes)) == ("shop-backend", {"read", "request"})
    assert token not in second


def test_the_token_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "ops", "--scope", "admin", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert parse(told["line"], source="tokens").find(told["token"]) is not None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a b", "--scope", "read"], "is not a valid token name"),
        (["a\nb", "--scope", "read"], "is not a valid token name"),
        (["a" * 41, "--scope", "read"], "is not a valid token name"),
        (["a", "--scope", "write"], "'write' is not a scope; the scopes are read, request, admin"),
        (["a", "--scope", ""], "is not a scope"),
        (["a"], "--scope"),
    ],
)
def test_what_would_not_be_a_line_of_the_file_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["token", "new", *arguments])
    assert left.value.code == 2
    assert says in capsys.readouterr().err
