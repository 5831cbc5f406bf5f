-- Other users on the owner's devices and addresses: buyers of the shop, owners of other shops.
-- A shared computer or a carrier's address can have thousands of users, so each step has a limit.
-- feature owner_device_share_60d: share of the payments in 60 days from a device of the owner | {value:.0%} of the payments in 60 days from the owner's devices
-- feature owners_on_device_60d: owners of other shops on the owner's devices in 60 days | {value:.0f} owners of other shops on the same devices
-- feature owners_on_address_60d: owners of other shops at the owner's addresses in 60 days | {value:.0f} owners of other shops at the same network addresses
SELECT (SELECT AVG(device_hash IN (SELECT device_hash
                                     FROM logins
                                    WHERE user_id = (SELECT owner_id FROM shops WHERE shop_id = %(entity_id)s)
                                      AND created_at > %(as_of)s - INTERVAL 60 DAY
                                      AND created_at <= %(as_of)s))
          FROM payments
         WHERE shop_id = %(entity_id)s
           AND created_at > %(as_of)s - INTERVAL 60 DAY
           AND created_at <= %(as_of)s) AS owner_device_share_60d,
       (SELECT COUNT(DISTINCT other.owner_id)
          FROM (SELECT theirs.user_id
                  FROM (SELECT DISTINCT device_hash
                          FROM logins
                         WHERE user_id = (SELECT owner_id FROM shops WHERE shop_id = %(entity_id)s)
                           AND created_at > %(as_of)s - INTERVAL 60 DAY
                           AND created_at <= %(as_of)s
                         LIMIT 20) AS used
                  JOIN logins AS theirs ON theirs.device_hash = used.device_hash
                 WHERE theirs.created_at > %(as_of)s - INTERVAL 60 DAY
                   AND theirs.created_at <= %(as_of)s
                 LIMIT 1000) AS seen
          JOIN shops AS other ON other.owner_id = seen.user_id
          JOIN shops AS shop ON shop.shop_id = %(entity_id)s
         WHERE other.owner_id <> shop.owner_id
           AND other.created_at <= %(as_of)s) AS owners_on_device_60d,
       (SELECT COUNT(DISTINCT other.owner_id)
          FROM (SELECT theirs.user_id
                  FROM (SELECT DISTINCT ip
                          FROM logins
                         WHERE user_id = (SELECT owner_id FROM shops WHERE shop_id = %(entity_id)s)
                           AND created_at > %(as_of)s - INTERVAL 60 DAY
                           AND created_at <= %(as_of)s
                         LIMIT 20) AS used
                  JOIN logins AS theirs ON theirs.ip = used.ip
                 WHERE theirs.created_at > %(as_of)s - INTERVAL 60 DAY
                   AND theirs.created_at <= %(as_of)s
                 LIMIT 1000) AS seen
          JOIN shops AS other ON other.owner_id = seen.user_id
          JOIN shops AS shop ON shop.shop_id = %(entity_id)s
         WHERE other.owner_id <> shop.owner_id
           AND other.created_at <= %(as_of)s) AS owners_on_address_60d
