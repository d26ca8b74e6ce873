-- Rolls that are transactions; as in Postgres. [[lane, "sequence", event_ms], …]; NULL: the roll's
-- positions moved with it.
ALTER TABLE roll ADD COLUMN pending TEXT;
