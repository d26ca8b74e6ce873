"""Seeded changes of a table, written to it, and what has to come out for them. Nothing of Sluice is
in here: items are DynamoDB JSON as it was sent, keys and numbers are judged by Python's json and
Decimal.

    w = Workload(seed=1, changes=100000, large=200)
    w.start(dynamodb.endpoint, access_key, "orders")     # writes in threads of its own
    w.join()
    w.history["{\"pk\":…}"]                              # the key's changes, in their order
"""

import base64
import http.client
import json
import random
import threading
import time
from decimal import Decimal
from urllib.parse import urlparse

from process import wait_until

BATCH = 25
BATCH_BYTES = 4 << 20
# An item has to stay below 400 KB with its names, numbers and key.
LARGE_BYTES = 380 * 1000
COUNTER = "n"

SCHEMA = {
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"},
                             {"AttributeName": "sk", "AttributeType": "N"}],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"},
                  {"AttributeName": "sk", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
}

PIECES = ("a", "order", " ", "\"", "\\", "/", "\n", "\t", "\r", "\b", "\f", "\x01", "\x1f", "\x7f",
          "é", "ß", "Ω", "中文", "\u2028", "\ufeff", "😀", "👩‍🚀", "𝒳", "\uffff", "</p>", "'")
NAMES = ("name", "größe", "with space", "quote\"d", "back\\slash", "名", "😀", "_op", "__seq", "_ts",
         "a.b", "x" * 60)
NUMBERS = ("0", "1", "-1", "0.1", "100", "-273.15", "12345678901234567890123456789012345678",
           "-99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001",
           "1234567890123456789.0123456789012345678", "1E-130", "-1E-130", "1E+125",
           "9.9999999999999999999999999999999999999E+125", "123E+20", "4.56E-50",
           "9007199254740993", "0.30000000000000004", "1.50", "-0", "00042")


class Change:
    """One write that changed something: op is c, u or d; item is the DynamoDB JSON text behind it,
    None for a delete."""

    __slots__ = ("op", "item")

    def __init__(self, op, item):
        self.op = op
        self.item = item


def number_text(text):
    """A number as it stands in a key: no exponent, no zeros that say nothing."""
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def key_text(*attributes):
    """The Kafka key of an item: (name, value) pairs, the partition key first."""
    members = []
    for name, value in attributes:
        (kind, content), = value.items()
        text = number_text(content) if kind == "N" else json.dumps(content, ensure_ascii=False)
        members.append(f"{json.dumps(name, ensure_ascii=False)}:{text}")
    return "{" + ",".join(members) + "}"


