"""rondo bridge --duplex --restart: whoever dies at one end, the other one is served meanwhile."""

import os
import signal
import socket
import struct
import time

from support import OK, TIMED_OUT, VANISHED, ProgramTest, main, until

HELLO_OF_BOTH = struct.pack("<I", 0xFFFFFFFB)
END = struct.pack("<I", 0xFFFFFFFF)
BROKEN_OFF = struct.pack("<I", 0xFFFFFFFD)


class DuplexRestart(ProgramTest):
    def setUp(self):
        super().setUp()
        self.there = self.path("there")
        self.url = f"unix:{self.there}?listen=1&framing=lines"

    def start_restarting(self, near="fd:0,1?framing=lines", far=None, *options):
        return self.start_heard("bridge", "--duplex", "--restart", *options, near, far or self.url)

    def lose(self, peer):
        """It goes with something unread, which makes it no orderly end."""
        until(lambda: peer.recv(100, socket.MSG_PEEK), "what it does not read")
        peer.close()

    def test_restart_goes_on_with_the_next_connection(self):
        bridge, heard = self.start_restarting()
        for i in range(3):
            peer = self.connect(self.there)
            self.write(bridge, b"to %d\n" % i)
            self.assertEqual(peer.recv(100), b"to %d\n" % i)
            peer.sendall(b"back %d\n" % i)
            self.assertEqual(self.read(bridge, 7), b"back %d\n" % i)
            # That something unread is lost with it makes it no orderly end.
            self.write(bridge, b"unread\n")
            self.lose(peer)
        peer = self.connect(self.there)
        bridge.stdin.close()
        bridge.stdin = None
        self.assertEqual(peer.recv(100), b"")
        peer.close()
        self.assertEqual(bridge.wait(), OK)
        self.assertEqual(heard().count("waiting for another one"), 3, heard())


    def test_what_is_on_its_way_to_the_other_end_goes_on(self):
        bridge, heard = self.start_restarting()
        peer = self.connect(self.there)
        lines = b"x" * 999 + b"\n"
        self.write(bridge, b"unread\n")
        peer.sendall(lines * 600)  # more than a pipe takes
        self.lose(peer)
        until(lambda: "waiting for another one" in heard(), "its loss")
        self.assertEqual(self.read(bridge, 600 * len(lines)), 600 * lines)
        peer = self.connect(self.there)
        self.write(bridge, b"again\n")
        self.assertEqual(peer.recv(100), b"again\n")

    def test_a_signal_ends_the_other_end_in_order(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            bridge, heard = self.start_restarting("fd:0,1", f"unix:{self.there}?listen=1")
            peer = self.say_hello()
            peer.close()  # without an end
            until(lambda: "waiting for another one" in heard(), "its loss")
            bridge.send_signal(number)
            self.assertEqual(self.read_end(bridge), END)
            self.assertEqual(bridge.wait(), -number)

    def say_hello(self):
        peer = self.connect(self.there)
        peer.sendall(HELLO_OF_BOTH)
        self.assertEqual(peer.recv(1), b"R")
        return peer

    def test_who_broke_off_is_not_told_of_an_end(self):
        bridge, _ = self.start_restarting("fd:0,1", f"unix:{self.there}?listen=1")
        peer = self.say_hello()
        self.write(bridge, struct.pack("<I", 3) + b"one")
        self.assertEqual(peer.recv(7), struct.pack("<I", 3) + b"one")
        peer.sendall(BROKEN_OFF)
        self.assertEqual(self.read_socket(peer), BROKEN_OFF)

    def test_a_name_that_is_taken_away_is_made_again(self):
        bridge, _ = self.start_restarting()
        until(lambda: os.path.exists(self.there), "the socket")
        os.unlink(self.there)
        until(lambda: os.path.exists(self.there), "the socket again")
        peer = self.connect(self.there)
        self.write(bridge, b"found\n")
        self.assertEqual(peer.recv(100), b"found\n")

    def test_one_that_sends_alone_does_not_end_it(self):
        bridge, heard = self.start_restarting("fd:0,1?framing=lines", f"unix:{self.there}?listen=1")
        sender = self.start("send", f"unix:{self.there}")
        self.write(sender, b"one\n")
        self.assertEqual(self.read(bridge, 4), b"one\n")
        self.write(bridge, b"for the next\n")
        sender.kill()
        until(lambda: "waiting for another one" in heard(), "its loss")
        receiver = self.start("recv", f"unix:{self.there}?listen=0")
        self.assertEqual(self.read(receiver, 13), b"for the next\n")
        receiver.kill()
        until(lambda: heard().count("waiting for another one") == 2, "its loss")
        sender = self.start("send", f"unix:{self.there}")
        self.assertEqual(self.finish(sender, b"two\n")[0], OK)
        self.assertEqual(self.read_end(bridge), b"two\n")
        self.assertEqual(bridge.wait(), OK)

    def test_one_that_receives_alone_has_all_with_the_end(self):
        bridge, heard = self.start_restarting("fd:0,1", f"unix:{self.there}?listen=1")
        receiver = self.start("recv", f"unix:{self.there}?listen=0")
        self.write(bridge, struct.pack("<I", 3) + b"one" + END)
        bridge.stdin.close()
        bridge.stdin = None
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\n"))
        until(lambda: bridge.poll() is not None, "its end")
        self.assertEqual((bridge.returncode, self.read_end(bridge)), (OK, END), heard())

    def test_a_message_that_nobody_is_to_get_is_told_of(self):
        bridge, heard = self.start_restarting("fd:0,1?framing=lines", f"unix:{self.there}?listen=1")
        sender = self.start("send", f"unix:{self.there}")
        self.write(sender, b"one\n")
        self.assertEqual(self.read(bridge, 4), b"one\n")
        self.write(bridge, b"for nobody\n")
        self.await_sleeps(bridge)
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertEqual(bridge.wait(), VANISHED)
        self.assertIn("one that came from fd:0,1 is lost", heard())

    def test_wait_counts_from_each_loss(self):
        bridge, heard = self.start_restarting("fd:0,1?framing=lines", self.url, "--wait", "1")
        peer = self.connect(self.there)
        time.sleep(1.2)
        self.write(bridge, b"unread\n")
        self.lose(peer)
        before = time.monotonic()
        self.assertEqual(bridge.wait(), TIMED_OUT, heard())
        self.assertGreaterEqual(time.monotonic() - before, 0.9)

    def test_descriptors_do_not_return(self):
        bridge, heard = self.start_restarting("fd:0,1", self.url)
        self.connect(self.there)
        bridge.stdin.close()  # without an end
        bridge.stdin = None
        self.assertEqual(bridge.wait(), VANISHED, heard())


if __name__ == "__main__":
    main()
