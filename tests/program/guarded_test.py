"""What a guarded sender says that can't let its receiver in."""

import os
import resource
import subprocess
import unittest

from support import CANNOT_OPEN, OK, RONDO, TIMED_OUT, ProgramTest, die_with_parent, main, sanitized

HINDRANCE = "no descriptors are left to let a receiver in; raise `ulimit -n`"


def with_descriptors(count):
    def limit():
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    return limit


class Guarded(ProgramTest):
    @unittest.skipIf(sanitized(), "the sanitizer itself needs descriptors")
    def test_too_few_descriptors_are_told_on_both_sides(self):
        self.check_descriptors()

    @unittest.skipIf(sanitized(), "the sanitizer itself needs descriptors")
    @unittest.skipIf(os.geteuid() != 0, "only root can become another user")
    def test_also_to_the_user_of_whom_the_kernel_has_to_be_asked(self):
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chmod(self.directory.name, 0o777)
        try:
            subprocess.run([RONDO, "--version"], check=True, stdout=subprocess.DEVNULL, **nobody)
        except OSError:
            self.skipTest("that user may not run the program here")
        self.check_descriptors(**nobody)

    def check_descriptors(self, **who):
        seen = set()
        for count in range(6, 20):
            url = "shm+guarded:" + self.path(str(count))
            sender = self.start("send", url, preexec_fn=with_descriptors(count), **who)
            self.feed(sender, b"one\n")
            receiver = self.start("recv", "--wait", "2", url, **who)
            said = ""
            while HINDRANCE not in said:
                line = sender.stderr.readline().decode()
                said += line
                if not line:
                    break
            if HINDRANCE in said:
                got, _, heard = self.finish(receiver)
                sender.kill()
                _, _, more = self.finish(sender)
                self.assertNotIn(HINDRANCE, more)
                if got == CANNOT_OPEN:
                    self.assertIn("for one more receiver", heard)
                seen.add(got)
                continue
            code, _, _ = self.finish(sender)
            if code == OK:
                self.assertEqual(self.finish(receiver)[:2], (OK, b"one\n"))
                self.assertEqual(seen, {TIMED_OUT, CANNOT_OPEN})
                return
            self.assertEqual(code, CANNOT_OPEN)
            self.assertIn("Too many open files", said)
            receiver.kill()
        self.fail("no receiver was let in")

    def test_nothing_is_said_of_descriptors_without_receivers(self):
        code, _, said = self.run_rondo("send", "--wait", "0.1", "shm+guarded:" + self.path("ring"))
        self.assertEqual(code, TIMED_OUT)
        self.assertNotIn("descriptors", said)

    def test_a_failed_input_leaves_no_name(self):
        path = self.path("ring")
        folder = os.open(self.directory.name, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        receiver = self.start("recv", "shm+guarded:" + path)
        code, _, said = self.run_rondo("send", "shm+guarded:" + path, stdin=folder)
        self.assertIn("Is a directory", said)
        self.assertNotEqual(code, OK)
        self.finish(receiver)
        self.assertEqual(os.listdir(self.directory.name), [])


if __name__ == "__main__":
    main()
