#!/usr/bin/env python3
"""Checks that every memory order in core/, sync/ and transports/ says why it is what it is.

    labels.py [FILE...]      default: all headers and sources of the three modules

The rules (STYLE.md, "Memory order"):

  * Each operation on an atomic writes its order out. A bare .load() or ++ does not pass.
  * Directly above each operation that is not relaxed stands its label, with the same order:
        // P1 (release, pairs with C1): the slots before this position are fully written.
        // F1 (seq_cst, forbids that both sides miss each other): ...
    A label stands at one operation only. Pairs are mutual: C1 names P1 back. A pair in another
    file is written `pairs with H2 in segment_header.hpp`.
  * The file's head has a table of the labels, with a line for each pair:
        //   P1 release tail  ->  C1 acquire tail   a published slot is fully written
  * A relaxed operation has a comment with the word "relaxed" on its line or within three lines
    above; a run of relaxed operations shares one. Where all of a function or file are relaxed for one
    reason, that stands above a constant kRelaxed. A failure order is named by the word "failure".

X.hpp, X_inl.hpp, X.cpp, X_linux.cpp and X_windows.cpp of one module count as one file here. The
check reads text, not C++; it is made for code in this project's format.
"""

import collections
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ("core", "sync", "transports")
EXEMPT = ("core/include/rondo/core/atomic.hpp",)  # defines the operations themselves

OPERATION = re.compile(
    r"(?:\.|->)\s*(load|store|exchange|fetch_(?:add|sub|and|or|xor)|compare_exchange_weak|compare_exchange_strong)\s*\("
    r"|\b(atomic_fence|atomic_thread_fence)\s*\(")
ORDER = re.compile(r"std::memory_order(?:_|::)(\w+)|\bk(Relaxed)\b")
LABEL = re.compile(r"\b([A-Z]+\d+) \((relaxed|release|acquire|acq_rel|seq_cst), "
                   r"(?:pairs with ([^)]*)|forbids ([^)]*))\)")
PARTNER = re.compile(r"\b([A-Z]+\d+)\b(?: in ([\w.]+))?")
TABLE_LINE = re.compile(r"^\s*//\s+((?:[A-Z]+\d+,? )+)(.*?)->\s*((?:[A-Z]+\d+,? ?)+)")
ATOMIC_NAME = re.compile(r"\b(?:Atomic|std::atomic)<[^<>;]*>\s+(\w+)\s*(?:\{[^{}]*\}|=[^;]*)?;")
NEAR = 3  # lines above an operation that still speak of it


@dataclasses.dataclass
class Operation:
    path: pathlib.Path
    line: int  # from 0
    name: str
    orders: list  # [(order, start, end)] in the text; the second one is a CAS's failure order
    label: str = ""

    @property
    def order(self):
        return self.orders[0][0]


@dataclasses.dataclass
class Label:
    name: str
    path: pathlib.Path
    line: int
    order: str
    partners: list  # [(label, file name or "")]
    operation: Operation = None


class Problems(list):
    def add(self, path, line, text):
        self.append(f"{show(path)}:{line + 1}: {text}")


