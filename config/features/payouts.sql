-- Payouts of the last 60 days: fraudsters withdraw money often.
-- feature payouts_14d: payouts in 14 days | {value:.0f} payouts in 14 days
-- feature payout_share_14d: share of the payout amount of 60 days that was paid in the last 14 days | {value:.0%} of the payout amount of 60 days paid in the last 14 days
SELECT COUNT(IF(requested_at > %(as_of)s - INTERVAL 14 DAY, 1, NULL)) AS payouts_14d,
       SUM(IF(requested_at > %(as_of)s - INTERVAL 14 DAY, amount, 0))
           / NULLIF(SUM(amount), 0) AS payout_share_14d
  FROM payouts
 WHERE shop_id = %(entity_id)s
   AND requested_at > %(as_of)s - INTERVAL 60 DAY
   AND requested_at <= %(as_of)s
