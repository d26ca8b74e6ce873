"""docs/recipes.md as a reader would use it: DuckDB and pyarrow over files that the program wrote, into
a directory and into S3, with changes, deletes, a baseline that a lost delete is behind, and a replay.
What comes out is the table."""

import base64
import json
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import duckdb_extension_httpfs
import pyarrow as pa
import pytest
import yaml
from pyarrow import fs

from joined import HOUR, Clock
from stack import REGION, ROOT

PAGE = (ROOT / "docs/recipes.md").read_text()
RECIPE = re.compile(r"<!-- recipe ([a-z0-9 ]+) -->\n(?:```\w+\n)?(.*?)(?:```\n)?<!-- end -->", re.S)
RECIPES = dict(RECIPE.findall(PAGE))
(LAKE,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))

BIG = "12345678901234567890123456789012345678"
LONG = "1234567890123456789.0123456789012345678"
# Columns as the recipes have them, by what their values are in an item.
COLUMNS = {"pk": "S", "sk": "N", "state": "S", "total": "N", "weight": "N", "serial": "N",
           "size": "N", "paid": "BOOL", "photo": "B", "tags": "SS", "scores": "NS", "parts": "BS",
           "address": "M", "extra": "L"}
SORTED = ("tags", "scores", "parts")
DEADLINE_S = 120
ITEM = {
    "state": {"S": "offen \"ä\" 😀"}, "total": {"N": "129.90"}, "weight": {"N": LONG},
    "serial": {"N": BIG}, "size": {"N": "1E+125"}, "paid": {"BOOL": True},
    "photo": {"B": "AAH/gA=="}, "tags": {"SS": ["web", "new"]}, "scores": {"NS": ["1.5", "-3"]},
    "parts": {"BS": ["AQI=", "AA=="]},
    "address": {"M": {"city": {"S": "Köln"}, "lines": {"L": [{"S": "a"}, {"S": "b"}]}}},
    "extra": {"L": [{"NULL": True}, {"M": {"deep": {"S": "x"}}}]}}


def item(pk, sk, **attributes):
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **attributes}


class Table:
    """`orders`, and what it is now."""

    def __init__(self, emulator):
        self.emulator, self.items = emulator, {}

    def put(self, pk, sk, **attributes):
        made = item(pk, sk, **attributes)
        self.emulator.control("put", table="orders", item=made)
        self.items[pk, str(sk)] = made

    def delete(self, pk, sk):
        self.emulator.control("delete", table="orders", key=item(pk, sk))
        del self.items[pk, str(sk)]

    def change(self, round_):
        """Puts, changes, deletes; an item that is deleted and put again, and one the other way
        round; keys that a DOUBLE could not tell apart."""
        for sk in (BIG, str(int(BIG) + 1), "-7"):
            self.put("customer-1", sk, **{**ITEM, "total": {"N": f"{round_}.25"}})
        self.put("customer-2", 1, state={"S": "open"}, photo={"NULL": True})
        self.put("customer-2", 1, state={"S": "paid"}, paid={"BOOL": False})
        self.put("customer-3", round_, **ITEM)
        self.delete("customer-3", round_)
        self.put("again", 1, state={"S": "open"})
        self.delete("again", 1)
        self.put("again", 1, state={"S": f"round {round_}"})
        self.put("long", 1, state={"S": "\x01" * 300000})


def value(kind, content):
    """What DuckDB should make of an attribute."""
    if kind == "B":
        return base64.b64decode(content)
    if kind == "N":
        return Decimal(content)
    if kind in ("SS", "BS"):
        return sorted(content)
    if kind == "NS":
        return sorted(map(Decimal, content))
    return content


def column(name, attribute):
    if attribute is None or "NULL" in attribute:
        return None
    if name == "address":
        return {"city": "Köln", "lines": ["a", "b"]}
    if name == "extra":
        return [None, {"deep": "x"}]
    return value(COLUMNS[name], attribute[COLUMNS[name]])


def expected(items):
    return {key: {name: column(name, made.get(name)) for name in COLUMNS}
            for key, made in items.items()}


