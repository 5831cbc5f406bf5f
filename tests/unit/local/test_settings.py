"""The URL of a database server, as a user gives it to the local stack."""

import pytest

from fraudd.errors import Misconfigured
from fraudd.local.settings import server_at


def test_a_url_names_account_server_and_database() -> None:
    server = server_at("mysql://me:p%40ss%2F%23@db.example:3307/shop_dev", variable="URL")
    assert (server.host, server.port) == ("db.example", 3307)
    assert (server.user, server.password, server.name) == ("me", "p@ss/#", "shop_dev")
    assert "p@ss" not in repr(server)


def test_what_a_url_leaves_out_is_the_usual() -> None:
    server = server_at("mysql://localhost", variable="URL")
    assert (server.host, server.port) == ("localhost", 3306)
    assert (server.user, server.password, server.name) == ("root", "", "fraudd_demo")


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "http://u:hunter2@h/",
        "mysql://:hunter2@/x",
        # A password that is not encoded, so that its rest is taken for port, database or fragment.
        "mysql://u:hun/hunter2@h/x",
        "mysql://u:123/hunter2@h",
        "mysql://u:123#hunter2@h/x",
        "mysql://u:123?hunter2@h/x",
        "mysql://u:[hunter2@h/x",
        "mysql://u:p@h:hunter2/x",
        "mysql://u:p@h:99999/x",
        "mysql://u:p@h/x`; DROP hunter2",
        "mysql://u:p@h/too_long_for_an_account_named_after_it",
    ],
)
def test_a_wrong_url_is_told_with_its_variable_and_without_itself(url: str) -> None:
    with pytest.raises(Misconfigured, match="URL: must be mysql://user:password@host") as told:
        server_at(url, variable="URL")
    assert "hunter2" not in str(told.value)
    assert told.value.__cause__ is None
