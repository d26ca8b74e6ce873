#!/usr/bin/env python3
"""Records that stay bad however often their page is fetched: they go to the dead letters with their
place and the reason, or are dropped, or stop their shard; nothing else is held up or lost."""

import base64
import json
import unittest

import world

RECORD = {
    "eventID": "0123456789abcdef", "eventName": "INSERT", "eventVersion": "1.1",
    "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
    "dynamodb": {
        "ApproximateCreationDateTime": 1763700000.0,
        "Keys": {"pk": {"S": "by-hand"}, "sk": {"N": "7"}},
        "NewImage": {"pk": {"S": "by-hand"}, "sk": {"N": "7"}, "n": {"N": "1"}, "mark": {"S": "MARK"}},
        "SequenceNumber": "@SEQUENCE@", "SizeBytes": 59, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}
MARK = '{"S": "MARK"}'


def with_value(value):
    return json.dumps(RECORD).replace(MARK, value)


def without(*path):
    record = json.loads(json.dumps(RECORD))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(record)


def instead(value, *path):
    record = json.loads(json.dumps(RECORD))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(record)


# What is wrong → the record as text or bytes.
BAD = {
    "a byte that is no UTF-8": with_value('{"S":"\x00"}').encode().replace(b"\x00", b"\xff"),
    "half of a surrogate pair": with_value(r'{"S":"\ud800"}'),
    "an escape that JSON does not have": with_value(r'{"S":"\q"}'),
    "a control character": with_value('{"S":"\x01"}'),
    "a number that is none": with_value('{"N":"12x"}'),
    "39 digits": with_value('{"N":"123456789012345678901234567890123456789"}'),
    "a number as a JSON number": with_value('{"N":5}'),
    "a type that does not exist": with_value('{"Q":"1"}'),
    "a value of two types": with_value('{"S":"a","N":"1"}'),
    "base64 that is none": with_value('{"B":"***"}'),
    "an attribute nested too deep": with_value('{"L":[' * 40 + '{"S":"x"}' + "]}" * 40),
    "no keys": without("dynamodb", "Keys"),
    "no range key": without("dynamodb", "Keys", "sk"),
    "no event name": without("eventName"),
    "an unknown event name": instead("EXPLODE", "eventName"),
    "keys that are a list": instead([], "dynamodb", "Keys"),
    "an image that is text": instead("x", "dynamodb", "NewImage"),
}


class Records(world.World):
    def append(self, emulator, record, table="orders", **members):
        """Returns the record's sequence number."""
        content = ({"base64": base64.b64encode(record).decode()} if isinstance(record, bytes)
                   else {"text": record})
        return emulator.control("append", table=table, **members, **content)["sequence"]

    def put(self, emulator, n):
        return emulator.control("put", table="orders", item={
            "pk": {"S": "behind"}, "sk": {"N": "1"}, "n": {"N": str(n)}})["sequence"]

    def split_events(self):
        """Those that were generated, and those that were put by hand."""
        got = self.delivered()
        by_hand = [event for event in got if '"behind"' in event.key or '"by-hand"' in event.key]
        return [event for event in got if event not in by_hand], by_hand

    def test_each_kind_becomes_a_letter(self):
        emulator = self.emulator("orders:records=40:keys=4:bytes=400")
        bad = {}
        for i, (what, record) in enumerate(BAD.items()):
            bad[self.append(emulator, record)] = what
            self.put(emulator, i + 1)
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        letters = {letter["sequence"]: letter for letter in self.letters()}
        for sequence, what in bad.items():
            with self.subTest(what=what):
                letter = letters.pop(sequence.lstrip("0"), None)
                self.assertIsNotNone(letter, self.log(worker))
                self.assertEqual(letter["reason"], "undecodable")
                self.assertTrue(letter["error"])
                self.assertEqual(letter["stream"], "orders")
                self.assertEqual(letter["sink"], None)
                self.assertTrue(letter["shard"].startswith("shardId-"))
                self.assertTrue(letter["record"])
                if isinstance(letter["record"], dict):
                    self.assertTrue(letter["record"]["eventSourceARN"].endswith(
                        emulator.arn("orders")))
        self.assertEqual(letters, {})
        generated, by_hand = self.split_events()
        self.assertEqual([event.n for event in by_hand], list(range(1, len(BAD) + 1)))
        self.check_keys(generated, emulator.truth("orders")["keys"])

        # A second life has nothing to do, and writes no letter again.
        self.drain(worker)
        self.assertEqual(len(self.letters()), len(BAD))
        self.assertEqual(len(self.delivered()), len(generated) + len(by_hand))

    def test_records_without_a_sequence_number(self):
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        for i in range(3):
            self.append(emulator, without("dynamodb", "SequenceNumber").replace("MARK", f"{i}"))
        for text in ("no record at all", "[]", "null"):
            self.append(emulator, text)
        self.put(emulator, 1)
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        letters = self.letters()
        self.assertEqual([letter["sequence"] for letter in letters], [None] * 6)
        self.assertEqual(len({json.dumps(letter["record"]) for letter in letters}), 6)
        generated, by_hand = self.split_events()
        self.assertEqual(len(by_hand), 1)
        self.check_keys(generated, emulator.truth("orders")["keys"])

    def test_a_record_that_breaks_its_page_holds_up_only_what_is_behind_it(self):
        emulator = self.emulator("orders:shards=2:records=300:keys=4:bytes=400")
        first = list(emulator.truth("orders")["streams"][-1]["shards"])[0]
        self.append(emulator, '{"dynamodb":', shard=first)
        self.append(emulator, with_value('{"S":"behind"}'), shard=first)
        worker = self.worker(emulator, "orders").start()
        worker.wait_for(lambda: len(self.delivered()) == 600, "what comes before it", 120)
        worker.wait_for(lambda: "its records cannot be told apart" in worker.get("/readyz")[1],
                        "the health says so", 60)
        self.assertEqual(worker.stop(60), 0)
        self.assertEqual(self.letters(), [])
        generated, by_hand = self.split_events()
        self.check_keys(generated, emulator.truth("orders")["keys"])
        self.assertEqual(by_hand, [])

    def test_drop(self):
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        self.append(emulator, BAD["no keys"])
        self.put(emulator, 1)
        self.append(emulator, BAD["a number that is none"])
        self.put(emulator, 2)
        worker = self.worker(emulator, "orders", stream={"on_error": "drop"})
        worker.start()
        worker.wait_metric("sluice_delivered_total", 12, sink="files", deadline=60)
        self.assertEqual(worker.metric("sluice_dropped_total", reason="undecodable"), 2)
        self.assertEqual(worker.stop(), 0)
        generated, by_hand = self.split_events()
        self.assertEqual([event.n for event in by_hand], [1, 2])
        self.check_keys(generated, emulator.truth("orders")["keys"])
        self.assertEqual(self.letters(), [])

    def stop_at(self, emulator, behind, expected):
        """The shard of the bad record stands, `expected` of its records are out, and no other shard
        misses one; also in the second life."""
        shards = emulator.truth("orders")["streams"][-1]["shards"]
        stands = list(shards)[0]
        worker = self.worker(emulator, "orders", stream={"on_error": "stop"})
        for _ in range(2):
            self.drain(worker, code=1)
            self.assertIn(stands, self.log(worker).splitlines()[-1] + worker.process.tail(5))
            got = self.delivered()
            self.check_order(got, shards)
            self.assertEqual(len([e for e in got if e.shard == stands]), expected)
            for shard, truth in shards.items():
                if shard != stands and shard not in behind:
                    self.assertEqual(len([e for e in got if e.shard == shard]), truth["records"])
            self.assertEqual([e for e in got if e.shard in behind], [])
            self.assertEqual(self.letters(), [])

    def test_stop(self):
        emulator = self.emulator("orders:shards=2:records=30:keys=4:bytes=400")
        first = list(emulator.truth("orders")["streams"][-1]["shards"])[0]
        self.append(emulator, BAD["no keys"], shard=first)
        self.append(emulator, with_value('{"S":"behind"}'), shard=first)
        children = set(emulator.control("split", table="orders", shard=first, records=5) and
                       emulator.truth("orders")["streams"][-1]["shards"])
        before = {first, *(s for s in children
                           if "parent" not in emulator.truth("orders")["streams"][-1]["shards"][s])}
        self.stop_at(emulator, children - before, 30)

    def test_stop_at_the_first_record(self):
        emulator = self.emulator("orders:shards=2:records=0:keys=4:bytes=400")
        first = list(emulator.truth("orders")["streams"][-1]["shards"])[0]
        self.append(emulator, BAD["no event name"], shard=first)
        self.stop_at(emulator, set(), 0)

    def test_a_shard_that_stands_still_is_not_covered_by_others(self):
        emulator = self.emulator("orders:shards=2:records=0:keys=4:bytes=400")
        stands, goes_on = emulator.truth("orders")["streams"][-1]["shards"]
        self.append(emulator, BAD["no keys"], shard=stands)
        worker = self.worker(emulator, "orders", stream={"on_error": "stop"}).start()
        worker.wait_for(lambda: "stands still" in worker.get("/readyz")[1], "the health says so", 60)
        self.append(emulator, with_value('{"S":"after"}'), shard=goes_on)
        worker.wait_for(lambda: len(self.delivered()) == 1, "the other shard goes on", 60)
        status, body = worker.get("/readyz")
        self.assertEqual(status, 200)
        self.assertIn(f"shard {stands} stands still (on_error: stop)", body)
        self.assertEqual(worker.stop(), 0)

    def test_pages_that_repeat_records_lose_nothing(self):
        emulator = self.emulator("orders:records=50:keys=4:bytes=400")
        emulator.fault("duplicate", operation="GetRecords", count=2)
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        once = {event.sequence: event for event in self.delivered()}
        self.check_keys([once[s] for s in sorted(once)], emulator.truth("orders")["keys"])


if __name__ == "__main__":
    unittest.main()
