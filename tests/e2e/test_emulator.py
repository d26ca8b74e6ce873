"""The emulator does what its README says, and a reader that survives its faults gets everything."""

import base64
import gzip
import http.client
import json
import random
import subprocess
import zlib
from collections import defaultdict

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError

import boto3
from botocore.config import Config
from emulator import BINARY, Emulator
from process import wait_until
from stack import REGION

AUTHORIZATION = ("AWS4-HMAC-SHA256 Credential=test/20261121/eu-west-1/dynamodb/aws4_request, "
                 "SignedHeaders=host;x-amz-date;x-amz-target, Signature=00")


class Server(Emulator):
    """With clients that do not retry, so that a test sees each answer; perhaps over TLS."""

    ca = None

    def use_tls(self):
        subprocess.run([BINARY, "--tls-make", self.folder], check=True)
        self.ca = str(self.folder / "ca.pem")
        self.options = [*self.options, "--tls-cert", self.folder / "cert.pem",
                        "--tls-key", self.folder / "key.pem"]

    def client(self, service="dynamodbstreams", access_key="test", secret_key="secret",
               read_timeout=10):
        endpoint = self.endpoint.replace("http:", "https:") if self.ca else self.endpoint
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False,
                        read_timeout=read_timeout)
        return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=config,
                            aws_access_key_id=access_key, aws_secret_access_key=secret_key,
                            verify=self.ca)

    def arn(self, table):
        return self.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]


@pytest.fixture
def emulator(tmp_path):
    """Ends each with a clean exit, which sanitizers look at, too."""
    started = []

    def start(*tables, tls=False, **options):
        words = [part for name, value in options.items()
                 for part in ("--" + name.replace("_", "-"), value)]
        server = Server(tmp_path / f"emulator{len(started)}", *tables, options=words)
        if tls:
            server.use_tls()
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        assert server.process.stop() == 0, server.process.tail()


def raw(server, operation, request, headers=None, path="/"):
    """An answer as it came: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(request), {
            "X-Amz-Target": f"DynamoDBStreams_20120810.{operation}", "X-Amz-Date": "20261121T000000Z",
            "Content-Type": "application/x-amz-json-1.0", "Authorization": AUTHORIZATION,
            **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def shards(server, table):
    arn = server.arn(table)
    found, after = [], {}
    while True:
        page = server.client().describe_stream(StreamArn=arn, **after)["StreamDescription"]
        found += page["Shards"]
        if "LastEvaluatedShardId" not in page:
            return found
        after = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}


def iterator(server, table, shard, kind="TRIM_HORIZON", **members):
    return server.client().get_shard_iterator(
        StreamArn=server.arn(table), ShardId=shard, ShardIteratorType=kind, **members)["ShardIterator"]


def read(server, position, **members):
    return server.client().get_records(ShardIterator=position, **members)


def code_of(call, *arguments, **keywords):
    with pytest.raises(ClientError) as raised:
        call(*arguments, **keywords)
    return raised.value.response["Error"]["Code"]


def sequences(page):
    return [int(record["dynamodb"]["SequenceNumber"]) for record in page["Records"]]


def change_number(record):
    """The number of the key's change that a record is: README, Generated records."""
    data = record["dynamodb"]
    if record["eventName"] == "REMOVE":
        return int(data["OldImage"]["n"]["N"]) + 1
    return int(data["NewImage"]["n"]["N"])


def key_name(record):
    keys = record["dynamodb"]["Keys"]
    return json.dumps({"pk": keys["pk"]["S"], "sk": int(keys["sk"]["N"])}, ensure_ascii=False,
                      separators=(",", ":"))


