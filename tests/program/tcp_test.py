"""tcp:, unix:@ and many connections, with programs that are not ours at the other end."""

import os
import signal
import socket
import struct

from support import BIN, CANNOT_OPEN, OK, VANISHED, ProgramTest, free_port, main, until

EXAMPLES = os.path.join(BIN, "examples")
HELLO_OF_SENDER = b"\xfe\xff\xff\xff"
HELLO_OF_RECEIVER = b"\xfc\xff\xff\xff"
CONFIRMED = b"\x52"
END = b"\xff\xff\xff\xff"


def frame(message):
    return struct.pack("<I", len(message)) + message


def receive_all(peer):
    data = b""
    while piece := peer.recv(1 << 16):
        data += piece
    return data


class Network(ProgramTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.url = f"tcp://127.0.0.1:{self.port}"

    def connect(self):
        peers = []

        def connected():
            try:
                peers.append(socket.create_connection(("127.0.0.1", self.port), timeout=60))
            except ConnectionRefusedError:
                return False
            return True
        until(connected, "somebody listens")
        self.addCleanup(peers[0].close)
        return peers[0]

    def listen(self):
        server = socket.create_server(("127.0.0.1", self.port))
        self.addCleanup(server.close)
        server.settimeout(60)
        return server


class OurFramesByHand(Network):
    def test_a_sender(self):
        receiver = self.start("recv", self.url)
        silent = self.connect()
        peer = self.connect()
        peer.sendall(HELLO_OF_SENDER)
        self.assertEqual(peer.recv(1), CONFIRMED)
        self.assertEqual(silent.recv(1), b"")
        peer.sendall(frame(b"one") + frame(b"") + frame(b"two") + END)
        self.assertEqual(self.finish(receiver), (OK, b"one\n\ntwo\n", ""))

    def test_one_that_is_lost(self):
        receiver = self.start("recv", self.url)
        peer = self.connect()
        peer.sendall(HELLO_OF_SENDER + frame(b"whole") + frame(b"a part")[:6])
        self.assertEqual(peer.recv(1), CONFIRMED)
        peer.close()
        code, out, _ = self.finish(receiver)
        self.assertEqual((code, out), (VANISHED, b"whole\n"))

    def test_a_receiver(self):
        server = self.listen()
        sender = self.start("send", self.url)
        peer, _ = server.accept()
        self.assertEqual(peer.recv(4, socket.MSG_WAITALL), HELLO_OF_SENDER)
        peer.sendall(CONFIRMED)
        self.assertEqual(self.finish(sender, b"one\ntwo\n")[0], OK)
        self.assertEqual(receive_all(peer), frame(b"one") + frame(b"two") + END)
        peer.close()

    def test_a_receiver_that_connects(self):
        sender = self.start("send", self.url + "?listen=1")
        peer = self.connect()
        peer.sendall(HELLO_OF_RECEIVER)
        self.assertEqual(self.finish(sender, b"one\n")[0], OK)
        self.assertEqual(receive_all(peer), CONFIRMED + frame(b"one") + END)

    def test_a_server_of_something_else(self):
        server = self.listen()
        sender = self.start("send", self.url)
        peer, _ = server.accept()
        peer.sendall(b"220 mail.example.com ESMTP\r\n")
        code, _, said = self.finish(sender)
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("no end of such a channel", said)
        peer.close()


class LinesOfOthers(Network):
    def test_a_plain_client_and_a_plain_server(self):
        receiver = self.start("recv", self.url + "?framing=lines")
        peer = self.connect()
        peer.sendall(b"one\ntwo\n")
        peer.close()
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\ntwo\n"))

        server = self.listen()
        sender = self.start("send", self.url + "?framing=lines")
        peer, _ = server.accept()
        self.assertEqual(self.finish(sender, b"three\n")[0], OK)
        self.assertEqual(receive_all(peer), b"three\n")
        peer.close()


class BothOurs(Network):
    def pass_on(self, url, options=""):
        for first in ("recv", "send"):
            with self.subTest(url=url, first=first):
                second = "send" if first == "recv" else "recv"
                one = self.start(first, url + options)
                self.await_sleeps(one, 2)
                other = self.start(second, url)
                sender, receiver = (one, other) if first == "send" else (other, one)
                data = b"".join(b"%d\n" % i for i in range(20000))
                self.feed(sender, data)
                code, out, said = self.finish(receiver)
                self.assertEqual((code, out == data, said), (OK, True, ""))
                self.assertEqual(self.finish(sender)[0], OK)

    def test_tcp(self):
        self.pass_on(self.url)

    def test_an_abstract_name(self):
        self.pass_on("unix:@" + self.name)

    def test_a_killed_sender(self):
        receiver = self.start("recv", self.url)
        sender = self.start("send", self.url)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        sender.kill()
        self.assertEqual(self.finish(receiver)[0], VANISHED)


class Examples(Network):
    def serve(self, *arguments):
        server = self.start_program(*arguments)
        return server, server.stdout.readline().decode().strip()

    def test_echo(self):
        server, url = self.serve(os.path.join(EXAMPLES, "echo"), "tcp://127.0.0.1:0?framing=lines")
        port = int(url.rsplit(":", 1)[1])
        peers = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(10)]
        for i, peer in enumerate(peers):
            peer.sendall(b"line %d\n" % i)
        for i, peer in enumerate(peers):
            expected = b"line %d\n" % i
            self.assertEqual(peer.recv(len(expected), socket.MSG_WAITALL), expected)
            peer.close()
        self.assertIsNone(server.poll())

    def test_a_chat_of_ten(self):
        program = os.path.join(EXAMPLES, "chat")
        for url in ("tcp://127.0.0.1:0", "unix:@" + self.name):
            server, url = self.serve(program, "serve", url)
            people = [self.start_program(program, "join", url, f"p{i}") for i in range(10)]
            # Those who hear the first one are there.
            heard = {person: b"" for person in people}
            for person in people[1:]:
                os.set_blocking(person.stdout.fileno(), False)

            def hear(text):
                for person in people[1:]:
                    try:
                        heard[person] += os.read(person.stdout.fileno(), 1 << 16)
                    except BlockingIOError:
                        pass
                return all(text in heard[person] for person in people[1:])

            def all_hear():
                self.write(people[0], b"anybody?\n")
                return hear(b"p0: anybody?\n")
            until(all_hear, "all are there")
            self.write(people[0], b"hello\n")
            until(lambda: hear(b"p0: hello\n"), "all heard it")
            for person in people[1:]:
                self.assertNotIn(b"p1:", heard[person])
            people[3].kill()
            self.assertEqual(self.finish(people[1], b"bye\n")[0], 0)
            people.remove(people[3])
            people.remove(people[1])
            until(lambda: hear(b"p1: bye\n"), "the others heard that")
            for person in people:
                os.set_blocking(person.stdout.fileno(), True)
                self.assertEqual(self.finish(person)[0], 0)
            server.send_signal(signal.SIGTERM)
            server.wait()

    def test_a_chat_whose_name_is_taken_away_ends(self):
        path = f"/tmp/{self.name}.chat"
        server, _ = self.serve(os.path.join(EXAMPLES, "chat"), "serve", "unix:" + path)
        os.unlink(path)
        _, error = server.communicate(timeout=60)
        self.assertEqual(server.returncode, 1)
        self.assertIn(b"nobody can come", error)


if __name__ == "__main__":
    main()
