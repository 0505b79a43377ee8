-- Copies that are kept for sessions of a share, noted before they are put into their folder.
CREATE TABLE copies (
    folder TEXT PRIMARY KEY,
    share BYTEA NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);

CREATE INDEX copies_by_share ON copies (share);
