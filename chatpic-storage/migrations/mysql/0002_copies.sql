-- Copies that are kept for sessions of a share, noted before they are put into their folder.
CREATE TABLE copies (
    folder VARCHAR(64) PRIMARY KEY,
    share BINARY(12) NOT NULL,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    FOREIGN KEY (share) REFERENCES shares (id) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

CREATE INDEX copies_by_share ON copies (share);
