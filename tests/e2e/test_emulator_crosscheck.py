"""The emulator and DynamoDB Local give the same answers to the same steps, as far as both can: shapes,
records, iterators, and the codes of what they refuse. Where Local is known to differ from AWS, the
test says so and the emulator follows AWS."""

import gzip
import http.client
import json
import zlib

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stack import REGION

KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
ATTRIBUTES = [{"AttributeName": "pk", "AttributeType": "S"},
              {"AttributeName": "sk", "AttributeType": "N"}]
EVERYTHING = {
    "pk": {"S": "käy\"\n😀"}, "sk": {"N": "-12.5"}, "exact": {"N": "1234567890123456789.0123456789012345678"},
    "b": {"B": "AAH/"}, "yes": {"BOOL": True}, "none": {"NULL": True}, "empty": {"S": ""},
    "ss": {"SS": ["a", "ü"]}, "ns": {"NS": ["1", "2.5"]}, "bs": {"BS": ["AA==", "AQ=="]},
    "list": {"L": [{"S": "x"}, {"M": {}}, {"L": []}]}, "map": {"M": {"in": {"M": {"deep": {"N": "0"}}}}},
}
OTHER = {"pk": {"S": "b"}, "sk": {"N": "7"}}
STEPS = [("put", EVERYTHING), ("put", {**EVERYTHING, "yes": {"BOOL": False}}), ("put", OTHER),
         ("put", OTHER), ("delete", OTHER), ("delete", OTHER), ("put", {**OTHER, "v": {"S": "again"}})]
UNKNOWN_SHARD = "shardId-00000001491865608579-fc9175b5"
TRIM = {"ShardIteratorType": "TRIM_HORIZON"}


class Side:
    """One of the two servers: raw calls in the wire's own JSON."""

    missing = "never"  # what a checksum may be instead

    def __init__(self, port, access_key):
        self.port, self.access_key = port, access_key

    def call(self, operation, request, service="DynamoDBStreams", headers=None):
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/", json.dumps(request), {
                "X-Amz-Target": f"{service}_20120810.{operation}",
                "X-Amz-Date": "20261121T000000Z", "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 "
                                 f"Credential={self.access_key}/20261121/{REGION}/dynamodb/"
                                 "aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, "
                                 "Signature=00", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def good(self, operation, request, service="DynamoDBStreams"):
        status, _, body = self.call(operation, request, service)
        assert status == 200, body
        return json.loads(body)

    def refusal(self, operation, request, service="DynamoDBStreams"):
        """The status and code that both sides must agree on; the code with its name space."""
        status, headers, body = self.call(operation, request, service)
        # AWS sends the checksum with errors, too; Local does not.
        assert status != 200 and headers.get("x-amz-crc32") in (self.missing, str(zlib.crc32(body)))
        return status, json.loads(body)["__type"]

    def client(self, service="dynamodbstreams"):
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION,
                            aws_access_key_id=self.access_key, aws_secret_access_key="secret",
                            config=Config(retries={"total_max_attempts": 1}))

    @property
    def arn(self):
        return self.good("DescribeTable", {"TableName": "orders"}, "DynamoDB")["Table"]["LatestStreamArn"]

    @property
    def shard(self):
        described = self.good("DescribeStream", {"StreamArn": self.arn})
        return described["StreamDescription"]["Shards"][0]["ShardId"]

    def iterator(self, **members):
        request = {"StreamArn": self.arn, "ShardId": self.shard, **members}
        return self.good("GetShardIterator", request)["ShardIterator"]

    def records(self, iterator=None, **members):
        position = iterator or self.iterator(**TRIM)
        return self.good("GetRecords", {"ShardIterator": position, **members})


class Local(Side):
    missing = None

    def create(self):
        self.good("CreateTable", {
            "TableName": "orders", "KeySchema": KEYS, "AttributeDefinitions": ATTRIBUTES,
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": True,
                                    "StreamViewType": "NEW_AND_OLD_IMAGES"}}, "DynamoDB")

    def step(self, verb, item):
        if verb == "put":
            self.good("PutItem", {"TableName": "orders", "Item": item}, "DynamoDB")
        else:
            key = {name: item[name] for name in ("pk", "sk")}
            self.good("DeleteItem", {"TableName": "orders", "Key": key}, "DynamoDB")


