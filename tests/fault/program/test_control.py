#!/usr/bin/env python3
"""Control events of a directory: a gap's begin and end, each once, whoever dies in between."""

import json
import unittest

import world
from gaps import GapWorld


class Control(GapWorld):
    def control(self, out="out"):
        """What readers find, in the order of ids; each file is called after what is in it."""
        found = []
        for path in (self.folder / out / "_control").glob("*"):
            event = json.loads(path.read_text())
            time = event["time"].replace("-", "").replace(":", "").split(".")[0]
            self.assertEqual(path.name, f"{time}Z-{event['stream']}-{event['kind']}-"
                                        f"{event['phase']}-{event['id']}.json")
            found.append(event)
        return sorted(found, key=lambda event: event["id"])

    def check_gap_told(self, shard, how):
        """From its last record to the first one after it, which reading goes on with."""
        events, got = self.control(), self.delivered()
        self.assertEqual([(e["kind"], e["phase"]) for e in events], [("gap", "begin"), ("gap", "end")])
        for event in events:
            self.assertEqual(event["stream"], "orders")
            self.assertIn(":table/orders/stream/", event["arn"])
            self.assertEqual(event["generation"], 1)
            self.assertEqual(event["gap"]["shard"], shard)
            self.assertEqual(event["gap"]["reason"], "trimmed")
            self.assertEqual(event["gap"]["from"], str(got[29].sequence))
        self.assertEqual((events[0]["gap"]["to"], events[0]["gap"]["how"]), (None, None))
        self.assertEqual((events[1]["gap"]["to"], events[1]["gap"]["how"]),
                         (str(got[30].sequence), how))
        self.assertNotIn("rolls", events[1])

    def test_a_gap_that_is_passed_over(self):
        worker, root = self.trimmed("oldest")
        for _ in range(2):
            self.drain(worker)
            self.check_gap_told(root, "oldest")

    def test_a_gap_that_is_accepted_later(self):
        worker, root = self.trimmed("stop")
        for _ in range(2):
            self.drain(worker, code=1)
            self.assertEqual([e["phase"] for e in self.control()], ["begin"])
        self.resume(worker)
        self.assertEqual(len(self.control()), 1)  # reading does not go on yet
        self.drain(worker)
        self.check_gap_told(root, "resume")

    def test_a_worker_that_dies_before_it_could_tell(self):
        worker, root = self.trimmed("oldest")
        wall = self.folder / "out/_control"
        wall.write_text("in the way")
        worker.start()
        worker.wait_for(lambda: "control events could not be told" in self.log(worker),
                        "it is tried", world.DEADLINE)
        self.assertGreater(worker.metric("sluice_control_events_total", sink="files",
                                         result="failed"), 0)
        worker.wait_for(lambda: len(self.delivered()) == 40, "records go on", world.DEADLINE)
        worker.process.kill()
        wall.unlink()
        self.drain(worker)
        self.check_gap_told(root, "oldest")

    def test_what_cannot_be_told_holds_nothing_up(self):
        worker, root = self.trimmed("oldest")
        wall = self.folder / "out/_control"
        wall.write_text("in the way")
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 40)
        wall.unlink()
        self.drain(worker)
        self.check_gap_told(root, "oldest")

    def test_a_stream_that_was_off_and_on(self):
        """Told while the new one waits for a person and nobody reads it."""
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        emulator.control("disable", table="orders")
        emulator.control("enable", table="orders")
        arn = emulator.truth("orders")["streams"][-1]["arn"]
        for _ in range(2):
            self.drain(worker, code=1)
            (event,) = self.control()
            self.assertEqual((event["kind"], event["phase"], event["arn"]), ("reenabled", "begin", arn))
            self.assertIsNone(event["reenabled"]["shard"])
        self.resume(worker)
        self.drain(worker)
        self.assertEqual([(e["phase"], e["reenabled"]["how"]) for e in self.control()],
                         [("begin", None), ("end", "resume")])

    def test_stdout_is_told_nothing(self):
        worker, _ = self.trimmed("oldest")
        worker.config["sinks"]["files"] = {"type": "stdout"}
        self.drain(worker)
        self.assertEqual(self.control(), [])
        self.assertNotIn("control", self.log(worker))


if __name__ == "__main__":
    unittest.main()
