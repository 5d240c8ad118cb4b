"""The report of ./dev bench: what it says, what it does not say from too few samples, and that no
text of a file gets into the page as more than text.

    report_test.py
"""

import copy
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from scoreboard import chart, figures, page, text  # noqa: E402


def series(engine, role, values, question="hand_off", placement="near", **changes):
    raw = {"program": "p", "question": question, "engine": engine, "role": role,
           "parameters": {"bytes": 64, "slots": 1024}, "unit": "messages/s", "more_is_better": True,
           "dropped": 0, "samples": [[value, placement, 250.0, 251.0] for value in values]}
    return raw | changes


def content(*all_series, **changes):
    raw = {"schema": "rondo-bench", "version": 1, "date": "2026-01-02T03:04:05Z",
           "machine": {"description": "a machine", "vendor": "V", "family": 6, "model": 1, "cores": 2},
           "build": {"compiler": "g++", "flags": "-O3", "rondo": "0.2.0"},
           "placements": [{"name": "near", "centre_ns": 250.0, "low_ns": 240.0, "high_ns": 260.0,
                           "probes": 20}],
           "failures": [], "packages": {"libboost-dev": "1.74"}, "series": list(all_series)}
    return raw | changes


def run(*all_series, **changes):
    return figures.Run(copy.deepcopy(content(*all_series, **changes)))


FAST = [200e6, 210e6, 190e6, 205e6, 195e6]
SLOW = [100e6, 101e6, 99e6, 102e6, 98e6]


class Tags(html.parser.HTMLParser):
    """What a browser would make of it."""

    def __init__(self, written):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(written)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)


class Ratios(unittest.TestCase):
    def standing(self, *all_series):
        return figures.standings(run(*all_series))[0]

    def test_of_medians_to_the_best_rival(self):
        one = self.standing(series("spsc_ring", "ours", FAST), series("slow", "rival", SLOW),
                            series("slower", "rival", [v / 2 for v in SLOW]))
        self.assertEqual((one.mine.engine, one.rival.engine), ("spsc_ring", "slow"))
        self.assertEqual(one.to(one.rival), 2)

    def test_where_less_is_better(self):
        less = {"unit": "ns", "more_is_better": False, "question": "process_round_trip",
                "parameters": {"bytes": 64}}
        one = self.standing(series("shm", "ours", [100] * 5, **less),
                            series("pipe", "rival", [400] * 5, **less),
                            series("bare", "floor", [80] * 5, **less))
        self.assertEqual((one.to(one.rival), one.to(one.floor)), (4, 0.8))

    def test_not_from_four_samples_on_either_side(self):
        for mine, rival in ((FAST[:4], SLOW), (FAST, SLOW[:4])):
            one = self.standing(series("spsc_ring", "ours", mine), series("slow", "rival", rival))
            self.assertIsNone(one.to(one.rival))
        self.assertEqual(text.ratio(None), "too few")

    def test_an_engine_of_few_lucky_samples_is_not_the_best(self):
        one = self.standing(series("spsc_ring", "ours", FAST), series("lucky", "rival", [9e9] * 4),
                            series("slow", "rival", SLOW))
        self.assertEqual(one.rival.engine, "slow")

    def test_within_a_placement(self):
        one = self.standing(series("spsc_ring", "ours", FAST),
                            series("slow", "rival", SLOW, placement="far"))
        self.assertIsNone(one.rival)

    def test_a_variant_is_not_what_rivals_are_compared_with(self):
        one = self.standing(series("spsc_ring", "ours", FAST), series("slow", "rival", SLOW),
                            series("spsc_ring, batches", "variant", [9 * v for v in FAST]))
        self.assertEqual((one.mine.engine, one.to(one.rival)), ("spsc_ring", 2))

    def test_moved_samples_are_not_used(self):
        mine = run(series("spsc_ring", "ours", FAST, placement="moved"))
        self.assertIsNone(figures.standings(mine)[0].mine)
        self.assertEqual(mine.series[0].unused, 5)

    def test_the_floor_of_a_round_trip_is_the_bare_exchange(self):
        trips = {"unit": "ns", "more_is_better": False, "question": "process_round_trip"}
        one = self.standing(series("shm", "ours", [300] * 5, parameters={"bytes": 64}, **trips),
                            series("bare", "floor", [250] * 5, parameters={"bytes": 64}, **trips))
        self.assertAlmostEqual(one.to(one.floor), 250 / 300)


