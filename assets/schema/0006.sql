-- The server by its own name, the tools that were called, and what people noted, as JSON. Of what was known before none is known: it is
-- shown until the tape was read again.
ALTER TABLE tapes ADD COLUMN server TEXT;
ALTER TABLE tapes ADD COLUMN tools TEXT;
ALTER TABLE tapes ADD COLUMN notes TEXT;
