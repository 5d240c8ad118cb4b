"""Programs that are not ours at the other end of what keeps messages apart by itself."""

import os
import socket
import struct

from support import CORRUPT, OK, VANISHED, ProgramTest, USAGE, main, until

RAW = "?framing=raw"


def header(kind, sequence, size):
    """The word before a message in a packet of ours."""
    return struct.pack("<II", sequence << 4 | kind, size)


class Seqpackets(ProgramTest):
    def connected(self, path):
        """A connection to a receiver of ours, once it listens."""
        until(lambda: os.path.exists(path), "a socket")
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(peer.close)
        until(lambda: peer.connect_ex(path) == 0, "a connection")
        return peer

    def test_between_two_of_ours(self):
        url = "unix-seqpacket:" + self.path("socket")
        receiver = self.start("recv", url)
        sender = self.start("send", url)
        text = b"".join(b"line %d\n" % i for i in range(20000))
        self.feed(sender, text)
        self.assertEqual(self.finish(receiver)[:2], (OK, text))
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertFalse(os.path.exists(self.path("socket")))

    def test_python_sends(self):
        path = self.path("socket")
        receiver = self.start("recv", "unix-seqpacket:" + path + RAW)
        peer = self.connected(path)
        for text in (b"one", b"", b"three", b"x" * 100000):
            peer.send(text)
        peer.close()
        expected = b"one\n\nthree\n" + b"x" * 100000 + b"\n"
        self.assertEqual(self.finish(receiver)[:2], (OK, expected))

    def test_python_receives(self):
        path = self.path("socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            listener.listen()
            sender = self.start("send", "unix-seqpacket:" + path + RAW)
            self.feed(sender, b"one\n\nthree\n")
            peer, _ = listener.accept()
            with peer:
                said = [peer.recv(1000), peer.recv(1000), peer.recv(1000)]
            self.assertEqual(said, [b"one", b"three", b""])  # the end
        self.assertEqual(self.finish(sender)[0], OK)
        os.unlink(path)  # the listener's own

    def test_garbage(self):
        sound = header(1, 0, 5) + b"sound"
        ends = [
            (b"garbage", CORRUPT), (b"\xff" * 64, CORRUPT), (header(1, 1, 6) + b"short", CORRUPT),
            (header(1, 1, 1 << 31), CORRUPT), (header(1, 7, 0), CORRUPT),
            (b"", VANISHED), (header(3, 1, 0), OK), (header(4, 1, 0), VANISHED),
        ]
        for end, expected in ends:
            path = self.path("socket")
            receiver = self.start("recv", "unix-seqpacket:" + path)
            peer = self.connected(path)
            peer.send(b"\xfe\xff\xff\xff")
            self.assertEqual(peer.recv(10), b"\x52")
            peer.send(sound)
            if end:
                peer.send(end)
            peer.close()
            code, out, said = self.finish(receiver)
            self.assertEqual((code, out), (expected, b"sound\n"), f"{end!r}: {said}")

    def test_what_does_not_go_together(self):
        for options, word in (("framing=lines", "raw"), ("crc=1", "crc"), ("block=4KiB", "block")):
            code, _, said = self.run_rondo("recv", "unix-seqpacket:/tmp/x?" + options)
            self.assertEqual(code, USAGE, said)
            self.assertIn(word, said)


class Datagrams(ProgramTest):
    """unix-dgram: with framing=raw."""

    def test_several_send(self):
        path = self.path("socket")
        receiver = self.start("recv", "-n", "4", "unix-dgram:" + path + RAW)
        until(lambda: os.path.exists(path), "a socket")
        senders = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        for sender, texts in zip(senders, ((b"one", b""), (b"three", b"x" * 100000))):
            self.addCleanup(sender.close)
            for text in texts:
                sender.sendto(text, path)
        expected = b"one\n\nthree\n" + b"x" * 100000 + b"\n"
        self.assertEqual(self.finish(receiver)[:2], (OK, expected))
        self.assertFalse(os.path.exists(path))

    def test_python_receives(self):
        path = self.path("socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            sender = self.start("send", "unix-dgram:" + path + RAW)
            # More than the queue of such a socket has room for.
            texts = [b"line %d" % i for i in range(1000)]
            self.feed(sender, b"\n".join(texts))
            self.assertEqual([receiver.recv(1000) for _ in texts], texts)
        self.assertEqual(self.finish(sender)[0], OK)
        os.unlink(path)  # the receiver's own

    def test_what_can_not_be_known(self):
        for url, word in (("@name" + RAW, "mode=0666"), ("/tmp/x" + RAW + "&uid=1", "uid="),
                          ("/tmp/x?listen=1", "listen")):
            code, _, said = self.run_rondo("recv", "unix-dgram:" + url)
            self.assertEqual(code, USAGE, said)
            self.assertIn(word, said)


if __name__ == "__main__":
    main()
