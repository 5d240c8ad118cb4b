"""Runs the program rondo, so that nothing outlives a test: no process, no segment, no file."""

import ctypes
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("RONDO_BIN", os.path.join(ROOT, "build", "dev", "bin"))
RONDO = os.path.join(BIN, "rondo")

# Exit codes, as documented.
OK, USAGE, CANNOT_OPEN, TIMED_OUT, VANISHED, CORRUPT, IN_OUT = 0, 2, 3, 4, 5, 6, 7

# A test that takes this long hangs. No test measures time.
WATCHDOG_SECONDS = 60

_numbers = itertools.count()
_libc = ctypes.CDLL(None)


def sanitized():
    """Whether the program brings AddressSanitizer, which itself needs descriptors and locks nothing."""
    with open(RONDO, "rb") as program:
        return b"__asan_init" in program.read()


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition, what):
    """Waits until condition() is true."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen: {what}")
        time.sleep(0.002)


def free_port():
    """One below those that the system gives to connections."""
    for port in range(10000 + os.getpid() % 20000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.processes = []
        self.names = []
        self.name = self.new_name()
        self.url = "shm:" + self.name
        self.directory = tempfile.TemporaryDirectory(prefix="rondo-test-")
        self.addCleanup(self.directory.cleanup)
        self.addCleanup(self.clean_up)

    def clean_up(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass
        for name in self.names:
            if self.exists(name):
                os.unlink(self.file_of(name))

    # ---- names ----

    def new_name(self):
        name = f"program-test-{os.getpid()}-{next(_numbers)}-{time.monotonic_ns()}"
        self.names.append(name)
        return name

    def file_of(self, name):
        return "/dev/shm/rondo-" + name

    def exists(self, name=None):
        return os.path.exists(self.file_of(name or self.name))

    def path(self, name):
        return os.path.join(self.directory.name, name)

    # ---- processes ----

    def start(self, *arguments, **options):
        """Starts rondo with pipes for all three standard streams, unless told otherwise."""
        return self.start_program(RONDO, *arguments, **options)

    def start_heard(self, *arguments):
        """Starts rondo, and returns it with a function that tells what it has said so far."""
        path = self.path(f"said-{len(self.processes)}")
        with open(path, "wb") as said:
            process = self.start(*arguments, stderr=said)

        def heard():
            with open(path, encoding="utf-8") as text:
                return text.read()
        return process, heard

    def start_program(self, *arguments, **options):
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        options.setdefault("preexec_fn", die_with_parent)
        process = subprocess.Popen([str(argument) for argument in arguments], **options)
        self.processes.append(process)
        return process

    def finish(self, process, data=None):
        """Writes `data`, closes the input, and returns (exit code, output, what was said)."""
        try:
            out, said = process.communicate(data, timeout=WATCHDOG_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
            raise AssertionError(f"{process.args} hangs; it said: {said!r}") from None
        return process.returncode, out, (said or b"").decode()

    def run_rondo(self, *arguments, data=None, **options):
        return self.finish(self.start(*arguments, **options), data)

    def write(self, process, data):
        process.stdin.write(data)
        process.stdin.flush()

    def feed(self, process, data):
        """Writes `data` in the background, then closes the input."""
        stdin, process.stdin = process.stdin, None

        def write():
            try:
                with stdin:
                    stdin.write(data)
            except BrokenPipeError:
                pass
        threading.Thread(target=write, daemon=True).start()

    def read(self, process, size):
        """Reads exactly `size` bytes of the output, however they come."""
        data = b""
        while len(data) < size:
            piece = os.read(process.stdout.fileno(), size - len(data))
            self.assertTrue(piece, f"the output ended after {data[-200:]!r}")
            data += piece
        return data

    def read_end(self, process):
        """What comes until the output is closed."""
        data = b""
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            data += piece
        return data

    def connect(self, path):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.settimeout(60)

        def listens():
            try:
                peer.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        until(listens, "the socket")
        return peer

    def read_socket(self, peer):
        data = b""
        while piece := peer.recv(1 << 16):
            data += piece
        return data

    # ---- looking from outside ----

    def status_of(self, process):
        """What the kernel tells of a process, as text by name."""
        with open(f"/proc/{process.pid}/status") as file:
            return dict(line.rstrip("\n").split(":", 1) for line in file)

    def await_sleeps(self, process, count=10):
        """Waits until it has slept so often. A process that waits for a peer looks at it in between."""
        def slept():
            return int(self.status_of(process)["voluntary_ctxt_switches"])
        before = slept()
        until(lambda: slept() >= before + count, f"{count} sleeps of {process.args}")

    def await_handled(self, process):
        """Waits until it sleeps again after the signals that were sent to it."""
        def handled():
            status = self.status_of(process)
            return int(status["ShdPnd"], 16) == 0 and status["State"].split()[0] == "S"
        until(handled, f"{process.args} sleeps again after a signal")

    def info(self, url=None):
        code, out, _ = self.run_rondo("info", "--json", url or self.url)
        return json.loads(out) if code == OK else None

    def await_messages(self, count):
        until(lambda: (self.info() or {}).get("messages", -1) >= count, f"{count} messages sent")

    def await_alive(self, role, pid=None):
        def there():
            return any(p["alive"] and p["role"] == role and pid in (None, p["pid"])
                       for p in (self.info() or {}).get("participants", []))
        until(there, f"a living {role}")


def seeded_random():
    seed = int(os.environ.get("RONDO_SEED", time.time_ns() & 0xFFFFFFFF))
    print(f"RONDO_SEED={seed}", file=sys.stderr)
    return random.Random(seed)


def main():
    signal.alarm(4 * WATCHDOG_SECONDS)
    unittest.main()
