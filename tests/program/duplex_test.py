"""rondo bridge --duplex: messages both ways between two connections."""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import time

from support import OK, TIMED_OUT, USAGE, VANISHED, ProgramTest, free_port, main, until

HELLO_OF_BOTH = struct.pack("<I", 0xFFFFFFFB)
BROKEN_OFF = struct.pack("<I", 0xFFFFFFFD)


class Duplex(ProgramTest):
    def setUp(self):
        super().setUp()
        self.here = self.path("here")
        self.there = self.path("there")

    def test_each_direction_ends_for_itself(self):
        bridge = self.start("bridge", "--duplex", f"unix:{self.here}?listen=1&framing=lines",
                            f"unix:{self.there}?listen=1&framing=lines")
        here = self.connect(self.here)
        there = self.connect(self.there)
        for i in range(100):
            here.sendall(b"to %d\n" % i)
            self.assertEqual(there.recv(100), b"to %d\n" % i)
            there.sendall(b"back %d\n" % i)
            self.assertEqual(here.recv(100), b"back %d\n" % i)
        here.shutdown(socket.SHUT_WR)
        self.assertEqual(there.recv(100), b"")
        for i in range(100):
            there.sendall(b"still %d\n" % i)
            self.assertEqual(here.recv(100), b"still %d\n" % i)
        there.close()
        self.assertEqual(here.recv(100), b"")
        self.assertEqual(self.finish(bridge)[0], OK)

    def pair(self, options="", *flags):
        """Two of them, with a connection between, and descriptors at either end."""
        waits = self.start("bridge", "--duplex", *flags, f"fd:0,1?{options}",
                           f"unix:{self.here}?listen=1&{options}")
        comes = self.start("bridge", "--duplex", f"unix:{self.here}?{options}", f"fd:0,1?{options}")
        return waits, comes

    def test_headers_go_both_ways(self):
        def stream(header):
            return struct.pack("<II", 0xFFFFFFF8, 20) + b"".join(
                struct.pack("<I", 24 + i) + header * 20 + b"\0" * 4 + b"x" * i
                for i in range(300)) + struct.pack("<I", 0xFFFFFFFF)

        first, second = self.pair("header=20")
        self.feed(first, stream(b"1"))
        self.assertEqual(self.read_end(second), stream(b"1"))
        self.feed(second, stream(b"2"))
        self.assertEqual(self.finish(first), (OK, stream(b"2"), ""))
        self.assertEqual(self.finish(second)[0], OK)

    def test_a_direction_that_is_full_does_not_hold_up_the_other(self):
        first, second = self.pair("framing=length32&capacity=64KiB")
        message = struct.pack("<I", 1000) + b"x" * 1000
        self.feed(first, message * 3_000)
        self.feed(second, message * 3_000)
        # Nobody reads the other way meanwhile.
        self.assertEqual(len(self.read_end(first)), 3_000 * len(message))
        self.assertEqual(len(self.read_end(second)), 3_000 * len(message))
        self.assertEqual(self.finish(first)[0], OK)
        self.assertEqual(self.finish(second)[0], OK)

    def test_a_side_that_is_lost_is_told_on(self):
        first, second = self.pair()
        self.write(first, struct.pack("<I", 4) + b"one\n")
        self.assertEqual(self.read(second, 8)[4:], b"one\n")
        second.kill()
        until(lambda: first.poll() is not None, "its end")  # before its input ends
        code, out, said = self.finish(first)
        self.assertEqual(code, VANISHED)
        self.assertIn(f"unix:{self.here}: after 0 messages from it and 1 to it", said)
        self.assertEqual(out, struct.pack("<I", 0xFFFFFFFD))

    def test_a_slow_reader_has_what_was_sent_before_a_loss(self):
        bridge, heard = self.start_heard("bridge", "--duplex", "fd:0,1",
                                         f"unix:{self.here}?listen=1")
        peer = self.connect(self.here)
        peer.sendall(HELLO_OF_BOTH)
        self.assertEqual(peer.recv(1), b"R")
        messages = self.COUNTED * (struct.pack("<I", len(self.LINE)) + self.LINE)
        self.feed(bridge, messages)  # without an end
        until(lambda: f"after {self.COUNTED} messages" in heard(), "the loss")
        self.assertTrue(self.read_socket(peer) == messages + BROKEN_OFF)
        self.assertEqual(bridge.wait(), VANISHED)

    def test_who_connects_for_one_direction_has_that_one(self):
        bridge = self.start("bridge", "--duplex", f"unix:{self.here}?listen=1",
                            f"unix:{self.there}?listen=1")
        sender = self.start("send", f"unix:{self.here}")
        receiver = self.start("recv", f"unix:{self.there}?listen=0")
        self.assertEqual(self.finish(sender, b"one\ntwo\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\ntwo\n"))
        self.assertEqual(self.finish(bridge)[0], OK)

    def test_all_that_comes_for_one_that_takes_nothing_is_told_of(self):
        bridge, heard = self.start_heard("bridge", "--duplex", "fd:0,1?framing=lines",
                                         f"unix:{self.there}?listen=1")
        self.write(bridge, b"for\nnobody\nthere\n")
        sender = self.start("send", f"unix:{self.there}")
        self.assertEqual(self.finish(sender, b"one\n")[0], OK)
        self.assertEqual(self.read_end(bridge), b"one\n")
        self.assertEqual(bridge.wait(), VANISHED)
        self.assertIn("took 3 messages that came from fd:0,1", heard())

    def test_what_comes_over_a_network_for_one_that_takes_nothing_is_told_of(self):
        port = free_port()
        bridge, heard = self.start_heard("bridge", "--duplex",
                                         f"tcp://127.0.0.1:{port}?listen=1&framing=lines",
                                         f"unix:{self.there}?listen=1")

        def connected():
            self.peer = socket.socket()
            self.addCleanup(self.peer.close)
            return self.peer.connect_ex(("127.0.0.1", port)) == 0
        until(connected, "the socket")
        sender = self.start("send", f"unix:{self.there}")
        for line in (b"one\n", b"two\n", b"three\n"):
            self.write(sender, line)
            self.assertEqual(self.peer.recv(100), line)
            self.peer.sendall(b"never\nmind\n")  # the sender of which is not told
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(self.read_socket(self.peer), b"")
        self.peer.close()
        self.assertEqual(bridge.wait(), VANISHED, heard())
        self.assertIn("took 6 messages", heard())

    def test_count_a_signal_and_wait(self):
        first, second = self.pair("framing=lines", "--count", "2")
        self.write(first, b"one\n")
        self.assertEqual(self.read(second, 4), b"one\n")
        self.write(second, b"two\n")
        self.assertEqual(self.finish(first)[:2], (OK, b"two\n"))
        self.assertEqual(self.finish(second)[0], OK)
        first, second = self.pair("framing=lines")
        self.write(first, b"one\n")
        self.assertEqual(self.read(second, 4), b"one\n")
        first.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(), -signal.SIGTERM)
        self.assertEqual(self.finish(second)[0], OK)
        waits = self.start("bridge", "--duplex", "--wait", "0.1", "fd:0,1", f"unix:{self.there}")
        self.assertEqual(waits.wait(), TIMED_OUT)

    # More than the kernel takes, and less than the program holds for a slow reader.
    COUNTED = 600
    LINE = b"x" * 999 + b"\n"

    def start_counting(self):
        """It has passed on all that it counts, and the reader has not read it: both."""
        bridge = self.start("bridge", "--duplex", "--count", self.COUNTED, "fd:0,1?framing=lines",
                            f"unix:{self.here}?listen=1&framing=lines")
        peer = self.connect(self.here)
        self.feed(bridge, self.LINE * self.COUNTED)
        until(lambda: peer.recv(1, socket.MSG_PEEK), "the first ones")
        return bridge, peer

    def test_count_waits_for_a_slow_reader(self):
        bridge, peer = self.start_counting()
        with self.assertRaises(subprocess.TimeoutExpired):
            bridge.wait(3)  # more than it gives to readers after a signal
        self.assertEqual(len(self.read_socket(peer)), self.COUNTED * len(self.LINE))
        self.assertEqual(bridge.wait(), OK)

    def test_count_and_a_reader_that_writes_all_before_it_reads(self):
        bridge, peer = self.start_counting()
        self.await_sleeps(bridge)  # mostly it has taken all by then
        peer.sendall(self.LINE * 5_000)  # more than all that lies in between takes
        passed = len(self.read_socket(peer)) + len(self.read_end(bridge))
        self.assertEqual(passed, self.COUNTED * len(self.LINE))
        self.assertIn(bridge.wait(), (OK, VANISHED))

    def test_count_and_a_message_that_waits_in_the_other_direction(self):
        count = 10_000  # more than there is room for at its output
        bridge, heard = self.start_heard("bridge", "--duplex", "--count", count,
                                         "fd:0,1?framing=lines&capacity=64KiB",
                                         f"unix:{self.here}?listen=1&framing=lines")
        peer = self.connect(self.here)
        peer.setblocking(False)

        def is_full():
            try:
                return peer.send(self.LINE * 100) == 0
            except BlockingIOError:
                return True

        def sleeps_behind_it():
            time.sleep(0.001)
            return is_full() and self.status_of(bridge)["State"].split()[0] == "S"

        def stays_full():
            until(is_full, "a full socket")
            return all(sleeps_behind_it() for _ in range(20))
        until(stays_full, "a message for which there is no room, and that it sleeps then")
        peer.settimeout(60)
        self.feed(bridge, b"x\n" * count)
        self.read_socket(peer)
        self.read_end(bridge)
        self.assertEqual(bridge.wait(), VANISHED, heard())
        self.assertIn(f"one message that came from unix:{self.here} is lost", heard())

    def test_count_and_a_reader_that_leaves(self):
        bridge, peer = self.start_counting()
        peer.close()
        code, _, said = self.finish(bridge)
        self.assertEqual(code, VANISHED, said)

    def test_an_end_for_which_there_is_no_room_yet(self):
        bridge = self.start("bridge", "--duplex", "fd:0,1",
                            f"unix:{self.here}?listen=1&framing=lines")
        peer = self.connect(self.here)
        # With the length in front: as much as a pipe takes, to the byte.
        room = fcntl.fcntl(bridge.stdout, fcntl.F_GETPIPE_SZ)
        page = os.sysconf("SC_PAGE_SIZE")
        peer.sendall((b"x" * (page - 5) + b"\n") * (room // page))
        peer.shutdown(socket.SHUT_WR)
        unread = bytearray(4)

        def is_full():
            fcntl.ioctl(bridge.stdout, termios.FIONREAD, unread)
            return struct.unpack("i", unread)[0] >= room - page
        until(is_full, "a full pipe")
        time.sleep(3)  # more than it gives to readers after a signal
        self.write(bridge, struct.pack("<I", 5) + b"still")
        self.assertEqual(peer.recv(100), b"still\n")
        bridge.stdin.write(struct.pack("<I", 0xFFFFFFFF))
        bridge.stdin.close()
        bridge.stdin = None
        self.assertEqual(self.read_end(bridge)[-4:], struct.pack("<I", 0xFFFFFFFF))
        self.assertEqual(bridge.wait(), OK)

    def test_who_hangs_up_behind_its_end_is_not_waited_for(self):
        bridge = self.start("bridge", "--duplex", f"unix:{self.here}?listen=1&framing=lines",
                            f"unix:{self.there}?listen=1&framing=lines")
        here = self.connect(self.here)
        there = self.connect(self.there)
        here.sendall(b"last\n")
        here.close()
        self.assertEqual(there.recv(100), b"last\n")
        self.assertEqual(there.recv(100), b"")
        self.assertEqual(bridge.wait(), OK)  # though `there` says nothing more

    def test_a_reader_that_leaves_is_missed_without_a_message(self):
        bridge = self.start("bridge", "--duplex", "fd:0,1", f"unix:{self.here}?listen=1")
        receiver = self.start("recv", f"unix:{self.here}?listen=0")
        self.write(bridge, struct.pack("<I", 3) + b"one")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        receiver.kill()
        self.assertEqual(bridge.wait(), VANISHED)

    def test_an_end_that_is_lost_while_the_other_one_is_awaited(self):
        bridge = self.start("bridge", "--duplex", "fd:0,1", f"unix:{self.here}?listen=1")
        until(lambda: os.path.exists(self.here), "the socket")
        bridge.stdin.close()
        bridge.stdin = None
        code, _, said = self.finish(bridge)
        self.assertEqual(code, VANISHED)
        self.assertIn("fd:0,1: after 0 messages", said)

    def test_what_has_one_direction_is_refused(self):
        for url in (self.url, "fd:0", f"fifo:{self.here}"):
            code, _, said = self.run_rondo("bridge", "--duplex", url, f"unix:{self.there}")
            self.assertEqual(code, USAGE)
            self.assertIn("has one direction; --duplex is for unix:, tcp:, tls:, and for fd:IN,OUT",
                          said)


if __name__ == "__main__":
    main()