class Changes(unittest.TestCase):
    def controls(self):
        return [series(f"rival {i}", "rival", SLOW) for i in range(6)]

    def named(self, before, after, *controls):
        found = figures.changes(run(series("spsc_ring", "ours", before), *controls),
                                run(series("spsc_ring", "ours", after), *controls))
        band = figures.noise(found)
        ours = [c for c in found if c.after.role == "ours"]
        return [figures.verdict(c, band) for c in ours]

    def test_named_when_beyond_the_interval(self):
        self.assertEqual(self.named(FAST, SLOW, *self.controls()), ["regression"])
        self.assertEqual(self.named(SLOW, FAST, *self.controls()), ["improvement"])

    def test_the_same_is_no_change(self):
        self.assertEqual(self.named(FAST, FAST, *self.controls()), [""])

    def test_not_when_the_controls_moved_as_much(self):
        old = run(series("spsc_ring", "ours", FAST), *self.controls())
        new = run(series("spsc_ring", "ours", SLOW),
                  *(series(f"rival {i}", "rival", [v / 2 for v in SLOW]) for i in range(6)))
        found = figures.changes(old, new)
        band = figures.noise(found)
        self.assertEqual({figures.verdict(c, band) for c in found}, {""})

    def test_variants_of_ours_are_no_controls(self):
        old = run(*(series(f"ours {i}", "variant", SLOW) for i in range(6)))
        self.assertIsNone(figures.noise(figures.changes(old, old)))

    def test_not_from_few_samples(self):
        self.assertEqual(self.named(FAST[:4], SLOW, *self.controls()), [])

    def test_the_interval_holds_the_median_and_is_the_same_each_time(self):
        old, new = run(series("a", "ours", FAST)), run(series("a", "ours", SLOW))
        first, second = figures.changes(old, new)[0], figures.changes(old, new)[0]
        self.assertEqual((first.low, first.high), (second.low, second.high))
        self.assertLessEqual(first.low, first.ratio)
        self.assertLessEqual(first.ratio, first.high)


