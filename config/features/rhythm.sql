-- The rhythm of the orders of 60 days: it shows scripts, bursts and invented amounts.
-- feature order_gap_variation_60d: variation of the gaps between orders in 60 days (deviation divided by mean) | gaps between orders vary by {value:.1f} times their mean
-- feature orders_fastest_hour_60d: largest number of orders within one hour in 60 days | {value:.0f} orders within one hour
-- feature night_share_60d: share of the orders in 60 days placed between 00:00 and 06:00 | {value:.0%} of the orders in 60 days placed between 00:00 and 06:00
-- feature amount_benford_60d: deviation of the first digits of the amounts in 60 days from Benford's law | first digits of the amounts deviate by {value:.3f} from Benford's law
-- rows: order_gap_variation_60d = gap_variation(created_at)
-- rows: orders_fastest_hour_60d = velocity(created_at, 3600)
-- rows: night_share_60d = night_share(created_at, 6)
-- rows: amount_benford_60d = benford(amount)
SELECT created_at, amount
  FROM orders
 WHERE shop_id = %(entity_id)s
   AND created_at > %(as_of)s - INTERVAL 60 DAY
   AND created_at <= %(as_of)s
 ORDER BY created_at
