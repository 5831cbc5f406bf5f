-- Chargebacks by the time they were reported, which is weeks after the order.
-- feature chargebacks_30d: chargebacks reported in 30 days | {value:.0f} chargebacks in 30 days
-- feature chargeback_rate_60d: chargebacks reported in 60 days, per order in 60 days | chargebacks in 60 days: {value:.1%} of the number of orders
SELECT COUNT(IF(reported_at > %(as_of)s - INTERVAL 30 DAY, 1, NULL)) AS chargebacks_30d,
       COUNT(*) / NULLIF((SELECT COUNT(*)
                            FROM orders
                           WHERE shop_id = %(entity_id)s
                             AND created_at > %(as_of)s - INTERVAL 60 DAY
                             AND created_at <= %(as_of)s), 0) AS chargeback_rate_60d
  FROM chargebacks
 WHERE shop_id = %(entity_id)s
   AND reported_at > %(as_of)s - INTERVAL 60 DAY
   AND reported_at <= %(as_of)s
