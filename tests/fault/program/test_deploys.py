#!/usr/bin/env python3
"""What meets in one database: deployments of different streams and of the same one by mistake, two
workers of one name, other sets of sinks, other versions of the schema. Each works or says why not."""

import time
import unittest
from collections import defaultdict

import workers
import world
from workers import LEASE_S

SCHEMA_TOO_NEW = "run a newer sluice"


class Deploys(workers.Workers):
    def states(self):
        return dict(line.split("|") for line in self.sql(
            "SELECT worker, state FROM sluice.session", self.database))

    def by_session(self, out):
        """The delivered (shard, sequence) by the session that the file's name tells."""
        got = defaultdict(set)
        for path in world.files_in_order(self.folder / out):
            session = path.name.split("-", 1)[1].rsplit("-", 2)[0]
            for line in path.read_text().splitlines():
                event = world.Event(line)
                got[session].add((event.shard, event.sequence))
        return dict(got)

    # --- other deployments ---

    def test_two_deployments_bury_only_their_own(self):
        emulator = self.emulator("orders:shards=4:records=60:keys=8:bytes=400",
                                 "users:shards=4:records=60:keys=8:bytes=400")
        orders = self.one(emulator)
        users = self.one(emulator)
        users.config["streams"] = [{**users.config["streams"][0], "table": "users",
                                    "sinks": ["lake"]}]
        users.config["sinks"] = {"lake": {**users.config["sinks"]["files"]}}
        for worker in (orders, users):
            worker.start()
            self.wait_shared([worker], 4)
        orders.kill9()
        # The other deployment knows nothing of its sinks, and leaves it alone.
        time.sleep(2 * LEASE_S)
        self.assertEqual(self.states(), {"worker0": "live", "worker1": "live"})
        self.assertNotIn("a session is dead", self.log(users))
        orders.start()
        self.wait_shared([orders], 4)
        self.assertIn("a session is dead", self.log(orders))
        for worker in (orders, users):
            self.assertEqual(worker.stop(60), 0)
        self.check_complete(emulator, "orders")
        self.check_complete(emulator, "users")

    def test_one_stream_under_two_names(self):
        emulator = self.emulator("orders:shards=2:records=60:keys=8:bytes=400")
        one, two = self.one(emulator).start(), self.one(emulator)
        self.wait_shared([one], 2)
        self.assertNotIn("twice", one.get("/readyz")[1])
        two.config["streams"][0]["name"] = "shop"
        two.config["sinks"]["files"]["path"] = f"{self.folder}/shop/${{table}}/"
        two.start()
        self.wait_shared([two], 2)
        two.wait_for(lambda: "a stream is read under two names" in self.log(two), "it says so", 40)
        self.assertIn("stream=shop also=orders", self.log(two))
        self.assertIn('"part":"stream shop twice","ok":false', two.get("/readyz")[1])
        one.wait_for(lambda: "stream=orders also=shop" in self.log(one), "the other one, too", 60)
        self.assertEqual(two.stop(60), 0)
        one.wait_for(lambda: "twice" not in one.get("/readyz")[1], "it is over", 60)
        self.assertEqual(one.stop(60), 0)
        # Both have everything, each once.
        self.check_complete(emulator)
        self.check_complete(emulator, out="shop")

    def test_two_workers_of_one_name(self):
        emulator = self.emulator("orders:shards=4:records=200:keys=8:bytes=400:rate=100")
        one, two = self.one(emulator), self.one(emulator)
        two.config["worker"]["name"] = one.config["worker"]["name"]
        one.start(), two.start()
        self.wait_shared([one, two], 4)
        for worker in (one, two):
            worker.wait_for(lambda: "has the same worker.name" in self.log(worker), "it says so", 40)
        # One that comes back after its own death is no other.
        two.kill9()
        two.log.write_text("")
        two.config["worker"]["name"] = "alone"
        two.start()
        self.wait_shared([one, two], 4)
        self.assertNotIn("has the same worker.name", self.log(two))
        self.finish(emulator, [one, two])
        self.assertEqual(self.log(one).count("has the same worker.name"), 1)

    # --- other sinks ---

    def with_more(self, worker):
        worker.config["sinks"]["more"] = {**worker.config["sinks"]["files"],
                                          "path": f"{self.folder}/more/${{table}}/"}
        worker.config["streams"][0]["sinks"] = ["files", "more"]
        return worker

    def test_a_deploy_that_adds_a_sink_and_one_that_takes_it_back(self):
        emulator = self.emulator("orders:shards=4:records=400:keys=40:bytes=400:rate=100")
        old = [self.one(emulator).start() for _ in range(2)]
        new = [self.with_more(self.one(emulator)) for _ in range(2)]
        self.wait_shared(old, 4)
        for worker in new:
            worker.start()
            worker.wait_for(lambda: "another set of sinks" in self.log(worker), "it waits", 40)
        self.assertEqual(old[0].stop(60), 0)
        self.wait_shared(old[1:], 4)
        self.assertEqual([self.holds(worker) for worker in new], [0, 0])
        self.assertEqual(old[1].stop(60), 0)
        self.wait_shared(new, 4)
        new[0].wait_metric("sluice_delivered_total", 20, 60, sink="more")

        # And back: the one that was added holds up nothing.
        again = self.one(emulator).start()
        again.wait_for(lambda: "another set of sinks" in self.log(again), "it waits", 40)
        for worker in new:
            self.assertEqual(worker.stop(60), 0)
        self.wait_shared([again], 4)
        self.finish(emulator, [again])

        # The new sink began where the old one was, and had from then on what that one had.
        more = self.by_session("more")
        self.assertTrue(more)
        both = self.by_session("out")
        self.assertEqual(more, {session: both[session] for session in more})

    # --- other schemas ---

    def test_a_schema_of_another_version(self):
        emulator = self.emulator("orders:shards=2:records=60:keys=8:bytes=400")
        one = self.one(emulator).start()
        self.wait_shared([one], 2)
        # A newer minor came by while it works, and is there when another one starts.
        self.sql("UPDATE sluice.version SET minor = minor + 90", self.database)
        two = self.one(emulator).start()
        self.wait_shared([one, two], 2)
        self.sql("UPDATE sluice.version SET major = major + 1", self.database)
        three = self.one(emulator).start(wait=False)
        self.assertEqual(three.process.wait(60), 1)
        self.assertIn(SCHEMA_TOO_NEW, three.process.tail(3))
        self.assertIn(SCHEMA_TOO_NEW, three.run("status", check=False).stderr)
        self.sql("UPDATE sluice.version SET major = major - 1", self.database)
        self.finish(emulator, [one, two])


if __name__ == "__main__":
    unittest.main()
