#!/usr/bin/env python3
"""Shows what ./dev bench measured.

    report.py FILE [--out PAGE]            writes one HTML page, beside FILE if not told otherwise
    report.py OLDER FILE [--out PAGE]      and what changed since OLDER
    report.py --summary FILE               ten lines: where does it stand?
    report.py --table FILE                 makes the tables of README.md and docs/performance.md of it
    report.py --check-tables               whether these are as they were made
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True

from scoreboard import figures, page, tables, text  # noqa: E402  (no cache files in a source tree)


def main(arguments):
    parser = argparse.ArgumentParser(description="Shows what ./dev bench measured.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="one, or two to be compared, the "
                        "older one first; ./dev bench writes them to build/bench/results")
    parser.add_argument("--out", help="the page to write")
    parser.add_argument("--summary", action="store_true", help="ten lines instead of a page")
    parser.add_argument("--table", action="store_true", help="make the tables of README.md and "
                        "docs/performance.md of FILE: that of its processor family, in the latter")
    parser.add_argument("--check-tables", action="store_true", help="whether these tables are as "
                        "they were made")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[1],
                        help="where README.md is")
    options = parser.parse_args(arguments)
    if options.check_tables:
        found = list(tables.problems(options.root))
        print("\n".join(found) or "the tables of figures are as they were made")
        return 1 if found else 0
    if not options.files:
        parser.error("which file? ./dev bench writes them to build/bench/results")
    if len(options.files) > 2:
        parser.error("two files can be compared, not more")
    *older, file = options.files
    try:
        run = figures.Run.read(file)
        if options.summary:
            print(text.summary(figures.standings(run)))
            return 0
        if options.table:
            print("\n".join(f"made anew: {path}" for path in tables.write(run, options.root)))
            return 0
        before = figures.Run.read(older[0]) if older else None
        out = pathlib.Path(options.out or pathlib.Path(file).with_suffix(".html"))
        out.write_text(page.page(run, before), encoding="utf-8")
    except (figures.Unreadable, tables.Useless, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(f"The page: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
