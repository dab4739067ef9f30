-- Whose session it is, where clients are known: the name of a token, or who is behind it and who says so. No secret.
ALTER TABLE sessions ADD COLUMN caller TEXT;
