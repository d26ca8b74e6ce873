-- It came back from a sink of letters, and goes to none; as in Postgres.
ALTER TABLE letter ADD COLUMN loaded INTEGER NOT NULL DEFAULT 0;
