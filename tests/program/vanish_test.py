"""Either side is killed, interrupted, or leaves early: what was sent arrives, and both sides say so."""

import os
import signal
import subprocess

from support import IN_OUT, OK, RONDO, VANISHED, ProgramTest, main, seeded_random, until


def numbered(count, start=1):
    return b"".join(b"%d\n" % i for i in range(start, start + count))


class SenderVanishes(ProgramTest):
    def test_all_that_was_sent_is_delivered(self):
        sender = self.start("send", self.url)
        receiver = self.start("recv", self.url)
        self.write(sender, numbered(1000))
        data = self.read(receiver, len(numbered(1000)))
        sender.kill()
        code, rest, said = self.finish(receiver)
        self.assertEqual((code, data + rest), (VANISHED, numbered(1000)))
        self.assertIn("the sender vanished without ending the stream; all 1,000 messages", said)
        self.assertFalse(self.exists())

    def test_also_to_a_receiver_that_comes_afterwards(self):
        sender = self.start("send", "--keep", self.url)
        self.write(sender, numbered(1000))
        self.await_messages(1000)
        sender.kill()
        sender.wait()
        self.assertEqual(self.run_rondo("recv", self.url)[:2], (VANISHED, numbered(1000)))

    def test_killed_in_the_middle_of_a_stream(self):
        rng = seeded_random()
        lines = numbered(300_000)
        with open(self.path("lines"), "wb") as file:
            file.write(lines)
        for _ in range(5):
            with open(self.path("lines"), "rb") as file:
                sender = self.start("send", self.url + "?capacity=64KiB", stdin=file)
            receiver = self.start("recv", self.url)
            # Less than what buffers hold between here and the sender, so it is not done yet.
            seen = self.read(receiver, rng.randrange(1, 500_000))
            sender.kill()
            code, rest, _ = self.finish(receiver)
            out = seen + rest
            self.assertEqual(code, VANISHED)
            self.assertTrue(out.endswith(b"\n"))
            self.assertTrue(lines.startswith(out), "not a prefix of what was sent")
            self.assertFalse(self.exists())

    def test_await_successor(self):
        sender = self.start("send", self.url)
        receiver = self.start("recv", "--await-successor", self.url)
        self.write(sender, b"1\n2\n")
        self.assertEqual(self.read(receiver, 4), b"1\n2\n")
        sender.kill()
        sender.wait()
        self.await_sleeps(receiver)
        self.assertIsNone(receiver.poll())
        self.assertEqual(self.run_rondo("send", self.url, data=b"3\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"3\n"))
        self.assertFalse(self.exists())

    def test_a_stopped_sender_is_not_dead(self):
        sender = self.start("send", self.url)
        receiver = self.start("recv", self.url)
        self.write(sender, b"1\n")
        self.assertEqual(self.read(receiver, 2), b"1\n")
        sender.send_signal(signal.SIGSTOP)
        self.await_sleeps(receiver)
        self.assertIsNone(receiver.poll())
        sender.send_signal(signal.SIGCONT)
        self.assertEqual(self.finish(sender, b"2\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"2\n"))


class ReceiverVanishes(ProgramTest):
    def test_the_sender_says_so(self):
        receiver = self.start("recv", self.url)
        sender = self.start("send", self.url)
        self.write(sender, b"1\n")
        self.assertEqual(self.read(receiver, 2), b"1\n")
        receiver.kill()
        receiver.wait()
        code, _, said = self.finish(sender, b"2\n")
        self.assertEqual(code, VANISHED)
        self.assertIn("receiver", said)
        self.assertFalse(self.exists())

    def test_a_full_ring_does_not_hang(self):
        receiver = self.start("recv", self.url)
        with open("/dev/zero", "rb") as zeros:
            sender = self.start("send", "-f", "blocks", self.url, stdin=zeros)
        self.read(receiver, 100_000)  # then both are blocked: we read no more
        receiver.kill()
        self.assertEqual(self.finish(sender)[0], VANISHED)
        self.assertFalse(self.exists())

    def test_await_successor_that_misses_nothing(self):
        lines = numbered(50_000)
        head = numbered(300)
        receiver = self.start("recv", self.url)
        sender = self.start("send", "--await-successor", self.url + "?capacity=64KiB&ack=eager")
        self.write(sender, head)
        first = self.read(receiver, len(head))
        self.assertEqual(first, head)
        receiver.kill()
        receiver.wait()
        successor = self.start("recv", self.url)
        self.feed(sender, lines[len(head):])
        code, rest, _ = self.finish(successor)
        self.assertEqual(code, OK)
        # What the first had written but not yet given back comes once more.
        self.assertTrue(lines.endswith(rest))
        self.assertGreaterEqual(len(first) + len(rest), len(lines))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_the_reader_of_its_output_leaves(self):
        receiver = self.start("recv", self.url)
        head = self.start_program("head", "-1", stdin=receiver.stdout)
        receiver.stdout.close()
        receiver.stdout = None
        sender = self.start("send", self.url, stdin=subprocess.PIPE)
        yes = self.start_program("yes", stdin=None, stdout=sender.stdin)
        sender.stdin.close()
        sender.stdin = None
        self.assertEqual(self.finish(head)[:2], (0, b"y\n"))
        code, _, said = self.finish(receiver)
        self.assertEqual((code, said), (-signal.SIGPIPE, ""))
        self.assertEqual(self.finish(sender)[0], VANISHED)
        self.assertEqual(yes.wait(), -signal.SIGPIPE)
        self.assertFalse(self.exists())


class Signals(ProgramTest):
    def test_an_interrupted_sender_closes_the_stream(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                receiver = self.start("recv", self.url)
                sender = self.start("send", self.url)
                self.write(sender, b"1\n")
                self.assertEqual(self.read(receiver, 2), b"1\n")
                sender.send_signal(number)
                sender.wait()
                self.assertEqual(self.finish(receiver), (OK, b"", ""))
                self.assertEqual(self.finish(sender), (-number, b"", ""))
                self.assertFalse(self.exists())

    def test_an_interrupted_sender_on_a_full_ring_leaves_what_it_sent(self):
        sender = self.start("send", "-f", "blocks", "-b", "1KiB", self.url + "?capacity=64KiB")
        receiver = self.start("recv", "-f", "blocks", self.url)
        self.await_alive("consumer", receiver.pid)
        receiver.send_signal(signal.SIGSTOP)
        self.feed(sender, bytes(200_000))
        until(lambda: self.info()["pending_bytes"] > 60_000, "a full ring")
        sender.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(sender)[0], -signal.SIGINT)
        receiver.send_signal(signal.SIGCONT)
        code, out, _ = self.finish(receiver)
        self.assertEqual(code, OK)
        self.assertGreater(len(out), 50_000)
        self.assertFalse(self.exists())

    def test_an_interrupted_receiver_leaves_in_order(self):
        receiver = self.start("recv", self.url)
        sender = self.start("send", self.url)
        self.write(sender, b"1\n")
        self.assertEqual(self.read(receiver, 2), b"1\n")
        receiver.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(receiver), (-signal.SIGINT, b"", ""))
        self.assertEqual(self.finish(sender, b"2\n")[0], VANISHED)
        self.assertFalse(self.exists())

    def test_interrupted_before_a_peer_came(self):
        for command in ("send", "recv"):
            with self.subTest(command=command):
                process = self.start(command, self.url)
                process.stderr.readline()  # "waiting for ..."
                process.send_signal(signal.SIGINT)
                self.assertEqual(self.finish(process), (-signal.SIGINT, b"", ""))
                self.assertFalse(self.exists())

    def test_a_second_signal_ends_it_at_once(self):
        # The receiver is blocked: its output is not read.
        receiver = self.start("recv", "-f", "blocks", self.url)
        with open("/dev/zero", "rb") as zeros:
            sender = self.start("send", "-f", "blocks", self.url, stdin=zeros)
        self.read(receiver, 1)
        self.await_messages(2)
        receiver.send_signal(signal.SIGINT)
        self.await_handled(receiver)
        self.assertIsNone(receiver.poll())
        receiver.send_signal(signal.SIGINT)
        self.assertEqual(receiver.wait(60), -signal.SIGINT)
        self.assertEqual(self.finish(sender)[0], VANISHED)

    def test_an_ignored_signal_stays_ignored(self):
        ignore = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
        sender = self.start_program(*ignore, RONDO,
                                    "send", self.url)
        receiver = self.start("recv", self.url)
        self.write(sender, b"1\n")
        self.assertEqual(self.read(receiver, 2), b"1\n")
        sender.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(sender, b"2\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"2\n"))


class InputAndOutputFail(ProgramTest):
    def test_input_that_cannot_be_read(self):
        self.start("recv", self.url)
        directory = os.open("/", os.O_RDONLY)
        code, _, said = self.run_rondo("send", self.url, stdin=directory)
        os.close(directory)
        self.assertEqual((code, said),
                         (IN_OUT, "rondo send: standard input can't be read: Is a directory\n"))

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            receiver = self.start("recv", self.url, stdout=full)
        sender = self.start("send", self.url)
        self.write(sender, b"1\n")
        code, _, said = self.finish(receiver)
        self.assertEqual((code, said), (IN_OUT, "rondo recv: standard output can't be written: "
                                                "No space left on device\n"))
        self.assertEqual(self.finish(sender, b"2\n")[0], VANISHED)
        self.assertFalse(self.exists())


if __name__ == "__main__":
    main()
