"""The emulator's exports are what AWS writes: calls, rules, files and the lines in them, with boto3
and the real S3 server as independent witnesses."""

import base64
import gzip
import hashlib
import json
import time
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from process import wait_until

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR


def arn(table):
    return f"arn:aws:dynamodb:eu-west-1:123456789012:table/{table}"


def now(server):
    """The emulated time, in epoch seconds."""
    return server.control("advance", seconds=0)["now_ms"] / 1000


def code_of(call, *arguments, **members):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **members)
    return caught.value.response["Error"]["Code"]


def settled(client, export_arn):
    """The description of an export that has ended."""
    def look():
        found = client.describe_export(ExportArn=export_arn)["ExportDescription"]
        return found if found["ExportStatus"] != "IN_PROGRESS" else None
    return wait_until(look, export_arn)


def full(server, bucket, table="orders", at=None, **members):
    times = {} if at is None else {"ExportTime": at}
    return server.client("dynamodb").export_table_to_point_in_time(
        TableArn=arn(table), S3Bucket=bucket, **times, **members)["ExportDescription"]


def window(server, bucket, begin, end, table="orders", view="NEW_AND_OLD_IMAGES", **members):
    return server.client("dynamodb").export_table_to_point_in_time(
        TableArn=arn(table), S3Bucket=bucket, ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification={"ExportFromTime": begin, "ExportToTime": end,
                                        "ExportViewType": view},
        **members)["ExportDescription"]


class Written:
    """What lies in the bucket, found as a reader of AWS's exports finds it."""

    def __init__(self, s3, bucket, description):
        client = s3.client()

        def get(name):
            return client.get_object(Bucket=bucket, Key=name)["Body"].read()

        def checked(name):
            content = get(name + ".json")
            assert get(name + ".md5") == base64.b64encode(hashlib.md5(content).digest())
            return content

        key = description["ExportManifest"]
        folder = key[:-len("manifest-summary.json")]
        assert get(folder + "_started") == b""
        summary = checked(folder + "manifest-summary")
        self.summary = json.loads(summary)
        assert self.summary["manifestFilesS3Key"] == folder + "manifest-files.json"
        files = checked(folder + "manifest-files")
        assert not summary.endswith(b"\n") and files.endswith(b"\n")
        self.files = [json.loads(line) for line in files.splitlines()]
        self.lines = []
        for entry in self.files:
            data = get(entry["dataFileS3Key"])
            digest = base64.b64encode(hashlib.md5(data).digest()).decode()
            assert digest == entry["md5Checksum"] and entry["etag"].endswith("-1")
            lines = gzip.decompress(data).splitlines()
            assert len(lines) == entry["itemCount"]
            self.lines += map(json.loads, lines)
        assert len(self.lines) == self.summary["itemCount"] == description["ItemCount"]


def written(server, s3, bucket, description):
    found = settled(server.client("dynamodb"), description["ExportArn"])
    assert found["ExportStatus"] == "COMPLETED", found
    return Written(s3, bucket, found)


def key_of(image):
    """As the emulator's truth names it."""
    return json.dumps({"pk": image["pk"]["S"], "sk": int(image["sk"]["N"])}, ensure_ascii=False,
                      separators=(",", ":"))


def state_of(export):
    """Key to change number, of a full export."""
    return {key_of(line["Item"]): int(line["Item"]["n"]["N"]) for line in export.lines}


def applied(state, export):
    """The state after a window, whose old images must be what the state was."""
    state = dict(state)
    for line in export.lines:
        key = key_of(line["Keys"])
        old = line.get("OldImage")
        assert state.get(key) == (int(old["n"]["N"]) if old else None), (key, old)
        new = line.get("NewImage")
        if new:
            assert int(new["n"]["N"]) != state.get(key)
            state[key] = int(new["n"]["N"])
        else:
            del state[key]
    return state


def truth_of(server, table="orders"):
    return {key: entry["n"] for key, entry in server.truth(table)["keys"].items()
            if entry["exists"]}


