"""Whose shard it was, and when: what the store saw of it. And with that, whether a message that came
twice may have come twice: only where a session ended hard (killed, silent for its lease, or in
doubt of itself), or where it sent a batch again that Kafka had not answered in time."""

import bisect
import re
from collections import Counter, defaultdict

NOTES = """
BEGIN;
LOCK TABLE sluice.lane, sluice.session IN EXCLUSIVE MODE;
CREATE TABLE public.owned (
    number bigint GENERATED ALWAYS AS IDENTITY, at_ms double precision, shard text, session uuid);
CREATE FUNCTION public.now_ms() RETURNS double precision LANGUAGE sql AS
    $$ SELECT extract(epoch FROM clock_timestamp()) * 1000 $$;
INSERT INTO public.owned (at_ms, shard, session)
    SELECT 0, shard, owner FROM sluice.lane WHERE owner IS NOT NULL ORDER BY id;
CREATE FUNCTION public.note_owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.owned (at_ms, shard, session) VALUES (public.now_ms(), NEW.shard, NEW.owner);
    RETURN NULL; END $$;
CREATE TRIGGER note_owner AFTER INSERT OR UPDATE OF owner ON sluice.lane FOR EACH ROW
    WHEN (NEW.owner IS NOT NULL) EXECUTE FUNCTION public.note_owner();
CREATE TABLE public.died (session uuid);
CREATE FUNCTION public.note_death() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.died VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER note_death AFTER UPDATE OF state ON sluice.session FOR EACH ROW
    WHEN (NEW.state = 'dead') EXECUTE FUNCTION public.note_death();
COMMIT;
"""
LIFE = re.compile(r"(session begun) session=([0-9a-f-]{36})|(the session ended)"
                  r"|(delivery failed, it is sent again)")
# A producer's clock counts whole milliseconds.
SLACK_MS = 2


class Owners:
    def __init__(self, postgres, database):
        """From now on everything is noted; what was owned before counts as owned for ever."""
        self.postgres, self.database = postgres, database
        postgres.execute(NOTES, url=database)

    def read(self, workers):
        """When all is over."""
        self.turns = defaultdict(list)
        for at_ms, shard, session in self.postgres.execute(
                "SELECT at_ms, shard, session::text FROM public.owned ORDER BY number",
                url=self.database):
            turns = self.turns[shard]
            if not turns or turns[-1][1] != session:
                turns.append((at_ms, session))
        self.hard = {session for session, in self.postgres.execute(
            "SELECT session::text FROM public.died", url=self.database)}
        self.resent = set()
        for worker in workers:
            session = None
            for begun, begins, ended, failed in LIFE.findall(worker.process.text()):
                if begun:
                    session = begins
                elif ended and session:
                    self.hard.add(session)
                elif failed and session:
                    self.resent.add(session)

    def turn(self, shard, at_ms):
        """The number of the owner's turn."""
        turns = self.turns[shard]
        return max(bisect.bisect(turns, (at_ms + SLACK_MS, "~")) - 1, 0)

    def explain(self, messages):
        """Of (partition, shard, sequence, time in ms) as they lie in the partitions: how many came
        again, by reason; one without a reason is an error."""
        last, reasons = {}, Counter()
        for partition, shard, sequence, at_ms in messages:
            turn = self.turn(shard, at_ms)
            before = last.get((shard, sequence))
            last[shard, sequence] = turn
            if before is None:
                continue
            session = self.turns[shard][min(before, turn)][1]
            reason = ("sent again" if before == turn and session in self.resent else
                      "hard end" if session in self.hard else None)
            assert reason, (
                f"{shard} {sequence} came again in partition {partition}, first from the owner's "
                f"turn {before}, then from {turn}, and {session} ended well: {self.turns[shard]}")
            reasons[reason] += 1
        return reasons