class Emulated(Side):
    def __init__(self, server):
        super().__init__(server.port, "test")
        self.server = server

    def create(self):
        self.server.control("table", name="orders")

    def step(self, verb, item):
        self.server.control(verb, table="orders", **{"item" if verb == "put" else "key": item})


@pytest.fixture
def sides(dynamodb, access_key, emulator):
    """Both, with the table and the same changes made."""
    both = [Local(dynamodb.port, access_key), Emulated(emulator())]
    for side in both:
        side.create()
        for verb, item in STEPS:
            side.step(verb, item)
    return both


def shape(value):
    """The names and types of a JSON value, without what differs from one server to another."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else \
        type(value).__name__


def same_set(value):
    """Sets have no order, objects none either."""
    if isinstance(value, dict):
        return {name: sorted(member) if name in ("SS", "NS", "BS") else same_set(member)
                for name, member in value.items()}
    return [same_set(member) for member in value] if isinstance(value, list) else value


def comparable(record):
    data = record["dynamodb"]
    return {"name": record["eventName"], "members": sorted(record), "inner": sorted(data),
            "version": record["eventVersion"], "source": record["eventSource"],
            "view": data["StreamViewType"],
            **{part: same_set(data.get(part)) for part in ("Keys", "NewImage", "OldImage")}}


def test_the_same_changes_give_the_same_records(sides):
    local, emulated = ([comparable(record) for record in side.records()["Records"]] for side in sides)
    assert [record["name"] for record in local] == ["INSERT", "MODIFY", "INSERT", "REMOVE", "INSERT"]
    assert emulated == local


def test_what_botocore_makes_of_them_is_the_same(sides):
    def events(side):
        streams = side.client()
        arn = streams.list_streams(TableName="orders")["Streams"][0]["StreamArn"]
        shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        position = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **TRIM)["ShardIterator"]
        return [comparable(record) for record in streams.get_records(ShardIterator=position)["Records"]]

    assert events(sides[0]) == events(sides[1])


def test_streams_and_tables_are_described_alike(sides):
    local, emulated = (side.good("DescribeStream", {"StreamArn": side.arn}) for side in sides)
    assert shape(local) == shape(emulated)
    for name in ("StreamStatus", "StreamViewType", "TableName", "KeySchema"):
        assert local["StreamDescription"][name] == emulated["StreamDescription"][name]
    local, emulated = (side.good("ListStreams", {"TableName": "orders"}) for side in sides)
    assert shape(local) == shape(emulated)
    local, emulated = (side.good("DescribeTable", {"TableName": "orders"}, "DynamoDB")["Table"]
                       for side in sides)
    for name in ("TableName", "KeySchema", "TableStatus", "StreamSpecification"):
        assert local[name] == emulated[name]
    sort = {"key": lambda attribute: attribute["AttributeName"]}
    assert sorted(local["AttributeDefinitions"], **sort) == \
        sorted(emulated["AttributeDefinitions"], **sort)
    local, emulated = (side.good("ListTables", {}, "DynamoDB") for side in sides)
    assert local == emulated == {"TableNames": ["orders"]}


def test_iterators_of_each_type_stand_at_the_same_record(sides):
    for side in sides:
        everything = side.records()["Records"]
        numbers = [record["dynamodb"]["SequenceNumber"] for record in everything]

        def at(kind, side=side, **members):
            page = side.records(side.iterator(ShardIteratorType=kind, **members))
            assert page["NextShardIterator"].startswith(side.arn + "|")
            return [record["dynamodb"]["SequenceNumber"] for record in page["Records"]]

        assert at("TRIM_HORIZON") == numbers and len(numbers) == 5
        assert at("LATEST") == []
        assert at("AT_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == numbers[2:]
        assert at("AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == numbers[3:]
        assert at("AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[4]) == []


def test_pages_follow_each_other_the_same_way(sides):
    def pages(side):
        position, sizes = side.iterator(**TRIM), []
        while len(sizes) < 5:
            page = side.records(position, Limit=2)
            sizes.append(len(page["Records"]))
            assert page["NextShardIterator"] != position
            position = page["NextShardIterator"]
        again = side.records(side.iterator(**TRIM), Limit=2)
        return sizes, [comparable(record) for record in again["Records"]]

    assert pages(sides[0]) == pages(sides[1])
    assert pages(sides[1])[0] == [2, 2, 1, 0, 0]


# What is refused, as a function of the side: operation and request.
REFUSED = {
    "limit above 1000": lambda s: ("GetRecords", {"ShardIterator": s.iterator(**TRIM), "Limit": 1001}),
    "limit 0": lambda s: ("GetRecords", {"ShardIterator": s.iterator(**TRIM), "Limit": 0}),
    "iterator of nonsense": lambda s: ("GetRecords", {"ShardIterator": "nonsense"}),
    "iterator with a wrong end": lambda s: ("GetRecords", {"ShardIterator": s.arn + "|1|AAAA"}),
    "no iterator": lambda s: ("GetRecords", {}),
    "unknown stream": lambda s: ("DescribeStream", {"StreamArn": s.arn[:-4] + ".000"}),
    "unknown table's stream": lambda s: ("DescribeStream", {
        "StreamArn": s.arn.replace("table/orders", "table/nothing")}),
    "iterator of an unknown stream": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn[:-4] + ".000", "ShardId": s.shard, **TRIM}),
    "iterator of an unknown shard": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": UNKNOWN_SHARD, **TRIM}),
    "at without sequence": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
    "after without sequence": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}),
    "short sequence": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER",
        "SequenceNumber": "12"}),
    "sequence before the shard": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER",
        "SequenceNumber": "0" * 21}),
    "trim horizon with sequence": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "SequenceNumber": "1" * 21, **TRIM}),
    "latest with sequence": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "SequenceNumber": "1" * 21,
        "ShardIteratorType": "LATEST"}),
    "unknown iterator type": lambda s: ("GetShardIterator", {
        "StreamArn": s.arn, "ShardId": s.shard, "ShardIteratorType": "SOMEWHERE"}),
    "no iterator type": lambda s: ("GetShardIterator", {"StreamArn": s.arn, "ShardId": s.shard}),
    "describe limit 101": lambda s: ("DescribeStream", {"StreamArn": s.arn, "Limit": 101}),
    "describe limit 0": lambda s: ("DescribeStream", {"StreamArn": s.arn, "Limit": 0}),
    "describe after a short id": lambda s: ("DescribeStream", {
        "StreamArn": s.arn, "ExclusiveStartShardId": "x"}),
    "list limit 101": lambda s: ("ListStreams", {"Limit": 101}),
    "list limit 0": lambda s: ("ListStreams", {"Limit": 0}),
    "unknown table": lambda s: ("DescribeTable", {"TableName": "nothing"}, "DynamoDB"),
    "stream on twice": lambda s: ("UpdateTable", {"TableName": "orders", "StreamSpecification": {
        "StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}, "DynamoDB"),
}


def test_the_same_things_are_refused_with_the_same_code(sides):
    answers = {name: [side.refusal(*request(side)) for side in sides]
               for name, request in REFUSED.items()}
    assert {name: both for name, both in answers.items() if both[0] != both[1]} == {}
    assert {status for both in answers.values() for status, _ in both} == {400}


def test_a_start_after_an_unknown_shard_is_an_answer(sides):
    for side in sides:
        page = side.good("DescribeStream", {"StreamArn": side.arn,
                                            "ExclusiveStartShardId": "shardId-" + "9" * 20 + "-ffffffff"})
        assert page["StreamDescription"]["Shards"] == []
        assert "LastEvaluatedShardId" not in page["StreamDescription"]


def test_answers_carry_their_checksum(sides):
    for side in sides:
        for headers in ({}, {"Accept-Encoding": "gzip"}):
            status, answer, body = side.call(
                "GetRecords", {"ShardIterator": side.iterator(**TRIM)}, headers=headers)
            assert status == 200 and answer["x-amz-crc32"] == str(zlib.crc32(body))
            assert answer["x-amzn-RequestId"] and answer["Date"]
            assert answer["Content-Type"] == "application/x-amz-json-1.0"
            if answer["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            assert len(json.loads(body)["Records"]) == 5


def test_off_and_on_again_gives_a_new_stream(sides):
    def switch(side):
        old = side.arn
        request = {"TableName": "orders", "StreamSpecification": {"StreamEnabled": False}}
        side.good("UpdateTable", request, "DynamoDB")
        off_twice = side.refusal("UpdateTable", request, "DynamoDB")
        described = side.good("DescribeStream", {"StreamArn": old})["StreamDescription"]
        table = side.good("DescribeTable", {"TableName": "orders"}, "DynamoDB")["Table"]
        no_view = side.refusal("UpdateTable", {
            "TableName": "orders", "StreamSpecification": {"StreamEnabled": True}}, "DynamoDB")
        side.good("UpdateTable", {"TableName": "orders", "StreamSpecification": {
            "StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}, "DynamoDB")
        listed = side.good("ListStreams", {"TableName": "orders"})["Streams"]
        last = side.good("GetShardIterator", {
            "StreamArn": old, "ShardId": described["Shards"][0]["ShardId"], **TRIM})["ShardIterator"]
        end = side.records(last)
        side.step("put", {**OTHER, "v": {"S": "on the new stream"}})
        return {"off twice": off_twice, "no view": no_view, "status": described["StreamStatus"],
                "shape": shape(described), "still the latest": table["LatestStreamArn"] == old,
                "said to be on": "StreamSpecification" in table,
                "listed": [stream["StreamArn"] == old for stream in listed],
                "new": side.arn != old, "end": "NextShardIterator" in end,
                "old records": [comparable(record) for record in end["Records"]],
                "new records": [comparable(record) for record in side.records()["Records"]]}

    local, emulated = (switch(side) for side in sides)
    assert emulated == local
    assert emulated["status"] == "DISABLED" and not emulated["end"]


def test_a_shard_that_rolled_over_ends_and_has_a_child(sides, dynamodb, access_key):
    local, emulated = sides
    dynamodb.rollover(access_key)
    emulated.server.control("rotate", table="orders")
    for side in sides:
        side.step("put", {**OTHER, "v": {"S": "in the child"}})

    def lineage(side):
        parent, child = side.good("DescribeStream", {"StreamArn": side.arn})["StreamDescription"]["Shards"]
        assert child["ParentShardId"] == parent["ShardId"]
        starts, ends = (int(shard["SequenceNumberRange"][name]) for shard, name in
                        ((child, "StartingSequenceNumber"), (parent, "EndingSequenceNumber")))
        assert starts > ends
        end = side.records()
        page = side.records(side.good("GetShardIterator", {
            "StreamArn": side.arn, "ShardId": child["ShardId"], **TRIM})["ShardIterator"])
        return (shape([parent, child]), "NextShardIterator" in end, "NextShardIterator" in page,
                [comparable(record) for record in end["Records"] + page["Records"]])

    assert lineage(local) == lineage(emulated)


def test_where_local_differs_the_emulator_follows_aws(sides):
    """Local takes any ARN for unknown, any filter, no iterator by time, no export; AWS refuses, checks,
    has them."""
    side = sides[1]
    assert side.refusal("DescribeStream", {"StreamArn": "x" * 60}) == (400, "com.amazon.coral.validate#ValidationException")
    for wrong in ({"Type": "OTHER", "ShardId": side.shard}, {"ShardId": side.shard},
                  {"Type": "CHILD_SHARDS"}, {"Type": "CHILD_SHARDS", "ShardId": "short"}):
        assert side.refusal("DescribeStream", {"StreamArn": side.arn, "ShardFilter": wrong}) == \
            (400, "com.amazon.coral.validate#ValidationException")
    page = side.records(side.iterator(ShardIteratorType="AT_TIMESTAMP", Timestamp=0.5))
    assert len(page["Records"]) == 5
    with pytest.raises(ClientError, match="UnknownOperationException"):
        sides[0].client("dynamodb").list_exports()
    assert side.client("dynamodb").list_exports()["ExportSummaries"] == []
