"""The demo's proof holds for what is right and fails for each thing that can be wrong."""

import gzip
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from proof import finished_files, prove  # noqa: E402

SESSION = "8a1b4a55-6d5c-4a43-9d3c-0a3f5b6f7a10"


def change(pk, n, op="u", sequence=None):
    """A line of the plain form; a delete has no more than its key."""
    sequence = sequence or 100 + n
    event = {"pk": pk, "sk": 7, "n": n} if op != "d" else {"pk": pk, "sk": 7.0}
    return {**event, "_op": op, "_ts": 1795227233000, "_seq": str(sequence), "_gen": 1,
            "_order": f"{1:010d}-{sequence:040d}"}


def life(pk):
    """Born, changed, deleted, born again."""
    return [change(pk, 1, "c"), change(pk, 2), change(pk, 3, "d"), change(pk, 4, "c")]


class ProofTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.truth = {"keys": {f'{{"pk":"{pk}","sk":7}}': {"n": 4, "exists": True} for pk in "ab"}}

    def write(self, roll, events, start="20261121T020000Z", dot="", suffix=".gz"):
        text = "".join(json.dumps(event) + "\n" for event in events).encode()
        path = self.folder / f"{dot}{start}-{SESSION}-{roll}-0.ndjson{suffix}"
        path.write_bytes(gzip.compress(text) if suffix else text)
        return path

    def right(self):
        """Two items in three files, of which the tenth roll comes last."""
        a, b = life("a"), life("b")
        return [self.write(2, a[:2]), self.write(9, b[:3], suffix=""),
                self.write(10, a[2:] + b[3:])]

    def prove(self):
        return prove(self.folder, self.truth)

    def test_holds_where_all_is_right(self):
        self.assertEqual(finished_files(self.folder), [])
        files = self.right()
        proof = self.prove()
        self.assertEqual(proof.problems, [])
        self.assertTrue(proof.holds())
        self.assertEqual((proof.changes, proof.expected, proof.files), (8, 8, 3))
        self.assertEqual(finished_files(self.folder), files)

    def test_a_missing_file(self):
        for index in range(3):
            with self.subTest(index=index):
                files = self.right()
                files[index].unlink()
                proof = self.prove()
                self.assertFalse(proof.holds())
                self.assertFalse(proof.complete())

    def test_an_unfinished_file_is_not_there(self):
        files = self.right()
        files[2].rename(files[2].with_name("." + files[2].name))
        self.assertFalse(self.prove().holds())

    def test_no_file_at_all(self):
        self.assertFalse(self.prove().holds())
        self.truth["keys"] = {}
        self.assertFalse(self.prove().holds())

    def test_what_comes_twice(self):
        for event in life("a"):
            with self.subTest(op=event["_op"], n=event.get("n")):
                self.right()
                self.write(11, [event])
                proof = self.prove()
                self.assertFalse(proof.holds())
                self.assertEqual(proof.repeated, 1)
                self.assertIn(SESSION, proof.problems[0])

    def test_one_line_missing(self):
        for index in range(4):
            with self.subTest(index=index):
                events = life("a")
                del events[index]
                self.write(1, events + life("b"))
                self.assertFalse(self.prove().complete())
                self.assertFalse(self.prove().holds())

    def test_wrong_order(self):
        events = life("a")
        self.write(1, [events[1], events[0], *events[2:], *life("b")])
        proof = self.prove()
        self.assertTrue(proof.complete())
        self.assertFalse(proof.in_order())
        self.assertFalse(proof.holds())

    def test_files_in_wrong_order(self):
        first, _, last = self.right()
        first.rename(first.with_name(first.name.replace("T02", "T03")))
        self.assertFalse(self.prove().holds())
        self.assertTrue(last.exists())

    def test_an_item_that_should_not_exist(self):
        self.right()
        self.truth["keys"]['{"pk":"a","sk":7}']["exists"] = False
        self.assertEqual(self.prove().wrong_ends, 1)
        self.assertFalse(self.prove().holds())

    def test_an_unknown_item(self):
        self.right()
        self.write(11, life("c"))
        self.assertEqual(self.prove().unknown, 1)
        self.assertFalse(self.prove().holds())


if __name__ == "__main__":
    unittest.main()
