-- The demo platform: the tables of an e-commerce site, as far as fraud leaves traces in them.
-- Runs on MariaDB 10.11 and MySQL 8 or later. All times are UTC. A hash is the first half of a
-- longer one in hexadecimal: enough to tell two apart, nothing to read back.
--
-- Features may use a row from its event time on (created_at, added_at, reported_at, ...), and an
-- event-time column (shipped_at, declined_at, ...) from that time on. A column that is overwritten
-- in place cannot be seen as of an earlier time: no feature may read payments.status,
-- users.country or shops.closed_at. Nor fraud_scenarios, which is the answer.

CREATE TABLE users (
    id         BIGINT   NOT NULL PRIMARY KEY,
    created_at DATETIME NOT NULL,
    country    CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL  -- overwritten by a move
);

CREATE TABLE shops (
    shop_id         VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    owner_id        BIGINT   NOT NULL,
    created_at      DATETIME NOT NULL,
    kyc_verified_at DATETIME NULL,   -- the owner proved who they are
    closed_at       DATETIME NULL,   -- overwritten: a closed shop may open again
    KEY owner (owner_id, created_at)
);

CREATE TABLE shop_bank_accounts (
    id        BIGINT   NOT NULL PRIMARY KEY,
    shop_id   VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    iban_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    added_at  DATETIME NOT NULL,     -- payouts go to the account added last
    KEY shop (shop_id, added_at),
    KEY iban (iban_hash, added_at)
);

CREATE TABLE listings (
    id          BIGINT   NOT NULL PRIMARY KEY,
    shop_id     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    category_id INT      NOT NULL,
    price       DECIMAL(12,2) NOT NULL,  -- never changed: another price is another listing
    created_at  DATETIME NOT NULL,
    KEY shop (shop_id, created_at)
);

CREATE TABLE orders (
    id           BIGINT   NOT NULL PRIMARY KEY,
    shop_id      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id      BIGINT   NOT NULL,
    amount       DECIMAL(12,2) NOT NULL,
    ship_country CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at   DATETIME NOT NULL,
    shipped_at   DATETIME NULL,
    delivered_at DATETIME NULL,
    cancelled_at DATETIME NULL,
    KEY shop (shop_id, created_at)
);

CREATE TABLE payments (
    id          BIGINT   NOT NULL PRIMARY KEY,
    order_id    BIGINT   NULL,       -- NULL: declined at a checkout that was given up
    shop_id     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id     BIGINT   NOT NULL,
    amount      DECIMAL(12,2) NOT NULL,
    card_hash   CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    device_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    bin_country CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- where the card was issued
    status      ENUM('authorized', 'declined', 'captured', 'refunded', 'charged_back') NOT NULL,  -- overwritten
    created_at  DATETIME NOT NULL,
    declined_at DATETIME NULL,
    captured_at DATETIME NULL,
    refunded_at DATETIME NULL,
    KEY shop (shop_id, created_at)
);

CREATE TABLE chargebacks (
    id          BIGINT   NOT NULL PRIMARY KEY,
    order_id    BIGINT   NOT NULL,
    shop_id     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id     BIGINT   NOT NULL,
    amount      DECIMAL(12,2) NOT NULL,
    reason      ENUM('not_received', 'not_recognised', 'not_as_described') NOT NULL,
    reported_at DATETIME NOT NULL,   -- by the bank, weeks after the order
    KEY shop (shop_id, reported_at)
);

CREATE TABLE logins (
    id          BIGINT   NOT NULL PRIMARY KEY,
    user_id     BIGINT   NOT NULL,
    device_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ip          INT UNSIGNED NOT NULL,   -- INET_NTOA() reads it
    country     CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ok          TINYINT  NOT NULL,   -- 0: wrong password
    created_at  DATETIME NOT NULL,
    KEY user (user_id, created_at),
    KEY device (device_hash, created_at),
    KEY ip (ip, created_at)
);

CREATE TABLE payouts (
    id           BIGINT   NOT NULL PRIMARY KEY,
    shop_id      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    amount       DECIMAL(12,2) NOT NULL,
    requested_at DATETIME NOT NULL,
    KEY shop (shop_id, requested_at)
);

CREATE TABLE reviews (
    id         BIGINT   NOT NULL PRIMARY KEY,
    order_id   BIGINT   NOT NULL,
    shop_id    VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id    BIGINT   NOT NULL,
    stars      TINYINT  NOT NULL,
    created_at DATETIME NOT NULL,
    KEY shop (shop_id, created_at)
);

-- What really happened, known to the demo alone; a real platform has reports of it, later.
CREATE TABLE fraud_scenarios (
    shop_id   VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    scenario  ENUM('bust_out', 'card_testing', 'takeover', 'ring') NOT NULL,
    starts_at DATETIME NOT NULL,
    ends_at   DATETIME NOT NULL      -- the shop closed, or went back to its owner; at the latest the end of the data
);
