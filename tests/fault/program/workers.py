"""Several workers on a Postgres database of the test's own. Not for World's SQLite file."""

import os
import random
import subprocess
import uuid

import world

SEED = int(os.environ.get("SLUICE_STORM_SEED", "0")) or random.randrange(1, 1 << 30)
LEASE_S = 2
OPEN = ("waiting", "reading", "fetching", "blocked", "draining")


class Workers(world.World):
    def setUp(self):
        super().setUp()
        server = os.environ.get("SLUICE_TEST_POSTGRES")
        if not server and not os.environ.get("SLUICE_TEST_REQUIRE_POSTGRES"):
            self.skipTest("SLUICE_TEST_POSTGRES names no server")
        name = f"workers_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}", server)
        self.database = server.rpartition("/")[0] + "/" + name
        self.rng = random.Random(f"{SEED} {self.id()}")

    @staticmethod
    def sql(statement, url):
        done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-c", statement, url], check=True,
                              capture_output=True, text=True)
        return done.stdout.split()

    def one(self, emulator, **more):
        worker = self.worker(emulator, "orders", **more)
        worker.config["worker"] = {**worker.config["worker"], "name": worker.folder.name}
        worker.config["checkpoint"] = {"store": self.database, "interval": "100ms",
                                       "lease": f"{LEASE_S}s"}
        return worker

    @staticmethod
    def holds(worker):
        return sum(worker.metric("sluice_shards", state=state) for state in OPEN)

    def wait_shared(self, workers, shards):
        """Until each has its share of the shards, give or take one."""
        def shared():
            held = [self.holds(worker) for worker in workers]
            return sum(held) == shards and max(held) - min(held) <= 1

        workers[0].wait_for(shared, f"{shards} shards are shared by {len(workers)}",
                            40)

    def finish(self, emulator, workers):
        """Everybody ends well; what is left is delivered by one more life."""
        self.wait_made(emulator)
        for worker in workers:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        last = self.one(emulator)
        self.drain(last, idle="1s")
        return self.check_complete(emulator)
