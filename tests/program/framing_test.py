"""Programs that are not ours, at the other end: what the framings of others are for."""

import os
import socket
import struct
import subprocess
import threading

from support import CANNOT_OPEN, CORRUPT, OK, USAGE, VANISHED, ProgramTest, main, until


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


class Pipelines(ProgramTest):
    def test_lines_of_a_shell(self):
        receiver = self.start("recv", "fd:0?framing=lines")
        self.assertEqual(self.finish(receiver, b"one\n\ntwo\nlast"), (OK, b"one\n\ntwo\nlast\n", ""))

    def test_ls_and_grep(self):
        listing = self.start_program("ls", "/usr/include")
        grep = self.start_program("grep", "-c", "std.*h")
        sender = self.start("send", "fd:1?framing=lines", stdin=listing.stdout, stdout=grep.stdin)
        grep.stdin.close()
        grep.stdin = None
        self.assertEqual(sender.wait(), OK)
        lines = [name for name in os.listdir("/usr/include")
                 if "std" in name and "h" in name[name.index("std") + 3:]]
        self.assertEqual(self.finish(grep)[1], b"%d\n" % len(lines))

    def test_raw_bytes_pass_unchanged(self):
        data = bytes(range(256)) * 4000
        for block in ("", "&block=4000"):
            receiver = self.start("recv", "-f", "blocks", "fd:0?framing=raw" + block)
            self.assertEqual(self.finish(receiver, data), (OK, data, ""))

    def test_blocks_of_one_size(self):
        receiver = self.start("recv", "fd:0?framing=raw&block=4")
        self.assertEqual(self.finish(receiver, b"abcdefghij")[1], b"abcd\nefgh\nij\n")


class Fifos(ProgramTest):
    def test_a_shell_writes_and_reads(self):
        path = self.path("fifo")
        url = f"fifo:{path}?framing=lines"
        receiver = self.start("recv", url)
        until(lambda: os.path.exists(path), "the FIFO")
        writer = self.start_program("sh", "-c", f"printf 'one\\ntwo\\n' > {path}")
        self.assertEqual(self.finish(writer)[0], 0)
        self.assertEqual(self.finish(receiver), (OK, b"one\ntwo\n", ""))

        os.mkfifo(path, 0o600)
        cat = self.start_program("cat", path)
        self.assertEqual(self.run_rondo("send", url, data=b"three\nfour\n")[0], OK)
        self.assertEqual(self.finish(cat)[1], b"three\nfour\n")