class Values:
    """Random attribute values of every type, as DynamoDB JSON."""

    def __init__(self, rng):
        self.rng = rng
        self.kinds = (self.string, self.number, self.binary, self.boolean, self.null,
                      self.strings, self.numbers, self.binaries, self.list, self.map)

    def text(self, most=8):
        return "".join(self.rng.choices(PIECES, k=self.rng.randint(0, most)))

    def digits(self):
        rng = self.rng
        if rng.random() < 0.4:
            return rng.choice(NUMBERS)
        count = rng.choice((1, 3, 9, 17, 38))
        digits = str(rng.randrange(10 ** (count - 1), 10 ** count))
        if rng.random() < 0.5:
            cut = rng.randint(1, len(digits))
            digits = digits[:cut] + ("." + digits[cut:] if cut < len(digits) else "")
        return rng.choice(("", "-")) + digits

    def bytes(self, most=40):
        return base64.b64encode(self.rng.randbytes(self.rng.randint(0, most))).decode()

    def string(self, _depth):
        return {"S": self.text()}

    def number(self, _depth):
        return {"N": self.digits()}

    def binary(self, _depth):
        return {"B": self.bytes()}

    def boolean(self, _depth):
        return {"BOOL": self.rng.random() < 0.5}

    def null(self, _depth):
        return {"NULL": True}

    def strings(self, _depth):
        return {"SS": list({self.text() for _ in range(self.rng.randint(1, 4))})}

    def numbers(self, _depth):
        distinct = {Decimal(text): text
                    for text in (self.digits() for _ in range(self.rng.randint(1, 4)))}
        return {"NS": list(distinct.values())}

    def binaries(self, _depth):
        return {"BS": list({self.bytes() for _ in range(self.rng.randint(1, 3))})}

    def list(self, depth):
        return {"L": [self.any(depth + 1) for _ in range(self.rng.randint(0, 4))]}

    def map(self, depth):
        return {"M": {name: self.any(depth + 1)
                      for name in self.rng.sample(NAMES, self.rng.randint(0, 3))}}

    def any(self, depth=0):
        kinds = self.kinds if depth < 4 else self.kinds[:8]
        return self.rng.choice(kinds)(depth)

    def deep(self):
        """As deep as DynamoDB allows."""
        value = {"N": self.digits()}
        for level in range(31):
            value = {"L": [value]} if level % 2 else {"M": {"m": value}}
        return value

    def large(self, size):
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        if self.rng.random() < 0.3:
            return {"B": base64.b64encode(self.rng.randbytes(size)).decode()}
        block = "".join(self.rng.choices(letters, k=4000))
        turn = self.rng.randint(1, 3999)
        text = "".join(block[(i * turn) % 4000:] for i in range(2 * size // 4000 + 2))
        return {"S": (text * 2)[:size]}


class Writer:
    """One thread's share: its own keys, so that their order is the order of its requests."""

    def __init__(self, workload, index, changes, large):
        self.workload = workload
        self.rng = random.Random(f"{workload.seed}/{index}")
        self.values = Values(self.rng)
        self.left = changes
        self.large = large
        self.keys = [self.new_key(index, i) for i in range(workload.keys // workload.threads)]
        self.counters = {}
        self.alive = set()
        self.connection = None

    def new_key(self, index, i):
        rng = self.rng
        pk = {"S": f"{self.values.text(3)}{index}/{i // 4}"}
        sk = {"N": f"{i % 4}{rng.choice(('', '', '.0', '.50', '.125'))}"}
        if rng.random() < 0.05:
            sk = {"N": f"{i % 4}1234567890123456789.012345678901234567"}
        return key_text(("pk", pk), ("sk", sk)), {"pk": pk, "sk": sk}

    def item(self, attributes, counter, large):
        item = {**attributes, COUNTER: {"N": str(counter)}}
        for name in self.rng.sample(NAMES, self.rng.randint(0, 5)):
            item[name] = self.values.any()
        if self.rng.random() < 0.01:
            item["deep"] = self.values.deep()
        if large:
            item = {**attributes, COUNTER: item[COUNTER], "large": self.values.large(LARGE_BYTES)}
        return json.dumps(item, ensure_ascii=self.rng.random() < 0.5, separators=(",", ":"))

    def change(self, key, attributes, large):
        """What is done to the key next: the request's text, and the change."""
        counter = self.counters.get(key, 0) + 1
        self.counters[key] = counter
        if key in self.alive and not large and self.rng.random() < 0.1:
            self.alive.discard(key)
            return '{"DeleteRequest":{"Key":%s}}' % json.dumps(attributes), Change("d", None)
        op = "u" if key in self.alive else "c"
        self.alive.add(key)
        item = self.item(attributes, counter, large)
        return '{"PutRequest":{"Item":%s}}' % item, Change(op, item)

    def batch(self):
        requests, changes, size = [], [], 0
        keys = self.rng.sample(self.keys, min(BATCH, self.left, len(self.keys)))
        for key, attributes in keys:
            large = self.large > 0 and self.rng.random() < 3 * self.large / self.left
            if self.large >= self.left:
                large = True
            request, change = self.change(key, attributes, large)
            self.large -= large
            self.left -= 1
            requests.append(request)
            changes.append((key, change))
            size += len(request)
            if size > BATCH_BYTES:
                break
        return requests, changes

    def call(self, body):
        target = urlparse(self.workload.endpoint)
        if self.connection is None:
            self.connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        self.connection.request("POST", "/", body.encode(), {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.workload.access_key}/20260101/"
                             "eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200 or content.get("UnprocessedItems"):
            raise RuntimeError(f"BatchWriteItem: {answer.status} {str(content)[:500]}")

    def run(self):
        w = self.workload
        try:
            while self.left > 0 and not w.stopped:
                w.gate.wait()
                if w.rate:
                    time.sleep(BATCH * w.threads / w.rate)
                requests, changes = self.batch()
                self.call('{"RequestItems":{"%s":[%s]}}' % (w.table, ",".join(requests)))
                with w.lock:
                    for key, change in changes:
                        w.history.setdefault(key, []).append(change)
                    w.written += len(changes)
        except BaseException as error:
            w.error = error
            raise
        finally:
            if self.connection:
                self.connection.close()


class Workload:
    def __init__(self, seed, changes, large=0, keys=4000, threads=2, rate=0):
        """`rate`: at most so many changes a second, 0: as fast as it goes."""
        self.seed, self.changes, self.keys, self.threads = seed, changes, keys, threads
        self.history = {}
        self.rate = rate
        self.written = 0
        self.error = None
        self.stopped = False
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        share = [changes // threads + (i < changes % threads) for i in range(threads)]
        large_share = [large // threads + (i < large % threads) for i in range(threads)]
        self.writers = [Writer(self, i, share[i], large_share[i]) for i in range(threads)]
        self.running = []

    def start(self, endpoint, access_key, table):
        self.endpoint, self.access_key, self.table = endpoint, access_key, table
        self.running = [threading.Thread(target=w.run, daemon=True) for w in self.writers]
        for thread in self.running:
            thread.start()
        return self

    def more(self, changes):
        """For another start(), after join(): the same keys go on."""
        self.changes += changes
        for i, writer in enumerate(self.writers):
            writer.left = changes // self.threads + (i < changes % self.threads)

    def wait_written(self, count, deadline=300.0):
        def probe():
            if self.error:
                raise self.error
            return self.written >= count

        wait_until(probe, lambda: f"{count} changes written, {self.written} are", deadline)

    def join(self, deadline=300.0):
        self.wait_written(self.changes, deadline)
        for thread in self.running:
            thread.join()

    def stop(self):
        """Ends it early; what was written stays the truth."""
        self.stopped = True
        for thread in self.running:
            thread.join()
        self.changes = self.written


def create_table(client, name, view="NEW_AND_OLD_IMAGES", schema=None):
    """With a stream, unless view is None. Returns the stream's ARN."""
    settings = {"TableName": name, **(schema or SCHEMA)}
    if view:
        settings["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    return client.create_table(**settings)["TableDescription"].get("LatestStreamArn")