def tidy(row):
    """Sets have no order; what is text in the recipe is a number or JSON in the item."""
    row = {name: sorted(got) if name in SORTED and got else got for name, got in row.items()}
    row["size"] = row["size"] and Decimal(row["size"])
    row["extra"] = row["extra"] and json.loads(row["extra"])
    return row


def rows(connection, view):
    """By key; each is there once."""
    found = connection.execute(f"SELECT * FROM {view}")
    names = [part[0] for part in found.description]
    got = [tidy(dict(zip(names, row))) for row in found.fetchall()]
    by_key = {(row["pk"], str(row["sk"])): row for row in got}
    assert len(by_key) == len(got)
    return by_key


def deployment(emulator, s3, bucket, folder):
    """The page's own lake, in `folder` and in S3, and one with numbers as they are."""
    (name, lake), = LAKE["sinks"].items()
    endpoint = emulator.endpoint
    path = lake["path"]
    return {
        "checkpoint": {"store": f"sqlite:{folder}/state.db"},
        "worker": {"follow": "1s"},
        "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint, "s3": s3.endpoint}},
        "streams": [{**LAKE["streams"][0], "start": "oldest", "gap": "oldest",
                     "baseline": {"bucket": bucket, "prefix": "raw", "poll": "5s"},
                     "poll": {"min": "20ms", "max": "200ms"}, "sinks": [name, "s3", "exact"]}],
        "sinks": {
            name: {**lake, "path": f"{folder}/{path}", "roll": {"age": "1s"}},
            "s3": {**lake, "type": "s3", "bucket": bucket, "path": path.removeprefix("lake/"),
                   "roll": {"age": "1s"}},
            "exact": {"type": "directory", "path": f"{folder}/exact/", "compression": "none"}}}


def told_end(names):
    return any("-orders-baseline-end-" in str(name) for name in names)


@pytest.fixture
def written(exporting, s3, bucket, sluice, tmp_path):
    """The table, and where its lake is."""
    emulator = exporting("orders:pitr=1:shards=2:records=0")
    clock, table = Clock(emulator), Table(emulator)
    worker = sluice(deployment(emulator, s3, bucket, tmp_path), access_key=s3.access_key,
                    secret_key=s3.secret_key)
    clock.move(HOUR)
    table.put("unseen", 1, state={"S": "its delete is lost"})
    table.put("untouched", 1, **ITEM)
    table.change(1)
    assert worker.drain(deadline=DEADLINE_S) == 0, worker.process.tail(60)

    table.delete("unseen", 1)
    clock.move(30 * HOUR)
    worker.run("export", "baseline", "--stream", "orders", "--yes")
    worker.start(wait=False)
    clock.run(120)
    worker.wait_for(lambda: told_end(tmp_path.glob("lake/_control/*")) and
                    told_end(s3.objects(bucket, "_control/")), "the baseline has ended", DEADLINE_S)
    clock.stop()
    worker.wait_for(lambda: worker.get("/livez")[0] == 200, "it is alive", DEADLINE_S)
    assert worker.stop(60) == 0, worker.process.tail(60)

    table.change(2)
    assert worker.drain(deadline=DEADLINE_S) == 0, worker.process.tail(60)
    worker.run("replay", "--stream", "orders", "--from", "oldest", "--yes")
    assert worker.drain(deadline=DEADLINE_S) == 0, worker.process.tail(60)
    return table, tmp_path


def leave_unfinished(folder):
    """As a worker that is still writing."""
    name = next(folder.glob("lake/orders/**/2*.ndjson.zst"))
    name.with_name(f".{name.name}").write_bytes(b"unfinished")


def check_generations(connection):
    """The files are what they should be: three generations, states that step back."""
    assert connection.execute("SELECT DISTINCT _gen FROM changes ORDER BY 1").fetchall() == [
        (1,), (2,), (3,)]
    assert connection.execute("SELECT count(*) FROM changes WHERE _op = 'r'").fetchone()[0] > 0
    assert connection.execute("SELECT count(*) FROM latest WHERE _op = 'd'").fetchone()[0] > 0


