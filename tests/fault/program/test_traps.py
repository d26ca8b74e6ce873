#!/usr/bin/env python3
"""Traps that readers of streams have fallen into: errors taken for a shard's end, or counted as
nothing; a restart that reads everything again; one bad shard that holds up the others; a start of now
that is applied to children; a number of shards that a process cannot have."""

import unittest

import world

# Fault → members of the rule, and the result under which it is counted. Where a call tries again by
# itself, the count outlasts its attempts.
ANSWERS = {
    "throttle": ({"count": 8}, "throttled"),
    "limit": ({"count": 8}, "throttled"),
    "internal": ({"count": 8}, "retry"),
    "expired": ({"count": 2}, "expired"),
    "not_found": ({"count": 2}, "not_found"),
    "denied": ({"count": 2}, "refused"),
    "trimmed": ({"count": 1}, "trimmed"),
    "error": ({"count": 1, "status": 400, "code": "ValidationException"}, "invalid"),
}
# No repetition helps, and a person decides: the shard stands still, and is not done.
STAND = ("trimmed", "error")


class Traps(world.World):
    def test_every_answer_is_counted_and_none_ends_a_shard(self):
        tables = {kind: kind.replace("_", "-") for kind in ANSWERS}
        emulator = self.emulator(*(f"{table}:shards=1:records=40:keys=4:bytes=400"
                                   for table in tables.values()))
        for kind, table in tables.items():
            emulator.fault(kind, operation="GetRecords", table=table, after=1, **ANSWERS[kind][0])
        worker = self.worker(emulator, *tables.values()).start()
        for kind, table in tables.items():
            with self.subTest(kind=kind):
                worker.wait_metric("sluice_polls_total", 1, 60, stream=table, result=ANSWERS[kind][1])
                if ANSWERS[kind][1] != "expired":  # there every stream has its own
                    worker.wait_metric("sluice_aws_calls_total", 1, 60, operation="GetRecords",
                                       result=ANSWERS[kind][1])
        worker.wait_for(lambda: all(len(self.delivered(table)) == 40 for kind, table in tables.items()
                                    if kind not in STAND), "the others are delivered", 90)
        for kind in STAND:
            worker.wait_metric("sluice_shards", 1, stream=tables[kind], state="stopped")
        self.assertEqual(worker.metric("sluice_gaps_total"), 1)
        self.assertEqual(worker.stop(60), 0)
        # What stood still for an answer goes on with the next life; a gap may wait for a person.
        self.assertIn(worker.drain("500ms", world.DEADLINE), (0, 1))
        for kind, table in tables.items():
            if kind != "trimmed":
                self.check_complete(emulator, table)

    def test_a_restart_reads_nothing_again(self):
        emulator = self.emulator("orders:shards=2:records=100:keys=8:bytes=400:depth=1:fanout=2")
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        emulator.control("reset")
        self.drain(worker)
        shards = emulator.control("shards", table="orders")["streams"][-1]["shards"]
        self.assertEqual(len([shard for shard in shards.values() if shard["closed"]]), 2)
        for shard, now in shards.items():
            self.assertEqual(now["served"], 0, f"{shard} was read again")
            if now["closed"]:
                self.assertEqual(now["calls"], 0, f"{shard} is done, and was asked again")
        self.check_complete(emulator)

    def test_a_bad_shard_holds_up_no_other(self):
        emulator = self.emulator("orders:shards=3:records=40:keys=8:bytes=400")
        bad, *others = emulator.truth("orders")["streams"][-1]["shards"]
        emulator.fault("denied", operation="GetRecords", shard=bad, count=-1)
        worker = self.worker(emulator, "orders").start()
        for shard in others:
            emulator.control("split", table="orders", shard=shard, records=10)
        worker.wait_for(lambda: len(self.delivered()) == 2 * 40 + 4 * 10,
                        "the others and their children are delivered", 90)
        self.assertIn('"part":"stream orders","ok":false', worker.get("/readyz")[1])
        self.assertEqual([e for e in self.delivered() if e.shard == bad], [])
        emulator.control("clear")
        worker.wait_for(lambda: len(self.delivered()) == 3 * 40 + 4 * 10, "and then the bad one", 90)
        self.assertEqual(worker.stop(60), 0)
        self.check_complete(emulator)

    def test_a_start_of_now_is_not_for_children(self):
        emulator = self.emulator("orders:shards=1:records=30:keys=4:bytes=400")
        root, = emulator.truth("orders")["streams"][-1]["shards"]
        worker = self.worker(emulator, "orders", stream={"start": "latest"}).start()
        worker.wait_metric("sluice_polls_total", 3, 60, stream="orders", result="empty")
        # The child has records before anybody hears of it.
        emulator.control("rotate", table="orders", shard=root, records=20)
        worker.wait_for(lambda: len(self.delivered()) >= 20, "its records are delivered", 60)
        self.assertEqual(worker.stop(60), 0)
        got = [event for event in self.delivered() if event.shard != root]
        self.assertEqual(len(got), 20)

    def test_hundreds_of_shards_in_one_process(self):
        emulator = self.emulator("orders:shards=400:records=3:keys=400:bytes=300")
        worker = self.worker(emulator, "orders", worker={"memory": "16MiB"})
        self.drain(worker)
        self.check_complete(emulator)
        self.clean()


if __name__ == "__main__":
    unittest.main()
