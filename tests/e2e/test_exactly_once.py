"""Kafka, delivery: exactly_once, as a consumer with isolation.level=read_committed sees it: every
change once, in the order of its key, whatever becomes of the workers."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack import Kafka
from test_workers import SEED, Fleet, Splitting, identity

LEASE_S = 2


class Exact(Fleet):
    """A fleet whose topic has no message twice."""

    def worker(self, sluice, store, name):
        worker = super().worker(sluice, store, name)
        worker.config["sinks"]["kafka"]["delivery"] = "exactly_once"
        return worker

    def check(self, messages):
        times = Counter(identity(message) for message in messages)
        twice = [key for key, count in times.items() if count > 1]
        assert not twice, f"seed {SEED}: {len(twice)} of {len(times)} came twice: {twice[:3]}"
        self.source.check(messages)
        print(f"{self.name}: seed {SEED}: {len(self.workers)} workers, {len(messages)} messages, "
              f"{self.hard} hard ends")

    def total(self, name, **labels):
        return sum(worker.metric(name, **labels) for worker in self.workers)


@pytest.fixture
def fleet(emulator, kafka, postgres, sluice):
    def make(name, servers=(kafka, postgres), way=None):
        database = servers[1].new_database()
        return Exact(name, Splitting(emulator, random.Random(f"{SEED} {name}")), *servers, database,
                     way or database, sluice)

    return make


def test_a_check_tries_it(fleet):
    """Also several at once, as of tasks and jobs that begin together: none fences another."""
    workers = fleet("check").workers
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker.run, "check", check=False) for worker in workers]:
            said = done.result().stdout
            assert "transactions are allowed" in said, said
            assert "messages up to 1048588 bytes" in said, said


def wake_a_zombie(zombies):
    """Stopped with a transaction open until its lease is long over, it wakes up and goes on with
    what it was at: it is fenced, or what it commits is what the burial counted."""
    for victim in zombies.workers[:2]:
        victim.wait_metric("sluice_rolls_total", 1, result="committed")
        time.sleep(zombies.rng.uniform(0.2, 0.5))
        victim.pause()
        time.sleep(2.5 * LEASE_S)
        victim.resume()
    zombies.check(zombies.drain())
    uncommitted = zombies.kafka.read(zombies.topic, "read_uncommitted", 60)
    assert len(uncommitted) >= len(zombies.messages())


def test_storms(fleet, own, postgres):
    """Three at a time: workers are killed, put to sleep and stopped; Kafka is restarted, too; and
    zombies."""
    storm, restarts, zombies = (fleet("exact"), fleet("restarts", (own(Kafka), postgres)),
                                fleet("zombie"))
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(storm.storm), pool.submit(restarts.storm, restarts.kafka.restart),
                     pool.submit(wake_a_zombie, zombies)]:
            done.result()