class Page(unittest.TestCase):
    HOSTILE = "</title></svg><script>alert(1)</script><img src=x onerror='a'>\"&\\u2028"

    def test_says_what_was_measured(self):
        written = page.page(run(series("spsc_ring", "ours", FAST), series("slow", "rival", SLOW)))
        said = "".join(Tags(written).texts)
        for wanted in ("between threads, 64 B", "spsc_ring", "200 M/s", "100 M/s", "2.00",
                       "250 ns for a bare exchange", "libboost-dev 1.74"):
            self.assertIn(wanted, said)

    def test_asks_nothing_of_others(self):
        written = page.page(run(series("spsc_ring", "ours", FAST), series("slow", "rival", SLOW)))
        self.assertNotRegex(written, r"https?://|url\(|@import")
        tags = Tags(written)
        self.assertFalse({"script", "link", "img", "iframe", "object"} & set(tags.tags))
        self.assertFalse({"src", "href"} & {name for name, _ in tags.attributes})

    def test_texts_stay_texts(self):
        bad = self.HOSTILE
        sized = [series(bad, role, FAST, question="hand_off", parameters={"bytes": size, bad: bad})
                 for size in (8, 64) for role in ("ours", "rival", bad)]
        trips = [series(bad, role, FAST, question="process_round_trip", unit="ns",
                        more_is_better=False, parameters={"bytes": 64}) for role in ("ours", "floor")]
        mixes = [series(bad, "ours", FAST, question="mpmc",
                        parameters={"bytes": 64, "producers": n, "consumers": n}) for n in (1, 2)]
        other = [series(bad, "ours", FAST, question=question, unit=bad, parameters=parameters)
                 for question in (bad, "latency", "feature", "growth", "opening", "footprint")
                 for parameters in ({bad: bad}, {"rate": bad, "percentile": bad, "what": bad, "with": bad},
                                    {"rate": bad, "percentile": "p50", "what": "segment", "with": bad,
                                     "count": 5, "bytes": 8, "step": "create"},
                                    {"rate": bad, "percentile": "max", "what": "sender", "with": bad,
                                     "count": -5, "bytes": 9, "step": "create"})]
        hostile = run(*sized, *trips, *mixes, *other, date=bad,
                      machine={k: bad for k in ("description", "vendor", "family", "kernel")},
                      build={"compiler": bad, "flags": bad, "rondo": bad}, packages={bad: bad},
                      failures=[{"engine": bad, "why": bad}],
                      placements=[{"name": bad, "centre_ns": 1, "low_ns": 1, "high_ns": 1, "probes": 1}])
        tags = Tags(page.page(hostile, hostile))
        self.assertFalse({"script", "img"} & set(tags.tags))
        self.assertFalse([a for a in tags.attributes if a[0].startswith("on")])
        self.assertEqual(tags.open, [])
        self.assertIn(bad, "".join(tags.texts))

    def test_all_tags_are_closed(self):
        self.assertEqual(Tags(page.page(run(series("a", "ours", FAST)))).open, [])

    def test_mixes_of_more_threads_than_cores_are_marked(self):
        def mix(producers, consumers):
            return series("mpmc_ring", "ours", FAST, question="mpmc", parameters={
                "bytes": 64, "producers": producers, "consumers": consumers})

        said = Tags(page.page(run(mix(1, 1), mix(4, 1)))).texts
        self.assertIn("1P1C", said)
        self.assertIn("4P1C*", said)
        many = {"machine": {"cores": 2, "cores_allowed": 8}}
        self.assertIn("4P1C", Tags(page.page(run(mix(1, 1), mix(4, 1), **many))).texts)

    def single(self, engine, role, value, percentile, count=5):
        return series(engine, role, [value] * count, question="latency", unit="ns", more_is_better=False,
                      parameters={"bytes": 64, "rate": "50 k/s", "percentile": percentile})

    def test_single_messages_are_curves_over_percentiles_beside_the_clock(self):
        mine = [self.single(engine, role, value, name)
                for engine, role in (("shm:", "ours"), ("the clock alone", "floor"))
                for value, name in ((300, "p50"), (5000, "p99"), (90000, "max"))]
        written = page.page(run(*mine, self.single("few", "rival", 1, "p50", count=4)))
        said = "".join(Tags(written).texts)
        for wanted in ("how late, 50 k/s messages, near", "p99.99", "the clock alone",
                       "the machine's own jitter", "p99 5 µs, 5 samples"):
            self.assertIn(wanted, said)
        self.assertNotIn("few</li>", written)

    def test_a_feature_stands_beside_none(self):
        feature = {"question": "feature", "parameters": {"bytes": 64}}
        said = Tags(page.page(run(series("none", "floor", FAST, **feature),
                                  series("ack=eager", "ours", SLOW, **feature)))).texts
        self.assertEqual(said[said.index("ack=eager") + 5], "0.50")

    def test_growth_opening_and_footprint_have_their_sections(self):
        grown = [series("shm:", "ours", FAST, question="growth", parameters={"with": "capacity", "count": n})
                 for n in (65536, 1 << 20)]
        opened = [series(e, r, [1e6] * 5, question="opening", unit="ns", more_is_better=False,
                         placement="any", parameters={"channel": "shm:", "bytes": n, "step": "create"})
                  for e, r in (("Rondo", "ours"), ("memset", "floor")) for n in (1 << 20, 1 << 22)]
        taken = [series("shm:, 1 MiB", "ours", [1064960] * 5, question="footprint", unit="B",
                        more_is_better=False, placement="any", parameters={"what": "segment"})]
        said = "".join(Tags(page.page(run(*grown, *opened, *taken))).texts)
        for wanted in ("messages/s over capacity, 64 B, near", "64 KiB", "Opening a channel", "memset",
                       "1.02 MiB"):
            self.assertIn(wanted, said)

    def test_what_hardly_differs_does_not_look_so(self):
        def heights(values):
            drawn = chart.chart([chart.Line("a", "ours", [(i, v, "") for i, v in enumerate(values)])],
                                "x", "y", str, [(0, "0"), (1, "1")])
            found = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
            return max(found) - min(found)

        self.assertLess(heights([100, 105]), chart.HEIGHT / 10)
        self.assertGreater(heights([100, 1000]), chart.HEIGHT / 2)

    def test_without_rivals(self):
        written = page.page(run(series("spsc_ring", "ours", FAST)))
        self.assertIn("too few", written)

    def test_a_question_without_rivals_has_none(self):
        alone = run(series("record_ring", "ours", FAST, question="fan_out",
                           parameters={"bytes": 64, "consumers": 4}))
        self.assertIn("none", Tags(page.page(alone)).texts)
        self.assertRegex(text.summary(figures.standings(alone)), "record_ring +none +-")

    def test_without_samples(self):
        for empty in (run(), run(series("spsc_ring", "ours", []), series("slow", "rival", []))):
            self.assertIn("</html>", page.page(empty, empty))

    def test_values_that_are_none(self):
        odd = [float("nan"), float("inf"), None, "5", True, 0, -1]
        broken = run(series("spsc_ring", "ours", odd))
        self.assertEqual(broken.series[0].values, {})
        self.assertIn("</html>", page.page(broken))

    def test_what_failed_stands_on_top(self):
        written = page.page(run(series("a", "ours", FAST),
                                failures=[{"engine": "nng", "why": "lost a message"}]))
        self.assertLess(written.index("FAILED: nng: lost a message"), written.index("<h2>Summary"))

    def test_rivals_that_were_missing_are_told_on_top(self):
        written = page.page(run(series("a", "ours", FAST), packages={"libtbb-dev": "missing"}))
        self.assertLess(written.index("not compared with: libtbb-dev"), written.index("<h2>Summary"))

    def test_other_machines_are_told(self):
        mine, other = run(series("a", "ours", FAST)), run(series("a", "ours", FAST), machine={})
        self.assertIn("of different machines", page.page(mine, other))
        self.assertNotIn("of different machines", page.page(mine, mine))


