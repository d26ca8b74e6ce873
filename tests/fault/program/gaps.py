"""What the tests of gaps share: a stream that loses something, and what there is to see of it."""

import json
import time

import world
from world import shards_of

DAY = 25 * 3600
LOST = "gap: records were lost before they were read"


class GapWorld(world.World):
    """A stream that loses something, and what there is to see of it."""

    def put(self, emulator, n, pk="put"):
        emulator.control("put", table="orders",
                         item={"pk": {"S": pk}, "sk": {"N": "1"}, "n": {"N": str(n)}})

    def one(self, emulator, gap="stop", **more):
        return self.worker(emulator, "orders", stream={"gap": gap}, **more)

    def life_before(self, gap="stop"):
        """A root of 30 records is read; then the worker is away."""
        emulator = self.emulator("orders:shards=1:records=30:keys=4:bytes=400")
        worker = self.one(emulator, gap)
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 30)
        return emulator, worker, list(shards_of(emulator))[0]

    def status(self, worker):
        return json.loads(worker.run("status", "--json").stdout)["streams"][0]

    def gaps(self, worker):
        return self.status(worker)["gaps"]

    def lost(self, worker):
        """How often the log says that something was lost."""
        return self.log(worker).count(LOST)

    def check_gap(self, program, **wanted):
        """There is this one gap, told once as an error."""
        gaps = self.gaps(program)
        self.assertEqual(len(gaps), 1, gaps)
        self.assertEqual({name: gaps[0][name] for name in wanted}, wanted, gaps)
        self.assertEqual(self.lost(program), 1)
        return gaps[0]

    def resume(self, worker):
        done = worker.run("resume", "--stream", "orders", "--yes")
        self.assertIn("accepted", done.stdout)

    def trimmed(self, gap):
        """20 more records, of which the first ten are trimmed unread."""
        emulator, worker, root = self.life_before(gap)
        for n in range(20):
            self.put(emulator, n)
        emulator.control("trim", table="orders", shard=root, before=40)
        return worker, root

    def unread_for_long(self, gap):
        """An open shard that nobody read for a day; what is trimmed of it gives no error."""
        emulator, worker, root = self.life_before(gap)
        emulator.control("advance", seconds=DAY, date=True)
        self.put(emulator, 1)
        return worker, root

    def vanishing(self, gap):
        """A worker that is a little behind when the shard is closed and gone; its child has more."""
        emulator, worker, root = self.life_before(gap)
        emulator.control("rotate", table="orders", shard=root, records=10)
        emulator.control("trim", table="orders", shard=root, before=1000, gone=True)
        worker.start()
        worker.wait_for(lambda: "kind=not_found" in self.log(worker), "it is not found", world.DEADLINE)
        return emulator, worker, root

    def believe(self, emulator, worker, what, deadline=world.DEADLINE):
        """Listings that are a minute apart are believed."""
        def there():
            emulator.control("advance", seconds=61, date=True)
            time.sleep(1)
            return what()

        worker.wait_for(there, "it is believed", deadline)

    def vanished(self, emulator, worker):
        self.assertEqual(self.lost(worker), 0)
        self.believe(emulator, worker,
                     lambda: worker.metric("sluice_gaps_total", stream="orders") == 1)

    def unseen_parent(self, gap, code):
        """root → child → grandchild → its child; the child is gone before anybody saw it."""
        emulator, worker, root = self.life_before(gap)
        line = [root]
        for _ in range(2):
            emulator.control("rotate", table="orders", shard=line[-1], records=10)
            line.append(next(shard for shard, now in shards_of(emulator).items()
                             if now.get("parent") == line[-1]))
        emulator.control("trim", table="orders", shard=line[1], before=10, gone=True)
        self.drain(worker, idle="2s", code=code)
        self.assertIn(f"its parent {line[1]} was never seen", self.log(worker))
        emulator.control("rotate", table="orders", shard=line[2], records=10)
        self.drain(worker, idle="2s", code=code)
        return worker, line

    def check_passed_over(self, line):
        got = self.delivered()
        self.assertEqual(len(got), 50)
        self.assertLess(max(i for i, e in enumerate(got) if e.shard == line[2]),
                        min(i for i, e in enumerate(got) if e.sequence > got[39].sequence))
