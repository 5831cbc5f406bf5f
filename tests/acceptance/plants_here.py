"""Misconfigurations of what is on this machine: configuration, secrets, model, feature files."""

from tests.acceptance.installation import GUEST, Installation, save_model
from tests.acceptance.plants import Act, Plant, added, configured

#: What is not looked at where AWS, or the database, is not.
_ABOUT_AWS = (
    "AWS credentials",
    "table",
    "queue",
    "bulk queue",
    "dead-letter queue",
    "topic of requests",
    "topic of completions",
    "queue policy",
    "subscription",
    "clock",
)
_ABOUT_DATABASE = (
    "database",
    "server",
    "replica",
    "time zone",
    "account",
    "deadlines",
    "features",
    "plans",
    "score",
)
#: No index knows what an order is worth.
_WHOLE_TABLE = """\
-- feature dear_orders_1d: dear orders of everybody in one day | {value:.0f} dear orders
SELECT COUNT(*) AS dear_orders_1d FROM orders AS o
 WHERE o.amount > 100 AND o.user_id <> LENGTH(%(entity_id)s) AND o.created_at <> %(as_of)s
"""
_A_TEXT = """\
-- feature letter_1d: a letter of one day | {value:.0f}
SELECT LEFT(%(entity_id)s, 1) AS letter_1d FROM shops WHERE shop_id = 'shop-1' OR %(as_of)s IS NULL
"""
#: One row for nobody, and one more for each country of those who are there.
_SEVERAL_ROWS = """\
-- feature countries_1d: countries of one day | {value:.0f} countries
SELECT 0 AS countries_1d UNION ALL
SELECT 1 FROM shops WHERE shop_id = %(entity_id)s AND created_at <= %(as_of)s
"""


def secret(name: str, text: str = "", *, mode: int = 0o600) -> Act:
    """Write another secret, or change who may read it."""

    async def act(one: Installation) -> None:
        if text:
            (one.folder / name).write_text(text)
        (one.folder / name).chmod(mode)

    return act


def feature(name: str, text: str) -> Act:
    """Add a feature file, and train a model with it."""

    async def act(one: Installation) -> None:
        (one.folder / "features" / name).write_text(text)
        save_model(one.folder)

    return act


async def _cut_off(one: Installation) -> None:
    path = one.folder / "model.ubj"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


async def _trained_with_one_feature_more(one: Installation) -> None:
    more = one.folder / "features" / "countries.sql"
    more.write_text(_SEVERAL_ROWS)
    save_model(one.folder)
    more.unlink()


async def _other_sql(one: Installation) -> None:
    shop = one.folder / "features" / "shop.sql"
    shop.write_text(shop.read_text().replace("/ 24", "/ 24.0"))


async def _no_samples(one: Installation) -> None:
    shop = one.folder / "features" / "shop.sql"
    shop.write_text(shop.read_text().replace("-- sample:", "-- no sample:"))
    save_model(one.folder)


async def _blanks_in_the_password(one: Installation) -> None:
    one.sql(f"ALTER USER {GUEST}@HOST IDENTIFIED BY ' open sesame'")
    (one.folder / "password").write_text(" open sesame\n")


async def _no_password(one: Installation) -> None:
    one.sql(f"ALTER USER {GUEST}@HOST IDENTIFIED BY ''")
    one.change("password_credential", "")


