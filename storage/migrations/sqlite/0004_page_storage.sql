-- What hosted pages keep: keys and values in areas. An area belongs to one visitor of one document,
-- to one tab of that visitor, or to everybody who opens the document.

-- One row per document that has stored anything. Its revision counts the writes.
CREATE TABLE page_store (
    document    TEXT    NOT NULL PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,
    bytes       INTEGER NOT NULL,
    revision    INTEGER NOT NULL
) STRICT;

CREATE TABLE page_area (
    document    TEXT    NOT NULL REFERENCES page_store (document) ON DELETE CASCADE,
    area        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    -- The revision of its newest write.
    revision    INTEGER NOT NULL,
    -- Removals up to this revision are not remembered any more.
    horizon     INTEGER NOT NULL,
    -- Number of the newest write that its tab has numbered.
    sequence    INTEGER NOT NULL,
    PRIMARY KEY (document, area)
) STRICT;

CREATE TABLE page_entry (
    document    TEXT    NOT NULL,
    area        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    -- Absent: it was removed, which other tabs have to learn.
    content     TEXT,
    revision    INTEGER NOT NULL,
    PRIMARY KEY (document, area, name),
    FOREIGN KEY (document, area) REFERENCES page_area (document, area) ON DELETE CASCADE
) STRICT;

CREATE INDEX page_entry_newest ON page_entry (document, area, revision, name);

-- What was deleted, for the sweep of what it stored.
CREATE INDEX document_deleted ON document (deleted_at) WHERE deleted_at IS NOT NULL;
