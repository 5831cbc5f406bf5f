-- Listings of the last 60 days: many new listings, or new prices, are suspicious.
-- feature listings_14d: listings in 14 days | {value:.0f} new listings in 14 days
-- feature listing_price_ratio_30d: mean listing price in 30 days, divided by the mean price in the 30 days before | new listings at {value:.0%} of earlier prices
SELECT COUNT(IF(created_at > %(as_of)s - INTERVAL 14 DAY, 1, NULL)) AS listings_14d,
       AVG(IF(created_at > %(as_of)s - INTERVAL 30 DAY, price, NULL))
           / NULLIF(AVG(IF(created_at <= %(as_of)s - INTERVAL 30 DAY, price, NULL)), 0)
           AS listing_price_ratio_30d
  FROM listings
 WHERE shop_id = %(entity_id)s
   AND created_at > %(as_of)s - INTERVAL 60 DAY
   AND created_at <= %(as_of)s
