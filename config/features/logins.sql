-- Logins of the owner in the last 60 days by device and country: they show a takeover.
-- feature new_login_share_14d: share of the logins in 14 days from a device or country first seen in the last 30 days | {value:.0%} of the owner's logins from a new device or country
-- feature login_countries_30d: countries from which the owner logged in within 30 days | owner logged in from {value:.0f} countries in 30 days
-- feature failed_logins_30d: wrong passwords in 30 days | {value:.0f} wrong passwords in 30 days
SELECT SUM(IF(first_seen > %(as_of)s - INTERVAL 30 DAY, logins_14d, 0))
           / NULLIF(SUM(logins_14d), 0) AS new_login_share_14d,
       COUNT(DISTINCT IF(logins_30d > 0, country, NULL)) AS login_countries_30d,
       COALESCE(SUM(failed_30d), 0) AS failed_logins_30d
  FROM (SELECT country,
               MIN(IF(ok = 1, created_at, NULL)) AS first_seen,
               COUNT(IF(ok = 1 AND created_at > %(as_of)s - INTERVAL 14 DAY, 1, NULL)) AS logins_14d,
               COUNT(IF(ok = 1 AND created_at > %(as_of)s - INTERVAL 30 DAY, 1, NULL)) AS logins_30d,
               COUNT(IF(ok = 0 AND created_at > %(as_of)s - INTERVAL 30 DAY, 1, NULL)) AS failed_30d
          FROM logins
         WHERE user_id = (SELECT owner_id FROM shops WHERE shop_id = %(entity_id)s)
           AND created_at > %(as_of)s - INTERVAL 60 DAY
           AND created_at <= %(as_of)s
         GROUP BY device_hash, country) AS places
