"""tls:, with programs that are not ours at the other end: OpenSSL's own and Python."""

import os
import shutil
import socket
import ssl

from support import CANNOT_OPEN, OK, TIMED_OUT, VANISHED, ProgramTest, free_port, main, until


class Encrypted(ProgramTest):
    def setUp(self):
        super().setUp()
        if shutil.which("openssl") is None:
            self.skipTest("the program openssl is not installed")
        self.port = free_port()
        self.address = f"tls://localhost:{self.port}"
        code, _, said = self.run_rondo("send", self.address, "--wait", "0", data=b"")
        if "has no TLS" in said:
            self.assertEqual(code, CANNOT_OPEN)
            self.assertIn("libssl-dev", said)
            self.skipTest("rondo was built without TLS")
        self.make_certificate("own")

    def openssl(self, *arguments, **options):
        return self.start_program("openssl", *arguments, **options)

    def make_certificate(self, name, host="localhost"):
        made = self.openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2",
                            "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + host,
                            "-addext", "basicConstraints=critical,CA:FALSE",
                            "-keyout", self.key(name), "-out", self.certificate(name))
        code, _, said = self.finish(made)
        self.assertEqual(code, 0, said)
        os.chmod(self.key(name), 0o600)

    def certificate(self, name="own"):
        return self.path(name + ".pem")

    def key(self, name="own"):
        return self.path(name + ".key")

    def url_with(self, *options, shows=None, trusts=None):
        words = list(options)
        if shows:
            words += ["certificate=" + self.certificate(shows), "key=" + self.key(shows)]
        if trusts:
            words.append("ca=" + self.certificate(trusts))
        return self.address + "?" + "&".join(words)

    def wait_until_listening(self):
        """A connection that says nothing keeps nobody waiting."""
        def listening():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        until(listening, "somebody listens")

    # ---- Python's side of it ----

    def client(self, own=None):
        context = ssl.create_default_context(cafile=self.certificate())
        if own:
            context.load_cert_chain(self.certificate(own), self.key(own))
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        peer = context.wrap_socket(peer, server_hostname="localhost", suppress_ragged_eofs=False)
        self.addCleanup(peer.close)
        return peer

    def server(self, client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(), self.key())
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate(client_ca))
        listening = socket.create_server(("127.0.0.1", self.port))
        self.addCleanup(listening.close)
        listening.settimeout(60)
        return context, listening


class Ours(Encrypted):
    def test_a_bridge_goes_both_ways(self):
        key = self.path("psk")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("0123456789abcdef" * 4 + "\n")
        url = self.url_with("psk=" + key)
        waits = self.start("bridge", "--duplex", "fd:0,1?framing=lines", url + "&listen=1")
        comes = self.start("bridge", "--duplex", "fd:0,1?framing=lines", url)
        for here, there in ((waits, comes), (comes, waits)):
            for line in (b"one\n", b"two\n"):
                self.write(here, line)
                self.assertEqual(self.read(there, len(line)), line)
        comes.stdin.close()
        comes.stdin = None
        self.assertEqual(self.finish(waits)[0], OK)
        self.assertEqual(self.finish(comes)[0], OK)