class Reader:
    """Reads a whole stream: parents first, each shard once, whatever goes wrong on the way."""

    FAULTS = (ClientError, BotoCoreError, ResponseStreamingError)

    def __init__(self, server, table):
        self.server, self.table = server, table
        self.client = server.client(read_timeout=0.5)
        self.arn = server.arn(table)
        self.done, self.last = set(), {}
        self.counts, self.numbers = defaultdict(int), {}
        self.faults = defaultdict(int)

    def retry(self, call, **members):
        while True:
            try:
                answer = call(**members)
                # botocore takes a body that is no JSON for an empty answer.
                if answer.keys() & {"Records", "ShardIterator", "StreamDescription"}:
                    return answer
                self.faults["malformed"] += 1
            except self.FAULTS as error:
                code = (error.response["Error"]["Code"] if isinstance(error, ClientError)
                        else type(error).__name__)
                self.faults[code] += 1
                if code == "ExpiredIteratorException":
                    return None

    def listing(self):
        found, after = [], {}
        while True:
            page = self.retry(self.client.describe_stream, StreamArn=self.arn,
                              **after)["StreamDescription"]
            found += page["Shards"]
            if "LastEvaluatedShardId" not in page:
                return {shard["ShardId"]: shard.get("ParentShardId") for shard in found}
            after = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def position(self, shard):
        last = self.last.get(shard)
        kind = {"ShardIteratorType": "TRIM_HORIZON"}
        if last:
            kind = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": str(last)}
        return self.retry(self.client.get_shard_iterator, StreamArn=self.arn, ShardId=shard,
                          **kind)["ShardIterator"]

    def take(self, shard, record):
        sequence = int(record["dynamodb"]["SequenceNumber"])
        if sequence <= self.last.get(shard, 0):
            return
        self.last[shard] = sequence
        self.counts[shard] += 1
        key, number = key_name(record), change_number(record)
        assert number == self.numbers.get(key, 0) + 1, f"{key} in {shard}"
        self.numbers[key] = number

    def read_shard(self, shard, pages):
        """Until its end or, of an open one, so many pages. True at the end."""
        position = self.position(shard)
        for _ in range(pages):
            page = self.retry(self.client.get_records, ShardIterator=position)
            if page is None:
                position = self.position(shard)
                continue
            for record in page["Records"]:
                self.take(shard, record)
            if "NextShardIterator" not in page:
                return True
            position = page["NextShardIterator"]
        return False

    def turn(self, pages=3):
        """Every shard that may be read, a few pages. True once nothing is open."""
        parents = self.listing()
        for shard, parent in parents.items():
            if shard not in self.done and (parent not in parents or parent in self.done):
                if self.read_shard(shard, pages):
                    self.done.add(shard)
        return self.done == set(parents)

    def check(self):
        truth = self.server.control("truth", table=self.table)
        assert self.numbers == {key: value["n"] for key, value in truth["keys"].items()}
        assert self.counts == {name: shard["records"]
                               for name, shard in truth["streams"][-1]["shards"].items()
                               if shard["records"]}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_reader_gets_everything_through_splits_and_faults(emulator, seed):
    server = emulator(f"orders:shards=3:records=400:keys=20:depth=1:hours=1:"
                      f"seed={seed}:empty_every=4",
                      seed=seed, threads=2)
    chances = {"throttle": 0.05, "internal": 0.05, "unavailable": 0.03, "cut": 0.03, "cut_body": 0.03,
               "malformed": 0.03, "duplicate": 0.1, "delay": 0.05}
    for kind, probability in chances.items():
        server.fault(kind, probability=probability, ms=20)
    server.fault("hang", probability=0.02, count=4)
    server.fault("expired", operation="GetRecords", probability=0.05)
    server.fault("empty", operation="GetRecords", probability=0.2)
    dice = random.Random(seed)
    reader = Reader(server, "orders")
    for _ in range(4):
        reader.turn()
        leaves = [shard["ShardId"] for shard in shards_of(server, "orders") if not shard["closed"]]
        for leaf in dice.sample(leaves, min(3, len(leaves))):
            server.control(dice.choice(["split", "rotate"]), table="orders", shard=leaf, records=300)
    server.control("close", table="orders")
    while not reader.turn(pages=50):
        pass
    reader.check()
    assert sum(reader.faults.values()) > 20
    assert server.process.running()


def shards_of(server, table):
    found = server.control("shards", table=table)["streams"][-1]["shards"]
    return [{"ShardId": name, **shard} for name, shard in found.items()]


def test_the_same_seed_gives_the_same_records(emulator):
    def content():
        server = emulator("orders:records=200:keys=10:seed=7")
        page = read(server, iterator(server, "orders", shards(server, "orders")[0]["ShardId"]))
        for record in page["Records"]:
            del record["dynamodb"]["ApproximateCreationDateTime"]
        return page["Records"]

    first = content()
    assert first == content() and len(first) == 200
    assert {record["eventName"] for record in first} == {"INSERT", "MODIFY", "REMOVE"}


