"""The order of the feature files: who exists first, then what costs least."""

from fraudd.scoring.feature_files import FeatureFile
from fraudd.scoring.features import Costs

FILES = [
    FeatureFile(name=name, sql="SELECT 1", features=[], reductions=[], exists=name == "shop.sql")
    for name in ("orders.sql", "logins.sql", "shop.sql", "reviews.sql")
]


def order(costs: Costs) -> list[str]:
    return [file.name.removesuffix(".sql") for file in costs.ordered(FILES)]


def test_files_that_never_ran_go_by_name_after_the_one_that_knows_who_exists() -> None:
    assert order(Costs()) == ["shop", "logins", "orders", "reviews"]


def test_the_cheapest_goes_first_but_for_the_one_that_knows_who_exists() -> None:
    costs = Costs()
    for name, seconds in (("shop", 9.0), ("logins", 3.0), ("orders", 1.0), ("reviews", 2.0)):
        costs.add(f"{name}.sql", seconds)
    assert order(costs) == ["shop", "orders", "reviews", "logins"]


def test_one_odd_run_changes_no_order_and_a_lasting_change_does() -> None:
    costs = Costs()
    for name, seconds in (("logins", 2.0), ("orders", 1.0), ("reviews", 3.0)):
        costs.add(f"{name}.sql", seconds)
    costs.add("orders.sql", 8.0)
    assert order(costs) == ["shop", "orders", "logins", "reviews"]
    for _ in range(20):
        costs.add("orders.sql", 8.0)
    assert order(costs) == ["shop", "logins", "reviews", "orders"]
