-- What tapes say of themselves, so that a directory of them is listed without reading them. A row counts for as long as
-- size and time of the file are those it was made of; nothing is lost with this table.
CREATE TABLE tapes (
    path     TEXT PRIMARY KEY,
    modified INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    upstream TEXT NOT NULL,
    -- JSON.
    client   TEXT,
    protocol TEXT,
    started  INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    -- JSON.
    problems TEXT NOT NULL
) STRICT;
