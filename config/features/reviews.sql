-- Reviews of the last 60 days: praise before the delivery is suspicious.
-- feature reviews_per_order_60d: reviews in 60 days, per order in 60 days | {value:.2f} reviews per order
-- feature early_praise_share_60d: share of the reviews in 60 days with five stars before the delivery | {value:.0%} of the reviews give five stars before the delivery
SELECT COUNT(*) / NULLIF((SELECT COUNT(*)
                            FROM orders
                           WHERE shop_id = %(entity_id)s
                             AND created_at > %(as_of)s - INTERVAL 60 DAY
                             AND created_at <= %(as_of)s), 0) AS reviews_per_order_60d,
       AVG(review.stars = 5 AND COALESCE(reviewed.delivered_at > review.created_at, 1))
           AS early_praise_share_60d
  FROM reviews AS review
  JOIN orders AS reviewed ON reviewed.id = review.order_id
 WHERE review.shop_id = %(entity_id)s
   AND review.created_at > %(as_of)s - INTERVAL 60 DAY
   AND review.created_at <= %(as_of)s
