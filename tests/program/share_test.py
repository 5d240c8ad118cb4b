"""Several senders and several receivers share one channel (kind=mpmc), and any of them may be killed:
every line arrives, once, or a second time where a receiver says so."""

import collections
import re
import time

from support import CANNOT_OPEN, OK, USAGE, VANISHED, ProgramTest, main, seeded_random, until


def lines_of(sender, count):
    return b"".join(b"%d-%d\n" % (sender, i) for i in range(count))


class Shared(ProgramTest):
    def setUp(self):
        super().setUp()
        self.shared = self.url + "?kind=mpmc&slots=64&slot_size=32"

    def start_writing(self, *arguments):
        """A receiver that writes into a file, which is still there when it has been killed."""
        path = self.path(f"out-{len(self.processes)}")
        with open(path, "wb") as file:
            process = self.start(*arguments, stdout=file)
        process.path = path
        return process

    def written(self, process):
        with open(process.path, "rb") as file:
            return file.read()


class SeveralShareTheWork(Shared):
    def test_every_line_goes_to_one_receiver(self):
        receivers = [self.start_writing("recv", self.shared, "--senders", 3) for _ in range(2)]
        senders = [self.start("send", self.shared) for _ in range(3)]
        for i, sender in enumerate(senders):
            self.feed(sender, lines_of(i, 5000))
        for sender in senders:
            self.assertEqual(self.finish(sender)[0], OK)
        for receiver in receivers:
            self.assertEqual(self.finish(receiver)[0], OK)
        got = b"".join(self.written(receiver) for receiver in receivers).splitlines()
        sent = b"".join(lines_of(i, 5000) for i in range(3)).splitlines()
        self.assertEqual(collections.Counter(got), collections.Counter(sent))
        self.assertFalse(self.exists())
        # Each receiver sees what one sender sent in the order in which it was sent.
        for receiver in receivers:
            for i in range(3):
                mine = [int(line.split(b"-")[1]) for line in self.written(receiver).splitlines()
                        if line.startswith(b"%d-" % i)]
                self.assertEqual(mine, sorted(mine))

    def test_senders_are_counted_also_one_after_another(self):
        receiver = self.start_writing("recv", self.shared, "--senders", 3)
        for i in range(3):
            self.assertIsNone(receiver.poll())
            self.assertEqual(self.run_rondo("send", self.shared, data=lines_of(i, 10))[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)
        self.assertEqual(self.written(receiver), b"".join(lines_of(i, 10) for i in range(3)))

    def test_without_a_number_the_last_sender_ends_it(self):
        first = self.start("send", self.shared)
        second = self.start("send", self.shared)
        receiver = self.start_writing("recv", self.url)  # the kind as found
        self.write(first, b"a\n")
        self.write(second, b"b\n")
        until(lambda: sorted(self.written(receiver).split()) == [b"a", b"b"], "both have arrived")
        self.assertEqual(self.finish(first)[0], OK)
        self.assertIsNone(receiver.poll())
        self.assertEqual(self.finish(second, b"c\n")[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)
        self.assertEqual(sorted(self.written(receiver).split()), [b"a", b"b", b"c"])

    def test_left_for_later(self):
        for i in range(2):
            self.assertEqual(self.run_rondo("send", "--keep", self.shared, data=lines_of(i, 5))[0], OK)
        code, out, _ = self.run_rondo("recv", "--senders", 2, self.url)
        self.assertEqual((code, out), (OK, lines_of(0, 5) + lines_of(1, 5)))
        self.assertFalse(self.exists())


class SomeAreKilled(Shared):
    def test_what_a_killed_sender_sent_arrives_and_it_is_told(self):
        receivers = [self.start_writing("recv", self.shared, "-s", 2) for _ in range(2)]
        killed = self.start("send", self.shared)
        other = self.start("send", self.shared)
        self.write(killed, lines_of(0, 1000))
        self.await_messages(1000)
        killed.kill()
        killed.wait()
        self.assertEqual(self.finish(other, lines_of(1, 1000))[0], OK)
        for receiver in receivers:
            code, _, said = self.finish(receiver)
            self.assertEqual(code, VANISHED)
            self.assertIn("1 sender vanished without ending the stream", said)
        got = b"".join(self.written(receiver) for receiver in receivers).splitlines()
        sent = (lines_of(0, 1000) + lines_of(1, 1000)).splitlines()
        self.assertEqual(collections.Counter(got), collections.Counter(sent))
        self.assertFalse(self.exists())

    def test_await_successor_of_a_killed_sender(self):
        receiver = self.start_writing("recv", "--await-successor", self.shared)
        killed = self.start("send", self.shared)
        self.write(killed, b"1\n")
        until(lambda: self.written(receiver) == b"1\n", "the first line has arrived")
        killed.kill()
        killed.wait()
        until(lambda: self.info()["senders_died"] == 1, "the receiver has found it dead")
        self.assertIsNone(receiver.poll())
        self.assertEqual(self.run_rondo("send", self.shared, data=b"2\n")[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)
        self.assertEqual(self.written(receiver), b"1\n2\n")

    def test_receivers_killed_in_the_middle_of_the_stream(self):
        rng = seeded_random()
        count = 40_000
        senders = [self.start("send", "--await-successor", self.shared) for _ in range(2)]
        for i, sender in enumerate(senders):
            self.feed(sender, lines_of(i, count))
        receivers = [self.start_writing("recv", "-s", 2, self.shared) for _ in range(2)]
        for _ in range(8):
            receivers.append(self.start_writing("recv", "-s", 2, self.shared))
            time.sleep(rng.random() * 0.05)
            receivers[-1].kill()
        for sender in senders:
            self.assertEqual(self.finish(sender)[0], OK)
        told = 0
        for receiver in receivers:
            said = self.finish(receiver)[2]
            told += len(re.findall("was in the hands of a receiver that died", said))
        got = collections.Counter(
            b"".join(self.written(receiver) for receiver in receivers).splitlines())
        sent = b"".join(lines_of(i, count) for i in range(2)).splitlines()
        self.assertEqual(set(got), set(sent))
        self.assertLessEqual(sum(got.values()) - len(sent), told)

    def test_senders_learn_that_all_receivers_are_gone(self):
        receiver = self.start_writing("recv", self.shared)
        senders = [self.start("send", self.shared) for _ in range(2)]
        for sender in senders:
            self.write(sender, b"x\n")
        until(lambda: self.written(receiver) == b"x\nx\n", "both lines have arrived")
        receiver.kill()
        receiver.wait()
        for i, sender in enumerate(senders):
            code, _, said = self.finish(sender, lines_of(i, 200))
            self.assertEqual(code, VANISHED)
            self.assertIn("the receiver died", said)


class LookingAround(Shared):
    def test_info_and_ls_show_who_is_there_and_what_was_recovered(self):
        killed = self.start_writing("recv", self.shared)
        sender = self.start("send", self.shared)
        self.write(sender, b"1\n")
        until(lambda: self.written(killed) == b"1\n", "the first line has arrived")
        killed.kill()
        killed.wait()
        other = self.start_writing("recv", self.shared)
        until(lambda: self.info()["receivers_died"] == 1, "the dead one has been found")
        info = self.info()
        self.assertEqual(info["kind"], "mpmc")
        self.assertEqual((info["senders_closed"], info["senders_died"]), (0, 0))
        self.assertEqual({p["role"] for p in info["participants"] if p["alive"]},
                         {"producer", "consumer"})
        code, out, _ = self.run_rondo("info", self.url)
        self.assertEqual(code, OK)
        self.assertIn(b"64 slots of 32 bytes", out)
        self.assertIn(b"senders: 0 closed, 0 died; receivers: 0 left, 1 died", out)
        self.assertIn(b"mpmc", self.run_rondo("ls")[1])
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.finish(other)[0], OK)

    def test_a_message_that_was_redelivered_shows_by_whom(self):
        # A receiver whose output is full holds its message; then it is killed.
        shared = self.url + "?kind=mpmc&slots=8&slot_size=1MiB"
        line = b"x" * (1 << 20)
        holding = self.start("recv", shared)
        sender = self.start("send", "--await-successor", shared)
        self.feed(sender, line + b"\n")
        until(lambda: (self.info() or {}).get("pending_messages") == 0
              and self.info()["messages"] == 1, "the message has been taken")
        holding.kill()
        holding.wait()
        other = self.start_writing("recv", self.url)
        code, _, said = self.finish(sender)
        self.assertEqual(code, OK, said)
        code, _, said = self.finish(other)
        self.assertEqual(code, OK, said)
        self.assertIn("was in the hands of a receiver that died", said)
        self.assertEqual(self.written(other), line + b"\n")


class Mistakes(Shared):
    def test_another_geometry_is_told(self):
        keeper = self.start("send", self.shared)
        self.await_alive("producer")
        for options, told in (("kind=mpmc&slots=128", "slots=64, not slots=128"),
                              ("kind=mpmc&slots=64&slot_size=48", "slot_size=32, not slot_size=48"),
                              ("kind=mpmc&on_consumer_death=drop",
                               "on_consumer_death=redeliver, not on_consumer_death=drop"),
                              ("kind=record", "kind=mpmc, not record")):
            for command in ("send", "recv"):
                code, _, said = self.run_rondo(command, self.url + "?" + options)
                self.assertEqual(code, CANNOT_OPEN, said)
                self.assertIn(told, said)
        keeper.kill()

    def test_senders_are_counted_where_there_can_be_several(self):
        self.assertEqual(self.run_rondo("recv", "--senders", 2, self.url + "?kind=record")[0], USAGE)
        self.assertEqual(self.run_rondo("recv", "--senders", 0, self.shared)[0], USAGE)
        self.assertEqual(self.run_rondo("recv", "--senders", 2, "fifo:" + self.path("f"))[0], USAGE)

    def test_a_line_larger_than_a_slot_says_what_would_do(self):
        receiver = self.start("recv", self.shared)
        code, _, said = self.run_rondo("send", self.shared, data=b"x" * 33 + b"\n")
        self.assertNotEqual(code, OK)
        self.assertIn("kind=mpmc&slot_size=", said)
        self.finish(receiver)


if __name__ == "__main__":
    main()