def test_point_in_time_recovery(exporting):
    server = exporting("orders:backups_ms=60000", "old:pitr=1")
    client = server.client("dynamodb")

    def description(table, **members):
        call = client.update_continuous_backups if members else client.describe_continuous_backups
        answer = call(TableName=table, **members)["ContinuousBackupsDescription"]
        return answer["PointInTimeRecoveryDescription"]

    def turn(on, **members):
        return {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": on, **members}}

    assert description("orders")["PointInTimeRecoveryStatus"] == "DISABLED"
    assert code_of(client.update_continuous_backups, TableName="orders",
                   **turn(True)) == "ContinuousBackupsUnavailableException"
    server.control("advance", seconds=61)
    started = now(server)
    found = description(arn("orders"), **turn(True))
    assert found["PointInTimeRecoveryStatus"] == "ENABLED"
    assert abs(found["EarliestRestorableDateTime"].timestamp() - started) < 10
    assert found["LatestRestorableDateTime"] == found["EarliestRestorableDateTime"]
    server.control("advance", seconds=HOUR)
    again = description("orders", **turn(True))
    assert again["EarliestRestorableDateTime"] == found["EarliestRestorableDateTime"]
    assert abs(now(server) - again["LatestRestorableDateTime"].timestamp() - 5 * MINUTE) < 10
    # Off and on again: what was before is gone.
    assert description("orders", **turn(False))["PointInTimeRecoveryStatus"] == "DISABLED"
    anew = description("orders", **turn(True, RecoveryPeriodInDays=2))
    assert anew["EarliestRestorableDateTime"] > again["LatestRestorableDateTime"]
    server.control("advance", seconds=5 * DAY)
    assert abs(now(server) - 2 * DAY
               - description("orders")["EarliestRestorableDateTime"].timestamp()) < 10
    assert abs(now(server) - 35 * DAY
               - description("old")["EarliestRestorableDateTime"].timestamp()) < 10
    assert code_of(client.describe_continuous_backups, TableName="none") == "TableNotFoundException"


def test_requests_are_checked(exporting, bucket):
    server = exporting("orders:pitr=1", "plain", "hose:page=100000:pitr=1")
    client = server.client("dynamodb")
    time_now = now(server)

    def refused(call, *arguments, **members):
        return code_of(call, server, bucket, *arguments, **members)

    assert refused(full, table="none") == "TableNotFoundException"
    assert refused(full, table="plain") == "PointInTimeRecoveryUnavailableException"
    assert refused(full, table="hose") == "ValidationException"
    assert refused(full, at=time_now + 60) == "InvalidExportTimeException"
    assert refused(full, at=time_now - 36 * DAY) == "InvalidExportTimeException"
    assert refused(full, S3Prefix="p" * 1025) == "ValidationException"
    assert refused(full, S3SseAlgorithm="ROT13") == "ValidationException"
    for begin, end in ((time_now - 10 * MINUTE, time_now), (time_now - 25 * HOUR, time_now),
                       (time_now - 36 * DAY, time_now - 35.5 * DAY),
                       (time_now - HOUR, time_now + HOUR)):
        assert refused(window, begin, end) == "InvalidExportTimeException"
    assert refused(window, time_now - HOUR, time_now, view="OLD_IMAGE") == "ValidationException"
    # The shortest and the longest.
    for begin in (15 * MINUTE, DAY):
        settled(client, window(server, bucket, time_now - begin, time_now)["ExportArn"])
    assert code_of(client.describe_export, ExportArn=arn("orders") + "/backup/1") \
        == "ValidationException"
    assert code_of(client.describe_export, ExportArn=arn("orders") + "/export/0123456789012-abcd") \
        == "ExportNotFoundException"
    assert code_of(client.list_exports, MaxResults=26) == "ValidationException"


def test_a_token_starts_one_export_for_eight_hours(exporting, bucket):
    server = exporting("orders:pitr=1:export_ms=60000")
    client = server.client("dynamodb")
    at = int(now(server)) - HOUR
    first = full(server, bucket, at=at, ClientToken="t1")
    assert first["ExportStatus"] == "IN_PROGRESS" and "ExportManifest" not in first
    assert full(server, bucket, at=at, ClientToken="t1")["ExportArn"] == first["ExportArn"]
    assert code_of(full, server, bucket, at=at - 60, ClientToken="t1") == "ExportConflictException"
    assert full(server, bucket, at=at, ClientToken="t2")["ExportArn"] != first["ExportArn"]
    assert full(server, bucket, at=at)["ExportArn"] != first["ExportArn"]
    server.control("advance", seconds=61)
    done = settled(client, first["ExportArn"])
    assert done["ExportStatus"] == "COMPLETED" and done["ClientToken"] == "t1"
    server.control("advance", seconds=7 * HOUR)
    assert full(server, bucket, at=at, ClientToken="t1")["ExportArn"] == first["ExportArn"]
    server.control("advance", seconds=2 * HOUR)
    assert full(server, bucket, at=at, ClientToken="t1")["ExportArn"] != first["ExportArn"]
    # A request that was refused did not use its token.
    assert code_of(full, server, bucket, at=at + DAY, ClientToken="t3") \
        == "InvalidExportTimeException"
    full(server, bucket, at=at, ClientToken="t3")


def test_exports_are_listed(exporting, bucket):
    server = exporting("orders:pitr=1", "others:pitr=1")
    client = server.client("dynamodb")
    made = [full(server, bucket)["ExportArn"] for _ in range(7)]
    other = window(server, bucket, now(server) - HOUR, now(server), table="others")["ExportArn"]
    for one in [*made, other]:
        settled(client, one)
    listed, token = [], {}
    while True:
        page = client.list_exports(TableArn=arn("orders"), MaxResults=3, **token)
        listed += [entry["ExportArn"] for entry in page["ExportSummaries"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert listed == made[::-1]
    everything = client.list_exports()["ExportSummaries"]
    assert len(everything) == 8
    assert everything[0] == {"ExportArn": other, "ExportStatus": "COMPLETED",
                             "ExportType": "INCREMENTAL_EXPORT"}
    assert [entry["arn"] for entry in server.control("exports", table="orders")["exports"]] == made
    server.control("advance", seconds=91 * DAY)
    assert client.list_exports()["ExportSummaries"] == []


def test_files_of_a_full_export(exporting, s3, bucket):
    server = exporting("orders:pitr=1:records=200:keys=20:partitions=5")
    time.sleep(0.01)
    description = full(server, bucket, S3Prefix="a/b c")
    assert description["ExportArn"].startswith(arn("orders") + "/export/0")
    assert "ExportType" not in description
    export = written(server, s3, bucket, description)
    identity = description["ExportArn"].rsplit("/", 1)[1]
    assert list(export.summary) == [
        "version", "exportArn", "startTime", "endTime", "tableArn", "tableId", "exportTime",
        "s3Bucket", "s3Prefix", "s3SseAlgorithm", "s3SseKmsKeyId", "manifestFilesS3Key",
        "billedSizeBytes", "itemCount", "outputFormat"]
    assert export.summary["version"] == "2020-06-30"
    assert export.summary["s3Prefix"] == "a/b c"
    assert export.summary["exportTime"] == export.summary["startTime"]
    assert export.summary["manifestFilesS3Key"] \
        == f"a/b c/AWSDynamoDB/{identity}/manifest-files.json"
    assert len(export.files) == 5
    for entry in export.files:
        assert entry["dataFileS3Key"].startswith(f"a/b c/AWSDynamoDB/{identity}/data/")
        assert len(entry["dataFileS3Key"].rsplit("/", 1)[1]) == 26 + len(".json.gz")
    assert state_of(export) == truth_of(server)
    # An empty table: empty partitions, which are files.
    server.control("table", name="empty", pitr=1, partitions=3)
    empty = written(server, s3, bucket, full(server, bucket, table="empty"))
    assert [entry["itemCount"] for entry in empty.files] == [0, 0, 0]


def test_windows_carry_a_full_export_on(exporting, s3, bucket):
    """Every change is in exactly one of contiguous windows, whatever the cuts' fuzz, with shards
    that split meanwhile: applied in order they make the table of each later full export."""
    server = exporting("orders:pitr=1:shards=2:keys=20:records=2000:depth=2:hours=2:fuzz_ms=60000",
                       "exact:pitr=1:shards=1:keys=40:records=500:depth=1:hours=3")
    for table in ("orders", "exact"):
        # All records are from four or three hours ago until now.
        server.control("advance", seconds=10 * MINUTE)
        end = int(now(server)) - 5 * MINUTE
        cuts = [end - 4 * HOUR - 45 * MINUTE + i * 24 * MINUTE for i in range(12)] + [end]
        state = state_of(written(server, s3, bucket, full(server, bucket, table, at=cuts[0])))
        # The fuzz of one cut is the same wherever it is used: what is tested here are windows.
        sizes = Counter()
        for begin, end in zip(cuts, cuts[1:]):
            export = written(server, s3, bucket, window(server, bucket, begin, end, table))
            assert export.summary["exportType"] == "INCREMENTAL_EXPORT"
            state = applied(state, export)
            for line in export.lines:
                sizes["old" if "OldImage" in line else "no old",
                      "new" if "NewImage" in line else "no new"] += 1
                written_at = int(line["Metadata"]["WriteTimestampMicros"]["N"]) / 1e6
                assert begin - 61 <= written_at < end + 61
        assert state == truth_of(server, table)
        assert min(sizes["old", "new"], sizes["no old", "new"], sizes["old", "no new"]) > 0
        assert sizes["no old", "no new"] == 0


def test_a_window_of_new_images(exporting, s3, bucket):
    server = exporting("orders:pitr=1:keys=20:records=500:depth=1:hours=2")
    server.control("advance", seconds=10 * MINUTE)
    end = int(now(server))
    export = written(server, s3, bucket, window(server, bucket, end - 3 * HOUR, end,
                                                view="NEW_IMAGE", S3Prefix="p"))
    assert export.summary["version"] == "2023-08-01"
    assert export.summary["outputView"] == "NEW_IMAGE"
    assert export.summary["billedSizeBytes"] == 10000000
    assert list(export.summary)[-3:] == ["outputFormat", "outputView", "exportType"]
    assert all(entry["dataFileS3Key"].startswith("p/AWSDynamoDB/data/") for entry in export.files)
    assert export.lines and not any("OldImage" in line for line in export.lines)
    assert {key_of(line["Keys"]) for line in export.lines if "NewImage" in line} \
        == set(truth_of(server))


def test_items_put_by_hand(exporting, s3, bucket):
    server = exporting("orders:pitr=1")

    def put(key, value):
        server.control("put", table="orders",
                       item={"pk": {"S": key}, "sk": {"N": "1"}, "v": {"S": value}})

    def gone(key):
        server.control("delete", table="orders", key={"pk": {"S": key}, "sk": {"N": "1"}})

    put("kept", "1")
    put("changed", "1")
    put("deleted", "1")
    server.control("advance", seconds=HOUR)
    middle = now(server) - HOUR / 2
    put("changed", "2")
    put("changed", "3")
    gone("deleted")
    put("new", "1")
    put("short", "1")
    gone("short")
    server.control("advance", seconds=10 * MINUTE)
    before = written(server, s3, bucket, full(server, bucket, at=middle))
    assert {line["Item"]["pk"]["S"]: line["Item"]["v"]["S"] for line in before.lines} \
        == {"kept": "1", "changed": "1", "deleted": "1"}
    after = written(server, s3, bucket, window(server, bucket, middle, now(server) - 5))
    assert {line["Keys"]["pk"]["S"]: (line.get("OldImage", {}).get("v", {}).get("S"),
                                      line.get("NewImage", {}).get("v", {}).get("S"))
            for line in after.lines} \
        == {"changed": ("1", "3"), "deleted": ("1", None), "new": (None, "1")}
    assert list(after.lines[0])[:2] == ["Metadata", "Keys"]


def test_an_export_takes_its_time(exporting, s3, bucket):
    server = exporting(f"orders:pitr=1:records=10:export_ms={26 * HOUR * 1000}")
    client = server.client("dynamodb")
    description = full(server, bucket)
    wait_until(lambda: any(key.endswith("_started") for key in s3.objects(bucket)), "_started")
    for _ in range(2):
        server.control("advance", seconds=12 * HOUR)
        time.sleep(0.1)
        assert client.describe_export(ExportArn=description["ExportArn"])[
            "ExportDescription"]["ExportStatus"] == "IN_PROGRESS"
    server.control("advance", seconds=3 * HOUR)
    export = written(server, s3, bucket, description)
    # It is the table of when it was asked for, though all else is trimmed by now.
    assert state_of(export) == truth_of(server)


def test_exports_that_fail(exporting, emulator, s3, bucket):
    server = exporting("orders:pitr=1")
    client = server.client("dynamodb")
    failed = settled(client, full(server, "no-such-bucket-here")["ExportArn"])
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    server.fault("export_fails", code="InternalServerError", message="so it goes")
    failed = settled(client, full(server, bucket)["ExportArn"])
    assert failed["FailureMessage"] == "so it goes"
    assert settled(client, full(server, bucket)["ExportArn"])["ExportStatus"] == "COMPLETED"
    # The service's own errors are faults of the calls, as for any other.
    server.fault("throttle", operation="DescribeExport", table="orders")
    assert code_of(client.describe_export, ExportArn=failed["ExportArn"]) \
        == "ProvisionedThroughputExceededException"
    lonely = emulator("orders:pitr=1")
    assert settled(lonely.client("dynamodb"), full(lonely, bucket)["ExportArn"])[
        "FailureCode"] == "S3Unreachable"


def test_files_that_are_wrong(exporting, s3, bucket):
    server = exporting("orders:pitr=1:records=100")
    client = server.client("dynamodb")

    def spoilt(kind, **members):
        server.fault(kind, table="orders", **members)
        return settled(client, full(server, bucket)["ExportArn"])

    for kind, error in (("file_corrupt", AssertionError), ("file_missing", ClientError),
                        ("line_bad", ValueError), ("count_wrong", AssertionError),
                        ("md5_wrong", AssertionError)):
        description = spoilt(kind)
        assert description["ExportStatus"] == "COMPLETED"
        with pytest.raises(error):
            Written(s3, bucket, description)
    late = spoilt("manifest_late", ms=700)
    assert late["ExportManifest"] not in s3.objects(bucket)
    wait_until(lambda: late["ExportManifest"] in s3.objects(bucket), "the manifest")
    Written(s3, bucket, late)
    Written(s3, bucket, settled(client, full(server, bucket)["ExportArn"]))
    ion = settled(client, full(server, bucket, ExportFormat="ION")["ExportArn"])
    assert json.loads(s3.objects(bucket)[ion["ExportManifest"]])["outputFormat"] == "ION"
