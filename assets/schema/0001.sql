-- Sessions, so that one can go on under the next tapline.
CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    -- Of the configuration, where it names several upstreams.
    upstream_name TEXT,
    -- URL or command line, secrets replaced.
    upstream      TEXT NOT NULL,
    -- SHA-256 of the id that its client sends. The id itself opens the session to whoever has it, and is not kept.
    key           BLOB,
    -- JSON.
    state         TEXT NOT NULL,
    -- When it ended for good, in microseconds since the Unix epoch; nothing while it may go on.
    ended         INTEGER,
    via           TEXT NOT NULL,
    origin        TEXT NOT NULL,
    -- JSON.
    client        TEXT,
    server        TEXT,
    protocol      TEXT,
    started       INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    tape          TEXT,
    last_seq      INTEGER NOT NULL,
    messages      INTEGER NOT NULL,
    -- JSON: what another server process is told when it takes the place of this one's.
    recollection  TEXT,
    -- The tapline that has, or had, it in memory.
    owner         INTEGER NOT NULL,
    owner_started INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_key ON sessions (key) WHERE key IS NOT NULL;
CREATE INDEX sessions_by_use ON sessions (last_used);
