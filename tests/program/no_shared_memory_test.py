"""Where a channel can't be, for want of a directory, that is said at once: neither side waits for it.

Each program runs in a mount namespace of its own, in which /dev/shm is made to lack something.
"""

import subprocess
import unittest

from support import CANNOT_OPEN, RONDO, ProgramTest, die_with_parent, main

# An empty /dev, as in a container that was given none; and one with a bare directory.
ABSENT = "mount -t tmpfs none /dev"
BARE = ABSENT + " && mkdir /dev/shm && mount -o remount,ro /dev"
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def may_unshare():
    return subprocess.run(UNSHARE + [BARE], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(may_unshare(), "no mount namespace may be made here")
class NoSharedMemory(ProgramTest):
    def run_without(self, taking_away, *arguments):
        process = self.start_program(*UNSHARE, f'{taking_away} && exec "$0" "$@"', RONDO,
                                     *arguments,
                                     preexec_fn=die_with_parent)
        return self.finish(process)

    def check(self, taking_away, said_by_all):
        for command in (["send"], ["recv"], ["recv", "--await-successor"], ["info"], ["rm"]):
            code, _, said = self.run_without(taking_away, *command, "shm:x")
            self.assertEqual(code, CANNOT_OPEN, (command, said))
            self.assertIn(said_by_all, said, command)
            self.assertIn("mount -t tmpfs", said, command)

    def test_without_its_directory(self):
        self.check(ABSENT, "there is no directory /dev/shm")
        code, _, said = self.run_without(ABSENT, "ls")
        self.assertEqual(code, CANNOT_OPEN, said)
        self.assertIn("there is no directory /dev/shm", said)

    def test_nothing_mounted(self):
        self.check(BARE, "nothing is mounted at /dev/shm")

    def test_what_start_and_kind_ask_for_does_not_matter(self):
        for options in ("start=fresh", "start=join", "kind=mpmc&slots=16", "kind=frames"):
            code, _, said = self.run_without(ABSENT, "recv", "shm:x?" + options)
            self.assertEqual(code, CANNOT_OPEN, (options, said))
            self.assertIn("there is no directory /dev/shm", said)


class NoDirectory(ProgramTest):
    def test_of_any_scheme_with_a_path(self):
        missing = self.path("missing")
        for scheme in ("file", "fifo", "unix", "shm+guarded"):
            for command in ("send", "recv"):
                code, _, said = self.run_rondo(command, f"{scheme}:{missing}/x")
                self.assertEqual(code, CANNOT_OPEN, (scheme, command, said))
                self.assertIn(f"there is no directory {missing}", said)


if __name__ == "__main__":
    main()
