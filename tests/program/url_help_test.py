"""What the program, the header and the page say of URLs is one text, made from the library's tables.

To write what the program prints into the other two: python3 tests/program/url_help_test.py --update
(RONDO_BIN says where the program is, if not in build/dev/bin)."""

import os
import re
import subprocess
import sys
import unittest

from support import RONDO, ROOT, main

HEADER = "transports/include/rondo/transports/url.hpp"
PAGE = "docs/transports.md"
# What stands before the text and behind it.
MARKS = {
    HEADER: ("// From here on what `rondo help options` prints.\n", "#pragma once\n"),
    PAGE: ("<!-- what `rondo help options` prints -->\n", "<!-- so far -->\n"),
}


def printed(*arguments):
    return subprocess.run([RONDO, *arguments], check=True, capture_output=True,
                          encoding="utf-8").stdout


def as_it_stands_in(name, text):
    if name == PAGE:
        return f"```text\n{text}```\n"
    return "".join(("// " + line).rstrip() + "\n" for line in text.splitlines())


def parted(name):
    """The file before the text, the text, and what is behind it."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        content = file.read()
    begin, end = MARKS[name]
    before, mark, rest = content.partition(begin)
    text, other_mark, behind = rest.partition(end)
    if not mark or not other_mark:
        raise AssertionError(f"{name} has no lines {begin!r} and {end!r} to put the text between")
    return before + begin, text, end + behind


class UrlHelp(unittest.TestCase):
    maxDiff = None

    def test_header_and_page_have_the_text_that_the_program_prints(self):
        text = printed("help", "options")
        for name in MARKS:
            with self.subTest(file=name):
                self.assertEqual(parted(name)[1], as_it_stands_in(name, text),
                                 f"{name} is not up to date; see the head of this test")

    def test_help_names_all_of_it(self):
        # The first word of each entry, which is less indented than what continues one.
        entries = re.findall(r"^  (\S+)", printed("help", "options"), re.MULTILINE)
        self.assertGreater(len(entries), 30)
        brief = re.findall(r"^  (\S+)", printed("--help"), re.MULTILINE)
        self.assertEqual([entry for entry in entries if entry not in brief], ["option"])

    def test_it_fits_a_comment(self):
        self.assertEqual([line for line in printed("help", "options").splitlines()
                          if len(line) > 97], [])


def update():
    text = printed("help", "options")
    for name in MARKS:
        before, _, behind = parted(name)
        with open(os.path.join(ROOT, name), "w", encoding="utf-8") as file:
            file.write(before + as_it_stands_in(name, text) + behind)


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        main()
