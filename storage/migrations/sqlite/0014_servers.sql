-- MCP servers that were made: one row per version. Their files lie in the data folder.
CREATE TABLE made_server (
    principal   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    -- Of a job that publishes twice, the first one counts.
    job         TEXT    NOT NULL UNIQUE,
    -- Relative to the data folder.
    folder      TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    -- What is told about it, as JSON: title, tools, hosts, variables, what was proven.
    summary     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (principal, name, version)
) STRICT;
