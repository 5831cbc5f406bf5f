-- The demo platform: the tables of an e-commerce site that show traces of fraud.
-- It runs on MariaDB 10.11 and on MySQL 8 or later. All times are UTC. A hash is half of a longer
-- hash in hexadecimal: it tells two values apart, and nobody can compute the value from it.
--
-- A feature may use a row only after its event time (created_at, added_at, reported_at, ...).
-- It may use an event-time column (shipped_at, declined_at, ...) only after this time.
-- A column that the platform overwrites has no earlier values. So no feature may read
-- payments.status, users.country or shops.closed_at. No feature may read fraud_scenarios either:
-- it holds the answer.

CREATE TABLE users (
    id         BIGINT   NOT NULL PRIMARY KEY,
    created_at DATETIME NOT NULL,
    country    CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL  -- overwritten if the user moves
);

CREATE TABLE shops (
    shop_id         VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    owner_id        BIGINT   NOT NULL,
    created_at      DATETIME NOT NULL,
    kyc_verified_at DATETIME NULL,   -- the owner proved their identity
    closed_at       DATETIME NULL,   -- overwritten if a closed shop opens again
    KEY owner (owner_id, created_at)
);

CREATE TABLE shop_bank_accounts (
    id        BIGINT   NOT NULL PRIMARY KEY,
    shop_id   VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    iban_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    added_at  DATETIME NOT NULL,     -- payouts go to the newest account
    KEY shop (shop_id, added_at),
    KEY iban (iban_hash, added_at)
);

CREATE TABLE listings (
    id          BIGINT   NOT NULL PRIMARY KEY,
    shop_id     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    category_id INT      NOT NULL,
    price       DECIMAL(12,2) NOT NULL,  -- never changes: a new price is a new listing
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
    order_id    BIGINT   NULL,       -- NULL: declined, then the checkout was abandoned
    shop_id     VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id     BIGINT   NOT NULL,
    amount      DECIMAL(12,2) NOT NULL,
    card_hash   CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    device_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    bin_country CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- the country that issued the card
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
    reported_at DATETIME NOT NULL,   -- the bank reports weeks after the order
    KEY shop (shop_id, reported_at)
);

CREATE TABLE logins (
    id          BIGINT   NOT NULL PRIMARY KEY,
    user_id     BIGINT   NOT NULL,
    device_hash CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ip          INT UNSIGNED NOT NULL,   -- for INET_NTOA()
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

-- The true frauds, which only a demo knows. A real platform gets reports of them later.
CREATE TABLE fraud_scenarios (
    shop_id   VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    scenario  ENUM('bust_out', 'card_testing', 'takeover', 'ring') NOT NULL,
    starts_at DATETIME NOT NULL,
    ends_at   DATETIME NOT NULL      -- the shop closed, its owner got it back, or the data end
);
