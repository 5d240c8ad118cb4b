"""Wishes for a channel's memory that go unfulfilled are told, once."""

import ctypes
import resource
import unittest

from support import OK, ProgramTest, die_with_parent, main, sanitized

PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14


def without_locked_memory():
    die_with_parent()
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


class MemoryNotes(ProgramTest):
    def both_say(self, options, *arguments, **more):
        url = self.url + options
        sender = self.start("send", *arguments, url, **more)
        receiver = self.start("recv", *arguments, url, **more)
        self.feed(sender, b"one\n")
        code, out, heard = self.finish(receiver)
        self.assertEqual((code, out), (OK, b"one\n"))
        code, _, said = self.finish(sender)
        self.assertEqual(code, OK)
        return said, heard

    def test_a_numa_node_that_is_not_there(self):
        for said in self.both_say("?numa=63"):
            self.assertEqual(said.count("NUMA node 63"), 1, said)

    @unittest.skipIf(sanitized(), "the sanitizer makes mlock() do nothing")
    def test_memory_that_may_not_be_locked(self):
        for said in self.both_say("?lock=1", preexec_fn=without_locked_memory):
            self.assertEqual(said.count("not locked in RAM"), 1, said)
            self.assertIn("ulimit -l", said)

    def test_nothing_is_said_quietly_or_without_a_wish(self):
        self.assertEqual(self.both_say("?numa=63", "--quiet"), ("", ""))
        self.assertEqual(self.both_say(""), ("", ""))
        self.assertEqual(self.both_say("?numa=0"), ("", ""))


if __name__ == "__main__":
    main()
