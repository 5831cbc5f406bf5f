-- The shop itself: its age, the identity check of its owner, and their other shops.
-- exists
-- sample: SELECT shop_id FROM shops WHERE created_at <= %(as_of)s ORDER BY shop_id LIMIT 1
-- sample: SELECT shop_id FROM orders GROUP BY shop_id ORDER BY COUNT(*) DESC LIMIT 1
-- feature shop_age_days: days since the shop opened | shop opened {value:.0f} days ago
-- feature kyc_age_days: days since the owner proved their identity | owner proved their identity {value:.0f} days ago
-- feature owner_other_shops: other shops of the same owner | owner has {value:.0f} other shops
SELECT TIMESTAMPDIFF(HOUR, shop.created_at, %(as_of)s) / 24 AS shop_age_days,
       IF(shop.kyc_verified_at <= %(as_of)s,
          TIMESTAMPDIFF(HOUR, shop.kyc_verified_at, %(as_of)s) / 24,
          NULL) AS kyc_age_days,
       (SELECT COUNT(*) - 1  -- without this shop
          FROM shops AS other
         WHERE other.owner_id = shop.owner_id
           AND other.created_at <= %(as_of)s) AS owner_other_shops
  FROM shops AS shop
 WHERE shop.shop_id = %(entity_id)s
   AND shop.created_at <= %(as_of)s
