-- Instants are milliseconds since 1970, digests and sealed keys are bytes, images and tallies are JSON.

CREATE TABLE installation (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    fingerprint BINARY(32) NOT NULL
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE TABLE shares (
    id BINARY(12) PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    max_views BIGINT,
    views BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    ended_at BIGINT,
    folder VARCHAR(64) NOT NULL,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    images LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    tally LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    upload_digest BINARY(32) NOT NULL,
    link_digest BINARY(32) NOT NULL,
    dashboard_digest BINARY(32) NOT NULL,
    password_salt BINARY(16),
    link_wrap VARBINARY(255),
    dashboard_wrap VARBINARY(255),
    sealed_link VARBINARY(255),
    sealed_mark_key VARBINARY(255) NOT NULL,
    keep_ledger BIGINT NOT NULL,
    wrong_password BIGINT NOT NULL,
    throttled BIGINT NOT NULL,
    after_end BIGINT NOT NULL,
    burned_at BIGINT,
    objects_deleted BIGINT NOT NULL,
    objects_pending BIGINT NOT NULL,
    purged_at BIGINT,
    due BIGINT NOT NULL,
    leased_until BIGINT
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE INDEX shares_by_due ON shares (due);
CREATE INDEX shares_by_folder ON shares (folder);
-- The sum of what is stored is read from this index alone.
CREATE INDEX shares_stored ON shares (purged_at, bytes);

CREATE TABLE sessions (
    share BINARY(12) NOT NULL,
    id BIGINT NOT NULL,
    token_digest BINARY(32) NOT NULL,
    nonce_digest BINARY(32) NOT NULL,
    wrap VARBINARY(255),
    views_before BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    live_until BIGINT GENERATED ALWAYS AS (CASE WHEN wrap IS NOT NULL THEN ends_at END) VIRTUAL,
    country CHAR(2),
    device VARCHAR(16) NOT NULL,
    images_seen BIGINT NOT NULL,
    FOREIGN KEY (share) REFERENCES shares (id) ON DELETE CASCADE,
    UNIQUE (share, id),
    UNIQUE (share, token_digest),
    UNIQUE (share, nonce_digest)
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE INDEX sessions_by_opening ON sessions (share, opened_at, id);
CREATE INDEX sessions_by_end ON sessions (live_until);

-- Never gives an id twice, so that an attempt taken back late can't be another one.
CREATE TABLE attempts (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    share BINARY(12) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    who BINARY(32) NOT NULL,
    at BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE INDEX attempts_by_share ON attempts (share, kind, at);
CREATE INDEX attempts_by_time ON attempts (at);

-- A reason is UTF-8 as somebody typed it, which not every database takes for text. There may be no such share.
CREATE TABLE reports (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    share BINARY(12) NOT NULL,
    at BIGINT NOT NULL,
    reason MEDIUMBLOB NOT NULL,
    sealed_key VARBINARY(255)
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE INDEX reports_by_share ON reports (share);
CREATE INDEX reports_by_time ON reports (at, id);
