"""What each side says at its end is true: nothing is lost, and half a stream never looks whole."""

import os
import signal

from support import CANNOT_OPEN, IN_OUT, OK, USAGE, VANISHED, ProgramTest, main


class NothingIsLost(ProgramTest):
    def test_what_lies_behind_an_end_awaits_the_next_receiver(self):
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"1\n2\n3\n")[0], OK)
        sender = self.start("send", "--keep", self.url)
        self.write(sender, b"4\n5\n6\n")
        self.await_messages(6)
        sender.kill()
        sender.wait()
        self.assertEqual(self.run_rondo("recv", self.url)[:2], (OK, b"1\n2\n3\n"))
        self.assertEqual(self.run_rondo("recv", self.url)[:2], (VANISHED, b"4\n5\n6\n"))
        self.assertFalse(self.exists())

    def test_what_a_receiver_leaves_beside_a_killed_sender_awaits_the_next(self):
        sender = self.start("send", "--keep", "--await-successor", self.url)
        self.write(sender, b"".join(b"%d\n" % i for i in range(50)))
        self.await_messages(50)
        sender.kill()
        sender.wait()
        code, out, _ = self.run_rondo("recv", "--await-successor", "--count", "10", self.url)
        self.assertEqual((code, out.split()[-1]), (OK, b"9"))
        code, out, _ = self.run_rondo("recv", self.url)
        self.assertEqual((code, out.split()[0], out.split()[-1]), (VANISHED, b"10", b"49"))
        self.assertFalse(self.exists())

    def test_what_receivers_share_and_leave_awaits_the_next(self):
        url = self.url + "?kind=mpmc"
        self.assertEqual(self.run_rondo("send", "--keep", url, data=b"1\n2\n3\n")[0], OK)
        self.assertEqual(self.run_rondo("recv", "--count", "1", url)[:2], (OK, b"1\n"))
        self.assertEqual(self.run_rondo("recv", url)[:2], (OK, b"2\n3\n"))
        self.assertFalse(self.exists())


class HalfAStreamIsNotAWholeOne(ProgramTest):
    def test_a_sender_whose_receiver_was_killed_leaves_no_end(self):
        # Too large for the pipe's buffers: the sender is in the middle when its receiver dies.
        sender = self.start("send", self.url + "?capacity=4KiB")
        receiver = self.start("recv", self.url)
        self.feed(sender, b"".join(b"%06d\n" % i for i in range(200_000)))
        self.read(receiver, 700)
        os.kill(receiver.pid, signal.SIGSTOP)
        # The second one comes before the first one's death is acted upon.
        os.kill(sender.pid, signal.SIGSTOP)
        receiver.kill()
        receiver.wait()
        second = self.start("recv", self.url)
        self.await_alive("consumer", second.pid)
        os.kill(sender.pid, signal.SIGCONT)
        code, out, _ = self.finish(second)
        if code == OK:  # it came in time, and the sender went on with it
            self.assertTrue(out.endswith(b"199999\n"))
            self.assertEqual(sender.wait(), OK)
        else:
            self.assertEqual((code, sender.wait()), (VANISHED, VANISHED))

    def test_a_sender_that_refuses_a_line_says_that_it_gave_up(self):
        sender = self.start("send", self.url + "?capacity=4KiB")
        receiver = self.start("recv", self.url)
        code, _, said = self.finish(sender, b"short\n" + b"x" * 5000 + b"\n")
        self.assertEqual(code, IN_OUT)
        self.assertIn("message 2 is a line", said)
        code, out, said = self.finish(receiver)
        self.assertEqual((code, out), (VANISHED, b"short\n"))
        self.assertIn("the sender gave up without ending the stream", said)
        self.assertFalse(self.exists())

    def test_a_sender_without_a_receiver_leaves_no_end(self):
        code, _, _ = self.run_rondo("send", "--wait", "0.05", self.url, data=b"1\n")
        self.assertEqual(code, 4)
        self.assertFalse(self.exists())


