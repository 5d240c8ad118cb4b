"""One `rondo send`, several `rondo recv`, each of which gets every message."""

from support import CANNOT_OPEN, OK, USAGE, ProgramTest, main, until

LINES = b"".join(b"%d\n" % i for i in range(20000))


class Readers(ProgramTest):
    def readers(self):
        return (self.info() or {}).get("readers", [])

    def await_readers(self, count):
        until(lambda: sum(r["alive"] for r in self.readers()) == count, f"{count} readers")

    def test_the_sender_starts_when_all_are_there(self):
        lines = LINES[:20000]  # less than a pipe holds: the receivers are read one after the other
        sender = self.start("send", "--receivers", "3", self.url + "?capacity=4KiB")
        self.feed(sender, lines)
        until(self.exists, "the segment")
        receivers = []
        for count in (1, 2):
            receivers.append(self.start("recv", self.url))
            self.await_readers(count)
            self.assertEqual(self.info()["messages"], 0)
        receivers.append(self.start("recv", self.url))
        for receiver in receivers:
            self.assertEqual(self.finish(receiver)[1].split(), lines.split())
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertFalse(self.exists())

    def test_a_lossy_one_does_not_gate_and_a_latest_one_ends_with_the_last(self):
        sender = self.start("send", "--receivers", "3", self.url + "?capacity=4KiB")
        self.feed(sender, LINES)
        until(self.exists, "the segment")
        reliable = self.start("recv", self.url)
        lossy = self.start("recv", "--policy", "lossy", self.url)
        latest = self.start("recv", "--policy", "latest", self.url)
        self.assertEqual(self.finish(reliable)[:2], (OK, LINES))
        code, out, said = self.finish(lossy)
        self.assertEqual(code, OK)
        numbers = [int(line) for line in out.split()]
        self.assertEqual(numbers, sorted(set(numbers)))
        lost = 20000 - len(numbers)
        self.assertEqual(f"lost {lost:,}" in said, lost != 0, said)
        self.assertEqual(self.finish(latest)[1].split()[-1], b"19999")
        self.assertEqual(self.finish(sender)[0], OK)

    def test_info_accounts_for_each(self):
        sender = self.start("send", "--receivers", "1", self.url + "?readers=4")
        until(self.exists, "the segment")
        receiver = self.start("recv", "--name", "books", self.url)
        self.await_readers(1)
        self.write(sender, b"one\ntwo\n")
        self.read(receiver, 8)
        until(lambda: self.readers()[0]["received"] == 2, "its account")
        reader = self.readers()[0]
        self.assertEqual((reader["name"], reader["policy"], reader["lost"], reader["to_come"]),
                         ("books", "reliable", 0, 0))
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)

    def test_one_that_comes_back_under_its_name_goes_on_where_it_was(self):
        sender = self.start("send", "--receivers", "1", self.url + "?readers=2")
        until(self.exists, "the segment")
        first = self.start("recv", "--count", "2", "--name", "books", self.url)
        self.await_readers(1)
        self.write(sender, b"one\ntwo\nthree\nfour\n")
        self.assertEqual(self.finish(first)[:2], (OK, b"one\ntwo\n"))
        self.await_messages(4)
        second = self.start("recv", "--name", "books", self.url)
        self.assertEqual(self.read(second, 11), b"three\nfour\n")
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.finish(second)[0], OK)

    def test_a_killed_one_does_not_hold_the_sender_up(self):
        sender = self.start("send", "--receivers", "2", self.url + "?capacity=4KiB")
        until(self.exists, "the segment")
        killed = self.start("recv", self.url)
        other = self.start("recv", self.url)
        self.write(sender, b"first\n")
        self.assertEqual(self.read(other, 6), b"first\n")
        killed.kill()
        killed.wait()
        self.feed(sender, LINES)
        self.assertEqual(self.finish(other)[:2], (OK, LINES))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_frames_reach_each_that_keeps_up_and_a_slow_one_holds_but_one(self):
        # More than a pipe and the output's buffer hold: a receiver that is not read from keeps its frame.
        frame = 300000
        pool = self.url + f"?kind=frames&frames=6&frame_size={frame}&readers=3"
        sender = self.start("send", "-f", "blocks", "-b", str(frame), "--receivers", "2", pool)
        until(self.exists, "the segment")
        slow = self.start("recv", "-f", "blocks", self.url)
        fast = self.start("recv", "-f", "blocks", self.url)
        self.await_readers(2)
        for i in range(20):
            self.write(sender, bytes([i]) * frame)
            self.assertEqual(self.read(fast, frame), bytes([i]) * frame)
        until(lambda: sum(r["frames_held"] for r in self.readers()) == 1, "one that holds a frame")
        _, said, _ = self.run_rondo("info", self.url)
        self.assertIn(b"6 frames of 300,000 bytes", said)
        self.assertIn(b"holds 1 frame)", said)
        self.assertIn(b"frames ", self.run_rondo("ls")[1])
        self.feed(sender, b"")
        code, out, said = self.finish(slow)
        got = [out[at] for at in range(0, len(out), frame)]
        self.assertEqual((code, len(out) % frame, got), (OK, 0, sorted(set(got))))
        self.assertEqual(got[-1], 19)
        self.assertIn(f"lost {20 - len(got)}", said)
        self.assertEqual(self.finish(fast)[:2], (OK, b""))
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertFalse(self.exists())

    def test_what_no_pool_of_frames_does_is_refused(self):
        code, _, said = self.run_rondo("recv", "--policy", "reliable", self.url + "?kind=frames")
        self.assertEqual(code, USAGE, said)
        self.assertIn("policy=lossy", said)
        pool = self.url + "?kind=frames&frame_size=10"
        code, _, said = self.run_rondo("send", "--keep", "-f", "blocks", "-b", "11", pool, data=b"x")
        self.assertEqual(code, USAGE, said)
        self.assertIn("kind=frames&frame_size=", said)

    def test_what_can_not_be_meant_is_refused(self):
        sender = self.start("send", self.url)
        until(self.exists, "the segment")
        code, _, said = self.run_rondo("recv", "--policy", "lossy", self.url)
        self.assertIn(code, (USAGE, CANNOT_OPEN))
        self.assertIn("readers=2", said)
        for bad in ("readers=0", "readers=65", "policy=eager", "from=yesterday", "name=", "evict=x"):
            code, _, said = self.run_rondo("recv", self.url + "?" + bad)
            self.assertEqual(code, USAGE, said)
            self.assertIn(bad.split("=")[0], said)
        sender.kill()


if __name__ == "__main__":
    main()
