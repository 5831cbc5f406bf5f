-- Orders of the last 60 days: their number, their amounts, and whether they were shipped.
-- feature orders_1d: orders in one day | {value:.0f} orders in one day
-- feature orders_60d: orders in 60 days | {value:.0f} orders in 60 days
-- feature order_pace_7d: orders per day in 7 days, divided by orders per day in 60 days | {value:.1f} times the usual number of orders in 7 days
-- feature amount_ratio_7d: mean amount in 7 days, divided by the mean amount in 60 days | order amounts in 7 days at {value:.0%} of the usual
-- feature unshipped_share_14d: share of the orders 3 to 14 days old that are not shipped | {value:.0%} of the orders 3 to 14 days old not shipped
-- feature unshipped_share_45d: share of the orders 14 to 45 days old that are not shipped | {value:.0%} of the orders 14 to 45 days old not shipped
-- feature cancelled_share_30d: share of the orders in 30 days that were cancelled | {value:.0%} of the orders in 30 days cancelled
-- feature buyers_per_order_60d: different buyers per order in 60 days | {value:.2f} different buyers per order
SELECT COUNT(IF(created_at > %(as_of)s - INTERVAL 1 DAY, 1, NULL)) AS orders_1d,
       COUNT(*) AS orders_60d,
       COUNT(IF(created_at > %(as_of)s - INTERVAL 7 DAY, 1, NULL)) * 60
           / NULLIF(COUNT(*) * 7, 0) AS order_pace_7d,
       AVG(IF(created_at > %(as_of)s - INTERVAL 7 DAY, amount, NULL))
           / NULLIF(AVG(amount), 0) AS amount_ratio_7d,
       AVG(IF(created_at <= %(as_of)s - INTERVAL 3 DAY AND created_at > %(as_of)s - INTERVAL 14 DAY,
              unshipped, NULL)) AS unshipped_share_14d,
       AVG(IF(created_at <= %(as_of)s - INTERVAL 14 DAY AND created_at > %(as_of)s - INTERVAL 45 DAY,
              unshipped, NULL)) AS unshipped_share_45d,
       AVG(IF(created_at > %(as_of)s - INTERVAL 30 DAY, cancelled, NULL)) AS cancelled_share_30d,
       COUNT(DISTINCT user_id) / NULLIF(COUNT(*), 0) AS buyers_per_order_60d
  FROM (SELECT created_at, amount, user_id,
               COALESCE(cancelled_at <= %(as_of)s, 0) AS cancelled,
               -- a cancelled order needs no shipping
               COALESCE(shipped_at > %(as_of)s, 1) AND COALESCE(cancelled_at > %(as_of)s, 1)
                   AS unshipped
          FROM orders
         WHERE shop_id = %(entity_id)s
           AND created_at > %(as_of)s - INTERVAL 60 DAY
           AND created_at <= %(as_of)s) AS placed
