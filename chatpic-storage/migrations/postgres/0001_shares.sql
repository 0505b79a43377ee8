-- Instants are milliseconds since 1970, digests and sealed keys are bytes, images and tallies are JSON.

CREATE TABLE installation (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    fingerprint BYTEA NOT NULL
);

CREATE TABLE shares (
    id BYTEA PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    max_views BIGINT,
    views BIGINT NOT NULL,
    status TEXT NOT NULL,
    ended_at BIGINT,
    folder TEXT NOT NULL,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    images TEXT NOT NULL,
    tally TEXT NOT NULL,
    upload_digest BYTEA NOT NULL,
    link_digest BYTEA NOT NULL,
    dashboard_digest BYTEA NOT NULL,
    password_salt BYTEA,
    link_wrap BYTEA,
    dashboard_wrap BYTEA,
    sealed_link BYTEA,
    sealed_mark_key BYTEA NOT NULL,
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
);

-- Who may come in is read from this index alone, where the id stands or would stand, so that it costs the same.
CREATE INDEX shares_by_door ON shares (id) INCLUDE (status, expires_at, link_digest, dashboard_digest);
CREATE INDEX shares_by_due ON shares (due);
CREATE INDEX shares_by_folder ON shares (folder);
-- The sum of what is stored is read from this index alone.
CREATE INDEX shares_stored ON shares (bytes) WHERE purged_at IS NULL;

CREATE TABLE sessions (
    share BYTEA NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    id BIGINT NOT NULL,
    token_digest BYTEA NOT NULL,
    nonce_digest BYTEA NOT NULL,
    wrap BYTEA,
    views_before BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    live_until BIGINT GENERATED ALWAYS AS (CASE WHEN wrap IS NOT NULL THEN ends_at END) STORED,
    country TEXT,
    device TEXT NOT NULL,
    images_seen BIGINT NOT NULL,
    UNIQUE (share, id),
    UNIQUE (share, token_digest),
    UNIQUE (share, nonce_digest)
);

CREATE INDEX sessions_by_opening ON sessions (share, opened_at, id);
CREATE INDEX sessions_by_end ON sessions (live_until) WHERE live_until IS NOT NULL;

-- Never gives an id twice, so that an attempt taken back late can't be another one.
CREATE TABLE attempts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    share BYTEA NOT NULL,
    kind TEXT NOT NULL,
    who BYTEA NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX attempts_by_share ON attempts (share, kind, at);
CREATE INDEX attempts_by_time ON attempts (at);

-- A reason is UTF-8 as somebody typed it, which not every database takes for text. There may be no such share.
CREATE TABLE reports (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    share BYTEA NOT NULL,
    at BIGINT NOT NULL,
    reason BYTEA NOT NULL,
    sealed_key BYTEA
);

CREATE INDEX reports_by_share ON reports (share);
CREATE INDEX reports_by_time ON reports (at, id);
