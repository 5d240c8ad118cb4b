#!/usr/bin/env python3
"""Publishing makes no full fence: looks for one in the code generated for publish_code.cpp.

    publish_code.py [COMPILER]

In functions named straight_* and plain_* no instruction may be a fence, have a lock prefix, or be
an exchange with memory, which is one. handle_* have at most one `lock cmpxchg` and nothing
else: by which a handle of kind=mpmc claims. straight_* may call nothing. fenced_* have to be found.
On processors other than x86-64 there is nothing to look for yet, and the check is skipped (exit 77).
"""

import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FENCE = re.compile(r"\b(mfence|lfence|sfence|lock)\b|\bxchg\b.*\(")
CLAIM = re.compile(r"\block cmpxchg\b")
CALL = re.compile(r"\bcall\b")


def functions(compiler, level):
    """{name: [instruction, ...]} of publish_code.cpp, the cold parts of functions included."""
    with tempfile.TemporaryDirectory() as folder:
        built = pathlib.Path(folder) / "publish_code.o"
        includes = [f"-I{ROOT / module / 'include'}" for module in ("core", "sync", "transports")]
        subprocess.run([compiler, "-std=c++20", level, "-DNDEBUG", *includes, "-c",
                        HERE / "publish_code.cpp", "-o", built], check=True)
        listing = subprocess.run(["objdump", "--disassemble", "--no-show-raw-insn", built],
                                 check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(\w+)[^>]*>:$", line):
            name = head[1]
            found.setdefault(name, [])
        elif name and (instruction := re.match(r"\s+[0-9a-f]+:\s+(.*)$", line)):
            found[name].append(instruction[1].strip())
    return found


def problems(code):
    wanted = {"straight": 3, "plain": 3, "handle": 2, "fenced": 3}
    for prefix, count in wanted.items():
        names = [name for name in code if name.startswith(prefix + "_")]
        if len(names) != count:
            yield f"{len(names)} functions are named {prefix}_*, there should be {count}"
        for name in names:
            fences = [line for line in code[name] if FENCE.search(line)]
            calls = [line for line in code[name] if CALL.search(line)]
            if prefix == "fenced":
                if not fences:
                    yield f"{name}: its fence was not found, so this check is blind"
            elif prefix == "handle":
                others = [line for line in fences if not CLAIM.search(line)]
                if others or len(fences) > 1:
                    yield f"{name}: at most the one claim of the mpmc ring, and no fence beside it: {fences}"
            elif fences:
                yield f"{name}: {fences[0]}"
            if prefix == "straight" and calls:
                yield f"{name}: {calls[0]}"


def main():
    if platform.machine() != "x86_64":
        print("skipped: only x86-64 is looked at")
        return 77
    compiler = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CXX", "c++")
    failed = 0
    for level in ("-O2", "-O3"):
        code = functions(compiler, level)
        for problem in problems(code):
            print(f"{level}: {problem}")
            failed += 1
        sizes = {name: len(lines) for name, lines in code.items() if name.startswith("straight_")}
        print(f"{level}: instructions: {sizes}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
