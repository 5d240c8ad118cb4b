#!/usr/bin/env python3
"""A gate that nobody has seen fire is not a gate: what labels.py must reject, and must accept."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import labels

GOOD = """\
// A ring.
//
//   P1 release tail  ->  C1 acquire tail   a published slot is fully written
#pragma once

struct Part {
  Atomic<std::uint64_t> tail;
};

void publish(Part& part, std::uint64_t tail) {
  // P1 (release, pairs with C1): the slots are written. A comment may well
  // have several lines.
  part.tail.store(tail, std::memory_order_release);
}

std::uint64_t look(const Part& part) {
  // C1 (acquire, pairs with P1): as above.
  return part.tail.load(
      std::memory_order_acquire);
}

void reset(Part& part) {
  // relaxed: nobody looks yet.
  part.tail.store(part.tail.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  part.tail.store(0, std::memory_order_relaxed);
  const Part copy{.tail = 3};
}
"""


def problems_of(*texts, names=("ring.hpp", "other.hpp")):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for text, name in zip(texts, names):
            paths.append(pathlib.Path(folder) / name)
            paths[-1].write_text(text)
        problems, _ = labels.check(paths)
        return list(problems)


class Labels(unittest.TestCase):
    def rejects(self, before, after, because):
        self.assertIn(before, GOOD)
        problems = problems_of(GOOD.replace(before, after))
        self.assertTrue(any(because in problem for problem in problems),
                        f"expected '{because}' among {problems}")

    def test_a_sound_file_has_no_problem(self):
        self.assertEqual(problems_of(GOOD), [])

    def test_a_load_without_an_order(self):
        self.rejects("part.tail.load(\n      std::memory_order_acquire)", "part.tail.load()",
                     "does not write its memory order out")

    def test_an_increment(self):
        self.rejects("part.tail.store(0, std::memory_order_relaxed)", "++part.tail",
                     "hides a seq_cst access")

    def test_an_assignment(self):
        self.rejects("part.tail.store(0, std::memory_order_relaxed)", "part.tail = 0",
                     "hides a seq_cst access")

    def test_a_release_without_a_label(self):
        self.rejects("  // P1 (release, pairs with C1): the slots are written.", "  // Publishes.",
                     "has no label")

    def test_a_label_that_does_not_stand_directly_above(self):
        self.rejects("  // C1 (acquire, pairs with P1): as above.\n",
                     "  // C1 (acquire, pairs with P1): as above.\n  const int one = 1;\n",
                     "has no label")

    def test_a_label_of_another_order_than_the_code(self):
        self.rejects("      std::memory_order_acquire", "      std::memory_order_seq_cst",
                     "C1 says acquire, the code seq_cst")

    def test_a_partner_that_does_not_exist(self):
        self.rejects("(release, pairs with C1)", "(release, pairs with C9)", "does not exist")

    def test_a_partner_that_does_not_name_it_back(self):
        self.rejects("(acquire, pairs with P1)", "(acquire, pairs with C1)", "does not name it back")

    def test_a_label_at_two_operations(self):
        self.rejects("  // relaxed: nobody looks yet.",
                     "  // P1 (release, pairs with C1): again.\n"
                     "  part.tail.store(0, std::memory_order_release);\n"
                     "  // relaxed: nobody looks yet.", "a label stands at one operation only")

    def test_a_label_that_the_table_lacks(self):
        self.rejects("//   P1 release tail  ->  C1 acquire tail", "//   P1 release tail",
                     "is not in the table")

    def test_a_pair_in_the_table_that_the_labels_lack(self):
        self.rejects("->  C1 acquire tail", "->  C1, C2 acquire tail", "the table has C2")

    def test_a_label_at_no_operation(self):
        self.rejects("#pragma once", "#pragma once\n\n// Q1 (release, pairs with C1): none.\nint q;",
                     "Q1 stands at no operation")

    def test_a_relaxed_operation_without_a_reason(self):
        self.rejects("  // relaxed: nobody looks yet.\n", "", "may be relaxed")

    def test_a_constant_without_a_reason(self):
        use = "  constexpr auto kRelaxed = std::memory_order_relaxed;\n\n\n\n" \
              "  part.tail.store(1, kRelaxed);\n"
        copy = "  const Part copy{.tail = 3};\n"
        self.rejects(copy, "\n\n\n" + use, "may be relaxed")
        explained = GOOD.replace(copy, "\n\n\n  // relaxed: nobody looks yet.\n" + use)
        self.assertEqual(problems_of(explained), [])

    def test_a_compare_exchange_without_a_reason_for_its_failure_order(self):
        cas = "part.tail.compare_exchange_strong(a, b, std::memory_order_release, %s);"
        self.rejects("part.tail.store(tail, std::memory_order_release);",
                     cas % "std::memory_order_relaxed", "does not mention the failure")

    def test_a_compare_exchange_with_one_order(self):
        self.rejects("part.tail.store(tail, std::memory_order_release);",
                     "part.tail.compare_exchange_strong(a, b, std::memory_order_release);",
                     "failure order")

    def test_a_fence_without_a_label(self):
        self.rejects("  const Part copy{.tail = 3};", "  atomic_fence(std::memory_order_seq_cst);",
                     "has no label")

    def test_pairs_across_files_are_mutual(self):
        ours = GOOD.replace("pairs with C1)", "pairs with C1, D1 in other.hpp)")
        theirs = ("// The other side.\n//   P1 release tail in ring.hpp  ->  D1 acquire tail\n"
                  "void f(const Part& part) {\n"
                  "  // D1 (acquire, pairs with %s in ring.hpp): as C1.\n"
                  "  part.tail.load(std::memory_order_acquire);\n}\n")
        self.assertEqual(problems_of(ours, theirs % "P1"), [])
        self.assertTrue(any("does not exist in ring.hpp" in problem
                            for problem in problems_of(ours, theirs % "P7")))


if __name__ == "__main__":
    unittest.main()
