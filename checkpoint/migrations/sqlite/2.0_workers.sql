-- A file has one session at a time, under the same contract as if there were several.
CREATE TABLE member (
	stream  INTEGER NOT NULL REFERENCES stream,
	session TEXT NOT NULL,
	sinks   TEXT NOT NULL, -- sorted, as JSON
	PRIMARY KEY (stream, session)
) WITHOUT ROWID;

ALTER TABLE session ADD COLUMN claims INTEGER NOT NULL DEFAULT 0; -- number of the last claim
ALTER TABLE session ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN sinks TEXT; -- the stored set, as a member's; NULL: nobody joined yet
ALTER TABLE stream ADD COLUMN lister TEXT; -- a session's id; one that is not live does not count
ALTER TABLE lane ADD COLUMN done INTEGER NOT NULL DEFAULT 0 -- in all of the stream's sinks
	CHECK (NOT done OR owner IS NULL);
ALTER TABLE lane ADD COLUMN wanted_by TEXT; -- a session's id; one that is not live does not count
ALTER TABLE lane ADD COLUMN claim INTEGER NOT NULL DEFAULT 0; -- of the owner's claims

DROP INDEX lane_owner;
CREATE INDEX lane_owner ON lane (owner, stream, claim) WHERE owner IS NOT NULL;
CREATE INDEX lane_free ON lane (stream, id) WHERE owner IS NULL AND NOT done;
CREATE INDEX lane_wanted ON lane (wanted_by) WHERE wanted_by IS NOT NULL;
CREATE INDEX lane_child ON lane (stream, parent);

UPDATE lane SET done = 1, owner = NULL
WHERE EXISTS (SELECT 1 FROM position p WHERE p.lane = lane.id)
AND NOT EXISTS (SELECT 1 FROM position p WHERE p.lane = lane.id AND NOT p.done);
