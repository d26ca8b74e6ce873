"""What windows come to when they are loaded as one: folded here, in another way than the program
does it, from the files that lie in the bucket."""

import gzip
import json


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
