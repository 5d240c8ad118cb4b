"""The tables of README.md and docs/performance.md, made from a file of figures.

Each stands between two markers, of which the first has the name of the block and a checksum of what is
in it: what was changed by hand is found out. README.md has one block; docs/performance.md has one for
each processor family, and keeps those of the others.
"""

import hashlib
import re

from . import figures, text
from .figures import ENOUGH, PERCENTILES, PLACEMENTS

README = "README.md"
PERFORMANCE = "docs/performance.md"
HOW = "made by ./dev bench report --table"
BLOCK = re.compile(rf"<!-- figures: ([^;\n]+); {re.escape(HOW)}; ([0-9a-f]+) -->\n(.*?)"
                   r"<!-- end of figures -->\n", re.DOTALL)
ROLES = ("ours", "variant", "rival", "textbook", "floor")
KERNEL = (("ring", "shm ring"), ("pipe", "pipe"), ("UNIX socket", "unix socket"))


class Useless(Exception):
    """No table can be made of it, or it is none of ours; the text says why."""


def checksum(body):
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def block(name, body):
    return f"<!-- figures: {name}; {HOW}; {checksum(body)} -->\n{body}<!-- end of figures -->\n"


def plain(words):
    """As text of a table, whatever it is."""
    return re.sub(r"[|<>`*\[\]\\\s]+", " ", str(words)).strip()


def markdown(rows):
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def family(run):
    """GenuineIntel-6-167: of which a file of figures is."""
    facts = [plain(run.machine.get(fact, "unknown")) for fact in ("vendor", "family", "model")]
    return "-".join(re.sub(r"[^\w.]+", "_", fact) for fact in facts)


def machine(run):
    facts = run.machine
    return plain(f"{facts.get('model_name', 'unknown processor')} (family {facts.get('family', '?')}, "
                 f"model {facts.get('model', '?')}{', a virtual machine' if facts.get('hypervisor') else ''}"
                 f"), {facts.get('cores', '?')} cores, {str(facts.get('kernel', '?')).split('-')[0]}, "
                 f"{str(run.build.get('compiler', '?')).split(' (')[0]}, {run.date[:10]}")


def exchange(run, placement):
    """Where the cores were, in words."""
    for mode in run.placements:
        if mode.get("name") == placement and figures.is_number(mode.get("centre_ns")):
            return (f"cores {placement} each other: a bare exchange of two cache lines takes "
                    f"{mode['centre_ns']:.0f} ns")
    return "wherever the cores were"


def placed(members):
    """The first placement in which ours has enough samples; None if there is none."""
    ours = [s for s in members if s.role == "ours"]
    return next((p for p in PLACEMENTS if any(s.count(p) >= ENOUGH for s in ours)), None)


def counts(members, placement):
    found = sorted(s.count(placement) for s in members if s.count(placement) >= ENOUGH)
    if not found:
        return "no samples"
    return f"{found[0]} to {found[-1]} samples" if found[0] < found[-1] else f"{found[0]} samples"


def cell(series, placement):
    if series is None or series.count(placement) == 0:
        return ""
    if series.count(placement) < ENOUGH:
        return "too few"
    return text.amount(series.median(placement), series.unit)


def of_readme(run):
    """Beside what the kernel has."""
    names = dict((engine, title) for title, engine in KERNEL)
    members = {(s.question, s.parameters.get("bytes"), s.engine): s for s in run.series
               if s.engine in names and s.question in ("process_round_trip", "process_stream")}
    placement = placed(members.values())
    if placement is None:
        raise Useless(f"there are too few samples for a table: {ENOUGH} it takes, of one placement")
    rows = [["message", *(f"round trip: {title}" if i == 0 else title for i, (title, _) in
                          enumerate(KERNEL)),
             *(f"throughput: {title}" if i == 0 else title for i, (title, _) in enumerate(KERNEL))]]
    for size in sorted({key[1] for key in members if figures.is_number(key[1])}):
        cells = [text.size(size)]
        cells += [cell(members.get(("process_round_trip", size, e)), placement) for _, e in KERNEL]
        for title, engine in KERNEL:
            series = members.get(("process_stream", size, engine))
            if series is None or series.count(placement) < ENOUGH:
                cells.append(cell(series, placement))
                continue
            said = text.amount(series.median(placement) * size, "B/s")
            if title == "ring" and size <= 64:
                said += f" ({text.amount(series.median(placement), '/s')})"
            cells.append(said)
        rows.append(cells)
    return (f"Medians of {counts(members.values(), placement)}; {machine(run)};\n"
            f"{exchange(run, placement)}.\n\n{markdown(rows)}")


def over(run, question, column, where=lambda parameters: True):
    """A row for each engine, a column for each choice of parameters. `column` gives a column's place
    and name. Empty if ours has too few samples."""
    members = [s for s in run.series if s.question == question and where(s.parameters)]
    placement = placed(members)
    if placement is None:
        return ""
    able = [s for s in members if s.count(placement) >= ENOUGH]
    columns = sorted({column(s.parameters) for s in able})
    contests = {c: [s for s in members if column(s.parameters) == c] for c in columns}
    engines = sorted({(ROLES.index(s.role) if s.role in ROLES else len(ROLES), s.engine)
                      for s in able})
    rows = [["", *(name for _, name in columns)]]
    for place, engine in engines:
        cells = []
        for c in columns:
            mine = next((s for s in contests[c] if s.engine == engine), None)
            said = cell(mine, placement)
            ratio = figures.advantage(mine, figures.best(contests[c], placement, "rival"), placement)
            cells.append(f"{said} ({text.ratio(ratio)})" if place == 0 and ratio else said)
        named = plain(engine)
        rows.append([f"**{named}**" if place == 0 else
                     named if place in (1, 2) else f"*{named}*", *cells])
    return f"{counts(able, placement)}, {exchange(run, placement)}.\n\n{markdown(rows)}"


