-- Copies that are kept for sessions of a share, noted before they are put into their folder.
CREATE TABLE copies (
    folder TEXT PRIMARY KEY NOT NULL,
    share BLOB NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

CREATE INDEX copies_by_share ON copies (share);
