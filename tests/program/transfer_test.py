"""What goes in at `rondo send` comes out at `rondo recv`."""

import hashlib
import os
import struct
import subprocess

from support import (CANNOT_OPEN, IN_OUT, OK, TIMED_OUT, USAGE, VANISHED, ProgramTest, main,
                     seeded_random, until)


class Lines(ProgramTest):
    def test_the_receiver_may_start_first(self):
        receiver = self.start("recv", self.url)
        self.assertEqual(self.run_rondo("send", self.url, data=b"one\ntwo\n")[0], OK)
        self.assertEqual(self.finish(receiver), (OK, b"one\ntwo\n", ""))
        self.assertFalse(self.exists())

    def test_the_sender_may_start_first(self):
        sender = self.start("send", self.url)
        self.write(sender, b"one\ntwo\n")
        until(self.exists, "the segment")
        receiver = self.start("recv", self.url)
        self.assertEqual(self.read(receiver, 8), b"one\ntwo\n")
        self.assertEqual(self.finish(sender), (OK, b"", ""))
        self.assertEqual(self.finish(receiver), (OK, b"", ""))
        self.assertFalse(self.exists())

    def test_a_pipeline_of_other_programs(self):
        listing = subprocess.Popen(["ls", "/usr/include"], stdout=subprocess.PIPE)
        receiver = self.start("recv", self.url)
        grep = self.start_program("grep", "std.*h", stdin=receiver.stdout)
        sender = self.start("send", self.url, stdin=listing.stdout)
        listing.stdout.close()
        listing.wait()
        self.assertEqual(self.finish(sender)[0], OK)
        expected = "".join(f"{name}\n" for name in sorted(os.listdir("/usr/include"))
                           if "std" in name and "h" in name[name.index("std") + 3:])
        lines = self.finish(grep)[1].decode().splitlines()
        self.assertEqual(sorted(lines), sorted(expected.splitlines()))
        self.assertEqual(receiver.wait(), OK)

    def test_empty_lines_and_a_last_line_without_newline(self):
        receiver = self.start("recv", self.url)
        self.assertEqual(self.run_rondo("send", self.url, data=b"\n\na\0b\n\nlast")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"\n\na\0b\n\nlast\n"))

    def test_no_input_is_an_empty_stream(self):
        receiver = self.start("recv", self.url)
        self.assertEqual(self.run_rondo("send", self.url, data=b"")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b""))
        self.assertFalse(self.exists())

    def test_many_lines_of_all_lengths(self):
        rng = seeded_random()
        lines = [bytes(rng.choices(b"abcdefgh ", k=min(int(rng.paretovariate(0.5)), 60000)))
                 for _ in range(3000)]
        text = b"".join(line + b"\n" for line in lines)
        receiver = self.start("recv", self.url + "?wait=park")
        sender = self.start("send", self.url + "?capacity=256KiB")
        self.feed(sender, text)
        self.assertEqual(self.finish(receiver)[:2], (OK, text))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_a_line_arrives_while_the_input_stays_open(self):
        sender = self.start("send", self.url)
        receiver = self.start("recv", self.url)
        for word in (b"first\n", b"second\n"):
            self.write(sender, word)
            self.assertEqual(self.read(receiver, len(word)), word)
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)

    def test_lines_that_are_held_back_arrive_when_the_input_pauses(self):
        unix = "unix:" + self.path("socket")
        for url in (self.url, unix):
            receiver = self.start("recv", url)
            sender = self.start("send", url + "?wake_every=1000000")
            for words in (b"first\nsecond\n", b"third\n"):
                self.write(sender, words)
                self.assertEqual(self.read(receiver, len(words)), words)
            self.assertEqual(self.finish(sender)[0], OK)
            self.assertEqual(self.finish(receiver)[0], OK)

    def test_a_line_too_long_fails_and_says_what_would_fit(self):
        receiver = self.start("recv", self.url)
        code, _, said = self.run_rondo("send", self.url + "?capacity=64KiB",
                                       data=b"short\n" + b"x" * 100000 + b"\n")
        self.assertEqual(code, IN_OUT)
        self.assertIn("message 2 is a line", said)
        self.assertIn("capacity=", said)
        # Half a stream must not look like a whole one.
        code, out, said = self.finish(receiver)
        self.assertEqual((code, out), (VANISHED, b"short\n"))
        self.assertFalse(self.exists())