class Program(unittest.TestCase):
    def report(self, *arguments):
        return subprocess.run([sys.executable, BENCH / "report.py", *arguments], text=True,
                              capture_output=True, timeout=60, check=False)

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = pathlib.Path(self.folder.name) / "one.json"
        self.file.write_text(json.dumps(content(series("spsc_ring", "ours", FAST),
                                                series("slow", "rival", SLOW))))

    def test_writes_the_page_beside_the_file(self):
        done = self.report(self.file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("</html>", self.file.with_suffix(".html").read_text())
        self.assertIn("one.html", done.stdout)

    def test_compares_two(self):
        out = self.file.with_name("page.html")
        self.assertEqual(self.report(self.file, self.file, "--out", out).returncode, 0)
        self.assertIn("Regressions", out.read_text())

    def test_the_summary_has_ten_lines_at_most(self):
        many = [series("a", "ours", FAST, question=q, parameters=p) for q, p, _ in figures.HEADLINES]
        self.file.write_text(json.dumps(content(*many)))
        done = self.report("--summary", self.file)
        self.assertEqual(done.returncode, 0)
        self.assertLessEqual(len(done.stdout.splitlines()), 10)
        self.assertFalse([line for line in done.stdout.splitlines() if len(line) > 110])

    def test_the_summary_answers(self):
        said = self.report("--summary", self.file).stdout
        self.assertRegex(said, r"between threads, 64 B +near +200 M/s spsc_ring +100 M/s slow +2\.00")

    def test_refuses_what_is_no_such_file(self):
        for bad in ("", "[]", "{", '{"schema": "rondo-bench", "version": 2}', '{"schema": 1}',
                    '{"schema": "rondo-bench", "version": 1, "series": [1]}',
                    '{"schema": "rondo-bench", "version": 1, "series": [{"question": "q"}]}',
                    '{"schema": "rondo-bench", "version": 1}', "[" * 100_000):
            self.file.write_text(bad)
            done = self.report(self.file)
            self.assertEqual(done.returncode, 1, bad[:60])
            self.assertRegex(done.stderr, r"^report: .*one\.json.+\n$", bad[:60])
        self.assertEqual(self.report(self.file.with_name("none")).returncode, 1)


if __name__ == "__main__":
    unittest.main()
