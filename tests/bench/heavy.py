"""A shop far larger than any of the demo's: hundreds of thousands of orders in 60 days."""

import aiomysql

from fraudd.local.settings import Settings

SHOP = "shop-heavy"
#: Ids above all that the demo gives out.
_ABOVE = 10**12

# MariaDB's sequence engine counts; all else follows from the number, spread by multiplication.
_SPREAD_OVER_60_DAYS = "UTC_TIMESTAMP() - INTERVAL ROUND((1 - seq / {n}) * 59.9 * 86400) SECOND"
_TABLES = {
    "shops": (
        1,
        f"'{SHOP}', {_ABOVE}, UTC_TIMESTAMP() - INTERVAL 900 DAY,"
        " UTC_TIMESTAMP() - INTERVAL 890 DAY, NULL",
    ),
    "shop_bank_accounts": (
        1,
        f"{_ABOVE}, '{SHOP}', 'heavy', UTC_TIMESTAMP() - INTERVAL 800 DAY",
    ),
    "listings": (
        0.01,
        f"{_ABOVE} + seq, '{SHOP}', seq % 20, 5 + seq * 7919 % 9500 / 100, {{at}}",
    ),
    "orders": (
        1.0,
        f"{_ABOVE} + seq, '{SHOP}', {_ABOVE} + seq * 7919 % 150000, 5 + seq * 7919 % 19500 / 100,"
        " 'DE', {at}, IF(seq % 50, {at} + INTERVAL 30 HOUR, NULL),"
        " IF(seq % 50, {at} + INTERVAL 80 HOUR, NULL), IF(seq % 50, NULL, {at} + INTERVAL 2 HOUR)",
    ),
    "payments": (
        1.1,
        f"{_ABOVE} + seq, IF(seq % 11, {_ABOVE} + seq - seq DIV 11, NULL), '{SHOP}',"
        f" {_ABOVE} + seq * 7919 % 150000, 5 + seq * 7919 % 19500 / 100,"
        " LPAD(HEX(seq * 7919 % 180000), 16, 'c'), LPAD(HEX(seq * 7919 % 160000), 16, 'd'), 'DE',"
        " IF(seq % 11, 'captured', 'declined'), {at}, IF(seq % 11, NULL, {at}),"
        " IF(seq % 11, {at}, NULL), NULL",
    ),
    "chargebacks": (
        0.002,
        f"{_ABOVE} + seq, {_ABOVE} + seq, '{SHOP}', {_ABOVE} + seq, 20, 'not_received', {{at}}",
    ),
    "payouts": (60, f"{_ABOVE} + seq, '{SHOP}', 5000, {{at}}"),
    "reviews": (
        0.1,
        f"{_ABOVE} + seq, {_ABOVE} + seq * 10, '{SHOP}', {_ABOVE} + seq, 1 + seq % 5, {{at}}",
    ),
    "logins": (
        200,
        f"{_ABOVE} + seq, {_ABOVE}, LPAD(HEX(seq % 3), 16, 'e'), 3232235776 + seq % 5, 'DE', 1,"
        " {at}",
    ),
}


async def add(settings: Settings, orders: int) -> None:
    """Open the shop on the stack's private MariaDB, with so many orders and all that goes along."""
    connection = await aiomysql.connect(
        host="127.0.0.1",
        port=settings.mysql_port,
        user="root",
        db="fraudd_demo",
        autocommit=True,
        init_command="SET SESSION time_zone = '+00:00'",
    )
    async with connection.cursor() as cursor:
        for table, (count, columns) in _TABLES.items():
            # A float is so many for each order.
            rows = round(count * orders) if isinstance(count, float) else count
            values = columns.format(at=_SPREAD_OVER_60_DAYS.format(n=rows))
            await cursor.execute(f"INSERT INTO {table} SELECT {values} FROM seq_1_to_{rows}")
        await cursor.execute(f"ANALYZE TABLE {', '.join(_TABLES)}")
        await cursor.fetchall()
    await connection.ensure_closed()
