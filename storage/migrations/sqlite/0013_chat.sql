-- Conversations of the chat. A turn is what a person said and the run that answers it; turns with
-- the same parent are branches of one conversation.

CREATE TABLE chat_conversation (
    id          TEXT    NOT NULL PRIMARY KEY,
    principal   TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    -- Last turn of the branch that is shown; absent until there is one.
    head        TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX chat_conversation_newest ON chat_conversation (principal, updated_at DESC);

CREATE TABLE chat_turn (
    id              TEXT    NOT NULL PRIMARY KEY,
    conversation    TEXT    NOT NULL REFERENCES chat_conversation (id) ON DELETE CASCADE,
    -- Absent: it begins the conversation.
    parent          TEXT,
    -- Name of the run that answers.
    run             TEXT    NOT NULL,
    question        TEXT    NOT NULL,
    -- Attached files and what was chosen, as JSON.
    files           TEXT    NOT NULL,
    choice          TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    -- The answer's words, once it is over: what a search finds.
    answer          TEXT,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX chat_turn_of_conversation ON chat_turn (conversation, created_at);
CREATE INDEX chat_turn_running ON chat_turn (state) WHERE state = 'running';

-- Files that people attach. Their bytes are blobs.
CREATE TABLE chat_file (
    id          TEXT    NOT NULL PRIMARY KEY,
    principal   TEXT    NOT NULL,
    sha         TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- Links that open the chat once, and the sessions of browsers that were opened. Only hashes.
CREATE TABLE chat_key (
    sha         TEXT    NOT NULL PRIMARY KEY,
    principal   TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