class Blocks(ProgramTest):
    def transfer(self, data, *options, url_options="", from_file=True):
        receiver = self.start("recv", "-f", "blocks", self.url)
        if from_file:
            with open(self.path("data"), "wb") as file:
                file.write(data)
            with open(self.path("data"), "rb") as file:
                sender = self.start("send", "-f", "blocks", *options, self.url + url_options,
                                    stdin=file)
        else:
            sender = self.start("send", "-f", "blocks", *options, self.url + url_options)
            self.feed(sender, data)
        code, out, said = self.finish(receiver)
        self.assertEqual((code, said), (OK, ""))
        self.assertEqual(hashlib.sha256(out).hexdigest(), hashlib.sha256(data).hexdigest())
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertFalse(self.exists())

    def test_a_large_file(self):
        self.transfer(seeded_random().randbytes(40_000_001))

    def test_a_large_file_through_a_small_ring(self):
        self.transfer(seeded_random().randbytes(5_000_001), url_options="?capacity=16KiB")

    def test_a_pipe(self):
        self.transfer(seeded_random().randbytes(9_000_001), from_file=False)

    def test_blocks_of_a_given_size_are_filled(self):
        data = seeded_random().randbytes(100_000)
        sender = self.start("send", "--keep", "-f", "blocks", "-b", "4KiB", self.url)
        for at in range(0, len(data), 1000):
            self.write(sender, data[at:at + 1000])
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.info()["messages"], -(-len(data) // 4096))
        self.assertEqual(self.run_rondo("recv", "-f", "blocks", self.url)[:2], (OK, data))

    def test_a_block_too_large_is_a_usage_error(self):
        self.start("recv", self.url)
        code, _, said = self.run_rondo("send", "-f", "blocks", "-b", "1MiB",
                                       self.url + "?capacity=64KiB", data=b"")
        self.assertEqual(code, USAGE)
        self.assertIn(f"{self.url}?capacity=4MiB", said)

    def test_what_a_refusal_of_large_blocks_names_takes_them(self):
        send = ("send", "-f", "blocks", "-b", "12000000", "--keep")
        self.start("recv", self.url)
        code, _, said = self.run_rondo(*send, self.url + "?capacity=64KiB", data=b"")
        self.assertEqual(code, USAGE)
        for options in ("?capacity=32MiB", "?kind=frames&frame_size=12000000"):
            self.assertIn(f"'{self.url}{options}'", said)
            url = f"{self.url}-{options[1:5]}{options}"
            self.assertEqual(self.run_rondo(*send, url, data=b"1234")[0], OK)
            self.run_rondo("rm", url.split("?")[0])

    def test_what_it_names_has_room_for_the_header(self):
        send = ("send", "-f", "blocks", "-b", "32750", "--keep")
        for number, (small, named) in enumerate((
                ("capacity=4KiB", ("capacity=128KiB", "kind=frames&frame_size=32774")),
                ("kind=frames&frame_size=4KiB", ("kind=frames&frame_size=32774",)),
                ("kind=mpmc&slot_size=4KiB", ("kind=mpmc&slot_size=32774",)))):
            url = f"{self.url}-{number}"
            code, _, said = self.run_rondo(*send, f"{url}?{small}&header=20", data=b"")
            self.assertEqual(code, USAGE)
            self.run_rondo("rm", url)
            for options in named:
                with self.subTest(options=options):
                    self.assertIn(f"'{url}?{options}&header=20'", said)
                    self.assertEqual(self.run_rondo(*send, f"{url}?{options}&header=20",
                                                    data=b"1234")[0], OK)
                    self.run_rondo("rm", url)

    def test_the_largest_block_that_fits(self):
        self.run_rondo("send", "--keep", self.url + "?capacity=64KiB", data=b"")
        size = self.info()["max_message_bytes"]
        self.run_rondo("rm", self.url)
        self.transfer(seeded_random().randbytes(5 * size), "-b", str(size),
                      url_options="?capacity=64KiB")


class Records(ProgramTest):
    def test_records_of_all_sizes(self):
        rng = seeded_random()
        sizes = [0, 1, 7, 8, 9, 400_000] + [int(rng.paretovariate(0.6)) % 300_000
                                            for _ in range(500)]
        data = b"".join(struct.pack("<I", size) + rng.randbytes(size) for size in sizes)
        receiver = self.start("recv", "--format", "records", self.url)
        sender = self.start("send", "--format=records", self.url)
        self.feed(sender, data)
        self.assertEqual(self.finish(receiver)[:2], (OK, data))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_input_that_ends_inside_a_record(self):
        for cut in (b"\x05\0\0", b"\x05\0\0\0abc"):
            with self.subTest(cut=cut):
                receiver = self.start("recv", "-f", "records", self.url)
                whole = b"\x02\0\0\0hi"
                code, _, said = self.run_rondo("send", "-f", "records", self.url, data=whole + cut)
                self.assertEqual(code, IN_OUT)
                self.assertIn("ends inside record 2", said)
                self.assertEqual(self.finish(receiver)[:2], (VANISHED, whole))

    def test_a_record_too_large(self):
        self.start("recv", "-f", "records", self.url)
        code, _, said = self.run_rondo("send", "-f", "records", self.url,
                                       data=struct.pack("<I", 0xFFFFFFFF))
        self.assertEqual(code, IN_OUT)
        self.assertIn("4,294,967,295 bytes", said)


class Counts(ProgramTest):
    def test_the_sender_stops_after_count(self):
        receiver = self.start("recv", self.url)
        self.assertEqual(self.run_rondo("send", "-n", "2", self.url, data=b"1\n2\n3\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"1\n2\n"))

    def test_the_receiver_stops_after_count(self):
        receiver = self.start("recv", "-n", "2", self.url)
        code, _, said = self.run_rondo("send", self.url, data=b"1\n2\n3\n")
        self.assertEqual(self.finish(receiver)[:2], (OK, b"1\n2\n"))
        self.assertEqual(code, VANISHED, said)  # the third was not wanted
        self.assertFalse(self.exists())

    def test_a_receiver_that_takes_all_and_leaves_early_is_no_failure(self):
        receiver = self.start("recv", "-n", "3", self.url)
        self.assertEqual(self.run_rondo("send", self.url, data=b"1\n2\n3\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"1\n2\n3\n"))
        self.assertFalse(self.exists())


class Waiting(ProgramTest):
    def test_no_peer_comes(self):
        for command, awaited in (("send", "a receiver"), ("recv", "a sender")):
            with self.subTest(command=command):
                code, _, said = self.run_rondo(command, "--wait", "0.05", self.url, data=b"x\n")
                self.assertEqual(code, TIMED_OUT)
                self.assertEqual(said, f"rondo {command}: {awaited} did not come to {self.url} "
                                       "within 0.05 s\n")
                self.assertFalse(self.exists())

    def test_waiting_is_announced(self):
        receiver = self.start("recv", self.url)
        self.assertEqual(receiver.stderr.readline().decode(),
                         f"rondo recv: waiting for a sender at {self.url} (Ctrl-C to give up)\n")
        sender = self.start("send", self.url)
        self.assertEqual(self.finish(sender, b"x\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"x\n"))

    def test_quiet_waits_silently(self):
        code, _, said = self.run_rondo("send", "--quiet", "--wait", "1.2", self.url, data=b"")
        self.assertEqual(code, TIMED_OUT)
        self.assertNotIn("waiting", said)

    def test_progress_ends_with_the_totals(self):
        receiver = self.start("recv", "--progress", self.url)
        _, _, said = self.run_rondo("send", "-p", self.url, data=b"1\n2\n3\n")
        self.assertRegex(said, r"rondo send: +6 B +.*/s  3 messages  0\.\d s\n$")
        _, _, said = self.finish(receiver)
        self.assertRegex(said, r"rondo recv: +6 B +.*/s  3 messages  0\.\d s\n$")


class Keeping(ProgramTest):
    def test_a_kept_note_is_read_later(self):
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"note\n")[0], OK)
        self.assertTrue(self.exists())
        self.assertEqual(self.run_rondo("recv", self.url)[:2], (OK, b"note\n"))
        self.assertFalse(self.exists())

    def test_a_kept_channel_outlives_its_receiver_too(self):
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"1\n2\n3\n")[0], OK)
        self.assertEqual(self.run_rondo("recv", "--keep", "-n", "1", self.url)[:2], (OK, b"1\n"))
        self.assertTrue(self.exists())
        self.assertEqual(self.run_rondo("recv", "--keep", self.url)[:2], (OK, b"2\n3\n"))
        self.assertTrue(self.exists())

    def test_a_kept_channel_takes_more(self):
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"1\n")[0], OK)
        self.assertEqual(self.run_rondo("send", "--keep", self.url, data=b"2\n")[0], OK)
        self.assertEqual(self.run_rondo("recv", "--keep", self.url)[:2], (OK, b"1\n"))
        self.assertEqual(self.run_rondo("recv", "--keep", self.url)[:2], (OK, b"2\n"))


class OtherTransports(ProgramTest):
    def transfer(self, url, **options):
        data = seeded_random().randbytes(3_000_001)
        receiver = self.start("recv", "-f", "blocks", url, **options)
        sender = self.start("send", "-f", "blocks", url)
        self.feed(sender, data)
        code, out, said = self.finish(receiver)
        self.assertEqual((code, out == data, said), (OK, True, ""))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_file(self):
        self.transfer("file:" + self.path("ring"))
        self.assertFalse(os.path.exists(self.path("ring")))

    def test_fifo(self):
        self.transfer("fifo:" + self.path("fifo"))

    def test_unix(self):
        self.transfer("unix:" + self.path("socket"))

    def test_inherited_descriptors(self):
        reading, writing = os.pipe()
        receiver = self.start("recv", f"fd:{reading}", pass_fds=[reading])
        os.close(reading)
        sender = self.start("send", f"fd:{writing}", pass_fds=[writing])
        os.close(writing)
        self.assertEqual(self.finish(sender, b"one\ntwo\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\ntwo\n"))


class TwoOfAKind(ProgramTest):
    def test_a_second_sender_is_refused_while_the_first_lives(self):
        sender = self.start("send", self.url)
        self.await_alive("producer", sender.pid)
        code, _, said = self.run_rondo("send", self.url, data=b"")
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn(str(sender.pid), said)

    def test_a_second_receiver_is_refused_while_the_first_lives(self):
        self.start("send", self.url)
        receiver = self.start("recv", self.url)
        self.await_alive("consumer", receiver.pid)
        code, _, said = self.run_rondo("recv", self.url)
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn(str(receiver.pid), said)


if __name__ == "__main__":
    main()