def test_an_old_image_is_the_image_before(emulator):
    server = emulator("orders:records=600:keys=4")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    state, seen = {}, set()
    for record in read(server, position)["Records"]:
        data, key = record["dynamodb"], key_name(record)
        assert data.get("OldImage") == state.get(key)
        state[key] = data.get("NewImage")
        for value in data.get("NewImage", {}).values():
            seen |= set(value)
    assert seen == {"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"}


def test_records_have_their_size(emulator):
    server = emulator("orders:records=100:bytes=1570")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    _, _, body = raw(server, "GetRecords", {"ShardIterator": position, "Limit": 100})
    sizes = {len(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode())
             for record in json.loads(body)["Records"] if record["eventName"] == "MODIFY"}
    assert all(abs(size - 1570) < 120 for size in sizes)  # escapes are written shorter here


def test_answers_carry_crc_and_compress_when_asked(emulator):
    server = emulator("orders:records=100")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    _, plain, body = raw(server, "GetRecords", {"ShardIterator": position})
    assert zlib.crc32(body) == int(plain["x-amz-crc32"]) and plain["x-amzn-RequestId"]
    _, packed, bytes_ = raw(server, "GetRecords", {"ShardIterator": position},
                            {"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert zlib.crc32(bytes_) == int(packed["x-amz-crc32"])
    assert json.loads(gzip.decompress(bytes_))["Records"] == json.loads(body)["Records"]
    status, headers, body = raw(server, "GetRecords", {"ShardIterator": "x"})
    assert status == 400 and zlib.crc32(body) == int(headers["x-amz-crc32"])


def test_sequence_numbers_get_longer(emulator):
    server = emulator("orders:records=1000")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    found = []
    while True:
        page = read(server, position)
        if not page["Records"]:
            break
        found += [record["dynamodb"]["SequenceNumber"] for record in page["Records"]]
        position = page["NextShardIterator"]
    assert {len(text) for text in found} == {21, 22}
    assert [int(text) for text in found] == sorted(int(text) for text in found)


def test_iterators_stand_where_they_say(emulator):
    server = emulator("orders:records=50:keys=10")
    shard = shards(server, "orders")[0]["ShardId"]
    everything = read(server, iterator(server, "orders", shard))["Records"]
    tenth = everything[10]["dynamodb"]["SequenceNumber"]
    at = read(server, iterator(server, "orders", shard, "AT_SEQUENCE_NUMBER", SequenceNumber=tenth))
    after = read(server, iterator(server, "orders", shard, "AFTER_SEQUENCE_NUMBER",
                                  SequenceNumber=tenth))
    assert at["Records"] == everything[10:] and after["Records"] == everything[11:]
    latest = iterator(server, "orders", shard, "LATEST")
    assert read(server, latest)["Records"] == []
    server.control("put", table="orders", item={"pk": {"S": "new"}, "sk": {"N": "1"}})
    assert len(read(server, latest)["Records"]) == 1
    assert read(server, iterator(server, "orders", shard), Limit=7)["Records"] == everything[:7]


def test_at_timestamp_divides_by_time(emulator):
    server = emulator("orders:records=100:depth=1:fanout=1:hours=2")
    shard = shards(server, "orders")[0]["ShardId"]
    everything = read(server, iterator(server, "orders", shard))["Records"]
    times = [record["dynamodb"]["ApproximateCreationDateTime"] for record in everything]
    assert times == sorted(times) and (times[-1] - times[0]).total_seconds() > 7000
    middle = times[50].timestamp()
    page = read(server, iterator(server, "orders", shard, "AT_TIMESTAMP", Timestamp=middle))
    assert page["Records"][0]["dynamodb"]["SequenceNumber"] == \
        everything[50]["dynamodb"]["SequenceNumber"]
    future = times[-1].timestamp() + 10 ** 6
    assert code_of(iterator, server, "orders", shard, "AT_TIMESTAMP", Timestamp=future) == \
        "ValidationException"


def test_emulated_time_expires_iterators_and_trims(emulator):
    server = emulator("orders:records=10")
    shard = shards(server, "orders")[0]["ShardId"]
    position = iterator(server, "orders", shard)
    server.control("advance", seconds=901)
    assert code_of(read, server, position) == "ExpiredIteratorException"
    first = sequences(read(server, iterator(server, "orders", shard)))[0]
    server.control("rotate", table="orders", shard=shard)
    position = iterator(server, "orders", shard)
    server.control("advance", seconds=24 * 3600)
    assert [s["ShardId"] for s in shards(server, "orders")] != [shard]
    assert code_of(iterator, server, "orders", shard, "AT_SEQUENCE_NUMBER",
                   SequenceNumber=str(first)) in ("TrimmedDataAccessException",
                                                  "ResourceNotFoundException")
    server.control("advance", seconds=3600)
    assert code_of(read, server, position) == "ResourceNotFoundException"


def test_trimming_by_hand(emulator):
    server = emulator("orders:records=20")
    shard = shards(server, "orders")[0]
    position = iterator(server, "orders", shard["ShardId"])
    found = sequences(read(server, position))
    server.control("trim", table="orders", shard=shard["ShardId"], before=5)
    assert code_of(read, server, position) == "TrimmedDataAccessException"
    assert sequences(read(server, iterator(server, "orders", shard["ShardId"]))) == found[5:]
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    assert code_of(iterator, server, "orders", shard["ShardId"], "AT_SEQUENCE_NUMBER",
                   SequenceNumber=start) == "TrimmedDataAccessException"


def test_items_by_hand_make_records_as_a_table_does(emulator):
    server = emulator("orders")
    item = {"pk": {"S": "ä"}, "sk": {"N": "1"}, "v": {"N": "1"}}
    assert server.control("put", table="orders", item=item)["changed"]
    assert not server.control("put", table="orders", item=item)["changed"]
    server.control("put", table="orders", item={**item, "v": {"N": "2"}})
    server.control("delete", table="orders", key=item, ttl=True)
    assert not server.control("delete", table="orders", key=item)["changed"]
    records = read(server, iterator(server, "orders", shards(server, "orders")[0]["ShardId"]))["Records"]
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert records[1]["dynamodb"]["OldImage"] == item
    assert records[2]["userIdentity"] == {"Type": "Service",
                                          "PrincipalId": "dynamodb.amazonaws.com"}
    truth = server.control("truth", table="orders")
    assert truth["items"] == {} and truth["counters"] == {'{"pk":"ä","sk":1}': 3}
    with pytest.raises(RuntimeError, match="lacks its key"):
        server.control("put", table="orders", item={"pk": {"S": "x"}})


def test_broken_records_come_as_they_were_given(emulator):
    server = emulator("orders")
    broken = b'{"eventID":"1","dynamodb":{"SequenceNumber":"@SEQUENCE@","Keys":{"pk":{"S":"\xff"}}}}'
    place = server.control("append", table="orders", base64=base64.b64encode(broken).decode())
    server.control("append", table="orders", text='{"eventID":')
    position = iterator(server, "orders", place["shard"])
    _, _, body = raw(server, "GetRecords", {"ShardIterator": position})
    assert broken.replace(b"@SEQUENCE@", place["sequence"].encode()) + b',{"eventID":]' in body


def test_a_live_table_produces_at_its_rate(emulator):
    server = emulator("orders:records=1000000:rate=2000:shards=2")
    before = sum(shard["records"] for shard in shards_of(server, "orders"))
    server.control("advance", seconds=3600)
    after = sum(shard["records"] for shard in shards_of(server, "orders"))
    assert 0 <= after - before < 100000, "production is in real time"
    server.control("rotate", table="orders")
    total = {s["ShardId"]: s["records"] for s in shards_of(server, "orders") if s["closed"]}
    assert total == {s["ShardId"]: s["records"] for s in shards_of(server, "orders") if s["closed"]}


@pytest.mark.parametrize("milliseconds", [0, 1])
def test_times_are_whole_seconds_unless_asked(emulator, milliseconds):
    server = emulator(f"orders:records=100:rate=1000:milliseconds={milliseconds}")
    wait_until(lambda: shards_of(server, "orders")[0]["records"] == 100, "all records")
    page = read(server, iterator(server, "orders", shards(server, "orders")[0]["ShardId"]))
    times = [record["dynamodb"]["ApproximateCreationDateTime"] for record in page["Records"]]
    assert times == sorted(times)
    assert any(time.microsecond for time in times) == bool(milliseconds)


def test_listings_lie_on_order(emulator):
    server = emulator("orders:depth=1:records=1")
    listed = shards(server, "orders")
    root = listed[0]["ShardId"]
    server.fault("hide", table="orders", shard=root, count=1)
    assert [s["ShardId"] for s in shards(server, "orders")] == [s["ShardId"] for s in listed[1:]]
    server.fault("open", shard=root)
    assert "EndingSequenceNumber" not in shards(server, "orders")[0]["SequenceNumberRange"]
    server.fault("empty", operation="DescribeStream")
    assert shards(server, "orders") == []
    assert shards(server, "orders") == listed


def names(listed):
    return [shard["ShardId"] for shard in listed]


def closed(shard):
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]


def children_of(server, parent):
    answer = server.client().describe_stream(
        StreamArn=server.arn("orders"), ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    return answer["StreamDescription"]["Shards"]


def test_a_listing_is_old_on_order(emulator):
    server = emulator("orders:shards=2")
    before = shards(server, "orders")
    server.control("advance", seconds=60)
    server.control("split", table="orders", shard=before[0]["ShardId"])
    server.fault("stale", seconds=30, count=2)
    assert shards(server, "orders") == before
    assert children_of(server, before[0]["ShardId"]) == []
    now = shards(server, "orders")
    assert len(now) == 4 and closed(now[0])


def test_listings_name_wrong_parents_and_shards_twice_on_order(emulator):
    server = emulator("orders:depth=1:fanout=1")
    root, child = names(shards(server, "orders"))
    server.fault("parent", shard=root, parent=child)
    assert [s.get("ParentShardId") for s in shards(server, "orders")] == [child, root]
    server.fault("duplicate", operation="DescribeStream")
    assert names(shards(server, "orders")) == [root, root, child, child]
    assert names(shards(server, "orders")) == [root, child]


def test_what_happened_shows_late_in_a_stale_listing(emulator):
    server = emulator("orders:shards=40:stale_ms=10000")
    server.control("advance", seconds=20)
    roots = names(shards(server, "orders"))
    assert len(roots) == 40
    server.control("split", table="orders")
    server.control("advance", seconds=5)
    listed = shards(server, "orders")
    shown = set(names(listed))
    looks_closed = {s["ShardId"] for s in listed if closed(s)}
    families = [(root, {s["ShardId"] for s in listed if s.get("ParentShardId") == root})
                for root in roots]
    assert {len(children) for _, children in families} == {0, 1, 2}
    assert any(children and root not in looks_closed for root, children in families)
    assert any(root in looks_closed and not children for root, children in families)
    some = next(root for root, children in families if len(children) == 1)
    assert {s["ShardId"] for s in children_of(server, some)} <= shown
    server.control("advance", seconds=6)
    listed = shards(server, "orders")
    assert len(listed) == 120 and all(closed(s) for s in listed if s["ShardId"] in roots)


def test_shards_rotate_and_split_on_a_clock(emulator):
    server = emulator("orders:shards=3:rotate_ms=14400000", "items:split_ms=14400000")
    assert len(shards(server, "orders")) == 3
    server.control("advance", seconds=20 * 3600)
    lineage = shards_of(server, "orders")
    assert 12 <= len(lineage) <= 3 * 7
    parents = [s["parent"] for s in lineage if "parent" in s]
    assert len(set(parents)) == len(parents), "one child each"
    assert [s["closed"] for s in lineage].count(False) == 3
    ids = [s["ShardId"] for s in lineage]
    assert ids == sorted(ids)
    splits = shards_of(server, "items")
    opened = [s for s in splits if not s["closed"]]
    assert len(opened) == len(splits) // 2 + 1 and len(splits) > 15
    server.control("disable", table="orders")
    server.control("advance", seconds=8 * 3600)
    assert [s["ShardId"] for s in shards_of(server, "orders")] == ids


def test_shards_turn_while_they_produce(emulator):
    server = emulator("orders:records=1500:rate=1500:keys=12:rotate_ms=300")
    reader = Reader(server, "orders")
    wait_until(lambda: sum(s["records"] for s in shards_of(server, "orders")) == 1500, "all records")
    wait_until(lambda: len(shards_of(server, "orders")) > 3, "shards have turned")
    server.control("disable", table="orders")
    while not reader.turn(pages=50):
        pass
    reader.check()


@pytest.mark.parametrize("mode", [0, 2])
def test_a_service_without_the_child_filter(emulator, mode):
    server = emulator(f"orders:shards=2:depth=1:child_filter={mode}")
    listed = shards(server, "orders")
    if mode:
        assert children_of(server, listed[0]["ShardId"]) == listed
    else:
        assert code_of(children_of, server, listed[0]["ShardId"]) == "ValidationException"


def test_behind_an_unknown_id_nothing_is_listed(emulator):
    server = emulator("orders:depth=2:fanout=1:records=1")
    root, middle, leaf = names(shards(server, "orders"))

    def behind(shard):
        page = server.client().describe_stream(StreamArn=server.arn("orders"),
                                               ExclusiveStartShardId=shard)["StreamDescription"]
        assert "LastEvaluatedShardId" not in page
        return names(page["Shards"])

    assert behind(root) == [middle, leaf] and behind(leaf) == []
    assert behind(root[:-1] + ("0" if root[-1] != "0" else "1")) == []
    server.control("trim", table="orders", shard=root, before=1, gone=True)
    assert behind(root) == [] and behind(middle) == [leaf]


def test_a_shard_allows_so_many_calls_a_second(emulator):
    server = emulator("orders:shards=2:records=3:shard_calls=2")
    first, second = (iterator(server, "orders", name) for name in names(shards(server, "orders")))
    codes = []
    while len(codes) < 3 or not codes[-1]:
        try:
            read(server, first)
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes[:2] == ["", ""] and codes[-1] == "ProvisionedThroughputExceededException"
    assert len(read(server, second)["Records"]) == 3


def test_it_says_when_a_shard_was_begun_and_ended(emulator):
    server = emulator("orders:records=5")
    root = names(shards(server, "orders"))[0]
    assert shards_of(server, "orders")[0]["first_read_ms"] == 0
    page = read(server, iterator(server, "orders", root))
    server.control("rotate", table="orders")
    assert shards_of(server, "orders")[0]["end_read_ms"] == 0
    read(server, page["NextShardIterator"])
    parent, child = shards_of(server, "orders")
    assert 0 < parent["first_read_ms"] <= parent["end_read_ms"] and child["first_read_ms"] == 0
    tail = server.control("shards", table="orders", after=root)["streams"][-1]["shards"]
    assert list(tail) == [child["ShardId"]]
    assert 1 <= server.control("stats")["describes_most"] <= 2


def test_tens_of_thousands_of_shards(emulator):
    """In some seconds, where it would take minutes if a page cost the length of the listing."""
    server = emulator("orders:shards=10000:depth=6:fanout=1:keys=2")
    listed = names(shards(server, "orders"))
    assert len(listed) == 70000 and listed == sorted(set(listed))
    split = server.control("split", table="orders", after=listed[-1])["streams"][-1]["shards"]
    assert len(split) == 20000
    assert names(children_of(server, listed[-1])) == list(split)[-2:]


def test_children_by_filter_and_many_shards_by_pages(emulator):
    server = emulator("orders:shards=130:depth=1:records=1:keys=4")
    listed = shards(server, "orders")
    assert len(listed) == 390 and [s["ShardId"] for s in listed] == sorted(s["ShardId"] for s in listed)
    parent = listed[5]["ShardId"]
    answer = server.client().describe_stream(
        StreamArn=server.arn("orders"), ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    children = answer["StreamDescription"]["Shards"]
    assert children == [s for s in listed if s.get("ParentShardId") == parent] and len(children) == 2
    leaf = server.client().describe_stream(
        StreamArn=server.arn("orders"),
        ShardFilter={"Type": "CHILD_SHARDS", "ShardId": children[0]["ShardId"]})
    assert leaf["StreamDescription"]["Shards"] == []


def test_a_stream_off_and_on_is_a_new_stream(emulator):
    server = emulator("orders:records=30:keys=6")
    table = server.client("dynamodb")
    old = server.arn("orders")
    table.update_table(TableName="orders", StreamSpecification={"StreamEnabled": False})
    described = server.client().describe_stream(StreamArn=old)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in s["SequenceNumberRange"] for s in described["Shards"])
    table.update_table(TableName="orders", StreamSpecification={
        "StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    assert server.arn("orders") != old
    listed = server.client().list_streams(TableName="orders")["Streams"]
    assert [s["StreamArn"] for s in listed] == [server.arn("orders"), old]
    server.control("advance", seconds=25 * 3600)
    assert code_of(server.client().describe_stream, StreamArn=old) == "ResourceNotFoundException"


@pytest.mark.parametrize("kind, code", [
    ("throttle", "ProvisionedThroughputExceededException"), ("limit", "LimitExceededException"),
    ("expired", "ExpiredIteratorException"), ("trimmed", "TrimmedDataAccessException"),
    ("not_found", "ResourceNotFoundException"), ("denied", "AccessDeniedException"),
    ("token", "ExpiredTokenException"), ("unrecognized", "UnrecognizedClientException"),
    ("internal", "InternalServerError"), ("unavailable", "ServiceUnavailable")])
def test_errors_on_order(emulator, kind, code):
    server = emulator("orders:records=5")
    shard = shards(server, "orders")[0]["ShardId"]
    position = iterator(server, "orders", shard)
    server.fault(kind, operation="GetRecords", shard=shard, after=1, count=1)
    read(server, position)
    assert code_of(read, server, position) == code
    assert len(read(server, position)["Records"]) == 5
    assert server.control("stats")["operations"]["GetRecords"]["errors"] == {code: 1}


def test_spoilt_answers_on_order(emulator):
    server = emulator("orders:records=50")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    request = {"ShardIterator": position}

    def answer(kind, **members):
        server.fault(kind, operation="GetRecords", **members)
        return raw(server, "GetRecords", request)

    _, headers, body = answer("wrong_crc")
    assert zlib.crc32(body) != int(headers["x-amz-crc32"])
    _, headers, body = answer("malformed")
    assert zlib.crc32(body) == int(headers["x-amz-crc32"])
    with pytest.raises(ValueError):
        json.loads(body)
    assert answer("garbage")[2].startswith(b"<html>")
    assert len(json.loads(answer("duplicate")[2])["Records"]) == 100
    body = answer("oversized", bytes=2 << 20)[2]
    assert len(body) >= 2 << 20 and len(json.loads(body)["Records"]) == 50
    page = json.loads(answer("empty")[2])
    assert page["Records"] == [] and page["NextShardIterator"]
    _, early, _ = answer("skew", seconds=-86400)
    assert early["Date"] != raw(server, "GetRecords", request)[1]["Date"]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        answer("cut")
    with pytest.raises(http.client.IncompleteRead):
        answer("cut_body", bytes=100)
    with pytest.raises(TimeoutError):
        server.fault("hang", operation="GetRecords")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.2)
        connection.request("POST", "/", json.dumps(request), {
            "X-Amz-Target": "DynamoDBStreams_20120810.GetRecords", "Authorization": AUTHORIZATION,
            "X-Amz-Date": "20261121T000000Z"})
        connection.getresponse()
    connection.close()
    assert len(json.loads(answer("drip", bytes=20000, ms=1)[2])["Records"]) == 50
    assert len(json.loads(answer("delay", ms=10)[2])["Records"]) == 50


def test_the_firehose_grows_its_sequence_numbers(emulator):
    server = emulator("orders:page=100000:records=200:shards=2")
    for shard in shards(server, "orders"):
        position = iterator(server, "orders", shard["ShardId"])
        found, contents = [], []
        while True:
            status, headers, body = raw(server, "GetRecords", {"ShardIterator": position})
            assert zlib.crc32(body) == int(headers["x-amz-crc32"])
            page = json.loads(body)
            if not page["Records"]:
                break
            found += sequences(page)
            contents.append([r["dynamodb"]["NewImage"] for r in page["Records"]])
            position = page["NextShardIterator"]
        assert len(found) >= 200 and found == sorted(set(found))
        assert all(content == contents[0] for content in contents)
        middle = found[len(contents[0]) + 3]
        rest = read(server, iterator(server, "orders", shard["ShardId"], "AFTER_SEQUENCE_NUMBER",
                                     SequenceNumber=str(middle)))
        assert sequences(rest) == [n for n in found if n > middle][:len(rest["Records"])]
        few = read(server, iterator(server, "orders", shard["ShardId"]), Limit=5)
        assert sequences(few) == found[:5]


def test_describing_is_throttled(emulator):
    server = emulator("orders:describes=3")
    streams, arn = server.client(), server.arn("orders")
    codes = []
    while "ThrottlingException" not in codes:
        try:
            streams.describe_stream(StreamArn=arn)
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes[0] == "" and set(codes) == {"", "ThrottlingException"}


def test_a_table_with_a_past_has_lost_what_is_too_old(emulator):
    server = emulator("orders:depth=6:fanout=1:hours=5:records=10")
    lineage = shards_of(server, "orders")
    assert [s["gone"] for s in lineage] == [True] + [False] * 6
    assert 0 < lineage[1]["trimmed"] <= 10 and lineage[2]["trimmed"] == 0
    assert shards(server, "orders")[0]["ParentShardId"] == lineage[0]["ShardId"]


def test_readers_of_a_shard_are_counted_and_limited(emulator):
    server = emulator("orders:records=5:readers=1")
    position = iterator(server, "orders", shards(server, "orders")[0]["ShardId"])
    held = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    server.fault("delay", operation="GetRecords", ms=600000)
    held.request("POST", "/", json.dumps({"ShardIterator": position}), {
        "X-Amz-Target": "DynamoDBStreams_20120810.GetRecords", "Authorization": AUTHORIZATION,
        "X-Amz-Date": "20261121T000000Z"})
    wait_until(lambda: shards_of(server, "orders")[0]["readers"] == 1, "a reader")
    assert code_of(read, server, position) == "LimitExceededException"
    held.close()
    wait_until(lambda: shards_of(server, "orders")[0]["readers"] == 0, "no reader")
    assert len(read(server, position)["Records"]) == 5
    assert [s["readers_most"] for s in shards_of(server, "orders")] == [2]


def test_tls_and_signatures(emulator):
    server = emulator("orders:records=3", tls=True, verify_key="AKID1:secret/+key")
    good = {"access_key": "AKID1", "secret_key": "secret/+key"}
    table = server.client("dynamodb", **good).describe_table(TableName="orders")["Table"]
    streams = server.client(**good)
    assert streams.describe_stream(StreamArn=table["LatestStreamArn"])
    assert code_of(server.client(access_key="AKID1", secret_key="wrong").list_streams) == \
        "InvalidSignatureException"
    assert code_of(server.client(access_key="AKID2", secret_key="secret/+key").list_streams) == \
        "UnrecognizedClientException"


@pytest.mark.parametrize("request_bytes", [
    b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"\x00" * 40000,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"POST / HTTP/1.1\r\n: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
def test_what_is_no_request_is_refused(emulator, request_bytes):
    server = emulator()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    connection.sock.sendall(request_bytes)
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 400 ")
    connection.close()
    assert server.control("stats")


def test_requests_may_come_in_pieces_and_together(emulator):
    server = emulator("orders")
    body = b"{}"
    one = (b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: DynamoDBStreams_20120810.ListStreams\r\n"
           b"X-Amz-Date: 20261121T000000Z\r\nAuthorization: " + AUTHORIZATION.encode() +
           b"\r\nContent-Length: 2\r\n\r\n" + body)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    for byte in one + one:
        connection.sock.sendall(bytes([byte]))
    connection.sock.sendall(one * 3)
    got = b""
    while got.count(b"LastEvaluated") + got.count(b'"Streams"') < 5:
        got += connection.sock.recv(65536)
    assert got.count(b"HTTP/1.1 200 OK") == 5
    connection.close()


def test_wrong_usage_is_explained(tmp_path):
    for number, (table, why) in enumerate([("orders:shard=1", "no property of a table"),
                                           ("ab", "3 to 255"), ("orders:keys=3", "even")]):
        with pytest.raises(RuntimeError, match=why):
            Server(tmp_path / str(number), table).start()
