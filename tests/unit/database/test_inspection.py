"""The rights of an account, parsed from SHOW GRANTS."""

import pytest

from fraudd.database.inspection import rights_to_write


@pytest.mark.parametrize(
    ("grant", "rights"),
    [
        ("GRANT SELECT ON `shop`.* TO `fraudd`@`%`", []),
        ("GRANT USAGE ON *.* TO `fraudd`@`%` IDENTIFIED BY PASSWORD '*B690'", []),
        ("GRANT SLAVE MONITOR, SHOW VIEW, PROCESS ON *.* TO `fraudd`@`%`", []),
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
         ["ALL PRIVILEGES ON *.*"]),
        ("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD ON *.* TO `root`@`localhost`",
         ["INSERT ON *.*", "UPDATE ON *.*", "DELETE ON *.*", "CREATE ON *.*", "DROP ON *.*"]),
        ("GRANT BACKUP_ADMIN,BINLOG_ADMIN ON *.* TO `root`@`localhost` WITH GRANT OPTION", []),
        ("GRANT PROXY ON ``@`%` TO `root`@`localhost` WITH GRANT OPTION", []),
        ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `fraudd`@`%`", []),
        ("GRANT `reporting`@`%` TO `fraudd`@`%`", []),
        ("GRANT SELECT, INSERT (`shop_id`, `owner_id`), UPDATE ON `shop`.`shops` TO `fraudd`@`%`",
         ["INSERT ON `shop`.`shops`", "UPDATE ON `shop`.`shops`"]),
        ("GRANT SELECT (`update`) ON `shop`.`shops` TO `fraudd`@`%`", []),
        ("GRANT DELETE ON `s%`.* TO `fraudd`@`%`", ["DELETE ON `s%`.*"]),
        ("GRANT INSERT ON `a ON b`.* TO `fraudd`@`%`", ["INSERT ON `a ON b`.*"]),
        ("GRANT DROP ON `a``b.c`.* TO `fraudd`@`%`", ["DROP ON `a``b.c`.*"]),
    ],
)  # fmt: skip
def test_rights_to_write_anywhere_are_told(grant: str, rights: list[str]) -> None:
    assert rights_to_write(["GRANT SELECT ON `shop`.* TO `fraudd`@`%`", grant]) == rights