class ArrivedMeansWritten(ProgramTest):
    def full(self, url):
        sender = self.start("send", url)
        with open("/dev/full", "wb") as full:
            receiver = self.start("recv", self.url, stdout=full)
        self.feed(sender, b"".join(b"%d\n" % i for i in range(20_000)))
        said = receiver.stderr.read().decode()
        self.assertEqual(receiver.wait(), IN_OUT)
        self.assertIn("standard output can't be written", said)
        self.assertEqual(sender.wait(), VANISHED)

    def test_a_receiver_that_cannot_write_has_not_received(self):
        self.full(self.url)
        self.assertFalse(self.exists())

    def test_also_where_a_few_messages_fill_the_ring(self):
        self.full(self.url + "?capacity=4KiB")

    def test_also_where_receivers_share_the_work(self):
        self.full(self.url + "?kind=mpmc")

    def test_what_a_killed_receiver_had_not_written_comes_again(self):
        sender = self.start("send", "--await-successor", self.url)
        receiver = self.start("recv", self.url)
        lines = b"".join(b"%06d\n" % i for i in range(60_000))
        self.feed(sender, lines)
        # It has taken more than it could write: the pipe is full.
        seen = self.read(receiver, 7)
        self.await_messages(60_000)
        receiver.kill()
        receiver.wait()
        seen += receiver.stdout.read()
        code, out, _ = self.run_rondo("recv", self.url)
        self.assertEqual(code, OK)
        self.assertEqual(sender.wait(), OK)
        whole = seen[: len(seen) // 7 * 7]
        self.assertTrue(lines.startswith(whole))
        self.assertTrue(lines.endswith(out))
        self.assertGreaterEqual(len(whole) + len(out), len(lines), "some came to no receiver")


class WhatAnEarlierLifeLeft(ProgramTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"old\n")[0], OK)

    def test_who_takes_it_up_is_told(self):
        code, _, said = self.run_rondo("send", "--keep", self.url, data=b"new\n")
        self.assertEqual(code, OK)
        self.assertIn("is taken up as it was left: 1 messages sent before", said)
        code, out, said = self.run_rondo("recv", self.url)
        self.assertEqual((code, out), (OK, b"old\n"))
        self.assertIn("no sender is at " + self.url, said)

    def test_fresh_throws_it_away(self):
        code, _, said = self.run_rondo("send", "--keep", self.url + "?start=fresh", data=b"new\n")
        self.assertEqual((code, said), (OK, ""))
        self.assertEqual(self.run_rondo("recv", self.url)[:2], (OK, b"new\n"))

    def test_a_fresh_receiver_waits_for_what_is_sent_from_now_on(self):
        receiver = self.start("recv", self.url + "?start=fresh")
        sender = self.start("send", self.url)
        self.assertEqual(self.finish(sender, b"new\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"new\n"))

    def test_next_passes_it_over(self):
        sender = self.start("send", self.url)
        self.await_alive("producer", sender.pid)
        receiver = self.start("recv", self.url + "?from=next")
        self.await_alive("consumer", receiver.pid)
        self.assertEqual(self.finish(sender, b"new\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"new\n"))

    def test_new_wants_it_not_to_be_there(self):
        code, _, said = self.run_rondo("send", "--keep", self.url + "?start=new", data=b"new\n")
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("is there already", said)
        self.assertEqual(self.run_rondo("recv", self.url + "?start=new")[0], USAGE)
        self.assertEqual(self.run_rondo("recv", self.url + "?start=join")[:2], (OK, b"old\n"))

    def test_join_wants_it_to_be_there(self):
        other = "shm:" + self.new_name() + "?start=join"
        for command in ("send", "recv"):
            code, _, said = self.run_rondo(command, other, data=b"")
            self.assertEqual(code, CANNOT_OPEN)
            self.assertIn("start the other side first", said)

    def test_fresh_harms_no_participant(self):
        sender = self.start("send", self.url)
        self.await_alive("producer", sender.pid)
        code, _, said = self.run_rondo("send", self.url + "?start=fresh", data=b"new\n")
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("is in use", said)


if __name__ == "__main__":
    main()
