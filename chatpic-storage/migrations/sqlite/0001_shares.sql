-- Instants are milliseconds since 1970, digests and sealed keys are blobs, images and tallies are JSON.

CREATE TABLE installation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    fingerprint BLOB NOT NULL
) STRICT;

CREATE TABLE shares (
    id BLOB PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    max_views INTEGER,
    views INTEGER NOT NULL,
    status TEXT NOT NULL,
    ended_at INTEGER,
    folder TEXT NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    images TEXT NOT NULL,
    tally TEXT NOT NULL,
    upload_digest BLOB NOT NULL,
    link_digest BLOB NOT NULL,
    dashboard_digest BLOB NOT NULL,
    password_salt BLOB,
    link_wrap BLOB,
    dashboard_wrap BLOB,
    sealed_link BLOB,
    sealed_mark_key BLOB NOT NULL,
    keep_ledger INTEGER NOT NULL,
    wrong_password INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    after_end INTEGER NOT NULL,
    burned_at INTEGER,
    objects_deleted INTEGER NOT NULL,
    objects_pending INTEGER NOT NULL,
    purged_at INTEGER,
    due INTEGER NOT NULL,
    leased_until INTEGER
) STRICT;

-- Who may come in is read from this index alone, where the id stands or would stand, so that it costs the same.
CREATE INDEX shares_by_door ON shares (id, status, expires_at, link_digest, dashboard_digest);
CREATE INDEX shares_by_due ON shares (due);
CREATE INDEX shares_by_folder ON shares (folder);
-- The sum of what is stored is read from this index alone.
CREATE INDEX shares_stored ON shares (bytes) WHERE purged_at IS NULL;

CREATE TABLE sessions (
    share BLOB NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    token_digest BLOB NOT NULL,
    nonce_digest BLOB NOT NULL,
    wrap BLOB,
    views_before INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    live_until INTEGER GENERATED ALWAYS AS (CASE WHEN wrap IS NOT NULL THEN ends_at END) VIRTUAL,
    country TEXT,
    device TEXT NOT NULL,
    images_seen INTEGER NOT NULL,
    UNIQUE (share, id),
    UNIQUE (share, token_digest),
    UNIQUE (share, nonce_digest)
) STRICT;

CREATE INDEX sessions_by_opening ON sessions (share, opened_at, id);
CREATE INDEX sessions_by_end ON sessions (live_until) WHERE live_until IS NOT NULL;

-- Never gives an id twice, so that an attempt taken back late can't be another one.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    share BLOB NOT NULL,
    kind TEXT NOT NULL,
    who BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX attempts_by_share ON attempts (share, kind, at);
CREATE INDEX attempts_by_time ON attempts (at);

-- A reason is UTF-8 as somebody typed it, which not every database takes for text. There may be no such share.
CREATE TABLE reports (
    id INTEGER PRIMARY KEY,
    share BLOB NOT NULL,
    at INTEGER NOT NULL,
    reason BLOB NOT NULL,
    sealed_key BLOB
) STRICT;

CREATE INDEX reports_by_share ON reports (share);
CREATE INDEX reports_by_time ON reports (at, id);
