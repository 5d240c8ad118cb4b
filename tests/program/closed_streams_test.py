"""Started with closed standard streams, as daemons are, the program keeps the numbers free of
channels: what it says can't get into one."""

import os

from support import IN_OUT, OK, ProgramTest, die_with_parent, main

WORDS = b"".join(b"word %d\n" % i for i in range(2000))


def closing(streams):
    def close():
        die_with_parent()
        for stream in streams:
            os.close(stream)
    return close


class ClosedStreams(ProgramTest):
    def channels(self):
        yield self.url
        yield "shm:" + self.new_name() + "?kind=mpmc&slots=4096&slot_size=64"
        yield "shm:" + self.new_name() + "?readers=3"
        yield "file:" + self.path("file")
        yield "fifo:" + self.path("fifo")
        yield "unix:" + self.path("unix")
        yield "shm+guarded:" + self.path("guarded")

    def start_closed(self, *arguments, streams):
        return self.start(*arguments, preexec_fn=closing(streams))

    def test_what_is_said_does_not_get_into_the_channel(self):
        for url in self.channels():
            with self.subTest(url=url):
                sender = self.start_closed("send", "--progress", url, streams=[1, 2])
                receiver = self.start_closed("recv", "--progress", url, streams=[0, 2])
                self.feed(sender, WORDS)
                code, out, _ = self.finish(receiver)
                self.assertEqual((code, out), (OK, WORDS))
                self.assertEqual(self.finish(sender)[0], OK)

    def test_without_input_nothing_is_sent(self):
        code, _, _ = self.finish(self.start_closed("send", "--keep", self.url, streams=[0, 1, 2]))
        self.assertEqual(code, IN_OUT)
        self.assertEqual(self.info()["messages"], 0)

    def test_no_channel_has_a_low_number(self):
        for url in self.channels():
            with self.subTest(url=url):
                sender = self.start_closed("send", url, streams=[1, 2])
                receiver = self.start_closed("recv", url, streams=[0, 2])
                self.write(sender, b"first\n")
                self.assertEqual(self.read(receiver, 6), b"first\n")  # both are in
                for process, streams in ((sender, [1, 2]), (receiver, [0, 2])):
                    for stream in streams:
                        self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{stream}"), "/")
                sender.stdin.close()
                sender.stdin = None
                self.assertEqual(self.finish(receiver)[0], OK)
                self.assertEqual(self.finish(sender)[0], OK)


if __name__ == "__main__":
    main()
