"""The tables of README.md and docs/performance.md: made from a file of figures, for one processor
family each, and not changed by hand since.

    tables_test.py
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from scoreboard import tables  # noqa: E402


def series(question, engine, role, value, parameters, unit="messages/s", count=5, placement="near"):
    return {"program": "p", "question": question, "engine": engine, "role": role,
            "parameters": parameters, "unit": unit, "more_is_better": unit != "ns", "dropped": 0,
            "samples": [[value, placement]] * count}


def content(**changes):
    raw = {"schema": "rondo-bench", "version": 1, "date": "2026-01-02T03:04:05Z",
           "machine": {"model_name": "Some Processor", "vendor": "Maker", "family": 6, "model": 9,
                       "cores": 2, "kernel": "Linux 6.1.0-x"},
           "build": {"compiler": "g++ 12.2.0"},
           "placements": [{"name": "near", "centre_ns": 250.0}],
           "series": [
               *(series(question, engine, role, value, {"bytes": size}, unit)
                 for size in (64, 1024)
                 for engine, role, value in (("shm ring", "ours", 300), ("pipe", "rival", 1200),
                                             ("unix socket", "rival", 900))
                 for question, unit in (("process_round_trip", "ns"), ("process_stream", "messages/s"))),
               series("mpmc", "mpmc_ring", "ours", 30e6, {"bytes": 8, "producers": 4, "consumers": 1}),
               series("mpmc", "other", "rival", 20e6, {"bytes": 8, "producers": 4, "consumers": 1}),
               series("mpmc", "by hand", "textbook", 9e6, {"bytes": 8, "producers": 4, "consumers": 1}),
               series("mpmc", "rare", "rival", 1e6, {"bytes": 8, "producers": 4, "consumers": 1},
                      count=4)]}
    return raw | changes


class Tables(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "docs").mkdir()
        for path in (tables.README, tables.PERFORMANCE):
            shutil.copy(ROOT / path, self.root / path)
        self.file = self.root / "figures.json"
        self.file.write_text(json.dumps(content()))

    def report(self, *arguments):
        return subprocess.run([sys.executable, ROOT / "bench/report.py", "--root", self.root,
                               *arguments], text=True, capture_output=True, timeout=60, check=False)

    def make(self, raw=None):
        if raw is not None:
            self.file.write_text(json.dumps(raw))
        return self.report("--table", self.file)

    def body(self, path, name):
        return {b[1]: b[3] for b in tables.BLOCK.finditer((self.root / path).read_text())}[name]

    def test_those_of_this_repository_are_as_they_were_made(self):
        done = subprocess.run([sys.executable, ROOT / "bench/report.py", "--check-tables"], text=True,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_readme_has_the_ring_beside_the_kernel(self):
        self.assertEqual(self.make().returncode, 0)
        body = self.body(tables.README, "between processes")
        self.assertIn("| 64 B | 300 ns | 1.2 µs | 900 ns | 19.2 kB/s (300 /s) | 76.8 kB/s | 57.6 kB/s |",
                      body)
        self.assertIn("Medians of 5 samples; Some Processor (family 6, model 9), 2 cores, Linux 6.1.0, "
                      "g++ 12.2.0, 2026-01-02;\ncores near each other", body)
        self.assertEqual(self.report("--check-tables").returncode, 0)

    def test_a_family_has_a_block_of_its_own_and_leaves_the_others(self):
        before = (self.root / tables.PERFORMANCE).read_text()
        self.make()
        after = (self.root / tables.PERFORMANCE).read_text()
        for block in tables.BLOCK.finditer(before):
            self.assertIn(block[0], after)
        body = self.body(tables.PERFORMANCE, "Maker-6-9")
        self.assertIn("| **mpmc_ring** | 30 M/s (1.50) |", body)
        self.assertIn("| other | 20 M/s |", body)
        self.assertIn("| *by hand* | 9 M/s |", body)
        self.make(content(date="2027-01-01"))
        self.assertIn("2027-01-01", self.body(tables.PERFORMANCE, "Maker-6-9"))
        self.assertEqual((self.root / tables.PERFORMANCE).read_text().count("figures: Maker-6-9"), 1)

    def test_percentiles_features_and_footprint_have_their_tables(self):
        raw = content()
        for name, value in (("p50", 300), ("max", 5000)):
            for engine, role in (("shm:", "ours"), ("the clock alone", "floor")):
                raw["series"].append(series("latency", engine, role, value, {
                    "bytes": 64, "rate": "50 k/s", "percentile": name}, "ns"))
        for engine, role in (("none", "floor"), ("ack=eager", "ours")):
            raw["series"].append(series("feature", engine, role, 9e6, {"bytes": 64}))
        raw["series"].append(series("growth", "shm:", "ours", 9e6, {"with": "capacity", "count": 65536}))
        raw["series"].append(series("footprint", "shm:, 1 MiB", "ours", 1 << 20, {"what": "segment"}, "B",
                                    placement="any"))
        self.make(raw)
        body = self.body(tables.PERFORMANCE, "Maker-6-9")
        for wanted in ("due by a schedule, 50 k/s; 5 samples, cores near", "|  | p50 | max |",
                       "| **shm:** | 300 ns | 5 µs |", "| *the clock alone* | 300 ns | 5 µs |",
                       "| **ack=eager** | 9 M/s |", "|  | capacity 64 KiB |",
                       "What a channel takes; 5 samples, wherever the cores were", "1 MiB |"):
            self.assertIn(wanted, body)
        raw["series"].append(series("latency", "x", "ours", 1, {"rate": "50 k/s", "percentile": "p51"}))
        self.assertRegex(self.make(raw).stderr, "parameters of latency")

    def test_nothing_is_said_from_few_samples(self):
        self.make()
        self.assertNotIn("rare", self.body(tables.PERFORMANCE, "Maker-6-9"))
        raw = content()
        for one in raw["series"]:
            if one["engine"] == "pipe":
                one["samples"] = one["samples"][:4]
        self.make(raw)
        self.assertIn("| 64 B | 300 ns | too few |", self.body(tables.README, "between processes"))

    def test_a_file_without_enough_samples_changes_nothing(self):
        before = [(self.root / path).read_text() for path in (tables.README, tables.PERFORMANCE)]
        for useless in (content(series=[]), content(series=content()["series"][-4:])):
            done = self.make(useless)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "too few samples")
        self.assertEqual(
            before, [(self.root / path).read_text() for path in (tables.README, tables.PERFORMANCE)])

    def test_what_was_changed_by_hand_is_found(self):
        self.make()
        path = self.root / tables.README
        path.write_text(path.read_text().replace("| 64 B | 300 ns |", "| 64 B | 100 ns |"))
        done = self.report("--check-tables")
        self.assertEqual(done.returncode, 1)
        self.assertIn("README.md: the figures of between processes were changed by hand", done.stdout)

    def test_a_lost_marker_is_found(self):
        path = self.root / tables.PERFORMANCE
        path.write_text(path.read_text().replace("<!-- end of figures -->\n", "", 1))
        self.assertIn("damaged", self.report("--check-tables").stdout)

    def test_texts_of_the_file_stay_texts(self):
        raw = content()
        raw["machine"] |= {"model_name": "a | b\n<!-- end of figures --> `c` [d](e)", "vendor": "<b>; -->"}
        for one in raw["series"]:
            if one["engine"] == "other":
                one["engine"] = "x | y\n| z | <script>"
        self.assertEqual(self.make(raw).returncode, 0)
        done = self.report("--check-tables")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("<script>", (self.root / tables.PERFORMANCE).read_text())


if __name__ == "__main__":
    unittest.main()
