-- Names of the tools that the pages of a document may call, as a JSON array of strings.
ALTER TABLE document ADD COLUMN tool_names TEXT NOT NULL DEFAULT '[]';

-- Blob of a small picture of the version (WebP), once one was taken.
ALTER TABLE version ADD COLUMN thumb_sha TEXT;