def by_bytes(parameters):
    size = parameters.get("bytes", 0)
    slots = parameters.get("slots")
    name = text.size(size) if isinstance(size, int) else plain(size)
    return ((size, slots or 0), f"{name}, {slots} slots" if slots else name)


def by_mix(parameters):
    mix = (parameters.get("producers", 0), parameters.get("consumers", 0))
    return ((sum(map(float, mix)), *mix), figures.mix_name(*mix))


def by_consumers(parameters):
    count, size = parameters.get("consumers", 0), parameters.get("bytes", 0)
    return ((size, count), f"{text.size(size)} to {count}")


def by_percentile(parameters):
    name = str(parameters.get("percentile"))
    return (PERCENTILES.index(name), name)


def by_growth(parameters):
    what, count = str(parameters.get("with")), parameters.get("count", 0)
    return ((what, count), plain(f"{what} {text.size(count) if what == 'capacity' else count}"))


def by_what(parameters):
    what = str(parameters.get("what"))
    return (("segment", "sender", "receiver", "descriptors", "mappings").index(what), what)


def latencies(run):
    rates = dict.fromkeys(s.parameters.get("rate") for s in run.series if s.question == "latency")
    for rate in rates:
        yield (f"How late single messages of 64 B are that are due by a schedule, {plain(rate)}",
               "latency", by_percentile, lambda p, rate=rate: p.get("rate") == rate)


def of_family(run):
    parts = []
    for title, *asked in (
            ("Between two threads, messages a second", "hand_off", by_bytes),
            ("Between two processes, there and back", "process_round_trip", by_bytes),
            ("Between two processes, messages a second", "process_stream", by_bytes),
            ("One to several, deliveries a second", "fan_out", by_consumers),
            ("Several to several (threads share cores where there are more of them), 8 B, messages a "
             "second", "mpmc", by_mix,
             lambda p: p.get("bytes") == 8),
            ("Several to several, 64 B, messages a second", "mpmc", by_mix,
             lambda p: p.get("bytes") == 64),
            *latencies(run),
            ("What each feature costs a stream of 64 B between two threads, messages a second",
             "feature", by_bytes),
            ("The same stream with more than it uses, messages a second", "growth", by_growth),
            ("What a channel takes", "footprint", by_what)):
        try:
            table = over(run, *asked)
        except (TypeError, ValueError) as error:
            raise Useless(f"the parameters of {asked[0]} are none that it can have: {error}") from error
        if table:
            parts.append(f"{title}; {table}")
    if not parts:
        raise Useless(f"there are too few samples for a table: {ENOUGH} it takes, of one placement")
    return (f"### {machine(run)}\n\nMedians; in brackets the ratio to the best rival of those with enough "
            "samples, above 1 is better. In bold Rondo, in italics what is no product: what could be written by hand, and "
            "what bounds all.\n\n" + "\n".join(parts))


def replaced(document, name, body, otherwise_behind_last=False):
    """The document with this body in the block of this name."""
    for found in BLOCK.finditer(document):
        if found[1] == name:
            return document[:found.start()] + block(name, body) + document[found.end():]
    others = list(BLOCK.finditer(document))
    if not otherwise_behind_last or not others:
        raise Useless(f"has no block 'figures: {name}'")
    end = others[-1].end()
    return document[:end] + "\n" + block(name, body) + document[end:]


def write(run, root):
    """Makes the blocks anew; what was written."""
    # Both texts first: a file that is good for one alone changes none.
    new = []
    for path, name, body, more in ((README, "between processes", of_readme(run), False),
                                   (PERFORMANCE, family(run), of_family(run), True)):
        try:
            new.append((root / path, replaced((root / path).read_text(encoding="utf-8"), name, body,
                                              more)))
        except Useless as error:
            raise Useless(f"{path} {error}") from error
    for path, document in new:
        path.write_text(document, encoding="utf-8")
    return [str(path) for path, _ in new]


def problems(root):
    """What is wrong with the blocks that stand there."""
    for path in (README, PERFORMANCE):
        document = (root / path).read_text(encoding="utf-8")
        blocks = list(BLOCK.finditer(document))
        opened = document.count("<!-- figures:")
        if not blocks or len(blocks) != opened or opened != document.count("<!-- end of figures -->"):
            yield f"{path}: its blocks of figures are damaged; each has two markers, as {HOW}"
        names = [found[1] for found in blocks]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{path}: two blocks are called {name}"
        for name, said, body in (found.groups() for found in blocks):
            if checksum(body) != said:
                yield f"{path}: the figures of {name} were changed by hand; they are {HOW} FILE"
            tables = re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)
            if not tables:
                yield f"{path}: the block of {name} has no table"
            for table in tables:
                widths = {row.count("|") for row in table.splitlines()}
                if len(widths) != 1:
                    yield f"{path}: a table of {name} has rows of different lengths"
