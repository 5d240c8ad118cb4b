"""Message queues of the system's, and rings in System V segments, through the program."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import unittest

from support import OK, VANISHED, ProgramTest, main, until

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_RMID = 0o1000, 0o2000, 0o4000, 0


class Message(ctypes.Structure):
    _fields_ = [("type", ctypes.c_long), ("text", ctypes.c_char * 256)]


def remove_key(key):
    """What a killed test with our pid has left, or ours."""
    queue = LIBC.msgget(key, 0)
    if queue >= 0:
        LIBC.msgctl(queue, IPC_RMID, None)
    semaphores = LIBC.semget(key, 0, 0)
    if semaphores >= 0:
        LIBC.semctl(semaphores, 0, IPC_RMID)
    segment = LIBC.shmget(key, 0, 0)
    if segment >= 0:
        LIBC.shmctl(segment, IPC_RMID, None)
    with contextlib.suppress(OSError):
        os.unlink("/dev/shm/.rondo-sysv-%08x-%d" % (key, os.stat("/proc/self/ns/ipc").st_ino))


class Queues(ProgramTest):
    keys = 0

    def new_key(self):
        """A System V key of this test's, by its pid."""
        Queues.keys += 1
        key = 0x30000000 | (os.getpid() & 0xFFFFFF) << 4 | (Queues.keys & 0xF)
        remove_key(key)
        self.addCleanup(remove_key, key)
        return key

    def transfer(self, url):
        text = b"".join(b"line %d\n" % i for i in range(5000))
        receiver = self.start("recv", url)
        sender = self.start("send", url)
        self.feed(sender, text)
        self.assertEqual(self.finish(receiver)[:2], (OK, text))
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertNotEqual(self.run_rondo("rm", url)[0], OK)  # nothing is left

    def test_posix(self):
        self.transfer("mq:/" + self.new_name())

    def test_system_v(self):
        key = self.new_key()
        self.transfer("sysv:%#x" % key)
        self.assertLess(LIBC.semget(key, 0, 0), 0)

    def test_a_ring_at_a_key(self):
        key = self.new_key()
        url = "sysv-shm:%d" % key
        self.transfer("sysv-shm:%#x" % key)
        self.killed_sender(url)
        sender = self.start("send", url)
        self.write(sender, b"unread\n")
        until(lambda: url in self.run_rondo("ls")[1].decode(), "a ring in the list")
        if shutil.which("ipcs"):
            said = subprocess.run(["ipcs", "-m"], capture_output=True, check=True, text=True)
            self.assertIn("0x%08x" % key, said.stdout)
        self.assertIn("producer", self.run_rondo("info", url)[1].decode())
        self.assertNotEqual(self.run_rondo("rm", url)[0], OK)  # it is in use
        self.assertEqual(self.run_rondo("rm", "--force", url)[0], OK)
        self.assertLess(LIBC.shmget(key, 0, 0), 0)
        self.assertNotIn(url, self.run_rondo("ls")[1].decode())
        sender.kill()

    def killed_sender(self, url):
        sender = self.start("send", url)
        self.write(sender, b"one\n")
        receiver = self.start("recv", url)
        self.assertEqual(self.read(receiver, 4), b"one\n")
        sender.kill()
        self.assertEqual(self.finish(receiver)[0], VANISHED)

    def test_a_sender_that_is_killed(self):
        self.killed_sender("mq:/" + self.new_name())
        self.killed_sender("sysv:%d" % self.new_key())

    def test_other_programs_messages(self):
        key = self.new_key()
        queue = LIBC.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
        self.assertGreaterEqual(queue, 0)
        receiver = self.start("recv", "sysv:%d?framing=raw" % key)
        for kind, text in ((5, b"five"), (1, b"one")):
            message = Message(kind, text)
            self.assertEqual(LIBC.msgsnd(queue, ctypes.byref(message), len(text), IPC_NOWAIT), 0)
        self.assertEqual(self.read(receiver, 9), b"five\none\n")
        receiver.kill()
        receiver.wait()
        sent = self.run_rondo("send", "sysv:%d?framing=raw" % key, data=b"ours\n")
        self.assertEqual(sent[0], OK)
        message = Message()
        self.assertEqual(LIBC.msgrcv(queue, ctypes.byref(message), 256, 0, IPC_NOWAIT), 4)
        self.assertEqual((message.type, message.text), (1, b"ours"))
        self.assertEqual(self.run_rondo("rm", "sysv:%d" % key)[0], OK)

    @unittest.skipUnless(shutil.which("ipcrm"), "no ipcrm(1)")
    def test_a_queue_that_is_removed_by_others(self):
        key = self.new_key()
        url = "sysv:%d" % key
        sender = self.start("send", url)
        self.write(sender, b"one\n")
        receiver = self.start("recv", url)
        self.assertEqual(self.read(receiver, 4), b"one\n")
        subprocess.run(["ipcrm", "-Q", str(key)], check=True)
        self.assertEqual(self.finish(receiver)[0], VANISHED)
        self.write(sender, b"two\n")
        self.assertEqual(self.finish(sender)[0], VANISHED)

    def test_names(self):
        for url in ("mq:x", "mq:/", "mq:/a/b", "mq:/..", "sysv:", "sysv:0", "sysv:x"):
            self.assertNotEqual(self.run_rondo("rm", url)[0], OK, url)


if __name__ == "__main__":
    main()
