-- The rhythm of the orders of 60 days: machines keep time, sprees crowd, invented amounts show.
-- feature order_gap_variation_60d: how unevenly the orders of 60 days come (the gaps' deviation over their mean) | gaps between orders vary by {value:.1f} times their mean
-- feature orders_fastest_hour_60d: most orders within an hour in 60 days | {value:.0f} orders within one hour
-- feature night_share_60d: share of the orders of 60 days placed between midnight and six | {value:.0%} of the orders of 60 days placed between midnight and six
-- feature amount_benford_60d: how far the first digits of the amounts of 60 days are from Benford's law | first digits of the amounts {value:.3f} away from Benford's law
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