class OpenSslItself(Encrypted):
    def test_its_client_sends(self):
        receiver = self.start("recv", self.url_with("framing=lines", shows="own"))
        self.wait_until_listening()
        client = self.openssl("s_client", "-connect", f"localhost:{self.port}", "-tls1_3",
                              "-verify_return_error", "-CAfile", self.certificate(),
                              "-servername", "localhost", "-verify_hostname", "localhost")
        self.assertEqual(self.finish(client, b"one\ntwo\n")[0], 0)
        self.assertEqual(self.finish(receiver), (OK, b"one\ntwo\n", ""))

    def test_its_server_receives(self):
        lines = b"".join(b"line %d\n" % i for i in range(20_000))
        server = self.openssl("s_server", "-accept", str(self.port), "-tls1_3", "-quiet",
                              "-naccept", "1", "-cert", self.certificate(), "-key", self.key())
        sender = self.start("send", self.url_with("framing=lines", trusts="own"))
        self.feed(sender, lines)
        self.assertEqual(self.read(server, len(lines)), lines)
        self.assertEqual(self.finish(sender)[0], OK)

    def test_a_key_that_both_have(self):
        digits = "0123456789abcdef" * 4
        with open(os.open(self.path("psk"), os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(digits)
        options = ["framing=lines", "psk=" + self.path("psk"), "psk_identity=plant"]
        receiver = self.start("recv", self.url_with(*options))
        self.wait_until_listening()

        def client(key):
            return self.openssl("s_client", "-connect", f"localhost:{self.port}", "-tls1_3",
                                "-psk", key, "-psk_identity", "plant")
        self.assertNotEqual(self.finish(client("ab" * 32), b"forged\n")[0], 0)
        self.assertEqual(self.finish(client(digits), b"one\n")[0], 0)
        self.assertEqual(self.finish(receiver), (OK, b"one\n", ""))

    def test_an_older_protocol(self):
        receiver = self.start("recv", self.url_with("framing=lines", shows="own"), "--wait", "2")
        self.wait_until_listening()
        client = self.openssl("s_client", "-connect", f"localhost:{self.port}", "-tls1_2")
        code, _, said = self.finish(client, b"one\n")
        self.assertNotEqual(code, 0)
        self.assertIn("protocol version", said)
        code, out, said = self.finish(receiver)
        self.assertEqual(out, b"")
        self.assertNotEqual(code, OK)


class Python(Encrypted):
    def test_a_client_that_shows_a_certificate(self):
        self.make_certificate("alice")
        receiver = self.start("recv", self.url_with("framing=lines", shows="own", trusts="alice"))
        self.wait_until_listening()
        peer = self.client("alice")
        peer.sendall(b"one\n" + b"x" * 30_000 + b"\n")
        peer.unwrap()
        self.assertEqual(self.finish(receiver), (OK, b"one\n" + b"x" * 30_000 + b"\n", ""))

    def test_the_end_that_nobody_has_said(self):
        receiver = self.start("recv", self.url_with("framing=lines", shows="own"))
        self.wait_until_listening()
        peer = self.client()
        peer.sendall(b"one\ntwo\n")
        peer.close()
        code, out, _ = self.finish(receiver)
        self.assertEqual((code, out), (VANISHED, b"one\ntwo\n"))

    def test_a_server_hears_the_end(self):
        self.make_certificate("alice")
        context, listening = self.server(client_ca="alice")
        sender = self.start("send", self.url_with("framing=lines", shows="alice", trusts="own"))
        self.feed(sender, b"one\ntwo\n")
        with context.wrap_socket(listening.accept()[0], server_side=True,
                                 suppress_ragged_eofs=False) as peer:
            self.assertEqual(peer.getpeercert()["subject"], ((("commonName", "alice"),),))
            data = b""
            while piece := peer.recv(1 << 16):  # raises where the end was not said
                data += piece
            self.assertEqual(data, b"one\ntwo\n")
        self.assertEqual(self.finish(sender)[0], OK)


class OurOwn(Encrypted):
    def test_both_ends(self):
        receiver = self.start("recv", self.url_with(shows="own"))
        sent = self.run_rondo("send", self.url_with(trusts="own"), data=b"one\ntwo\n")
        self.assertEqual((sent[0], sent[1]), (OK, b""))
        self.assertEqual(self.finish(receiver)[:2], (OK, b"one\ntwo\n"))

    def test_a_stranger_is_told_and_told_of(self):
        self.make_certificate("stranger")
        receiver = self.start("recv", self.url_with(shows="own", trusts="own"), "--wait", "3")
        code, _, said = self.run_rondo("send", self.url_with(shows="stranger", trusts="own"), data=b"x\n")
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("does not trust who has issued our certificate", said)
        code, out, _ = self.finish(receiver)
        self.assertEqual((code, out), (TIMED_OUT, b""))

    def test_a_server_that_is_another(self):
        self.make_certificate("other", host="elsewhere.example")
        receiver = self.start("recv", self.url_with(shows="other"))
        self.wait_until_listening()
        code, _, said = self.run_rondo("send", self.url_with(trusts="other"), data=b"x\n")
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("hostname mismatch", said)
        self.assertIsNone(receiver.poll())


if __name__ == "__main__":
    main()
