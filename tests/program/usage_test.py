"""Wrong options, addresses and capacities are refused with what would be right."""

import os
import re
import subprocess

from support import BIN, CANNOT_OPEN, OK, ROOT, USAGE, ProgramTest, main


class Help(ProgramTest):
    def test_help_is_worth_reading(self):
        code, out, said = self.run_rondo("--help")
        self.assertEqual((code, said), (OK, ""))
        for word in (b"rondo send shm:names", b"rondo recv shm:names | grep", b"Exit codes",
                     b"unix:PATH", b"send", b"recv", b"ls", b"info", b"rm"):
            self.assertIn(word, out)

    def test_each_command_has_help(self):
        for command in ("send", "recv", "ls", "info", "rm", "bench"):
            code, out, said = self.run_rondo(command, "--help")
            self.assertEqual((code, said), (OK, ""))
            self.assertTrue(out.splitlines()[1].startswith(b"Usage: rondo " + command.encode())
                            or b"\nUsage: rondo " + command.encode() in out, out)

    def test_help_fits_a_hundred_columns(self):
        for arguments in (["--help"], ["send", "--help"], ["recv", "--help"], ["bench", "--help"]):
            _, out, _ = self.run_rondo(*arguments)
            self.assertEqual([line for line in out.decode().splitlines() if len(line) > 100], [])

    def test_no_command_is_an_error_that_helps(self):
        code, out, said = self.run_rondo()
        self.assertEqual((code, out), (USAGE, b""))
        self.assertIn("Usage: rondo COMMAND", said)

    def test_version(self):
        code, out, _ = self.run_rondo("--version")
        self.assertEqual(code, OK)
        self.assertRegex(out.decode(), r"^rondo \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.run_rondo("-V"), (OK, out, ""))

    def test_version_tells_a_library_that_is_not_of_its_headers(self):
        _, out, _ = self.run_rondo("--version")
        headers = out.decode().split()[1]
        major, minor, patch = headers.split(".")
        other = subprocess.run([os.path.join(BIN, "rondo_other_library"), "--version"],
                               capture_output=True, check=True, timeout=60)
        self.assertEqual(other.stdout.decode(),
                         f"rondo {major}.{minor}.{int(patch) + 7}, "
                         f"compiled with the headers of {headers}\n")

    def test_help_is_a_command_too(self):
        self.assertEqual(self.run_rondo("help"), self.run_rondo("--help"))
        for command in ("send", "recv", "ls", "info", "rm", "bench"):
            self.assertEqual(self.run_rondo("help", command), self.run_rondo(command, "--help"))


class Refused(ProgramTest):
    def refused(self, *arguments, saying, code=USAGE):
        with self.subTest(arguments=arguments):
            got, out, said = self.run_rondo(*arguments, data=b"")
            self.assertEqual((got, out), (code, b""), said)
            for word in saying:
                self.assertIn(word, said)
            self.assertTrue(said.startswith("rondo"), said)

    def test_commands_and_options(self):
        self.refused("sned", "shm:x", saying=["'sned' is not a command", "send"])
        self.refused("send", saying=["URL is required"])
        self.refused("send", "--frmat", "lines", "shm:x", saying=["--frmat", "--help"])
        self.refused("send", "--format", "words", "shm:x", saying=["lines, records, blocks"])
        for count in ("0", "-1", "x", "1.5", "99999999999999999999"):
            self.refused("recv", "--count", count, "shm:x", saying=["from 1 up", count])
        for seconds in ("-1", "soon", "nan"):
            self.refused("recv", "--wait", seconds, "shm:x", saying=["seconds", seconds])
        for size in ("0", "-1", "1QiB", "64 potatoes", "99999999999999999999"):
            self.refused("send", "-f", "blocks", "-b", size, "shm:x", saying=["64KiB", size])
        self.refused("send", "--block-size", "4096", "shm:x", saying=["--format blocks"])

    def test_what_comes_before_a_command(self):
        self.refused("--frob", saying=["'--frob' is not an option", "send, recv"])
        self.refused("-z", "send", "shm:x", saying=["'-z' is not an option", "send, recv"])
        self.refused("-q", "send", "shm:x", saying=["-q comes behind the command"])
        self.refused("--count=3", "recv", saying=["--count=3 comes behind the command"])
        self.refused("help", "sned", saying=["'sned' is not a command", "send"])

    def test_the_argument_that_is_wrong_is_named(self):
        for arguments in (["-z"], ["-z", "shm:x"], ["shm:x", "-z"], ["-kz", "shm:x"]):
            self.refused("send", *arguments, saying=["'-z' is not an option of rondo send\n"])
        self.refused("recv", "shm:x", "--frob=1",
                     saying=["'--frob' is not an option of rondo recv"])
        self.refused("recv", "--receivers", "3", "shm:x", saying=["'--receivers'", "rondo send"])
        self.refused("send", "--policy", "lossy", "shm:x", saying=["'--policy'", "rondo recv"])
        self.refused("send", "shm:x", "shm:y",
                     saying=["'shm:y' is one argument too many", "one URL"])
        self.refused("recv", "--count", "3", "4", "shm:x",
                     saying=["'shm:x' is one argument too many"])
        self.refused("ls", "shm:x", saying=["'shm:x' is one argument too many", "none"])
        self.refused("recv", "shm:x", "--count", saying=["--count needs a value"])
        self.refused("recv", "shm:x", "-n", saying=["-n needs a value"])
        for command in ("send", "recv", "info", "rm"):
            self.refused(command, saying=["URL is required", "shm:NAME"])

    def test_addresses(self):
        for command in ("send", "recv", "info", "rm"):
            self.refused(command, "names", saying=["names", "shm:"])
            self.refused(command, "smh:names", saying=["smh", "shm"])
            self.refused(command, "shm:", saying=["shm:", "name"])
            self.refused(command, "shm:a/b", saying=["a/b"])
            self.refused(command, "shm:x?colour=red", saying=["colour", "capacity"])
        self.refused("info", "unix:/tmp/x", saying=["shm:", "file:"])
        self.refused("info", "shm+guarded:/tmp/x", saying=["sender's own info()"])

    def test_capacities(self):
        for capacity in ("0", "1", "1000", "-1", "much", "1EiB"):
            self.refused("send", f"{self.url}?capacity={capacity}", saying=["capacity"])
            self.assertFalse(self.exists())

    def test_what_is_not_there(self):
        for command in ("info", "rm"):
            self.refused(command, self.url, saying=[self.name], code=CANNOT_OPEN)
            self.refused(command, "file:" + self.path("none"), saying=["none"], code=CANNOT_OPEN)
        self.refused("send", "file:/no/such/directory/ring", saying=["/no/such/directory"],
                     code=CANNOT_OPEN)
        self.refused("recv", "fd:99", saying=["99"], code=CANNOT_OPEN)

    def test_what_is_no_channel(self):
        with open(self.file_of(self.name), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(b"something else" * 1000)
        for command in ("send", "recv"):
            self.refused(command, self.url, saying=[self.name, "not a Rondo segment"],
                         code=CANNOT_OPEN)
        self.assertTrue(self.exists())  # it is not ours to remove

    def test_an_empty_file_under_a_channels_name(self):
        with open(self.file_of(self.name), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
        self.refused("send", self.url, saying=[self.name], code=CANNOT_OPEN)

    def test_another_capacity_than_the_channel_has(self):
        self.run_rondo("send", "--keep", self.url + "?capacity=64KiB", data=b"1\n")
        self.refused("send", self.url + "?capacity=1MiB", saying=["64KiB", "1MiB"],
                     code=CANNOT_OPEN)


class Readme(ProgramTest):
    """The README shows code that is compiled, commands that exist, and exit codes as they are."""

    def read(self, *path):
        with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
            return file.read()

    def test_its_code_is_that_of_the_examples(self):
        blocks = re.findall(r"```cpp\n(.*?)```", self.read("README.md"), re.DOTALL)
        for example in ("send.cpp", "receive.cpp"):
            code = self.read("examples", "hello", example)
            self.assertTrue(any(code.strip() in block for block in blocks), example)

    def test_the_examples_run(self):
        examples = os.path.join(BIN, "examples")
        self.names.append("hello")
        receive = self.start_program(os.path.join(examples, "hello_receive"))
        self.assertEqual(self.finish(self.start_program(os.path.join(examples, "hello_send")))[0], 0)
        self.assertEqual(self.finish(receive), (0, b"hello\nshared\nmemory\n", ""))
        loop = self.start_program(os.path.join(examples, "event_loop"), "shm:hello")
        self.assertEqual(self.finish(self.start_program(os.path.join(examples, "hello_send")))[0], 0)
        # Its input stays open: the end of that ends it, too.
        self.assertEqual((loop.stdout.read(), loop.wait()), (b"hello\nshared\nmemory\n", 0))
        tasks = self.start_program(os.path.join(examples, "tasks"), "shm:hello")
        self.assertEqual(self.finish(self.start_program(os.path.join(examples, "hello_send")))[0], 0)
        self.assertEqual(self.finish(tasks)[:2],
                         (0, b"shm:hello: hello\nshm:hello: shared\nshm:hello: memory\n"
                             b"shm:hello: the sender ended the stream\n"))
        uring = os.path.join(examples, "liburing")
        if os.path.exists(uring):  # where its library is
            loop = self.start_program(uring, "shm:hello")
            self.assertEqual(self.finish(self.start_program(os.path.join(examples, "hello_send")))[0],
                             0)
            self.assertIn(self.finish(loop), ((0, b"hello\nshared\nmemory\n", ""),
                                              (2, b"", "no io_uring here\n")))
        asio = os.path.join(examples, "asio")
        if os.path.exists(asio):
            self.names.append("copies")
            passing = self.start_program(asio, "shm:hello", "shm:copies")
            copies = self.start("recv", "shm:copies")
            self.assertEqual(self.finish(self.start_program(os.path.join(examples, "hello_send")))[0],
                             0)
            self.assertEqual(self.finish(copies)[:2], (0, b"hello\nshared\nmemory\n"))
            self.assertEqual(self.finish(passing), (0, b"3 messages\n", ""))
        feeds = [self.new_name() for _ in range(4)]
        for i, feed in enumerate(feeds):
            lines = "".join(f"{time} of {i}\n" for time in range(100 + i, 140, 4))
            self.assertEqual(self.run_rondo("send", "--keep", "shm:" + feed, data=lines.encode())[0], 0)
        merged = self.start_program(os.path.join(examples, "merged_feeds"),
                                    *("shm:" + feed for feed in feeds))
        expected = "".join(f"{time} of {time % 4}\n" for time in range(100, 140))
        self.assertEqual(self.finish(merged), (0, expected.encode(), ""))
        ring = self.start_program(os.path.join(examples, "ring_in_process"))
        self.assertEqual(self.finish(ring)[:2], (0, b"10000000 trades, mean price 100\n"))


if __name__ == "__main__":
    main()
