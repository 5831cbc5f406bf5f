-- Bank accounts of the shop: how new they are, and which other shops use them.
-- feature bank_account_age_days: days since the last bank account was added | bank account added {value:.0f} days ago
-- feature bank_accounts_60d: bank accounts added in 60 days | {value:.0f} bank accounts added in 60 days
-- feature strangers_on_bank_account: shops of other owners with the same bank accounts | {value:.0f} shops of other owners with the same bank account
SELECT TIMESTAMPDIFF(HOUR, MAX(added_at), %(as_of)s) / 24 AS bank_account_age_days,
       COUNT(IF(added_at > %(as_of)s - INTERVAL 60 DAY, 1, NULL)) AS bank_accounts_60d,
       (SELECT COUNT(DISTINCT other.shop_id)
          FROM (SELECT theirs.shop_id
                  FROM shop_bank_accounts AS ours
                  JOIN shop_bank_accounts AS theirs ON theirs.iban_hash = ours.iban_hash
                 WHERE ours.shop_id = %(entity_id)s
                   AND ours.added_at <= %(as_of)s
                   AND theirs.added_at <= %(as_of)s
                 LIMIT 200) AS paid  -- a bookkeeper may have thousands of clients
          JOIN shops AS other ON other.shop_id = paid.shop_id
          JOIN shops AS shop ON shop.shop_id = %(entity_id)s
         WHERE other.owner_id <> shop.owner_id) AS strangers_on_bank_account
  FROM shop_bank_accounts
 WHERE shop_id = %(entity_id)s
   AND added_at <= %(as_of)s
