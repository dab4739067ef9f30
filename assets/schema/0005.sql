-- Which session a tape is of, and which it branched off, as JSON. What was known before says neither, and is read again.
DELETE FROM tapes;
ALTER TABLE tapes ADD COLUMN session TEXT;
ALTER TABLE tapes ADD COLUMN parent TEXT;
