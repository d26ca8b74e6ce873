#!/usr/bin/env python3
"""Lua scripts of a worker: what one makes of records, and scripts that loop for ever, eat memory or
err now and then. The stream goes on, each record is delivered, dropped or a letter, and is counted as
what it is."""

import json
import unittest

import world

# `n` counts a key's versions from 1 on; a delete is one more than what it deleted.
VERSION = """
local function version(event)
  return event.new and event.new.n or event.old.n + 1
end
"""


FOLDER = {"type": "directory", "compression": "none", "format": "debezium", "roll": {"age": "1s"}}


class Scripts(world.World):
    def script(self, text, name="script.lua"):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def scripted(self, emulator, text, settings=None, stream=None):
        lua = {"file": self.script(text), **(settings or {})}
        return self.worker(emulator, "orders", stream={"transform": [{"lua": lua}], **(stream or {})})

    def sequences(self):
        return [(e.sequence, e.value["source"].get("part")) for e in self.delivered()]

    def everything(self, emulator):
        """All events, from a worker without a script."""
        worker = self.worker(emulator, "orders",
                             checkpoint={"store": f"sqlite:{self.folder}/plain.db"},
                             sinks={"files": {**FOLDER, "path": f"{self.folder}/plain/${{table}}/"}})
        self.drain(worker)
        return self.delivered(out="plain")

    def check_letters(self, wanted, error):
        letters = self.letters()
        self.assertEqual(sorted(int(x["sequence"]) for x in letters), sorted(wanted))
        for x in letters:
            self.assertEqual((x["reason"], x["sink"]), ("transform", "files"))
            self.assertRegex(x["error"], error)
            self.assertIn("Keys", x["record"]["dynamodb"])

    def test_none_one_and_several_events_over_kills(self):
        emulator = self.emulator("orders:shards=2:records=800:rate=500:keys=10:bytes=400")
        worker = self.scripted(emulator, VERSION + """
function transform(event)
  local n = version(event)
  if event.new then event.new.fill = nil end
  if n % 10 == 0 then return nil end
  if n % 10 == 1 then
    local second = copy(event)
    if second.new then second.new.copy = true end
    return event, second
  end
  return event
end
""")
        for _ in range(2):
            worker.start()
            worker.wait_metric("sluice_delivered_total", 100, sink="files", deadline=60)
            worker.kill9()
        self.wait_made(emulator)
        self.drain(worker)
        wanted = []
        for e in self.everything(emulator):
            kind = {0: (), 1: (1, 2)}.get(e.n % 10, (None,))
            wanted += [(e.sequence, part) for part in kind]
        self.assertCountEqual(self.sequences(), wanted)
        last = {}
        for e in self.delivered():
            place = (e.sequence, e.value["source"].get("part", 0))
            self.assertGreater(place, last.get(e.shard, (0, 0)))
            last[e.shard] = place
            if e.value["after"]:
                self.assertNotIn("fill", e.value["after"])
                self.assertEqual(e.value["after"].get("copy", False), place[1] == 2)
        self.assertEqual(self.letters(), [])

    def test_one_that_errs_on_each_hundredth_record(self):
        emulator = self.emulator("orders:shards=1:records=400:keys=2:bytes=300")
        worker = self.scripted(emulator, VERSION + """
function transform(event)
  if version(event) % 100 == 0 then
    error("number " .. version(event))
  end
  return event
end
""")
        self.drain(worker)
        everything = self.everything(emulator)
        bad = [e.sequence for e in everything if e.n % 100 == 0]
        self.assertGreaterEqual(len(bad), 2)
        self.check_letters(bad, r"^lua: script\.lua:8: number \d+00$")
        self.assertEqual([e.sequence for e in self.delivered()],
                         [e.sequence for e in everything if e.n % 100])

    def test_ones_that_loop_for_ever_or_eat_memory(self):
        emulator = self.emulator("orders:shards=1:records=300:keys=2:bytes=300")
        worker = self.scripted(emulator, VERSION + """
local seen = 0
function transform(event)
  seen = seen + 1
  local n = version(event)
  if n % 30 == 0 then
    while true do pcall(function() while true do end end) end
  elseif n % 30 == 10 then
    local all = {}
    local piece = ("x"):rep(1000)
    while true do all[#all + 1] = piece .. #all end
  elseif n % 30 == 20 then
    return ("a"):rep(3000):find(("a*"):rep(30) .. "b")
  end
  if event.new then event.new.seen = seen end
  return event
end
""", settings={"memory": "2MiB", "instructions": 100000})
        everything = self.everything(emulator)
        bad = [e.sequence for e in everything if e.n % 10 == 0]
        eats = [e.sequence for e in everything if e.n % 30 == 10]
        worker.start()
        worker.wait_metric("sluice_delivered_total", len(everything) - len(bad), sink="files",
                           deadline=world.DEADLINE)
        worker.wait_metric("sluice_dead_letters_total", len(bad), reason="transform",
                           deadline=world.DEADLINE)
        for reason, count in (("instructions", len(bad) - len(eats)), ("memory", len(eats))):
            self.assertGreater(count, 0)
            self.assertEqual(worker.metric("sluice_script_errors_total", reason=reason), count)
        self.assertEqual(worker.stop(), 0)
        self.check_letters(bad, r"^lua: script\.lua:\d+: more (memory than 2 MiB|than 100000 instructions)")
        self.assertEqual([e.sequence for e in self.delivered()],
                         [e.sequence for e in everything if e.n % 10])
        # Behind each of them the state is a new one.
        self.assertTrue(all(e.value["after"]["seen"] < 30 for e in self.delivered()
                            if e.value["after"]))

    def test_on_error(self):
        for mode in ("drop", "stop"):
            with self.subTest(mode=mode):
                emulator = self.emulator("orders:shards=1:records=30:keys=2:bytes=300")
                worker = self.scripted(emulator, VERSION + """
function transform(event)
  assert(version(event) ~= 10, "ten")
  return event
end
""", stream={"on_error": mode, "name": mode})
                worker.start()
                if mode == "drop":
                    worker.wait_metric("sluice_delivered_total", 28, sink="files",
                                       deadline=world.DEADLINE)
                    worker.wait_metric("sluice_dropped_total", 2, reason="transform", deadline=60)
                else:
                    worker.wait_for(lambda: "script.lua:7: ten" in worker.get("/readyz")[1],
                                    "the health says so", world.DEADLINE)
                self.assertEqual(worker.stop(), 0)
                self.assertEqual(self.letters(), [])

    def test_a_script_of_one_sink_with_a_lookup(self):
        emulator = self.emulator("orders:shards=1:records=20:keys=2:bytes=300")
        towns = self.folder / "towns.csv"
        towns.write_text("n,town\n1,Porto\n2,\"Vila Real, north\"\n")
        lua = {"file": self.script("""
function transform(event)
  local town = event.new and lookup.towns[event.new.n]
  if not town then return end
  event.new = { n = event.new.n, town = town.town }
  return event
end
"""), "lookup": {"towns": str(towns)}}
        folder = {**FOLDER, "path": f"{self.folder}/out-towns/", "format": "plain"}
        worker = self.worker(emulator, "orders", sinks={"towns": folder},
                             stream={"sinks": ["files", {"name": "towns", "transform": [
                                 {"lua": lua}, {"rename": {"town": "Town"}}]}]})
        worker.start()
        worker.wait_metric("sluice_delivered_total", 20, sink="files", deadline=world.DEADLINE)
        worker.wait_metric("sluice_delivered_total", 4, sink="towns", deadline=world.DEADLINE)
        worker.wait_metric("sluice_filtered_total", 16, sink="towns", deadline=world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(len(self.delivered()), 20)
        got = [json.loads(line) for path in world.files_in_order(self.folder / "out-towns")
               for line in path.read_text().splitlines()]
        self.assertCountEqual([(e["n"], e["Town"]) for e in got],
                              [(1, "Porto"), (2, "Vila Real, north")] * 2)

    def test_a_wrong_script_is_refused_with_file_and_line(self):
        emulator = self.emulator("orders:records=1")
        for text, message in (
                ("function transform(event)\n  return event.\nend\n",
                 r":\d+: streams\[0\]\.transform\[0\]: lua: script0\.lua:3: <name> expected near 'end'"),
                ("x = 1\n", r"lua: script1\.lua: there is no function transform\(event\)")):
            path = self.script(text, f"script{len(self.workers)}.lua")
            worker = self.worker(emulator, "orders", stream={"transform": [{"lua": path}]})
            self.drain(worker, code=2)
            self.assertRegex(self.log(worker) + worker.process.tail(5), message)


if __name__ == "__main__":
    unittest.main()
