-- Times are milliseconds since the Unix epoch by this database's clock.
-- Booleans are 0 and 1. Names avoid the reserved words of PostgreSQL.

CREATE TABLE job (
    id          TEXT    NOT NULL PRIMARY KEY,
    principal   TEXT    NOT NULL,
    client_key  TEXT,
    tool        TEXT    NOT NULL,
    args_sha    TEXT    NOT NULL,
    call_id     TEXT    NOT NULL,
    mode        TEXT    NOT NULL CHECK (mode IN ('plain', 'task')),
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'waiting', 'done', 'failed',
                                                  'cancelled', 'interrupted', 'expired')),
    -- How often it was claimed: the fence of its writes.
    attempt     INTEGER NOT NULL,
    -- How often its lease ran out: what the cap of attempts counts.
    losses      INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,
    lease_until INTEGER,
    cancel      INTEGER NOT NULL DEFAULT 0,
    progress    TEXT,
    result_sha  TEXT,
    error       TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (principal, client_key),
    CHECK (state <> 'running' OR (owner IS NOT NULL AND lease_until IS NOT NULL))
) STRICT;

CREATE INDEX job_newest ON job (principal, created_at, id);
CREATE INDEX job_same_call ON job (principal, tool, args_sha, created_at, id)
    WHERE client_key IS NULL;
CREATE INDEX job_lease ON job (state, lease_until);
CREATE INDEX job_owner ON job (owner, state);

CREATE TABLE step (
    job         TEXT    NOT NULL REFERENCES job (id),
    name        TEXT    NOT NULL,
    sha         TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (job, name)
) STRICT;

CREATE TABLE completion (
    handle        TEXT    NOT NULL PRIMARY KEY,
    principal     TEXT    NOT NULL,
    job           TEXT    NOT NULL UNIQUE REFERENCES job (id),
    step          TEXT    NOT NULL,
    round         INTEGER NOT NULL CHECK (round >= 1),
    prompt_sha    TEXT    NOT NULL,
    partial_sha   TEXT,
    submitted_sha TEXT,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'checking', 'settled', 'expired',
                                                    'cancelled')),
    expires_at    INTEGER NOT NULL,
    -- The end of its life over all rounds; nothing moves it.
    dies_at       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX completion_expiry ON completion (state, expires_at);
CREATE INDEX completion_end ON completion (state, dies_at);

CREATE TABLE call (
    principal   TEXT    NOT NULL,
    call_id     TEXT    NOT NULL,
    tool        TEXT    NOT NULL,
    result_sha  TEXT,
    -- The result itself while it is small; larger ones are blobs.
    result      TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (principal, call_id)
) STRICT;

CREATE INDEX call_newest ON call (principal, created_at, call_id) WHERE result_sha IS NOT NULL;
CREATE INDEX call_expiry ON call (expires_at);

CREATE TABLE document (
    id          TEXT    NOT NULL PRIMARY KEY,
    principal   TEXT    NOT NULL,
    user_key    TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('web', 'pdf')),
    name        TEXT    NOT NULL,
    -- The name in lower case, which is what has to be unique.
    name_key    TEXT    NOT NULL,
    token       TEXT    NOT NULL UNIQUE,
    head        INTEGER NOT NULL CHECK (head >= 1),
    title       TEXT,
    bytes       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER
) STRICT;

CREATE UNIQUE INDEX document_name ON document (principal, user_key, kind, name_key)
    WHERE deleted_at IS NULL;
CREATE INDEX document_newest_of_kind ON document (principal, user_key, kind, updated_at, id)
    WHERE deleted_at IS NULL;
CREATE INDEX document_newest_of_user ON document (principal, user_key, updated_at, id)
    WHERE deleted_at IS NULL;
CREATE INDEX document_newest ON document (principal, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE version (
    document    TEXT    NOT NULL REFERENCES document (id),
    n           INTEGER NOT NULL CHECK (n >= 1),
    -- One version per job, however often the job is run.
    job         TEXT    NOT NULL UNIQUE REFERENCES job (id),
    blob_sha    TEXT    NOT NULL,
    source_sha  TEXT,
    bytes       INTEGER NOT NULL,
    facts       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (document, n)
) STRICT;

CREATE TABLE attachment (
    document    TEXT    NOT NULL REFERENCES document (id),
    sha         TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (document, sha)
) STRICT;

CREATE TABLE quota (
    principal    TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    window_start INTEGER NOT NULL,
    used         INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (principal, kind, window_start, expires_at)
) STRICT;

CREATE INDEX quota_expiry ON quota (expires_at);

CREATE TABLE legacy_session (
    id          TEXT    NOT NULL PRIMARY KEY,
    state       TEXT    NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX legacy_session_expiry ON legacy_session (expires_at);

CREATE TABLE setting (
    name        TEXT    NOT NULL PRIMARY KEY,
    content     TEXT    NOT NULL
) STRICT;
