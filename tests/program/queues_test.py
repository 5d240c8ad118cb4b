"""Message queues of the system's, through the program."""

from support import OK, VANISHED, ProgramTest, main


class Queues(ProgramTest):
    def transfer(self, url):
        text = b"".join(b"line %d\n" % i for i in range(5000))
        receiver = self.start("recv", url)
        sender = self.start("send", url)
        self.feed(sender, text)
        self.assertEqual(self.finish(receiver)[:2], (OK, text))
        self.assertEqual(self.finish(sender)[0], OK)
        self.assertNotEqual(self.run_rondo("rm", url)[0], OK)  # nothing is left

    def test_posix(self):
        self.transfer("mq:/" + self.new_name())

    def test_a_sender_that_is_killed(self):
        url = "mq:/" + self.new_name()
        sender = self.start("send", url)
        self.write(sender, b"one\n")
        receiver = self.start("recv", url)
        self.assertEqual(self.read(receiver, 4), b"one\n")
        sender.kill()
        self.assertEqual(self.finish(receiver)[0], VANISHED)

    def test_names(self):
        for url in ("mq:x", "mq:/", "mq:/a/b", "mq:/.."):
            self.assertNotEqual(self.run_rondo("rm", url)[0], OK, url)


if __name__ == "__main__":
    main()