def show(path):
    path = pathlib.Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def blank_comments_and_strings(text):
    """The code alone, each other character a space, so that offsets stay."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, spaces, text, flags=re.S)


def top_level_arguments(code, start):
    """[(start, end)] of the call's arguments without what is nested in them; start is after '('."""
    depth, spans, at = 0, [], start
    for i in range(start, len(code)):
        c = code[i]
        if c in "([{":
            if depth == 0:
                spans.append((at, i))
            depth += 1
        elif c in ")]}":
            if depth == 0:
                spans.append((at, i))
                return spans
            depth -= 1
            at = i + 1
    return spans


class SourceFile:
    def __init__(self, path, problems):
        self.path = pathlib.Path(path)
        self.text = self.path.read_text()
        self.lines = self.text.split("\n")
        self.code = blank_comments_and_strings(self.text)
        self.code_lines = self.code.split("\n")
        self.problems = problems
        self.operations = self.find_operations()
        self.labels = self.find_labels()
        self.check_relaxed()
        self.check_operators()
        self.table_pairs, self.table_text = self.find_table()

    def line_of(self, offset):
        return self.code.count("\n", 0, offset)

    def is_comment(self, line):
        return 0 <= line < len(self.lines) and self.lines[line].lstrip().startswith("//")

    def find_operations(self):
        found = []
        for match in OPERATION.finditer(self.code):
            name = match.group(1) or match.group(2)
            line = self.line_of(match.start())
            orders = []
            for start, end in top_level_arguments(self.code, match.end()):
                for order in ORDER.finditer(self.code, start, end):
                    orders.append((order.group(1) or "relaxed", *order.span()))
            if not orders:
                self.problems.add(self.path, line, f"{name}() does not write its memory order out")
                continue
            if name.startswith("compare_exchange") and len(orders) < 2:
                self.problems.add(self.path, line, f"{name}() does not write its failure order out")
                continue
            found.append(Operation(self.path, line, name, orders))
        return found

    def statement_start(self, line):
        """The first line of the statement that has a piece on `line`."""
        while line > 0:
            above = self.code_lines[line - 1].strip()
            if not above or self.is_comment(line - 1) or above[-1] in ";{}:":
                return line
            line -= 1
        return line

    def comment_above(self, line):
        """(first line, text) of the comment that ends directly above `line`."""
        first = line
        while self.is_comment(first - 1):
            first -= 1
        text = " ".join(l.strip().lstrip("/").strip() for l in self.lines[first:line])
        return first, text

    def find_labels(self):
        labels = []
        by_statement = collections.OrderedDict()
        for operation in self.operations:
            if any(order != "relaxed" for order, _, _ in operation.orders):
                by_statement.setdefault(self.statement_start(operation.line), []).append(operation)
        claimed = set()
        for start, operations in by_statement.items():
            first, text = self.comment_above(start)
            claimed.add(first)
            here = [self.make_label(match, first) for match in LABEL.finditer(text)]
            if len(here) < len(operations):
                self.problems.add(
                    self.path, operations[len(here)].line,
                    f"{operations[len(here)].name}() with {operations[len(here)].order} has no "
                    "label like `// X1 (release, pairs with Y1): ...` directly above")
            for label, operation in zip(here, operations):
                label.operation = operation
                operation.label = label.name
                if label.order != operation.order:
                    self.problems.add(self.path, operation.line,
                                      f"{label.name} says {label.order}, the code {operation.order}")
                if operation.name.startswith("compare_exchange") and "fail" not in text.lower():
                    self.problems.add(self.path, operation.line,
                                      f"the comment of {label.name} does not mention the failure")
            for label in here[len(operations):]:
                self.problems.add(self.path, first, f"{label.name} stands at no operation")
            labels += here
        labels += self.labels_at_no_atomic(claimed)
        return labels

    def labels_at_no_atomic(self, claimed):
        """A fence of the operating system may bear a label too; anything else may not."""
        labels, line = [], 0
        while line < len(self.lines):
            if not self.is_comment(line):
                line += 1
                continue
            end = line
            while self.is_comment(end):
                end += 1
            first, text = self.comment_above(end)
            if first not in claimed:
                for match in LABEL.finditer(text):
                    label = self.make_label(match, first)
                    if end < len(self.lines) and "fence(" in self.code_lines[end]:
                        labels.append(label)
                    else:
                        self.problems.add(self.path, first, f"{label.name} stands at no operation")
            line = end
        return labels

    def make_label(self, match, line):
        partners = PARTNER.findall(match.group(3)) if match.group(3) else []
        return Label(match.group(1), self.path, line, match.group(2), partners)

    def check_relaxed(self):
        covered_to = -10  # the last relaxed operation that a comment speaks of
        for operation in self.operations:
            relaxed_failure = (len(operation.orders) > 1 and operation.orders[1][0] == "relaxed")
            if operation.order != "relaxed":
                if relaxed_failure and not self.says_near(operation.line, "fail"):
                    self.problems.add(self.path, operation.line,
                                      "no comment near says why the failure order is relaxed")
                continue
            start = self.statement_start(operation.line)
            if self.uses_explained_constant(operation):
                continue
            if self.says_near(start, "relaxed") or start - covered_to <= NEAR:
                covered_to = operation.line
                continue
            self.problems.add(self.path, operation.line,
                              f"no comment near says why this {operation.name}() may be relaxed")

    def uses_explained_constant(self, operation):
        _, start, end = operation.orders[0]
        if self.code[start:end] != "kRelaxed":
            return False
        before = self.code[:start].rfind("kRelaxed = ")
        return before >= 0 and self.says_near(self.line_of(before), "relaxed")

    def says_near(self, line, word):
        start = self.statement_start(line)
        first, _ = self.comment_above(start)
        for near in range(max(0, min(first, start - NEAR)), line + 1):
            comment = self.lines[near].partition("//")[2]
            if word in comment.lower():
                return True
        return False

    def check_operators(self):
        names = set(ATOMIC_NAME.findall(self.code))
        for name in names:
            access = rf"\b{name}" if name.endswith("_") else rf"(?:\.|->){name}"
            operator = re.compile(rf"{access}\s*(?:\+\+|--|[-+|&^]?=(?!=))"
                                  rf"|(?:\+\+|--)(?:[\w()]|\.|->)*?{access}\b")
            for match in operator.finditer(self.code):
                line = self.line_of(match.start())
                declared = ATOMIC_NAME.search(self.code_lines[line])
                if declared and declared.group(1) == name:
                    continue
                if re.search(r"[{,]\s*$", self.code[:match.start()]):
                    continue  # a designated initialiser
                self.problems.add(self.path, line,
                                  f"an operator on the atomic {name} hides a seq_cst access")

    def find_table(self):
        """The pairs within the file that its head comment names, and the comment's text."""
        pairs, head = {}, []
        for number, line in enumerate(self.lines):
            if line.strip() and not line.startswith("//"):
                break
            head.append(line)
            match = TABLE_LINE.match(line)
            if match and not re.search(r"\bin \w+\.[ch]pp\b", line):  # those are seen from the labels
                for left in re.findall(r"\w+", match.group(1)):
                    for right in re.findall(r"\w+", match.group(3)):
                        pairs[(left, right)] = number
        return pairs, "\n".join(head)


def family_of(path):
    path = pathlib.Path(path)
    stem = re.sub(r"_(inl|linux|windows)$", "", path.stem)
    parts = pathlib.Path(show(path)).parts
    return (parts[0], stem)


def check_family(files, families, problems):
    labels = {}
    for file in files:
        for label in file.labels:
            if label.name in labels:
                other = labels[label.name]
                problems.add(label.path, label.line,
                             f"{label.name} is used before, at {show(other.path)}:{other.line + 1}; "
                             "a label stands at one operation only")
                continue
            labels[label.name] = label

    table_text = "\n".join(file.table_text for file in files)
    pairs = set()
    for label in labels.values():
        if not re.search(rf"\b{label.name}\b", table_text):
            problems.add(label.path, label.line, f"{label.name} is not in the table at the file's head")
        if label.order in ("release", "acquire") and not label.partners:
            problems.add(label.path, label.line, f"{label.name} pairs with nothing")
        for partner, file_name in label.partners:
            check_partner(label, partner, file_name, labels, families, problems)
            if not file_name:
                pairs.add(frozenset((label.name, partner)))

    in_table = set()
    for file in files:
        for (left, right), line in file.table_pairs.items():
            in_table.add(frozenset((left, right)))
            for name in (left, right):
                if name not in labels:
                    problems.add(file.path, line, f"the table has {name}, which stands nowhere below")
            if frozenset((left, right)) not in pairs:
                problems.add(file.path, line,
                             f"the table pairs {left} with {right}, the labels do not")
    for pair in pairs - in_table:
        label = labels[sorted(pair & labels.keys())[0]]
        problems.add(label.path, label.line,
                     f"the pair {' and '.join(sorted(pair))} is not in the table at the file's head")
    return labels


def check_partner(label, partner, file_name, labels, families, problems):
    theirs = labels
    if file_name:
        theirs = {}
        for files in families.values():
            if any(file.path.name == file_name for file in files):
                theirs = {l.name: l for file in files for l in file.labels}
    if partner not in theirs:
        problems.add(label.path, label.line,
                     f"{label.name} pairs with {partner}, which does not exist"
                     + (f" in {file_name}" if file_name else ""))
    elif label.name not in [name for name, _ in theirs[partner].partners]:
        problems.add(label.path, label.line,
                     f"{label.name} pairs with {partner}, which does not name it back")


def default_paths():
    paths = []
    for module in MODULES:
        paths += sorted((ROOT / module).rglob("*.hpp")) + sorted((ROOT / module).rglob("*.cpp"))
    return [path for path in paths if show(path) not in EXEMPT]


def check(paths):
    """(problems, families): families maps (module, stem) to its files."""
    problems = Problems()
    families = collections.OrderedDict()
    for path in paths:
        families.setdefault(family_of(path), []).append(SourceFile(path, problems))
    for files in families.values():
        check_family(files, families, problems)
    return problems, families


def main(arguments):
    paths = [pathlib.Path(a).resolve() for a in arguments] or default_paths()
    problems, families = check(paths)
    for problem in problems:
        print(problem)
    files = [file for family in families.values() for file in family]
    operations = [operation for file in files for operation in file.operations]
    labels = [label for file in files for label in file.labels]
    print(f"{len(operations)} atomic operations in {len(files)} files, {len(labels)} labels, "
          f"{len(problems)} problems")
    if not arguments and not labels:
        print("no label found at all: does the check still look in the right place?")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
