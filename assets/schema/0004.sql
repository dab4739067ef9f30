-- What a session's server was told when it began, to be told to another one.
ALTER TABLE sessions RENAME COLUMN recollection TO handshake;
