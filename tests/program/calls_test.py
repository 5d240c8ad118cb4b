"""rondo call and rondo serve: questions, answers, refusals, and who is lost in between."""

import hashlib
import os
import signal

from support import IN_OUT, OK, TIMED_OUT, USAGE, VANISHED, ProgramTest, main, until

REFUSED = 8


class Calls(ProgramTest):
    def clean_up(self):
        # A service that was killed leaves its two names.
        for suffix in (".requests", ".replies"):
            self.names.append(self.name + suffix)
        super().clean_up()

    def serve(self, command, *options, url=None):
        return self.start("serve", *options, url or self.url, command)

    def test_each_line_is_answered(self):
        for url in (self.url, "unix:" + self.path("service"), "fifo:" + self.path("service")):
            with self.subTest(url=url):
                service = self.serve("tr a-z A-Z", "--once", url=url)
                self.assertEqual(self.run_rondo("call", url, data=b"hello\n\nworld"),
                                 (OK, b"HELLO\n\nWORLD\n", ""))
                self.assertEqual(self.finish(service)[0], OK)

    def test_one_caller_after_another(self):
        service = self.serve("cat")
        for i in range(3):
            self.assertEqual(self.run_rondo("call", self.url, data=b"%d\n" % i),
                             (OK, b"%d\n" % i, ""))
        service.send_signal(signal.SIGTERM)
        self.assertEqual(service.wait(), -signal.SIGTERM)

    def test_all_of_the_input_as_one_request(self):
        self.serve("md5sum", "--once")
        data = os.urandom(300_000)
        code, out, _ = self.run_rondo("call", "-f", "blocks", self.url, data=data)
        self.assertEqual((code, out.split()[0].decode()), (OK, hashlib.md5(data).hexdigest()))

    def test_a_command_that_refuses(self):
        self.serve("read x; test $x = good && echo fine", "--once")
        code, out, said = self.run_rondo("call", self.url, data=b"bad\ngood\n")
        self.assertEqual((code, out), (REFUSED, b"fine\n\n"))
        self.assertIn("request 1 was refused (1)", said)

    def test_a_command_that_is_not_there(self):
        self.serve("no-such-command-at-all", "--once")
        code, _, said = self.run_rondo("call", self.url, data=b"x\n")
        self.assertEqual(code, REFUSED)
        self.assertIn("(127)", said)

    def test_a_command_that_reads_nothing_and_one_that_says_too_much(self):
        self.serve("echo done", "--once")
        code, out, _ = self.run_rondo("call", "-f", "blocks", self.url, data=b"x" * 400_000)
        self.assertEqual((code, out), (OK, b"done\n"))
        until(lambda: not self.exists(self.name + ".replies"), "the end of the service")
        url = self.url + "?capacity=64KiB"
        self.serve("yes", "--once", url=url)
        code, _, said = self.run_rondo("call", url, data=b"x\n")
        self.assertEqual(code, REFUSED)
        self.assertIn("too large", said)

    def test_who_does_not_wait_so_long(self):
        pid_file = self.path("pid")
        self.serve(f"echo $$ > {pid_file}; exec sleep 1000", "--once")
        code, _, said = self.run_rondo("call", "--wait", "0.5", self.url, data=b"x\n")
        self.assertEqual(code, TIMED_OUT, said)
        with open(pid_file) as file:
            pid = int(file.read())

        def gone():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                return True
        until(gone, "the end of the command that nobody waits for")

    def test_a_service_that_is_killed(self):
        service = self.serve("sleep 1000")
        caller = self.start("call", self.url)
        self.write(caller, b"x\n")
        until(lambda: self.exists(self.name + ".requests"), "the caller")
        until(lambda: (self.info(self.url + ".requests") or {}).get("messages", 0) > 0, "a request")
        service.kill()
        code, _, said = self.finish(caller)
        self.assertEqual(code, VANISHED, said)

    def test_a_request_that_is_too_large(self):
        url = self.url + "?capacity=4KiB"
        self.serve("cat", "--once", url=url)
        code, _, said = self.run_rondo("call", url, data=b"x" * 5000 + b"\n")
        self.assertEqual(code, IN_OUT)
        self.assertIn("capacity=", said)

    def test_wrong_arguments(self):
        for arguments in (("serve", self.url), ("call", "fd:0"), ("call", "pipe:"),
                          ("call", "-f", "records", self.url), ("serve", self.url, "a", "b")):
            code, _, said = self.run_rondo(*arguments, data=b"")
            self.assertEqual(code, USAGE, said)


if __name__ == "__main__":
    main()
