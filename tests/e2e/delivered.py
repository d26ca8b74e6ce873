"""What came out, and whether it is what a workload wrote: readers of Kafka's messages and of files,
and the comparison. Nothing of Sluice is in here."""

import gzip
import io
import json
from collections import defaultdict
from decimal import Decimal

import zstandard

from workload import COUNTER, number_text


class Number(str):
    """A JSON number as its text, so that no digit is lost."""


def parse(text):
    return json.loads(text, parse_float=Number, parse_int=Number)


def same_number(expected, got):
    return Decimal(expected) == Decimal(got)


def plain_key(kind):
    return (lambda text: Decimal(text)) if kind == "N" else str


def same_plain(value, got):
    """DynamoDB JSON `value` against plain JSON."""
    (kind, content), = value.items()
    if kind == "S" or kind == "B":
        return got == content and not isinstance(got, Number)
    if kind == "N":
        return isinstance(got, Number) and (got == content or same_number(content, got))
    if kind == "BOOL":
        return got is content
    if kind == "NULL":
        return got is None
    if kind in ("SS", "BS"):
        return isinstance(got, list) and sorted(got) == sorted(content)
    if kind == "NS":
        return (isinstance(got, list) and all(isinstance(n, Number) for n in got) and
                sorted(map(Decimal, got)) == sorted(map(Decimal, content)))
    if kind == "L":
        return (isinstance(got, list) and len(got) == len(content) and
                all(map(same_plain, content, got)))
    return same_plain_item(content, got)


def same_plain_item(item, got):
    return (isinstance(got, dict) and got.keys() == item.keys() and
            all(same_plain(value, got[name]) for name, value in item.items()))


def same_typed(value, got):
    """DynamoDB JSON `value` against DynamoDB JSON, as DynamoDB may spell and order it."""
    if value == got:
        return True
    if not isinstance(got, dict) or value.keys() != got.keys():
        return False
    (kind, content), = value.items()
    other = got[kind]
    if kind == "N":
        return same_number(content, other)
    if kind in ("SS", "BS"):
        return sorted(content) == sorted(other)
    if kind == "NS":
        return sorted(map(Decimal, content)) == sorted(map(Decimal, other))
    if kind == "L":
        return len(content) == len(other) and all(map(same_typed, content, other))
    return kind == "M" and same_typed_item(content, other)


def same_typed_item(item, got):
    return (isinstance(got, dict) and got.keys() == item.keys() and
            all(same_typed(value, got[name]) for name, value in item.items()))


def reserved(name):
    """The `plain` form sets an underscore before names that its own members have."""
    bare = name.lstrip("_")
    return name.startswith("_") and bare in ("op", "ts", "seq", "gen", "order", "part")


