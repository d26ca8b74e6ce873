"""The servers themselves: each does what the other tests take for granted."""

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Producer

from process import wait_until
from stack import http_status

TABLE = {
    "TableName": "orders",
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


def create_stream(dynamodb, access_key):
    created = dynamodb.client(access_key).create_table(**TABLE)
    return created["TableDescription"]["LatestStreamArn"]


def shards(dynamodb, access_key, arn):
    streams = dynamodb.client(access_key, "dynamodbstreams")
    return streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]


def test_dynamodb_rolls_a_shard_over(dynamodb, access_key):
    arn = create_stream(dynamodb, access_key)
    parent = wait_until(lambda: shards(dynamodb, access_key, arn), "a first shard")[0]
    dynamodb.client(access_key).put_item(TableName="orders", Item={"pk": {"S": "a"}})
    dynamodb.rollover(access_key)
    both = wait_until(lambda: len(found := shards(dynamodb, access_key, arn)) == 2 and found,
                      "a child shard")
    assert "EndingSequenceNumber" in both[0]["SequenceNumberRange"]
    assert both[1]["ParentShardId"] == parent["ShardId"]


def test_dynamodb_ages_records(dynamodb, access_key):
    arn = create_stream(dynamodb, access_key)
    shard = wait_until(lambda: shards(dynamodb, access_key, arn), "a first shard")[0]["ShardId"]
    dynamodb.client(access_key).put_item(TableName="orders", Item={"pk": {"S": "a"}})
    streams = dynamodb.client(access_key, "dynamodbstreams")

    def read():
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        return streams.get_records(ShardIterator=iterator)["Records"]

    wait_until(read, "the record")
    dynamodb.dilate(access_key, 25)
    with pytest.raises(ClientError, match="TrimmedDataAccess"):
        read()


def test_dynamodb_keeps_access_keys_apart(dynamodb):
    one, other = dynamodb.new_access_key(), dynamodb.new_access_key()
    create_stream(dynamodb, one)
    assert dynamodb.client(other).list_tables()["TableNames"] == []


def test_kafka_gives_back_what_was_committed(kafka):
    kafka.create_topic("stack", partitions=2, max_message_bytes=2000000)
    producer = Producer({"bootstrap.servers": kafka.brokers, "transactional.id": "stack"})
    producer.init_transactions(30)
    for value, commit in ((b"kept", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce("stack", value, key=b"k")
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    assert [message.value() for message in kafka.read("stack")] == [b"kept"]
    assert len(kafka.read("stack", isolation="read_uncommitted")) == 2


def test_kafka_makes_topics_on_demand(kafka):
    producer = Producer({"bootstrap.servers": kafka.brokers})
    producer.produce("on-demand", b"value")
    assert producer.flush(30) == 0
    assert len(kafka.read("on-demand")) == 1


def test_postgres_survives_a_crash(postgres):
    url = postgres.new_database()
    postgres.execute("CREATE TABLE t (x int)", url=url)
    postgres.execute("INSERT INTO t VALUES (%s)", (42,), url=url)
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        postgres.execute("SELECT 1", url=url)
    postgres.restart()
    assert postgres.execute("SELECT x FROM t", url=url) == [(42,)]


def test_s3_stores_and_checks(s3, bucket):
    s3.client().put_object(Bucket=bucket, Key="a/b", Body=b"content")
    assert s3.objects(bucket, "a/") == {"a/b": b"content"}
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.client().put_object(Bucket=bucket, Key="a/b", Body=b"other", IfNoneMatch="*")
    stranger = boto3.client("s3", endpoint_url=s3.endpoint, region_name="eu-west-1",
                            aws_access_key_id=s3.access_key, aws_secret_access_key="wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.list_objects_v2(Bucket=bucket)


def test_moto_hands_out_credentials(moto):
    sts = boto3.client("sts", endpoint_url=moto.endpoint, region_name="eu-west-1",
                       aws_access_key_id="a", aws_secret_access_key="b")
    answer = sts.assume_role_with_web_identity(
        RoleArn="arn:aws:iam::123456789012:role/reader", RoleSessionName="test",
        WebIdentityToken="token")
    assert answer["Credentials"]["SessionToken"]
    token = http_status(moto.port, "/latest/api/token", "PUT")
    assert token[0] == 200


def test_toxiproxy_cuts_and_restores(toxiproxy, s3):
    proxy = toxiproxy.proxy(s3.port)
    assert http_status(proxy.port)
    proxy.cut()
    assert http_status(proxy.port) is None
    proxy.restore()
    proxy.add("limit_data", bytes=10)
    assert http_status(proxy.port) is None
    proxy.clear()
    assert http_status(proxy.port)


def test_no_server_outlives_its_stop(toxiproxy, tmp_path):
    server = type(toxiproxy)(tmp_path)
    server.start()
    server.stop()
    assert not server.process.running()
    assert http_status(server.port) is None
