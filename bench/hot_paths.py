#!/usr/bin/env python3
"""How many instructions a message takes on each hot path, and whether that has grown.

    hot_paths.py PROGRAM             counts and compares with hot_paths.json; fails if a path grew
    hot_paths.py PROGRAM --accept    and writes down what it counted, as what is right from now on

PROGRAM is hot_paths.cpp, compiled (`./dev instructions` does both). It runs under callgrind twice,
for few laps and for more; the difference of both counts is what the laps between take, to the
instruction: neither the start of the program nor the first laps are in it. Each run of the same
program counts the same, whatever else the machine does.

What a compiler makes of the code is its own: hot_paths.json has figures for each compiler and
processor that somebody accepted them for. Another one is told apart, and fails.
"""

import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).resolve().parent / "hot_paths.json"
FEW, MORE = 2, 6  # laps: a multiple of two, for what is done every other lap
# Of an instruction a message. What is done once a lap, or where a loop ends, may move by less; one
# instruction more for each message, or for each of a batch, may not.
SLACK = 0.25
SIDE = re.compile(r"\b(send|receive)_side<(\d+)u?l*>")


class Problem(Exception):
    """Nothing could be counted; the text says why."""


def command(*words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    except OSError as error:
        raise Problem(f"{words[0]}: {error.strerror}; ./dev setup installs what is needed") from error
    except subprocess.TimeoutExpired as error:
        raise Problem(f"{words[0]} took more than {error.timeout} s") from error
    if done.returncode != 0:
        raise Problem(f"{' '.join(map(str, words))}: {done.stderr.strip()[-2000:] or 'failed'}")
    return done.stdout


def inclusive(profile):
    """{(side, path): instructions with all that was called}, of a callgrind file with full names."""
    found, inside, calls = {}, None, None
    for line in profile.splitlines():
        if line.startswith("fn="):
            inside, calls = SIDE.search(line), None
        elif line.startswith("cfn="):
            calls = SIDE.search(line)
        elif line.startswith("calls="):
            continue  # the next line has the cost
        elif line[:1].isdigit() or line[:1] in "+-*":
            # A part that the compiler made a function of its own is counted where it is called.
            if calls and not inside:
                key = (calls[1], int(calls[2]))
                found[key] = found.get(key, 0) + int(line.split()[-1])
            calls = None
    return found


def profile(program, laps):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        command("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--compress-strings=no",
                "--compress-pos=no", program, str(laps))
        return inclusive(out.read_text())


def count(program):
    """The name of the compiler and {path: {side: instructions a message}}."""
    compiler, lap, *names = command(program).splitlines()
    messages = int(lap.split()[0]) * (MORE - FEW)
    few, more = profile(program, FEW), profile(program, MORE)
    counted = {}
    for line in names:
        index, name = line.split(" ", 1)
        sides = {side: round((more[key] - few.get(key, 0)) / messages, 2)
                 for side in ("send", "receive") if (key := (side, int(index))) in more}
        if not sides:
            raise Problem(f"{name}: callgrind has not seen it; is {program} stripped?")
        counted[name] = sides
    return f"{compiler}, {platform.machine()}", counted


def problems(bounds, counted):
    """What grew, or has no bound, or is gone."""
    for name, sides in counted.items():
        for side, now in sides.items():
            bound = bounds.get(name, {}).get(side)
            if bound is None:
                yield f"{name}: {side} takes {now:.2f} instructions a message, and has no bound yet"
            elif now > bound + SLACK:
                yield (f"{name}: {side} takes {now:.2f} instructions a message, and took {bound:.2f}: "
                       f"{now - bound:.2f} more")
    for name, sides in bounds.items():
        for side in sides:
            if side not in counted.get(name, {}):
                yield f"{name}: {side} has a bound and was not counted"


def read_table(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Problem(f"{path}: {error}") from error


def written(table):
    """A line for each path, so that a change shows what changed."""
    compilers = []
    for compiler, paths in sorted(table.items()):
        lines = [f"  {json.dumps(name)}: {json.dumps(sides)}" for name, sides in paths.items()]
        compilers.append(f" {json.dumps(compiler)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(compilers) + "\n}\n"


def main(arguments):
    parser = argparse.ArgumentParser(description="Counts the instructions of the hot paths.")
    parser.add_argument("program", help="hot_paths, compiled")
    parser.add_argument("--accept", action="store_true", help="these counts are right from now on")
    parser.add_argument("--table", type=pathlib.Path, default=TABLE, help="where the bounds are")
    options = parser.parse_args(arguments)
    try:
        table = read_table(options.table)
        compiler, counted = count(options.program)
    except Problem as problem:
        print(f"hot_paths: {problem}", file=sys.stderr)
        return 1
    bounds = table.get(compiler)
    print(f"Instructions a message, {compiler}{'' if bounds else ': not known yet'}")
    for name, sides in counted.items():
        said = [f"{side} {now:6.2f} ({(bounds or {}).get(name, {}).get(side, '-')})"
                for side, now in sides.items()]
        print(f"  {name:<56} {'   '.join(said)}")
    if options.accept:
        options.table.write_text(written(table | {compiler: counted}))
        print(f"accepted, in {options.table}")
        return 0
    how = f"python3 bench/hot_paths.py {options.program} --accept"
    if bounds is None:
        print(f"FAILED: nobody has said yet what is right with {compiler}. If it is this: {how}")
        return 1
    found = list(problems(bounds, counted))
    for problem in found:
        print(f"FAILED: {problem}")
    if found:
        print("If that is meant, and the message of the commit says for what:\n"
              f"  {how}\nand commit {options.table.name} with it.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
