"""rondo ls, info and rm: what stands in shared memory, and who is there."""

import json
import os
import signal
import subprocess

from support import CANNOT_OPEN, OK, ProgramTest, main, until


class Ls(ProgramTest):
    def entry(self):
        code, out, _ = self.run_rondo("ls", "--json")
        self.assertEqual(code, OK)
        found = [entry for entry in json.loads(out) if entry["name"] == self.url]
        return found[0] if found else None

    def test_lists_channels_with_the_living_and_the_dead(self):
        sender = self.start("send", self.url + "?capacity=64KiB")
        receiver = self.start("recv", self.url)
        self.await_alive("producer", sender.pid)
        self.await_alive("consumer", receiver.pid)
        entry = self.entry()
        self.assertEqual((entry["kind"], entry["capacity"], entry["mode"]),
                         ("record", 65536, "0600"))
        self.assertEqual({(p["role"], p["pid"], p["alive"]) for p in entry["participants"]},
                         {("producer", sender.pid, True), ("consumer", receiver.pid, True)})

        receiver.kill()
        receiver.wait()
        self.assertEqual({(p["role"], p["alive"]) for p in self.entry()["participants"]},
                         {("producer", True), ("consumer", False)})
        _, out, _ = self.run_rondo("ls")
        line = [line for line in out.decode().splitlines() if line.startswith(self.url + " ")][0]
        self.assertIn("64 KiB", line)
        self.assertIn(f"{sender.pid}", line)
        self.assertIn(f"{receiver.pid} (died)", line)

    def test_one_that_may_not_be_read_is_not_called_unsound(self):
        self.run_rondo("send", "--keep", self.url, data=b"one\n")
        os.chmod(self.file_of(self.name), 0)
        # Root may read everything: so it looks as another user then.
        other = {"user": 65533, "group": 65533} if os.geteuid() == 0 else {}
        code, out, _ = self.run_rondo("ls", **other)
        self.assertEqual(code, OK)
        line = [line for line in out.decode().splitlines() if line.startswith(self.url + " ")][0]
        self.assertIn("not readable", line)
        self.assertNotIn("unsound", line)

    def test_what_is_gone_is_not_listed(self):
        self.assertIsNone(self.entry())

    def test_garbage_is_listed_with_its_problem(self):
        with open(self.file_of(self.name), "wb") as file:
            file.write(b"x" * 10000)
        self.assertIn("not a Rondo segment", self.entry()["problem"])
        code, out, said = self.run_rondo("ls")
        self.assertEqual(code, OK)
        self.assertIn(f"{self.url} ", out.decode())
        self.assertIn("not a Rondo segment", said)