def murmur2(data):
    """As Kafka's Java client places keys."""
    mask, m, length = 0xffffffff, 0x5bd1e995, len(data)
    h = (0x9747b28c ^ length) & mask
    for at in range(0, length - 3, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[length & ~3:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def decompress(name, content):
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    if name.endswith(".gz"):
        return gzip.decompress(content)
    return content


def lines(files):
    """(name, event) of every line of finished files, given as {name: bytes}."""
    for name in sorted(files):
        text = decompress(name, files[name])
        assert text.endswith(b"\n"), f"{name} ends within a line"
        for line in text[:-1].split(b"\n"):
            yield name, parse(line)


def directory_files(folder):
    """What a reader of a directory sees: no file that begins with a dot."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}


def item_key(image):
    """Of the plain form: pk and sk of the workload's table."""
    members = [f'"pk":{json.dumps(image["pk"], ensure_ascii=False)}']
    members.append(f'"sk":{number_text(image["sk"])}')
    return "{" + ",".join(members) + "}"


def typed_key(keys):
    return item_key({"pk": keys["pk"]["S"], "sk": keys["sk"]["N"]})


class Event:
    """One delivered change, whatever form it had. Images are in that form."""

    __slots__ = ("key", "op", "sequence", "shard", "before", "after", "headers", "place")

    def __init__(self, key, op, sequence, shard, before, after, headers=None, place=None):
        self.key, self.op, self.sequence, self.shard = key, op, int(sequence), shard
        self.before, self.after, self.headers, self.place = before, after, headers, place


def from_debezium(key, value, headers=None, place=None):
    source = value["source"]
    assert not source["sequence"].startswith("0")
    return Event(key, value["op"], source["sequence"], source["shard"], value["before"],
                 value["after"], headers, place)


def from_plain(line, place):
    op, sequence = line.pop("_op"), line.pop("_seq")
    generation, order = line.pop("_gen"), line.pop("_order")
    assert int(line.pop("_ts")) > 0
    assert order == f"{int(generation):010d}-{int(sequence):040d}"
    after = {name[1:] if reserved(name) else name: value for name, value in line.items()}
    return Event(item_key(after), op, sequence, None, None, after, place=place)


OPS = {"INSERT": "c", "MODIFY": "u", "REMOVE": "d"}


def from_dynamodb(line, place):
    change = line["dynamodb"]
    assert line["eventSourceARN"].startswith("arn:aws:dynamodb:")
    return Event(typed_key(change["Keys"]), OPS[line["eventName"]], change["SequenceNumber"], None,
                 change.get("OldImage"), change.get("NewImage"), place=place)


def from_kafka(messages):
    """Events of a topic's messages in the debezium form, as they lie in the partitions. Proves that
    keys, headers, payloads and tombstones go together."""
    events, wanted = [], {}
    for message in messages:
        place = (message.partition(), message.offset())
        key, headers = message.key().decode(), dict(message.headers())
        waiting = wanted.pop((place[0], key), None)
        if message.value() is None:
            assert waiting == headers, f"{place}: a tombstone without its delete"
            continue
        assert waiting is None, f"{place}: {key}: a delete without its tombstone"
        value = parse(message.value())
        event = from_debezium(key, value, headers, place)
        check_headers(value, headers, place)
        if event.op == "d":
            wanted[(place[0], key)] = headers
        events.append(event)
    assert not wanted, f"deletes without tombstones: {list(wanted)[:3]}"
    return events


def check_headers(value, headers, place):
    source = value["source"]
    expected = {
        "sluice.op": value["op"], "sluice.stream": source["name"], "sluice.shard": source["shard"],
        "sluice.sequence": source["sequence"], "sluice.generation": str(source["generation"]),
        "sluice.order": f"{int(source['generation']):010d}-{int(source['sequence']):040d}",
        "sluice.event_id": source["event_id"]}
    assert {name: text.decode() for name, text in headers.items()} == expected, place


def check_partitions(events, partitions):
    """Each key lies where the Java client would put it."""
    for key, partition in {(event.key, event.place[0]) for event in events}:
        assert (murmur2(key.encode()) & 0x7fffffff) % partitions == partition, key


def replays(events):
    """How often a part of a shard came again. Within each partition a shard's records may begin
    again further back, and then every record of the partition comes again, in order: so that what
    is kept for each key is in order. Anything else is an error."""
    count = 0
    groups = defaultdict(list)
    for event in events:
        groups[(event.place[0], event.shard)].append(event.sequence)
    for (partition, shard), sequences in groups.items():
        rank = {sequence: i for i, sequence in enumerate(sorted(set(sequences)))}
        last = -1
        for sequence in sequences:
            if rank[sequence] <= last:
                count += 1
            else:
                assert rank[sequence] == last + 1, (
                    f"partition {partition}: {shard}: a record is missing before {sequence}")
            last = rank[sequence]
        assert last == len(rank) - 1, f"partition {partition}: {shard}: a replay is cut short"
    return count


def distinct(events):
    """Without what came again, which must be equal."""
    first = {}
    for event in events:
        known = first.setdefault(event.sequence, event)
        assert (known.key, known.op, known.before, known.after, known.headers) == (
            event.key, event.op, event.before, event.after, event.headers), (
            f"{event.place}: another record with the sequence of {known.place}")
    return list(first.values())


def exactly_once(events):
    places = {}
    for event in events:
        assert event.sequence not in places, (
            f"sequence {event.sequence} is in {places[event.sequence]} and in {event.place}")
        places[event.sequence] = event.place


def compare(history, events, same_item, before=True, deleted_keys=False):
    """Every change is there once, in the order of its key, with the item that was written. With
    `before`, old images are those of the change before. With `deleted_keys` a delete tells its
    keys as `after`."""
    by_key = defaultdict(list)
    for event in events:
        by_key[event.key].append(event)
    assert by_key.keys() == history.keys(), (
        f"missing keys {sorted(history.keys() - by_key.keys())[:3]}, "
        f"unknown keys {sorted(by_key.keys() - history.keys())[:3]}")
    for key, changes in history.items():
        got = sorted(by_key[key], key=lambda event: event.sequence)
        assert [event.op for event in got] == [change.op for change in changes], key
        last = None
        for event, change in zip(got, changes):
            where = f"{key}: {event.op} {event.sequence} in {event.place}"
            if before:
                assert event.before == last, f"{where}: before is not what was there"
            if change.item is not None:
                assert same_item(json.loads(change.item), event.after), (
                    f"{where}: {str(event.after)[:2000]}\nis not {change.item[:2000]}")
            elif deleted_keys:
                assert event.after.keys() == {"pk", "sk"}, where
            else:
                assert event.after is None, where
            last = event.after if change.item is not None else None


def final_counters(history):
    return {key: json.loads(changes[-1].item)[COUNTER]["N"]
            for key, changes in history.items() if changes[-1].item}
