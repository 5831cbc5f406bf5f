"""The rights of an account, as SHOW GRANTS tells them."""

import pytest

from fraudd.database.account import may_write


@pytest.mark.parametrize(
    ("grant", "rights"),
    [
        ("GRANT SELECT ON `shop`.* TO `fraudd`@`%`", []),
        ("GRANT USAGE ON *.* TO `fraudd`@`%` IDENTIFIED BY PASSWORD '*B690'", []),
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", ["ALL PRIVILEGES"]),
        ("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD ON *.* TO `root`@`localhost`",
         ["INSERT", "UPDATE", "DELETE", "CREATE", "DROP"]),
        ("GRANT BACKUP_ADMIN,BINLOG_ADMIN ON *.* TO `root`@`localhost` WITH GRANT OPTION", []),
        ("GRANT PROXY ON ``@`%` TO `root`@`localhost` WITH GRANT OPTION", []),
        ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `fraudd`@`%`", []),
        ("GRANT `reporting`@`%` TO `fraudd`@`%`", []),
        ("GRANT SELECT, INSERT (`shop_id`, `owner_id`), UPDATE ON `shop`.`shops` TO `fraudd`@`%`",
         ["INSERT", "UPDATE"]),
        ("GRANT SELECT (`update`) ON `shop`.`shops` TO `fraudd`@`%`", []),
        ("GRANT INSERT ON `shops`.* TO `fraudd`@`%`", []),
        ("GRANT DELETE ON `s%`.* TO `fraudd`@`%`", ["DELETE"]),
        ("GRANT DELETE ON `sho_`.* TO `fraudd`@`%`", ["DELETE"]),
        ("GRANT DELETE ON `sho\\_`.* TO `fraudd`@`%`", []),
        ("GRANT DELETE ON `s.*`.* TO `fraudd`@`%`", []),
    ],
)  # fmt: skip
def test_rights_to_write_in_the_schema_are_told(grant: str, rights: list[str]) -> None:
    assert may_write(["GRANT SELECT ON `shop`.* TO `fraudd`@`%`", grant], "shop") == rights
