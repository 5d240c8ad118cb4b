#!/usr/bin/env python3
"""Weakens each memory order in turn and demands that a test fails.

    orders.py [--list] [LABEL or STEM...]     e.g. orders.py P1, orders.py spsc_ring

For each labelled operation of core/, sync/ and transports/ (labels.py) it copies the file with this
one order weakened, and builds the family's tests against the copy:

    STEM_race_test.cpp   with ThreadSanitizer, as threads on one mapping
    STEM_weak_test.cpp   against the weak-memory scheduler (tests/support/weak_memory.hpp)

An order is caught when one of them fails. First, all of them must pass unchanged. Release,
acquire and seq_cst are weakened to relaxed; acq_rel to release and to acquire. What differs from
these rules stands in orders.json, with a reason.
"""

import argparse
import concurrent.futures
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import labels

ROOT = labels.ROOT
HERE = pathlib.Path(__file__).resolve().parent
BUILD = ROOT / "build" / "orders"
COMPILER = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++20", "-O1", "-w"]
KIND_FLAGS = {"race": ["-fsanitize=thread"],
              "weak": ['-DRONDO_ATOMIC_HEADER="support/weak_atomic.hpp"']}
LIBRARIES = ["-lgmock_main", "-lgmock", "-lgtest", "-pthread"]
WEAKER = {"release": ["relaxed"], "acquire": ["relaxed"], "seq_cst": ["relaxed"],
          "acq_rel": ["release", "acquire"]}
LIMIT_SECONDS = 120  # for one run of a test; one that takes longer has shown nothing
RACE_RUNS = 10       # of a race test before it counts as passed; a weak test is deterministic
RACE_SECONDS = 15    # no further run after this time


TOO_LONG = f"did not end in {LIMIT_SECONDS} s"


@dataclasses.dataclass
class Family:
    name: str       # core/spsc_ring
    files: list     # labels.SourceFile
    tests: list     # paths
    sources: list   # paths to compile along
    exceptions: dict


@dataclasses.dataclass
class Mutant:
    family: Family
    path: pathlib.Path
    operation: labels.Operation
    weaker: str

    @property
    def name(self):
        to = "" if self.weaker == "relaxed" else f":{self.weaker}"
        return f"{self.operation.label}{to}"

    def text(self):
        _, start, end = self.operation.orders[0]
        original = self.path.read_text()
        return original[:start] + f"std::memory_order_{self.weaker}" + original[end:]


def include_folders():
    return [ROOT / module / "include" for module in labels.MODULES] + [ROOT / "tests"]


def families():
    problems, by_family = labels.check(labels.default_paths())
    if problems:
        print(f"note: {len(problems)} problems with labels (labels.py); what has none is left out")
    settings = json.loads((HERE / "orders.json").read_text())["families"]
    found = []
    for (module, stem), files in by_family.items():
        name = f"{module}/{stem}"
        setting = settings.pop(name, {})
        tests = [HERE / f"{stem}_{kind}_test.cpp" for kind in ("race", "weak")]
        tests = [test for test in tests if test.exists()]
        tests += [HERE / test for test in setting.get("tests", [])]
        sources = [ROOT / source for source in setting.get("sources", [])]
        found.append(Family(name, files, tests, sources, setting.get("exceptions", {})))
    if settings:
        sys.exit(f"orders.json speaks of {', '.join(settings)}, which does not exist")
    return found


def mutants_of(family):
    for file in family.files:
        for operation in file.operations:
            for weaker in WEAKER.get(operation.order, []) if operation.label else []:
                yield Mutant(family, file.path, operation, weaker)


def flags_for(kind):
    return [COMPILER, *FLAGS, *KIND_FLAGS[kind], "-I", str(BUILD / "gtest" / kind)]


def precompile_gtest(kind):
    """Most of a test's compile time would be this one header."""
    header = BUILD / "gtest" / kind / "gtest" / "gtest.h"
    header.parent.mkdir(parents=True)
    header.write_text("#include_next <gtest/gtest.h>\n")
    subprocess.run([*flags_for(kind), "-x", "c++-header", str(header), "-o", f"{header}.gch"],
                   check=True)


