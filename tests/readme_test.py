#!/usr/bin/env python3
"""tests/README.md maps behaviour to test: every test program stands there, and every file it names exists."""

import pathlib
import re
import sys

tests = pathlib.Path(__file__).resolve().parent
root = tests.parent
text = (tests / "README.md").read_text()
named = set(re.findall(r"[\w/]+\.(?:cpp|py|pml)", text))
problems = []

for name in sorted(named):
    if "/" in name and not ((tests / name).exists() or (root / name).exists()):
        problems.append(f"tests/README.md names {name}, which does not exist")

programs = [
    path
    for folder in (tests, root / "fuzz")
    for pattern in ("*_test.cpp", "*_spec.cpp", "*_fuzz.cpp", "*_test.py", "*.pml")
    for path in folder.rglob(pattern)
]
for path in sorted(programs):
    if "_soak_test" in path.name or path == pathlib.Path(__file__).resolve():
        continue  # the long form of a test that is named
    if path.name not in {pathlib.PurePath(name).name for name in named}:
        problems.append(f"{path.relative_to(root)} is missing from tests/README.md")

print("\n".join(problems) or f"{len(programs)} test programs, all of them mapped")
sys.exit(1 if problems else 0)
