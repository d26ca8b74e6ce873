#!/usr/bin/env python3
"""Everything bad at once: one record in a hundred that cannot be read, a script that loops for ever
on some and eats memory on others, a schema that changes under way. The stream goes on, and what was
delivered and what is a letter, by its reason, is together what there was."""

import unittest
from collections import Counter

import world
from test_records import with_value
from test_schemas import V1, V2

SCRIPT = """
function transform(event)
  local n = event.new and event.new.n or event.old.n + 1
  if n % 40 == 7 then while true do end end
  if n % 40 == 27 then
    local all = {}
    while true do all[#all + 1] = ("x"):rep(1000) .. #all end
  end
  return event
end
"""
POISON = with_value('{"N":"12x"}')
RECORDS = 600


class Poison(world.World):
    def begin(self, emulator, schema):
        script = self.folder / "script.lua"
        script.write_text(SCRIPT)
        lua = {"file": str(script), "memory": "1MiB", "instructions": 100000}
        worker = self.worker(emulator, "orders", stream={"schemas": [schema],
                                                         "transform": [{"lua": lua}]},
                             dead_letter={"max_ratio": 1})
        return worker.start()

    def poison(self, emulator, worker, first, last):
        """One behind each of these hundreds of records."""
        for hundred in range(first, last + 1):
            worker.wait_for(lambda: self.made(emulator) >= 100 * hundred, "more is made",
                            world.DEADLINE)
            emulator.control("append", table="orders", text=POISON)

    @staticmethod
    def put(emulator, sk, town):
        emulator.control("put", table="orders", item={
            "pk": {"S": "by-hand"}, "sk": {"N": str(sk)}, "type": {"S": "order"},
            "n": {"N": "1"}, "address": {"M": {"town": town}}})

    def reasons(self):
        return Counter(letter["reason"] for letter in self.letters())

    def test_all_at_once(self):
        emulator = self.emulator(f"orders:shards=1:records={RECORDS}:rate=200:keys=4:bytes=400")
        worker = self.begin(emulator, V1)
        self.put(emulator, 1, {"S": "Porto"})
        self.poison(emulator, worker, 1, 3)
        worker.wait_for(lambda: self.reasons()["undecodable"] == 3, "the stream goes on",
                        world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        before = self.reasons()
        self.assertEqual(before["schema"], 1)

        worker = self.begin(emulator, V2)
        self.put(emulator, 2, {"S": "Porto"})
        self.put(emulator, 3, {"N": "4000"})
        self.poison(emulator, worker, 4, 6)
        self.wait_made(emulator)
        made = self.made(emulator)
        self.assertEqual(made, RECORDS + 6 + 3)
        worker.wait_for(lambda: len(self.delivered()) + sum(self.reasons().values()) == made,
                        "each is delivered or a letter", world.DEADLINE)
        ends = [key["n"] for name, key in emulator.truth("orders")["keys"].items()
                if "by-hand" not in name]
        stopped = sum(n % 40 in (7, 27) for end in ends for n in range(1, end + 1))
        self.assertGreater(stopped, 8)
        letters = self.reasons()
        self.assertEqual(letters, {"undecodable": 6, "schema": 2, "transform": stopped})
        for reason, count in letters.items():
            worker.wait_metric("sluice_dead_letters_total", count - before[reason], reason=reason)
            self.assertEqual(worker.metric("sluice_dead_letters_total", reason=reason),
                             count - before[reason])
        self.assertEqual(worker.stop(), 0)
        got = self.delivered()
        self.check_order(got, world.shards_of(emulator))
        by_hand = [event.value["after"]["sk"] for event in got if "by-hand" in event.key]
        self.assertEqual(by_hand, [2])


if __name__ == "__main__":
    unittest.main()
