-- Attempts to pay in the last 30 days by device: fraudsters try many stolen cards in a row.
-- feature declined_1d: declined payments in one day | {value:.0f} declined payments in one day
-- feature declined_share_30d: share of the payments in 30 days that were declined | {value:.0%} of the payments in 30 days declined
-- feature small_declined_30d: declined payments of less than 8 in 30 days | {value:.0f} small payments declined in 30 days
-- feature cards_on_device_30d: largest number of cards used on one device in 30 days | {value:.0f} cards used on one device in 30 days
SELECT COALESCE(SUM(declined_1d), 0) AS declined_1d,
       SUM(declined) / NULLIF(SUM(tried), 0) AS declined_share_30d,
       COALESCE(SUM(small_declined), 0) AS small_declined_30d,
       COALESCE(MAX(cards), 0) AS cards_on_device_30d
  FROM (SELECT COUNT(*) AS tried,
               COUNT(IF(declined_at <= %(as_of)s, 1, NULL)) AS declined,
               COUNT(IF(declined_at <= %(as_of)s AND amount < 8, 1, NULL)) AS small_declined,
               COUNT(IF(declined_at <= %(as_of)s AND created_at > %(as_of)s - INTERVAL 1 DAY,
                        1, NULL)) AS declined_1d,
               COUNT(DISTINCT card_hash) AS cards
          FROM payments
         WHERE shop_id = %(entity_id)s
           AND created_at > %(as_of)s - INTERVAL 30 DAY
           AND created_at <= %(as_of)s
         GROUP BY device_hash) AS devices
