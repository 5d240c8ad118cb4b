"""rondo bridge: what comes at one address goes out at another, whoever dies."""

import os
import signal
import socket
import struct
import time

from support import OK, TIMED_OUT, USAGE, VANISHED, IN_OUT, ProgramTest, main, until


class Bridges(ProgramTest):
    def setUp(self):
        super().setUp()
        self.other = self.new_name()
        self.to = "shm:" + self.other

    def test_from_each_transport_to_each(self):
        lines = b"".join(b"line %d\n" % i for i in range(3000))
        addresses = [lambda: "shm:" + self.new_name(), lambda: "unix:" + self.path(self.new_name()),
                     lambda: "fifo:" + self.path(self.new_name()),
                     lambda: "file:" + self.path(self.new_name()),
                     lambda: "shm:" + self.new_name() + "?kind=mpmc"]
        for come in addresses:
            for go in addresses:
                from_url, to_url = come(), go()
                with self.subTest(come=from_url, go=to_url):
                    bridge = self.start("bridge", from_url, to_url)
                    receiver = self.start("recv", to_url)
                    sender = self.start("send", from_url)
                    self.feed(sender, lines)
                    self.assertEqual(self.finish(receiver)[:2], (OK, lines))
                    self.assertEqual(self.finish(bridge)[0], OK)
                    self.assertEqual(sender.wait(), OK)

    def test_what_is_held_back_goes_on_when_nothing_comes(self):
        for to_url in (self.to, "unix:" + self.path("out")):
            with self.subTest(go=to_url):
                from_url = "shm:" + self.new_name()
                bridge = self.start("bridge", from_url, to_url + "?wake_every=1000000")
                receiver = self.start("recv", to_url)
                sender = self.start("send", from_url)
                for words in (b"first\nsecond\n", b"third\n"):
                    self.write(sender, words)
                    self.assertEqual(self.read(receiver, len(words)), words)
                for process in (sender, bridge, receiver):
                    self.assertEqual(self.finish(process)[0], OK)

    def test_framings_meet_rings(self):
        path = self.path("in")
        bridge = self.start("bridge", f"unix:{path}?framing=lines", self.to)
        receiver = self.start("recv", self.to)
        until(lambda: os.path.exists(path), "the socket")
        socat = self.start_program("socat", "-u", "-", f"UNIX-CONNECT:{path}")
        self.assertEqual(self.finish(socat, b"{\"a\": 1}\nlast")[0], 0)
        self.assertEqual(self.finish(receiver), (OK, b"{\"a\": 1}\nlast\n", ""))
        self.assertEqual(self.finish(bridge)[0], OK)

    def stream_of(self, header_bytes, messages):
        """A byte stream of ours with those messages, each a header and what follows it."""
        stream = struct.pack("<II", 0xFFFFFFF8, header_bytes)
        for header, message in messages:
            room = -(-header_bytes // 8) * 8
            stream += struct.pack("<I", room + len(message)) + header.ljust(room, b"\0") + message
        return stream + struct.pack("<I", 0xFFFFFFFF)

    def test_headers_go_with_their_messages(self):
        messages = [(bytes([i]) * 20, b"x" * (i % 50)) for i in range(1, 200)]
        stream = self.stream_of(20, messages)
        for ring, join in (("", ""), ("readers=2&", "policy=lossy"), ("kind=mpmc&", ""),
                           ("kind=frames&frames=256&frame_size=4KiB&", "")):
            with self.subTest(ring=ring):
                url = "shm:" + self.new_name()
                comes = self.start("bridge", "fd:0?header=20", f"{url}?{ring}header=20")
                goes = self.start("bridge", f"{url}?{join}", "fd:1?header=24")
                self.feed(comes, stream)
                self.assertEqual(self.finish(goes), (OK, self.stream_of(24, messages), ""))
                self.assertEqual(self.finish(comes)[0], OK)

    def test_a_header_for_which_there_is_no_room_is_an_error(self):
        stream = self.stream_of(20, [(b"header", b"message")])
        code, _, said = self.run_rondo("bridge", "fd:0?header=20", "fd:1?header=16", data=stream)
        self.assertEqual(code, IN_OUT)
        self.assertIn("message 1 has a header of 20 bytes, but those of fd:1 have 16", said)
        self.assertIn("say header=20", said)
        bridge = self.start("bridge", "fd:0?header=20", self.to)
        receiver = self.start("recv", self.to)  # which the bridge waits for
        code, _, said = self.finish(bridge, stream)
        self.assertEqual(code, IN_OUT)
        self.assertIn(f"those of {self.to} have 0", said)
        self.assertEqual(self.finish(receiver)[:2], (VANISHED, b""))

    def test_what_was_lost_before_it_came_is_told_of(self):
        bridge = self.start("bridge", self.url, self.to)
        receiver = self.start("recv", self.to)
        sender = self.start("send", self.url + "?kind=frames&frames=4")
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        bridge.send_signal(signal.SIGSTOP)
        self.feed(sender, b"x\n" * 100)
        self.await_messages(101)
        bridge.send_signal(signal.SIGCONT)
        code, _, said = self.finish(bridge)
        self.assertEqual(code, OK)
        got = len(self.finish(receiver)[1]) // 2
        self.assertIn(f"received {got + 1} messages, lost {100 - got}", said)

    def test_an_address_that_cannot_be_meant_is_told_of_before_anybody_is_met(self):
        receiver = self.start("recv", self.to)
        for options in ((), ("--duplex",)):
            for urls in (("nonsense", self.to), (self.to, "tcp:")):
                code, _, said = self.run_rondo("bridge", *options, *urls)
                self.assertEqual(code, USAGE, said)
        self.assertIsNone(receiver.poll())

    def test_a_sender_that_dies_is_told_on(self):
        bridge = self.start("bridge", self.url, self.to)
        receiver = self.start("recv", self.to)
        sender = self.start("send", self.url)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        sender.kill()
        code, _, said = self.finish(bridge)
        self.assertEqual(code, VANISHED)
        self.assertIn(self.url, said)
        self.assertEqual(self.finish(receiver)[0], VANISHED)

    def test_what_a_killed_bridge_had_comes_to_its_successor(self):
        receiver = self.start("recv", "--await-successor", self.to)
        sender = self.start("send", "--await-successor", self.url)
        bridge = self.start("bridge", self.url, self.to)
        for i in range(6):
            line = b"line %d\n" % i
            self.write(sender, line)
            self.assertEqual(self.read_new(receiver, line), line)
            if i == 5:
                break  # the last bridge is there, and sees the end
            bridge.kill()
            bridge.wait()
            bridge = self.start("bridge", self.url, self.to)
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.finish(bridge)[0], OK)
        self.assertEqual(self.finish(receiver)[0], OK)

    def read_new(self, process, line):
        """The next line that is not one that came before: some may come twice."""
        while True:
            got = b""
            while not got.endswith(b"\n"):
                got += self.read(process, 1)
            if got == line:
                return got
            self.assertLess(got, line)

    def test_what_a_full_stream_did_not_take_comes_to_a_successor(self):
        for end in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(end=end):
                path = self.path(f"out-{end}")
                from_url = "shm:" + self.new_name()
                server = socket.socket(socket.AF_UNIX)
                self.addCleanup(server.close)
                server.bind(path)
                server.listen()
                lines = [b"%06d %s" % (i, b"x" * 100) for i in range(30000)]
                bridge = self.start("bridge", from_url, f"unix:{path}?framing=lines")
                peer, _ = server.accept()
                self.addCleanup(peer.close)
                sender = self.start("send", "--keep", from_url)
                self.assertEqual(self.finish(sender, b"\n".join(lines) + b"\n")[0], OK)
                self.await_sleeps(bridge, 30)  # and holds a message
                bridge.send_signal(end)
                self.assertEqual(bridge.wait(), -end)
                got = b""
                while piece := peer.recv(1 << 20):
                    got += piece
                got = got.split(b"\n")[:-1]
                self.assertLess(len(got), len(lines))
                self.assertEqual(got, lines[:len(got)])
                code, rest, _ = self.run_rondo("recv", "--idle", "1", from_url)
                rest = rest.split(b"\n")[:-1]
                self.assertEqual(rest, lines[len(lines) - len(rest):])
                self.assertGreaterEqual(len(got) + len(rest), len(lines))

    def test_who_sends_is_told_that_a_stopped_bridge_left(self):
        bridge = self.start("bridge", self.url, self.to)
        receiver = self.start("recv", self.to)
        sender = self.start("send", self.url)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        bridge.send_signal(signal.SIGTERM)
        self.assertEqual(bridge.wait(), -signal.SIGTERM)
        code, _, said = self.finish(sender, b"two\n")
        self.assertEqual(code, VANISHED)
        self.assertIn("left", said)

    def test_senders_that_come_and_go_are_not_told_of_each_time(self):
        path = self.path("in")
        bridge = self.start("bridge", "--restart", f"unix:{path}", self.to)
        receiver = self.start("recv", self.to)
        for _ in range(7):
            until(lambda: os.path.exists(path), "the socket")
            sender = self.start("send", f"unix:{path}")
            until(lambda: not os.path.exists(path), "the sender")
            sender.kill()
        self.assertEqual(self.run_rondo("send", f"unix:{path}", data=b"last\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"last\n"))
        code, _, said = self.finish(bridge)
        self.assertEqual(code, OK)
        self.assertEqual(said.count("waiting for another sender"), 3, said)  # once, 2 and 4 times

    def test_restart_goes_on_with_the_next_sender(self):
        path = self.path("in")
        bridge = self.start("bridge", "--restart", f"unix:{path}", self.to)
        receiver = self.start("recv", self.to)
        for i in range(3):
            sender = self.start("send", f"unix:{path}")
            line = b"line %d\n" % i
            self.write(sender, line)
            self.assertEqual(self.read(receiver, len(line)), line)
            sender.kill()
        self.assertEqual(self.run_rondo("send", f"unix:{path}", data=b"last\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"last\n"))
        code, _, said = self.finish(bridge)
        self.assertEqual(code, OK)
        self.assertEqual(said.count("waiting for another sender"), 3, said)

    def test_restart_keeps_the_message_until_a_receiver_takes_it(self):
        path = self.path("out")
        bridge = self.start("bridge", "--restart", self.url, f"unix:{path}?framing=lines")
        sender = self.start("send", self.url)
        for i in range(3):
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            server.bind(path)
            server.listen()
            line = b"line %d\n" % i
            self.write(sender, line)  # tells the bridge that the last one is gone, and is kept
            peer, _ = server.accept()
            self.assertEqual(peer.recv(100), line)
            server.close()
            os.unlink(path)
            peer.close()
        code, _, _ = self.finish(sender)
        self.assertEqual(self.finish(bridge)[0], OK)
        self.assertEqual(code, OK)

    def test_without_restart_a_receiver_that_leaves_ends_it(self):
        bridge = self.start("bridge", self.url, self.to)
        sender = self.start("send", self.url)
        receiver = self.start("recv", "--count", "1", self.to)
        self.write(sender, b"one\n")
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\n"))
        self.write(sender, b"two\n" * 10)
        code, _, said = self.finish(bridge)
        self.assertEqual(code, VANISHED, said)
        self.assertIn(self.to, said)

    def test_a_message_that_does_not_fit_is_not_lost(self):
        bridge = self.start("bridge", self.url, f"{self.to}?kind=mpmc&slot_size=16")
        sender = self.start("send", "--keep", self.url)
        receiver = self.start("recv", self.to)
        self.assertEqual(self.finish(sender, b"short\n" + b"x" * 100 + b"\n")[0], OK)
        code, _, said = self.finish(bridge)
        self.assertEqual(code, IN_OUT)
        self.assertIn("100 bytes", said)
        self.assertEqual(self.finish(receiver)[:2], (VANISHED, b"short\n"))
        code, out, _ = self.run_rondo("recv", "--idle", "0.2", self.url)
        self.assertEqual((code, out), (OK, b"x" * 100 + b"\n"))

    def test_a_signal_ends_it_in_order(self):
        bridge = self.start("bridge", self.url, self.to)
        sender = self.start("send", self.url)
        receiver = self.start("recv", self.to)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        bridge.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(receiver)[0], OK)
        self.assertEqual(bridge.wait(), -signal.SIGTERM)

    def test_a_signal_while_an_end_is_opened_anew_ends_the_other_one_in_order(self):
        path = self.path("in")
        bridge, heard = self.start_heard("bridge", "--restart", f"unix:{path}", self.to)
        sender = self.start("send", f"unix:{path}")
        receiver = self.start("recv", self.to)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        sender.kill()
        until(lambda: "waiting for another sender" in heard(), "its loss")
        bridge.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(receiver)[0], OK)
        self.assertEqual(bridge.wait(), -signal.SIGTERM)

        path = self.path("out")
        bridge, heard = self.start_heard("bridge", "--restart", self.url, f"unix:{path}")
        receiver = self.start("recv", f"unix:{path}")
        sender = self.start("send", "--keep", self.url)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        receiver.kill()
        receiver.wait()
        self.assertEqual(self.finish(sender, b"two\nthree\n")[0], OK)
        until(lambda: "waiting for another one" in heard(), "its loss")
        bridge.send_signal(signal.SIGTERM)
        self.assertEqual(bridge.wait(), -signal.SIGTERM)
        code, got, _ = self.run_rondo("recv", "--idle", "1", self.url)
        self.assertEqual((code, got[-10:]), (OK, b"two\nthree\n"))

    def test_wait_counts_from_each_loss(self):
        path = self.path("in")
        bridge = self.start("bridge", "--restart", "--wait", "1", f"unix:{path}", self.to)
        sender = self.start("send", f"unix:{path}")
        receiver = self.start("recv", self.to)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        time.sleep(1.2)
        before = time.monotonic()
        sender.kill()
        self.assertEqual(self.finish(bridge)[0], TIMED_OUT)
        self.assertGreaterEqual(time.monotonic() - before, 0.9)

    def test_descriptors_do_not_return(self):
        bridge = self.start("bridge", "--restart", "fd:0", self.to)
        receiver = self.start("recv", self.to)
        code, _, said = self.finish(bridge, struct.pack("<I", 3) + b"one")  # without an end
        self.assertEqual(code, VANISHED, said)
        self.assertEqual(self.finish(receiver)[:2], (VANISHED, b"one\n"))

    def test_count_and_wait(self):
        code, _, said = self.run_rondo("bridge", "--wait", "0.1", self.url, self.to)
        self.assertEqual(code, TIMED_OUT, said)
        receiver = self.start("recv", self.to)
        bridge = self.start("bridge", "--count", "2", self.url, self.to)
        sender = self.start("send", "--keep", self.url)
        self.assertEqual(self.finish(sender, b"one\ntwo\nthree\n")[0], OK)
        self.assertEqual(self.finish(bridge)[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\ntwo\n"))
        self.assertEqual(self.run_rondo("recv", "--idle", "0.2", self.url)[:2], (OK, b"three\n"))


class Idle(ProgramTest):
    def test_recv_ends_when_nothing_comes(self):
        sender = self.start("send", self.url)
        self.write(sender, b"one\n")
        self.assertEqual(self.run_rondo("recv", "--idle", "0.2", self.url)[:2], (OK, b"one\n"))

    def test_recv_ends_when_nobody_comes(self):
        self.assertEqual(self.run_rondo("recv", "--idle", "0.2", self.url)[:2], (OK, b""))
        code, _, _ = self.run_rondo("recv", "--idle", "9", "--wait", "0.1", self.url)
        self.assertEqual(code, TIMED_OUT)


if __name__ == "__main__":
    main()