def check_duckdb(connection, sql, items):
    connection.execute(sql(RECIPES["duckdb"]))
    check_generations(connection)
    kept = rows(connection, "orders")
    lost = kept.pop(("unseen", "1"))
    assert lost["state"] == "its delete is lost"
    assert kept == expected(items)
    connection.execute(sql(RECIPES["duckdb baseline"]))
    assert rows(connection, "orders_since_baseline") == expected(items)


def duckdb_of(s3):
    """A connection that reads from the S3 server."""
    (extension,) = Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(RECIPES["duckdb s3"].replace("'key'", f"'{s3.access_key}'").replace(
        "'secret'", f"'{s3.secret_key}'").replace(
        ")", f", ENDPOINT '127.0.0.1:{s3.port}', USE_SSL false, URL_STYLE 'path')"))
    return connection


def check_s3(s3, bucket, items):
    check_duckdb(duckdb_of(s3), lambda text: text.replace("'lake/", f"'s3://{bucket}/"), items)


def check_pyarrow(files, folder, items):
    recipe = {}
    exec(RECIPES["pyarrow"], recipe)  # what a reader would paste
    got = recipe["current"](files, folder).to_pylist()
    kept = {(row["pk"], row["sk"]): row for row in got}
    assert len(kept) == len(got)
    del kept["unseen", "1"]
    wanted = expected(items)
    assert kept.keys() == wanted.keys()
    for key, row in kept.items():
        assert row.keys() == {"pk", "sk", "state", "total", "tags"}
        assert row["state"] == wanted[key]["state"]
        assert (row["total"] and Decimal(row["total"])) == wanted[key]["total"]
        assert (row["tags"] and sorted(row["tags"])) == wanted[key]["tags"]


def check_decimals(files):
    """pyarrow has numbers as they are in a column of decimals, or refuses them."""
    recipe = {}
    exec(RECIPES["pyarrow"], recipe)

    def read(**columns):
        recipe["SCHEMA"] = pa.schema({"pk": pa.string(), **columns})
        table = pa.concat_tables(recipe["changes"](files, "exact"))
        return next(row for row in table.to_pylist() if row["pk"] == "untouched")

    got = read(total=pa.decimal128(38, 2), weight=pa.decimal128(38, 19))
    assert (got["total"], got["weight"]) == (Decimal("129.90"), Decimal(LONG))
    with pytest.raises(pa.ArrowInvalid, match="scale"):
        read(total=pa.decimal128(38, 1))


def numbers(connection, files, kind, name, key):
    """What a column of this type has for an item that lies in these files."""
    columns = "" if kind == "none" else (
        f", columns = {{pk: 'VARCHAR', {name}: '{kind}', _op: 'VARCHAR'}}")
    (got,) = connection.execute(
        f"SELECT DISTINCT {name} FROM read_json('{files}', format = 'newline_delimited'{columns}) "
        f"WHERE pk = '{key}' AND _op <> 'd'").fetchone()
    return got


def check_numbers(connection):
    """The page's table, cell by cell."""
    head, _, *lines = [[cell.strip().strip("`") for cell in line.strip("|\n").split("|")]
                       for line in RECIPES["numbers"].splitlines()]
    assert head[2:] == [BIG, "129.90", LONG] and len(lines) == 9
    for setting, kind, *cells in lines:
        files = "exact/2*.ndjson" if setting == "exact" else "lake/orders/**/2*.ndjson.zst"
        for cell, name in zip(cells, ("serial", "total", "weight")):
            wanted = ITEM[name]["N"]
            if cell:
                got = numbers(connection, files, kind, name, "untouched")
                same = Decimal(str(got)) == Decimal(wanted)
                assert same == (cell == "exact"), f"{setting}, {kind}, {name}: {got}"


def test_readers_of_files_have_the_table(written, s3, bucket, monkeypatch):
    table, folder = written
    monkeypatch.chdir(folder)
    leave_unfinished(folder)
    check_duckdb(duckdb.connect(), lambda text: text, table.items)
    check_s3(s3, bucket, table.items)
    check_pyarrow(fs.LocalFileSystem(), "lake/orders", table.items)
    check_pyarrow(fs.S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, region=REGION,
                                  endpoint_override=s3.endpoint), f"{bucket}/orders", table.items)
    check_decimals(fs.LocalFileSystem())
    check_numbers(duckdb.connect())
