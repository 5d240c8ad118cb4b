"""A channel whose name is taken away under its participants: who waits says so, once, and goes on."""

import os
import signal

from support import OK, ProgramTest, main, until

LOST = "has lost its name"


class LostName(ProgramTest):
    def take_name_away(self, url):
        code, _, said = self.run_rondo("rm", "--force", url)
        self.assertEqual(code, OK, said)

    def check_waiting_receiver(self, url, options):
        sender = self.start("send", url + options)
        receiver, heard = self.start_heard("recv", url + options)
        self.write(sender, b"one\n")
        self.assertEqual(self.read(receiver, 4), b"one\n")
        self.take_name_away(url)
        until(lambda: LOST in heard(), f"the receiver at {url}{options} says it")
        self.feed(sender, b"two\n")
        code, out, _ = self.finish(receiver)
        self.assertEqual((code, out), (OK, b"two\n"))
        self.assertEqual(heard().count(LOST), 1, heard())
        self.assertEqual(self.finish(sender)[0], OK)

    def test_a_receiver_of_each_kind_that_waits_for_messages(self):
        for options in ("", "?readers=2", "?kind=mpmc", "?kind=frames"):
            self.check_waiting_receiver("shm:" + self.new_name(), options)
        self.check_waiting_receiver("file:" + self.path("ring"), "")

    def test_a_sender_that_waits_for_a_receiver(self):
        for options in ("", "?kind=mpmc", "?kind=frames"):
            url = "shm:" + self.new_name()
            sender, heard = self.start_heard("send", url + options)
            until(lambda: self.info(url) is not None, "a channel")
            self.take_name_away(url)
            until(lambda: LOST in heard(), f"the sender at {url}{options} says it")
            sender.kill()

    def test_a_guarded_sender_that_waits_for_a_receiver(self):
        path = self.path("guarded")
        sender, heard = self.start_heard("send", "shm+guarded:" + path)
        until(lambda: os.path.exists(path), "a socket")
        os.unlink(path)
        until(lambda: LOST in heard(), "the sender says it")
        sender.kill()

    def test_a_receiver_of_a_socket_listens_anew(self):
        path = self.path("socket")
        receiver = self.start("recv", "unix:" + path)
        until(lambda: os.path.exists(path), "a socket")
        os.unlink(path)
        until(lambda: os.path.exists(path), "a socket again")
        sender = self.start("send", "unix:" + path)
        self.feed(sender, b"found\n")
        self.assertEqual(self.finish(receiver)[:2], (OK, b"found\n"))
        self.assertEqual(self.finish(sender)[0], OK)

    def test_a_sender_that_waits_for_room_or_for_the_last_messages_to_be_read(self):
        for lines in (10, 10000):
            url = "shm:" + self.new_name()
            text = b"a line\n" * lines
            receiver = self.start("recv", url)
            sender, heard = self.start_heard("send", url + "?capacity=4KiB")
            self.write(sender, b"first\n")
            self.assertEqual(self.read(receiver, 6), b"first\n")
            receiver.send_signal(signal.SIGSTOP)
            self.feed(sender, text)
            until(lambda: self.info(url)["messages"] > min(lines, 100), "a full ring")
            self.take_name_away(url)
            until(lambda: LOST in heard(), "the sender says it")
            receiver.send_signal(signal.SIGCONT)
            code, out, _ = self.finish(receiver)
            self.assertEqual((code, out), (OK, text))
            self.assertEqual(self.finish(sender)[0], OK)
            self.assertEqual(heard().count(LOST), 1, heard())


if __name__ == "__main__":
    main()