class Info(ProgramTest):
    def test_shows_geometry_contents_and_participants(self):
        self.run_rondo("send", "--keep", self.url + "?capacity=128KiB", data=b"one\ntwo\n")
        code, out, said = self.run_rondo("info", self.url)
        self.assertEqual((code, said), (OK, ""))
        for words in (self.url, "128 KiB", "sent            2 messages", "mode 0600",
                      "participants    none"):
            self.assertIn(words, out.decode())
        json_info = self.info()
        self.assertEqual((json_info["messages"], json_info["capacity"]), (2, 131072))
        self.assertGreater(json_info["pending_bytes"], 6)

    def test_of_each_of_several_readers_its_process_and_how_far_it_is_behind(self):
        sender = self.start("send", "--receivers", "1", self.url + "?readers=3")
        receiver = self.start("recv", "--name", "slowpoke", self.url, stdout=subprocess.PIPE)
        self.await_alive("consumer", receiver.pid)
        receiver.send_signal(signal.SIGSTOP)
        self.write(sender, b"line\n" * 10000)
        self.await_messages(10000)
        info = self.info()
        reader = info["readers"][0]
        self.assertEqual((reader["name"], reader["participant"], reader["pid"], reader["alive"]),
                         ("slowpoke", "slowpoke", receiver.pid, True))
        self.assertGreaterEqual(info["pending_bytes"], 10000 * 8)
        self.assertEqual(info["pending_bytes"], reader["behind_bytes"])
        self.assertEqual(reader["before"] + reader["received"] + reader["lost"]
                         + reader["to_come"], 10000)
        shown = self.run_rondo("info", self.url)[1].decode()
        self.assertRegex(shown, rf"reader 0 slowpoke +reliable, alive \(slowpoke {receiver.pid}\): ")
        self.assertRegex(shown, r"unread +[0-9,]{6,} bytes, headers included, by the slowest")

    def test_says_so_when_all_have_died(self):
        sender = self.start("send", self.url + "?readers=2")
        receiver = self.start("recv", self.url)
        self.await_alive("consumer", receiver.pid)
        self.assertFalse(self.info()["abandoned"])
        self.assertNotIn("abandoned", self.run_rondo("info", self.url)[1].decode())
        for process in (sender, receiver):
            process.kill()
            process.wait()
        info = self.info()
        self.assertTrue(info["abandoned"])
        # It is still waited for, so it is still shown, with the process that it was.
        self.assertEqual([(r["alive"], r["pid"]) for r in info["readers"]],
                         [(False, receiver.pid)])
        shown = self.run_rondo("info", self.url)[1].decode()
        self.assertIn("abandoned       all who took part have died", shown)
        self.assertIn(f"died (rondo {receiver.pid})", shown)

    def test_works_on_files(self):
        url = "file:" + self.path("ring")
        self.run_rondo("send", "--keep", url, data=b"one\n")
        self.assertEqual(self.info(url)["messages"], 1)
        self.assertEqual(self.run_rondo("rm", url)[0], OK)
        self.assertFalse(os.path.exists(self.path("ring")))


class Rm(ProgramTest):
    def test_removes_what_was_left_behind(self):
        self.run_rondo("send", "--keep", self.url, data=b"one\n")
        self.assertEqual(self.run_rondo("rm", self.url), (OK, b"", ""))
        self.assertFalse(self.exists())

    def test_refuses_while_a_participant_is_attached(self):
        sender = self.start("send", self.url)
        self.await_alive("producer", sender.pid)
        code, _, said = self.run_rondo("rm", self.url)
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn(self.name, said)
        self.assertTrue(self.exists())

    def test_force_takes_the_name_and_those_attached_go_on(self):
        sender = self.start("send", self.url)
        receiver = self.start("recv", self.url)
        self.write(sender, b"1\n")
        self.assertEqual(self.read(receiver, 2), b"1\n")
        self.assertEqual(self.run_rondo("rm", "--force", self.url)[0], OK)
        self.assertFalse(self.exists())
        self.assertEqual(self.finish(sender, b"2\n")[0], OK)
        self.assertEqual(self.finish(receiver)[:2], (OK, b"2\n"))

    def test_after_a_kill_nothing_stands_in_the_way(self):
        sender = self.start("send", self.url)
        self.await_alive("producer", sender.pid)
        sender.kill()
        sender.wait()
        self.assertTrue(self.exists())
        self.assertEqual(self.run_rondo("rm", self.url)[0], OK)
        self.assertFalse(self.exists())

    def test_of_a_guarded_ring_what_a_killed_sender_left_behind(self):
        path = self.path("ring")
        url = "shm+guarded:" + path
        sender = self.start("send", url)
        until(lambda: os.path.exists(path) and self.run_rondo("rm", url)[0] == CANNOT_OPEN,
              "its sender listens")
        code, _, said = self.run_rondo("rm", url)
        self.assertEqual(code, CANNOT_OPEN)
        self.assertIn("has a sender", said)
        sender.kill()
        sender.wait()
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.run_rondo("rm", url), (OK, b"", ""))
        self.assertFalse(os.path.exists(path))

    def test_of_a_guarded_ring_nothing_else(self):
        path = self.path("ring")
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        self.assertEqual(self.run_rondo("rm", "--force", "shm+guarded:" + path)[0], CANNOT_OPEN)
        self.assertTrue(os.path.exists(path))


if __name__ == "__main__":
    main()
