"""`rondo bench` measures every way, says what it does not measure, and leaves nothing behind."""

import json
import os
import signal
import subprocess

from support import OK, RONDO, USAGE, ProgramTest, die_with_parent, main, until


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Bench(ProgramTest):
    def start(self, *arguments):
        process = subprocess.Popen(
            [RONDO, "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent, env={**os.environ, "TMPDIR": self.directory.name})
        self.processes.append(process)
        return process

    def left_behind(self, pid):
        return ([name for name in os.listdir("/dev/shm") if f"rondo-bench-{pid}" in name] +
                os.listdir(self.directory.name))

    def test_every_way_is_measured_in_every_size(self):
        process = self.start("--seconds", "1", "--json")
        out, said = process.communicate()
        self.assertEqual((process.returncode, said), (OK, b""))
        result = json.loads(out)
        rows = {(row["way"], row["bytes"]): row for row in result["rows"]}
        for way in ("shm:", "shm+guarded:", "fifo:", "unix:", "pipe", "UNIX socket",
                    "TCP loopback", "eventfd", "no message"):
            for size in (64, 1024, 65536):
                row = rows[way, size]
                self.assertNotIn("failure", row)
                trips = row["round_trip_ns"]
                self.assertGreater(trips["count"], 0)
                known = [trips[name] for name in ("p50", "p99", "p99.9", "max")
                         if trips[name] is not None]
                self.assertEqual(known, sorted(known))
                if way not in ("eventfd", "no message"):
                    self.assertGreater(row["messages_per_s"], 0)
        self.assertIn("a stall counts once", result["not_measured"])
        self.assertEqual(self.left_behind(process.pid), [])

    def test_the_table_says_what_is_not_measured(self):
        process = self.start("--seconds", "1")
        out, _ = process.communicate()
        self.assertEqual(process.returncode, OK)
        for word in (b"64 KiB", b"p99.9", b"shm+guarded:", b"TCP loopback", b"Not measured: "):
            self.assertIn(word, out)

    def test_a_signal_ends_it_and_its_children(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("--seconds", "3000")
            until(lambda: len(children_of(process.pid)) == 2, "two processes measure")
            children = children_of(process.pid)
            process.send_signal(number)
            process.communicate()
            self.assertEqual(process.returncode, 128 + number)
            self.assertFalse(any(alive(child) for child in children))
            self.assertEqual(self.left_behind(process.pid), [])

    def test_its_children_die_with_it(self):
        process = self.start("--seconds", "3000")
        until(lambda: len(children_of(process.pid)) == 2, "two processes measure")
        children = children_of(process.pid)
        process.kill()
        process.communicate()
        until(lambda: not any(alive(child) for child in children), "both have died")
        for name in os.listdir("/dev/shm"):
            if f"rondo-bench-{process.pid}" in name:
                os.unlink("/dev/shm/" + name)

    def test_seconds_that_are_not_possible(self):
        for seconds in ("0", "-1", "soon", "4000"):
            code, out, said = self.run_rondo("bench", "--seconds", seconds)
            self.assertEqual((code, out), (USAGE, b""))
            self.assertIn("give seconds", said)


if __name__ == "__main__":
    main()