def build(test, family, folder, mutant=None):
    """The test program, or the compiler's complaint as a string."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = list(family.sources)
    shadow = []
    if mutant:
        copy = folder / mutant.path.relative_to(ROOT)
        if mutant.path.suffix == ".cpp":
            if mutant.path not in sources:
                return f"{labels.show(mutant.path)} is not among the sources in orders.json"
            sources[sources.index(mutant.path)] = copy
        else:
            include = next(i for i in include_folders() if mutant.path.is_relative_to(i))
            copy = folder / "include" / mutant.path.relative_to(include)
            shadow = ["-I", str(folder / "include")]
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(mutant.text())
    program = folder / test.stem
    command = flags_for("weak" if test.stem.endswith("_weak_test") else "race") + shadow
    for include in include_folders():
        command += ["-I", str(include)]
    command += [str(test), *map(str, sources), "-o", str(program), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True)
    return program if done.returncode == 0 else done.stderr


def run(program):
    """'' if the test passed, else how it failed."""
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1:exitcode=66")
    began = time.monotonic()
    for turn in range(1 if program.stem.endswith("_weak_test") else RACE_RUNS):
        if turn and time.monotonic() - began > RACE_SECONDS:
            break
        try:
            done = subprocess.run([str(program)], env=environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            return TOO_LONG
        (program.parent / (program.name + ".log")).write_text(done.stdout + done.stderr)
        if done.returncode == 66:
            return "data race"
        if done.returncode < 0:
            return f"signal {-done.returncode}"
        if done.returncode != 0:
            return "fails"
    return ""


def test_unchanged(family, test):
    """'' or why the unchanged test is no use."""
    program = build(test, family, BUILD / family.name / "unchanged")
    if isinstance(program, str):
        return program
    how = run(program)
    return how and f"{how}; see {labels.show(program)}.log"


def test_mutant(mutant):
    """(caught, explanation)"""
    if not mutant.family.tests:
        return False, "there is no test"
    slow = []
    folder = BUILD / mutant.family.name / f"{mutant.name}-{mutant.operation.line + 1}".replace(":", "-")
    for test in mutant.family.tests:
        program = build(test, mutant.family, folder, mutant)
        if isinstance(program, str):
            return False, program.strip().splitlines()[0]
        how = run(program)
        program.unlink()
        if how == TOO_LONG:
            slow.append(f"{test.stem} {how}")
        elif how:
            return True, f"{test.stem}: {how}"
    return False, "; ".join(slow) or "every test passes"


class Table:
    def __init__(self, mutants):
        self.mutants = mutants
        self.lock = threading.Lock()
        self.caught = self.excepted = self.missed = 0
        print(f"{'family':24} {'label':11} {'order':8} result")

    def add(self, mutant, caught, explanation):
        exceptions = mutant.family.exceptions
        reason = exceptions.get(mutant.name, exceptions.get(mutant.operation.label))
        with self.lock:
            if caught:
                self.caught += 1
                word = "caught      "
                if reason:
                    explanation += " (its exception in orders.json can go)"
            elif reason:
                self.excepted += 1
                word, explanation = "excepted    ", reason
            else:
                self.missed += 1
                word = "NOT CAUGHT  "
            print(f"{mutant.family.name:24} {mutant.name:11} {mutant.operation.order:8} "
                  f"{word}{explanation}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="only list what would be weakened")
    parser.add_argument("only", nargs="*", metavar="LABEL or STEM")
    arguments = parser.parse_args()
    began = time.monotonic()

    mutants = [mutant for family in families() for mutant in mutants_of(family)]
    if arguments.only:
        mutants = [mutant for mutant in mutants
                   if {mutant.operation.label, mutant.name, mutant.family.name,
                       mutant.family.name.split("/")[1]} & set(arguments.only)]
    if not mutants:
        sys.exit("nothing to weaken: no such label or file")
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.family.name} {mutant.name} {mutant.operation.order}")
        return 0

    BUILD.parent.mkdir(exist_ok=True)
    one_run = open(BUILD.with_suffix(".lock"), "w")
    try:
        fcntl.flock(one_run, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another run to end", flush=True)
        fcntl.flock(one_run, fcntl.LOCK_EX)
    shutil.rmtree(BUILD, ignore_errors=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(precompile_gtest, KIND_FLAGS))
        baselines = {}
        for mutant in mutants:
            for test in mutant.family.tests:
                key = (mutant.family.name, test)
                if key not in baselines:
                    baselines[key] = pool.submit(test_unchanged, mutant.family, test)
        broken = {key: future.result() for key, future in baselines.items() if future.result()}
        for (_, test), why in broken.items():
            print(f"{labels.show(test)} does not pass on the unchanged sources:\n{why}")
        if broken:
            return 1

        table = Table(mutants)
        futures = [pool.submit(lambda m=mutant: table.add(m, *test_mutant(m)))
                   for mutant in mutants]
        for future in futures:
            future.result()

    print(f"{len(mutants)} weakened: {table.caught} caught, {table.excepted} excepted, "
          f"{table.missed} not caught, in {time.monotonic() - began:.0f} s")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
