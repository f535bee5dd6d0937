-- Servers that were made and started: they stay so until they are stopped, however often the
-- program ends in between. No secret stands in `environment`: those come from the configuration.
CREATE TABLE started_server (
    principal   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    environment TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    PRIMARY KEY (principal, name)
) STRICT;