PLANTS = [
    Plant(
        name="another region",
        act=configured("requests_arn", '"arn:aws:sns:us-east-1:000000000000:fraudd-requests"'),
        level="failed",
        says="region: [topics] requests_arn names the region us-east-0, but [aws] region is eu",
        remedy="correct [topics] requests_arn or [aws] region",
        hides=_ABOUT_AWS,
        touches=("topics",),
    ),
    Plant(
        name="tokens with an unknown scope",
        act=secret("tokens", f"shop write {'0' * 64}\n"),
        level="failed",
        says="tokens: FOLDER/tokens:0: 'write' is not a scope",
        remedy="the scopes are read, request, admin",
    ),
    Plant(
        name="tokens nobody may ask with",
        act=secret("tokens", f"shop read {'0' * 64}\n"),
        level="warning",
        says="tokens: no token has the scope 'request'",
        remedy="fraudd token new NAME --scope read,request",
        hides=("tokens",),
    ),
    Plant(
        name="tokens for the whole machine",
        act=secret("tokens", mode=0o644),
        level="failed",
        says="tokens: every user of this machine may open FOLDER/tokens",
        remedy="chmod 0 FOLDER/tokens",
    ),
    Plant(
        name="a password for the whole machine",
        act=secret("password", mode=0o604),
        level="failed",
        says="password: every user of this machine may open FOLDER/password",
        remedy="chmod 0 FOLDER/password",
    ),
    Plant(
        name="a password for the group",
        act=secret("password", mode=0o640),
        level="warning",
        says="password: the group of FOLDER/password may open it",
        remedy="chmod 0 FOLDER/password",
    ),
    Plant(
        name="an empty password",
        act=secret("password", "\n"),
        level="failed",
        says="password: FOLDER/password is empty",
        remedy="write the account's password into it",
        hides=_ABOUT_DATABASE,
    ),
    Plant(
        name="no password file",
        act=configured("password_credential", '"./gone"'),
        level="failed",
        says="password: credential FOLDER/gone: cannot read FOLDER/gone",
        remedy="No such file",
        hides=_ABOUT_DATABASE,
    ),
    Plant(
        name="a password with a blank before it",
        act=_blanks_in_the_password,
        level="warning",
        says="password: FOLDER/password has leading or trailing blanks",
        remedy="keep only the password in the file",
        touches=("database",),
    ),
    Plant(
        name="an account without a password",
        act=_no_password,
        level="warning",
        says="password: the account fraudd_test_guest has no password",
        remedy="set a password, and name its file in [database] password_credential",
    ),
    Plant(
        name="no model",
        act=configured("path", '"gone.ubj"'),
        level="failed",
        says="model: cannot read the model FOLDER/gone.ubj",
        remedy="Train one with 'fraudd train'",
        hides=("score",),
    ),
    Plant(
        name="a model that was cut off",
        act=_cut_off,
        level="failed",
        says="model: cannot load FOLDER/model.ubj: not an xgboost model, or truncated",
        remedy="not an xgboost model, or truncated",
        hides=("score",),
        proves=True,
    ),
    Plant(
        name="a model of other features",
        act=_trained_with_one_feature_more,
        level="failed",
        says="model: FOLDER/model.ubj was trained with other features: the SQL lacks countries_0d",
        remedy="Train it again",
        hides=("score",),
    ),
    Plant(
        name="a model of other SQL",
        act=_other_sql,
        level="warning",
        says="model: FOLDER/model.ubj was trained with other feature SQL",
        remedy="train it again with 'fraudd train'",
    ),
    Plant(
        name="thresholds in the wrong order",
        act=added("model", "review_threshold = 0.95"),
        level="failed",
        says="model: FOLDER/model.ubj: thresholds must be 0 <= review <= block <= 0, not 0.0",
        remedy="<= 0",
        hides=("score",),
    ),
    Plant(
        name="a feature that is a text",
        act=feature("letter.sql", _A_TEXT),
        level="failed",
        says="features: letter.sql: column letter_0d is not a number",
        remedy="is not a number",
        hides=("score",),
        touches=("model",),
    ),
    Plant(
        name="a feature of several rows, for who is there",
        act=feature("countries.sql", _SEVERAL_ROWS),
        level="failed",
        says="score: for shop-0: countries.sql: returned more than one row",
        remedy="more than one row",
        touches=("model",),
    ),
    Plant(
        name="a feature that reads a whole table",
        act=feature("dear.sql", _WHOLE_TABLE),
        level="failed",
        says="plans: dear.sql: reads all of table orders (about 0,0 rows) for shop-0, shop-0",
        remedy="Add an index to orders",
        touches=("model",),
    ),
    Plant(
        name="nobody to look at plans for",
        act=_no_samples,
        level="warning",
        says="plans: query plans not checked: there is no entity",
        remedy="add a line '-- sample: SELECT ...' that returns IDs to shop.sql",
        hides=("score",),
        touches=("model",),
    ),
]
