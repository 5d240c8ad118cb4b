"""rondo call and rondo serve: questions, answers, refusals, and who is lost in between."""

import fcntl
import hashlib
import os
import select
import signal
import struct
import termios

from support import (IN_OUT, OK, TIMED_OUT, USAGE, VANISHED, ProgramTest, die_with_parent, main,
                     until)

REFUSED = 8
# Kinds of messages (call.hpp).
REQUEST, REPLY, CANCEL, HELLO = 1, 2, 4, 5


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
        self.await_end(self.pid_in(pid_file))

    def test_a_caller_that_is_killed_ends_the_command(self):
        service, caller, pid = self.start_long_work("--once")
        caller.kill()
        self.await_end(pid)
        self.assertEqual(self.finish(service)[0], VANISHED)

    def test_nothing_of_those_who_were_killed_is_asked_or_answered_again(self):
        service, caller, _ = self.start_long_work()
        self.write(caller, b"old\n" * 10)
        caller.kill()
        service.kill()
        caller.wait()
        service.wait()
        log = self.path("log")
        service = self.serve(f"tee -a {log}", "--once")
        self.assertEqual(self.run_rondo("call", self.url, data=b"new\n"), (OK, b"new\n", ""))
        self.assertEqual(self.finish(service)[0], OK)
        with open(log, "rb") as file:
            self.assertEqual(file.read(), b"new")

    def test_callers_in_quick_succession(self):
        self.serve("cat")
        for i in range(100):
            data = b"%d\n" % i
            self.assertEqual(self.run_rondo("call", "--wait", "30", self.url, data=data),
                             (OK, data, ""))

    def test_a_question_that_was_not_all_read_is_not_asked(self):
        log = self.path("log")
        service = self.serve(f"cat > {log}", "--once")
        caller = self.start("call", "-f", "blocks", self.url)
        self.write(caller, b"rm -rf /tmp/")
        unread = bytearray(4)

        def all_read():
            fcntl.ioctl(caller.stdin, termios.FIONREAD, unread)
            return not any(unread)
        until(all_read, "the caller has read it")
        caller.send_signal(signal.SIGTERM)
        self.assertEqual(caller.wait(), -signal.SIGTERM)
        self.finish(service)
        self.assertFalse(os.path.exists(log))
        directory = os.open(self.directory.name, os.O_RDONLY)
        self.addCleanup(os.close, directory)
        service = self.serve(f"cat > {log}", "--once")
        caller = self.start("call", "-f", "blocks", self.url, stdin=directory)
        self.assertEqual(self.finish(caller)[0], IN_OUT)
        self.finish(service)
        self.assertFalse(os.path.exists(log))

    def test_a_command_that_closes_its_output_and_lives_on(self):
        pid_file = self.path("pid")
        self.serve(f"echo $$ > {pid_file}; exec >&-; exec sleep 1000", "--once")
        code, _, said = self.run_rondo("call", "--wait", "0.5", self.url, data=b"x\n")
        self.assertEqual(code, TIMED_OUT, said)
        self.await_end(self.pid_in(pid_file))

    def test_what_a_command_leaves_behind_is_not_waited_for(self):
        pid_file = self.path("pid")
        self.serve(f"sleep 1000 & echo $! > {pid_file}; echo done", "--once")
        code, out, said = self.run_rondo("call", self.url, data=b"x\n")
        os.kill(self.pid_in(pid_file), signal.SIGKILL)
        self.assertEqual((code, out), (OK, b"done\n\n"), said)

    def test_where_the_ends_of_children_are_ignored(self):
        def ignore():
            die_with_parent()
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.start("serve", "--once", self.url, "cat; exit 3", preexec_fn=ignore)
        code, _, said = self.run_rondo("call", self.url, data=b"x\n")
        self.assertEqual(code, REFUSED)
        self.assertIn("(3)", said)

    def start_long_work(self, *options):
        """A service whose command works for long on the first question: it, its caller, the command."""
        pid_file = self.path("work")
        service = self.serve(f"echo $$ > {pid_file}; exec sleep 1000", *options)
        caller = self.start("call", self.url)
        self.write(caller, b"x\n")
        pid = self.pid_in(pid_file)
        self.addCleanup(self.kill_if_there, pid)
        return service, caller, pid

    def kill_if_there(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().startswith(b"sleep"):
                    os.kill(pid, signal.SIGKILL)
        except OSError:
            pass

    def ask_by_hand(self, *options):
        """A caller that is none of ours, with a session (call.hpp): the service, a function that
        sends, and one that takes what the service says."""
        service, heard = self.start_heard("serve", *options, self.url, self.command)
        asks = self.start("send", "-f", "records", self.url + ".requests")
        hears = self.start("recv", "-f", "records", self.url + ".replies")

        def say(number, kind, value=0, text=b""):
            message = struct.pack("<QII", number, kind, value) + text
            self.write(asks, struct.pack("<I", len(message)) + message)

        def hear():
            while True:
                size, = struct.unpack("<I", self.read(hears, 4))
                message = self.read(hears, size)
                head = struct.unpack("<QII", message[:16])
                if head[1] != HELLO:  # which was said again and again
                    return head, message[16:]

        # Either side opens its ends anew until both are there.
        while True:
            say(1, HELLO)
            if not select.select([hears.stdout], [], [], 0.1)[0]:
                continue
            size = os.read(hears.stdout.fileno(), 4)
            if not size:
                hears = self.start("recv", "-f", "records", self.url + ".replies")
                continue
            self.assertEqual(size, struct.pack("<I", 16))
            session, kind, value = struct.unpack("<QII", self.read(hears, 16))
            if (session, kind) == (1, HELLO) and value != 0:
                say(1, HELLO, value)
                return service, heard, asks, say, hear

    def test_a_request_that_is_cancelled_ends_the_command(self):
        pid_file = self.path("work")
        self.command = (f"read x; test $x = short && echo done && exit; echo $$ > {pid_file}; "
                        "exec sleep 1000")
        service, heard, asks, say, hear = self.ask_by_hand("--once")
        say(7, REQUEST, text=b"long")
        pid = self.pid_in(pid_file)
        self.addCleanup(self.kill_if_there, pid)
        say(8, REQUEST, text=b"long")
        say(9, REQUEST, text=b"short")
        say(8, CANCEL)
        say(7, CANCEL)
        self.await_end(pid)
        self.assertEqual(hear(), ((9, REPLY, 0), b"done\n"))
        self.assertEqual(self.finish(asks)[0], OK)
        self.assertEqual(service.wait(), OK)
        self.assertIn("2 requests were not answered", heard())

    def test_what_nobody_waits_for_is_not_begun_with(self):
        log = self.path("log")
        pid_file = self.path("work")
        self.command = (f"read x; echo $x >> {log}; test $x = short && exit; echo $$ > {pid_file}; "
                        "exec sleep 1000")
        service, heard, asks, say, hear = self.ask_by_hand("--once")
        say(7, REQUEST, text=b"long")
        pid = self.pid_in(pid_file)
        self.addCleanup(self.kill_if_there, pid)
        say(8, REQUEST, 1, b"late")  # nobody waits longer for its answer than a microsecond
        say(9, REQUEST, text=b"short")
        say(7, CANCEL)
        self.assertEqual(hear()[0], (9, REPLY, 0))
        self.assertEqual(self.finish(asks)[0], OK)
        self.assertEqual(service.wait(), OK)
        self.assertIn("2 requests were not answered", heard())
        with open(log, "rb") as file:
            self.assertEqual(file.read(), b"long\nshort\n")

    def test_what_a_caller_that_was_killed_has_asked_is_not_begun_with(self):
        log = self.path("log")
        pid_file = self.path("work")
        self.command = f"echo >> {log}; echo $$ > {pid_file}; exec sleep 1000"
        service, heard, asks, say, _ = self.ask_by_hand("--once")
        for number in range(10, 20):
            say(number, REQUEST, text=b"work")
        pid = self.pid_in(pid_file)
        self.addCleanup(self.kill_if_there, pid)
        self.await_sleeps(service)  # it has seen those behind, too
        for process in self.processes:
            if process is not service:
                process.kill()
                process.wait()
        self.assertEqual(service.wait(), VANISHED, heard())
        self.assertIn("10 requests were not answered", heard())
        with open(log, "rb") as file:
            self.assertEqual(file.read(), b"\n")

    def test_requests_behind_one_that_is_worked_on_are_answered_in_turn(self):
        self.command = "sleep 0.2; cat"
        service, _, asks, say, hear = self.ask_by_hand("--once")
        for number in range(10, 15):
            say(number, REQUEST, text=b"%d" % number)
        self.assertEqual(self.finish(asks)[0], OK)  # the end of the requests, not of the answers
        for number in range(10, 15):
            self.assertEqual(hear(), ((number, REPLY, 0), b"%d" % number))
        self.assertEqual(service.wait(), OK)

    def pid_in(self, path):
        def written():
            try:
                with open(path) as file:
                    return file.read().endswith("\n")
            except OSError:
                return False
        until(written, "the command")
        with open(path) as file:
            return int(file.read())

    def await_end(self, pid):
        def gone():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                return True
        until(gone, "the end of the command that nobody waits for")

    def test_a_service_that_is_killed(self):
        service, caller, _ = self.start_long_work()
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
