"""Streams that are joined to exports of their table: what a reader keeps that takes the highest
(generation, sequence) of a key is the table, whatever died in between; and where it is not, that was
foreseen."""

import exporting
from world import DEADLINE

TABLE = "orders:pitr=1:shards=2:keys=16:bytes=300:rotate_ms=7200000:fuzz_ms=60000:export_ms=120000"
# Seconds of AWS's time, and how often it goes so much further: a worker believes a new time once two
# answers say it.
STEP = 120
EVERY = 1.5


class Joins(exporting.Exports):
    def joined(self, emulator, start="baseline", **more):
        worker = self.one(emulator, stream={
            "start": start, "gap": "repair",
            "baseline": {"bucket": self.bucket, "prefix": self.prefix, "poll": "5s"}, **more})
        worker.config["worker"]["follow"] = "1s"
        worker.config["aws"]["endpoint"]["s3"] = self.s3
        return worker

    def stream(self, what):
        """Of the table's newest stream; those of files have other names for ARNs."""
        return self.sql(f"SELECT {what} FROM sluice.stream WHERE arn LIKE 'arn:%' "
                        "ORDER BY id DESC LIMIT 1", self.database)

    def wait_joined(self, worker, generation, deadline=DEADLINE):
        worker.wait_for(lambda: self.joined_now(generation),
                        lambda: f"generation {generation}: {self.stream('*')} {self.column('*')}",
                        deadline)

    def joined_now(self, generation):
        return self.stream("generation || '/' || (hold IS NULL)") == [f"{generation}/true"]

    def kept(self):
        """What a reader has in the end: per key the event of the highest (generation, sequence)."""
        best = {}
        for event in self.delivered():
            order = event.generation, event.sequence
            if event.key not in best or order >= best[event.key][0]:
                best[event.key] = order, event
        return {key: event for key, (_, event) in best.items() if event.op != "d"}

    @staticmethod
    def truth(emulator):
        """The table: what was generated, and what was put by hand."""
        truth = emulator.truth("orders")
        return {**{key: value["n"] for key, value in truth["keys"].items() if value["exists"]},
                **{key: int(item["n"]["N"]) for key, item in truth["items"].items()}}

    def check_kept(self, emulator, beside=()):
        kept = {key: event.n for key, event in self.kept().items()}
        truth = self.truth(emulator)
        self.assertEqual({key for key in kept if key not in truth}, set(beside))
        for key in beside:
            kept.pop(key)
        self.assertEqual(kept, truth)
