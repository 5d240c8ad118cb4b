"""The bounds of the hot paths: what is read from callgrind, what fails, and what it says then. That a
real instruction more is seen was tried by hand, and `./dev instructions` counts the real ones.

    hot_paths_test.py
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import hot_paths  # noqa: E402

PROFILE = """\
events: Ir

fl=???
fn=void rondo::bench::hot_paths::(anonymous namespace)::run<0ul>(unsigned long)
10 12
cfn=void rondo::bench::hot_paths::(anonymous namespace)::send_side<0ul>(rondo::Push<8ul>&, unsigned long)
calls=4 0
11 {send}
cfn=unsigned long rondo::bench::hot_paths::(anonymous namespace)::receive_side<0ul>(rondo::Push<8ul>&)
calls=4 0
* {receive}

fn=void rondo::bench::hot_paths::(anonymous namespace)::send_side<0ul>(rondo::Push<8ul>&, unsigned long)
0 70
cfn=rondo::refresh()
calls=4 0
0 900
cfn=void rondo::bench::hot_paths::(anonymous namespace)::send_side<0ul>(rondo::Push<8ul>&) [clone .part.0]
calls=4 0
0 900
"""


class Callgrind(unittest.TestCase):
    def test_a_side_has_all_that_it_calls_and_its_own_parts_once(self):
        found = hot_paths.inclusive(PROFILE.format(send=1234, receive=567))
        self.assertEqual(found, {("send", 0): 1234, ("receive", 0): 567})


class Bounds(unittest.TestCase):
    def said(self, bound, now):
        return list(hot_paths.problems({"push": {"send": bound}}, {"push": {"send": now}}))

    def test_one_instruction_more_is_too_many(self):
        self.assertEqual(self.said(8.02, 9.02),
                         ["push: send takes 9.02 instructions a message, and took 8.02: 1.00 more"])

    def test_less_is_none(self):
        self.assertEqual(self.said(8.02, 7.02), [])
        self.assertEqual(self.said(8.02, 8.05), [])

    def test_a_path_without_a_bound_and_a_bound_without_a_path(self):
        self.assertEqual(len(list(hot_paths.problems({}, {"push": {"send": 1.0}}))), 1)
        self.assertEqual(len(list(hot_paths.problems({"push": {"send": 1.0}}, {}))), 1)


class Program(unittest.TestCase):
    """With a valgrind that writes down what the test tells it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.table = self.folder / "table.json"
        self.write("program", 'printf "g++ 99\\n1000 messages a lap\\n0 push\\n"')
        self.cost(8, 9)

    def write(self, name, script):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + script + "\n")
        path.chmod(0o755)

    def cost(self, send, receive):
        """Instructions a message of each side, beside 777 for the start."""
        text = PROFILE.format(send="$((777 + 1000 * laps * %d))" % send,
                              receive="$((777 + 1000 * laps * %d))" % receive)
        self.write("valgrind", 'for last; do case $last in --callgrind-out-file=*) out=${last#*=};; '
                   "esac; done\nlaps=$last\ncat >\"$out\" <<END\n" + text + "END")

    def run_it(self, *arguments):
        return subprocess.run(
            [sys.executable, BENCH / "hot_paths.py", self.folder / "program", "--table", self.table,
             *arguments], text=True, capture_output=True, timeout=60, check=False,
            env=os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"})

    def test_what_is_accepted_passes_from_then_on(self):
        self.assertEqual(self.run_it().returncode, 1)  # nobody has said what is right
        self.assertEqual(self.run_it("--accept").returncode, 0)
        (figures,) = json.loads(self.table.read_text()).values()
        self.assertEqual(figures, {"push": {"send": 8.0, "receive": 9.0}})
        done = self.run_it()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("FAILED", done.stdout)

    def test_what_grew_is_named_with_both_counts_and_the_way_to_accept_it(self):
        self.run_it("--accept")
        self.cost(8, 10)
        done = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED: push: receive takes 10.00 instructions a message, and took 9.00: "
                      "1.00 more", done.stdout)
        self.assertNotIn("push: send takes", done.stdout)
        self.assertIn("--accept", done.stdout)

    def test_other_compilers_are_kept_apart(self):
        self.table.write_text(json.dumps({"g++ 1, x": {"push": {"send": 99, "receive": 99}}}))
        self.assertIn("nobody has said yet", self.run_it().stdout)
        self.run_it("--accept")
        self.assertEqual(len(json.loads(self.table.read_text())), 2)

    def test_a_path_that_callgrind_has_not_seen_is_an_error(self):
        self.write("program", 'printf "g++ 99\\n1000 messages a lap\\n1 pop\\n"')
        done = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"pop: callgrind has not seen it")

    def test_a_program_that_fails_is_told(self):
        self.write("valgrind", "echo it broke >&2; exit 3")
        done = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "it broke")


if __name__ == "__main__":
    unittest.main()