class Sockets(ProgramTest):
    def connect(self, path):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)

        def connected():
            try:
                client.connect(path)
                return True
            except OSError:
                return False
        until(connected, "somebody listens")
        return client

    def test_socat_and_netcat_send(self):
        for number, peer in enumerate((["socat", "-u", "-", "UNIX-CONNECT:{}"],
                                       ["nc", "-N", "-U", "{}"])):
            path = self.path(f"socket{number}")
            receiver = self.start("recv", f"unix:{path}?framing=lines")
            until(lambda: os.path.exists(path), "the socket")
            sender = self.start_program(*(word.format(path) for word in peer))
            self.assertEqual(self.finish(sender, b"{\"a\": 1}\n{\"b\": 2}\n")[0], 0)
            self.assertEqual(self.finish(receiver), (OK, b"{\"a\": 1}\n{\"b\": 2}\n", ""))

    def test_socat_receives(self):
        path = self.path("socket")
        socat = self.start_program("socat", "-u", f"UNIX-LISTEN:{path}", "-")
        until(lambda: os.path.exists(path), "the socket")
        self.assertEqual(self.run_rondo("send", f"unix:{path}?framing=lines", data=b"a\nb\n")[0], OK)
        self.assertEqual(self.finish(socat)[1], b"a\nb\n")

    def test_a_receiver_that_has_nothing_to_say(self):
        path = self.path("socket")
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(path)
        server.listen()
        sender = self.start("send", f"unix:{path}?framing=lines")
        peer, _ = server.accept()
        with peer:
            peer.shutdown(socket.SHUT_WR)  # as netcat does at the end of its input
            self.assertEqual(self.finish(sender, b"a\nb\n"), (OK, b"", ""))
            self.assertEqual(peer.recv(100), b"a\nb\n")

    def test_a_connection_that_is_lost_is_no_end(self):
        for framing, sent, whole in (("lines", b"one\nhal", b"one\n"), ("lines", b"one\n", b"one\n"),
                                     ("length32", struct.pack("<I", 3) + b"one", b"one\n")):
            with self.subTest(framing=framing, sent=sent):
                server = socket.create_server(("127.0.0.1", 0))
                client = socket.create_connection(server.getsockname())
                ours, _ = server.accept()
                receiver = self.start("recv", f"fd:{ours.fileno()}?framing={framing}",
                                      pass_fds=[ours.fileno()])
                client.send(sent)
                self.assertEqual(self.read(receiver, len(whole)), whole)
                # Not closed, but cut off.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                ours.close()
                server.close()
                self.assertEqual(self.finish(receiver)[:2], (VANISHED, b""))

    def test_lengths_before_messages(self):
        messages = [b"first", b"", b"x" * 300, b"last"]
        heads = {"length32": lambda n: struct.pack("<I", n),
                 "length32be": lambda n: struct.pack(">I", n), "varint": varint}
        for framing, head in heads.items():
            wire = b"".join(head(len(m)) + m for m in messages)
            with self.subTest(framing=framing, way="in"):
                path = self.path(framing)
                receiver = self.start("recv", f"unix:{path}?framing={framing}")
                client = self.connect(path)
                for byte in wire:  # a slow dribble
                    client.send(bytes([byte]))
                client.close()
                self.assertEqual(self.finish(receiver),
                                 (OK, b"".join(m + b"\n" for m in messages), ""))
            with self.subTest(framing=framing, way="out"):
                path = self.path(framing + "-out")
                server = socket.socket(socket.AF_UNIX)
                self.addCleanup(server.close)
                server.bind(path)
                server.listen()
                sender = self.start("send", f"unix:{path}?framing={framing}")
                self.feed(sender, b"".join(m + b"\n" for m in messages))
                peer, _ = server.accept()
                with peer, peer.makefile("rb") as stream:
                    self.assertEqual(stream.read(), wire)
                self.assertEqual(sender.wait(), OK)

    def test_a_peer_that_stops_amid_a_message(self):
        path = self.path("socket")
        receiver = self.start("recv", f"unix:{path}?framing=length32")
        client = self.connect(path)
        client.send(struct.pack("<I", 5) + b"whole" + struct.pack("<I", 5) + b"ha")
        client.close()
        code, out, said = self.finish(receiver)
        self.assertEqual((code, out), (VANISHED, b"whole\n"), said)

    def test_a_peer_that_announces_the_impossible(self):
        path = self.path("socket")
        receiver = self.start("recv", f"unix:{path}?framing=length32&max=1KiB")
        client = self.connect(path)
        client.send(struct.pack("<I", 5) + b"whole" + struct.pack("<I", 2**31) + b"ha")
        code, out, said = self.finish(receiver)  # at once: it does not wait for two gigabytes
        self.assertEqual((code, out), (CORRUPT, b"whole\n"), said)


class Checksums(ProgramTest):
    def test_a_byte_that_changes_on_its_way(self):
        sender = self.start("send", "fd:1?crc=1")
        code, wire, said = self.finish(sender, b"first\nsecond\n")
        self.assertEqual(code, OK, said)
        self.assertEqual(self.run_rondo("recv", "fd:0", data=wire), (OK, b"first\nsecond\n", ""))
        self.assertEqual(self.run_rondo("recv", "fd:0?crc=1", data=wire)[0], OK)
        wrong = wire.replace(b"second", b"sekond")
        code, out, _ = self.run_rondo("recv", "fd:0", data=wrong)
        self.assertEqual((code, out), (CORRUPT, b"first\n"))

    def test_who_insists_on_them(self):
        _, wire, _ = self.finish(self.start("send", "fd:1"), b"first\n")
        code, out, _ = self.run_rondo("recv", "fd:0?crc=1", data=wire)
        self.assertEqual((code, out), (CORRUPT, b""))


class Options(ProgramTest):
    def test_what_does_not_go_together(self):
        for options, word in (("framing=lines&crc=1", "crc=1"), ("block=4KiB", "framing=raw"),
                              ("framing=xml", "lines"),
                              ("framing=raw&block=1MiB&capacity=64KiB", "capacity")):
            code, _, said = self.run_rondo("recv", "fd:0?" + options, data=b"")
            self.assertIn(code, (USAGE, CANNOT_OPEN))
            self.assertIn(word, said)


if __name__ == "__main__":
    main()
