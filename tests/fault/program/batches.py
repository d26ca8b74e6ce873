"""What windows come to when they are loaded as one: folded here, in another way than the program
does it, from the files that lie in the bucket."""

import base64
import gzip
import hashlib
import json
import time


def canonical(keys):
    """As events of these tests tell their keys."""
    return f'{{"pk":{json.dumps(keys["pk"]["S"])},"sk":{keys["sk"]["N"]}}}'


def manifest_lines(get, manifest):
    """All lines of the export at s3://BUCKET/KEY; get: what lies at a key."""
    summary = json.loads(get(manifest.split("/", 3)[3]))
    lines = []
    for entry in get(summary["manifestFilesS3Key"]).decode().splitlines():
        body = gzip.decompress(get(json.loads(entry)["dataFileS3Key"])).decode()
        lines += [json.loads(line) for line in body.splitlines()]
    return lines


def number(image):
    return int(image["n"]["N"]) if image else None


def fold(windows):
    """windows: (number, lines), the oldest first. By key: (op, n before, n after, number)."""
    folded = {}
    for window, lines in windows:
        for line in lines:
            key = canonical(line["Keys"])
            before = folded[key][0] if key in folded else number(line.get("OldImage"))
            folded[key] = before, number(line.get("NewImage")), window
    names = {(False, True): "c", (True, True): "u", (True, False): "d"}
    return {key: (names[before is not None, after is not None], before, after, window)
            for key, (before, after, window) in folded.items()
            if before is not None or after is not None}


def told(event):
    """The same of an event in the debezium form."""
    before, after = event.value["before"], event.value["after"]
    return (event.op, before and before["n"], after and after["n"], event.sequence)


def stamp(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def manifest(folder, bucket, table_arn, window, files):
    """What AWS writes beside the data files of a window, by key; the first is the manifest's."""
    listed = "".join(json.dumps({"itemCount": each.items, "md5Checksum": each.md5, "etag": "7d-1",
                                 "dataFileS3Key": each.key}) + "\n" for each in files).encode()
    summary = json.dumps({
        "version": "2023-08-01", "exportArn": f"{table_arn}/export/0-1", "startTime": stamp(0),
        "endTime": stamp(0), "tableArn": table_arn, "tableId": "c",
        "exportFromTime": stamp(window[0]), "exportToTime": stamp(window[1]), "s3Bucket": bucket,
        "s3Prefix": None, "s3SseAlgorithm": "AES256", "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{folder}/manifest-files.json", "billedSizeBytes": 0,
        "itemCount": sum(each.items for each in files), "outputFormat": "DYNAMODB_JSON",
        "outputView": "NEW_AND_OLD_IMAGES", "exportType": "INCREMENTAL_EXPORT"}).encode()
    made = {}
    for name, body in (("manifest-summary", summary), ("manifest-files", listed)):
        made[f"{folder}/{name}.json"] = body
        made[f"{folder}/{name}.md5"] = base64.b64encode(hashlib.md5(body).digest())
    return made
