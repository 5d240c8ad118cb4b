"""Sections of the page, each for one question of ./dev bench."""

from html import escape

from . import chart, figures, text
from .figures import ENOUGH, PERCENTILES, PLACEMENTS
from .parts import charts_over, placements_of, said, section, spread, table


def of_question(run, question):
    return [s for s in run.series if s.question == question]


def latency(run):
    """Curves over the percentiles of single messages."""
    parts = []
    mine = of_question(run, "latency")
    for placement in placements_of(run):
        for rate in dict.fromkeys(s.parameters.get("rate") for s in mine):
            engines = {}
            for s in mine:
                name = s.parameters.get("percentile")
                if (s.parameters.get("rate") != rate or name not in PERCENTILES or
                        s.count(placement) < ENOUGH):
                    continue
                engines.setdefault((s.engine, s.role), []).append(
                    (PERCENTILES.index(name), s.median(placement),
                     f"{name} {said(s, placement)}, {s.count(placement)} samples"))
            lines = [chart.Line(engine, role, sorted(points))
                     for (engine, role), points in engines.items()]
            parts.append(chart.chart(lines, "percentile of the messages of a sample",
                                     f"how late, {rate} messages, {placement}",
                                     lambda v: text.amount(v, "ns"), list(enumerate(PERCENTILES))))
    return section("Latency of single messages",
                   "How late a message of 64 bytes is read, from when it was due by a schedule: a "
                   "sender that is held up is late with all that was due meanwhile (no coordinated "
                   "omission). Medians over samples of a fifth of a second each; nothing is dropped. "
                   "What the clock alone shows is the machine's own jitter: a core that only looks "
                   "whether a message would be due.", parts)


def rows_beside(run, question, heads_of, row_of):
    rows = []
    for placement in PLACEMENTS:
        for s in of_question(run, question):
            if s.count(placement) >= ENOUGH:
                rows.append((s.role, row_of(s, placement)))
    return table(heads_of, rows) if rows else ""


def with_note(title, note, body):
    return f"<h2>{escape(title)}</h2><p class=note>{escape(note)}</p>{body}" if body else ""


def features(run):
    contest = of_question(run, "feature")

    def row(s, placement):
        bare = figures.best(contest, placement, "floor")
        ratio = figures.advantage(s, bare, placement) if bare else None
        return [s.engine, placement, said(s, placement), spread(s, placement),
                str(s.count(placement)), text.ratio(ratio)]

    heads = (("one thing more", True), ("cores", True), ("", False), ("spread", False),
             ("samples", False), ("of none", False))
    return with_note("What each feature costs",
                     "Messages of 64 bytes a second through the handles between two threads, with one "
                     "option or way of use more than none. What the feature is for is not measured.",
                     rows_beside(run, "feature", heads, row))


def growth(run):
    names = {"capacity": text.size}
    parts = []
    for placement in placements_of(run):
        for what in dict.fromkeys(s.parameters.get("with") for s in of_question(run, "growth")):
            able = [s for s in of_question(run, "growth") if s.parameters.get("with") == what and
                    s.count(placement) >= ENOUGH and figures.is_number(s.parameters.get("count"))]
            points = sorted((s.parameters["count"], s.median(placement),
                             f"{said(s, placement)}, {s.count(placement)} samples") for s in able)
            if len(points) < 2 or points[0][0] <= 0:
                continue
            say = names.get(what, str)
            parts.append(chart.chart([chart.Line("shm:", "ours", points)], str(what),
                                     f"messages/s over {what}, 64 B, {placement}",
                                     lambda v: text.amount(v, "/s"),
                                     [(x, say(x)) for x, _, _ in points], x_log=True))
    return section("Growth",
                   "Messages of 64 bytes a second through the handles between two threads, in rings "
                   "that are larger, have more places for receivers, or more participants than the "
                   "two that are at work.", parts)


def opening(run):
    def creating(s, placement):
        return s.median(placement)

    created = [s for s in of_question(run, "opening") if s.parameters.get("step") == "create"]
    parts = charts_over(run, "opening", "bytes", "size of the ring", "ns", creating, text.size,
                        only=created)
    return section("Opening a channel",
                   "Until a channel stands with all of its memory, beside a memset of as many fresh "
                   "bytes. Attaching and closing: in all figures.", parts)


def footprint(run):
    whats = ("segment", "sender", "receiver", "descriptors", "mappings")
    kinds = {}
    for s in of_question(run, "footprint"):
        if s.parameters.get("what") in whats and s.count("any"):
            kinds.setdefault(s.engine, {})[s.parameters["what"]] = said(s, "any")
    heads = (("channel", True), *((what, False) for what in whats))
    rows = [("", [kind, *(found.get(what, "0") for what in whats)]) for kind, found in kinds.items()]
    return with_note("What a channel takes",
                     "Its segment, which all sides share; what each handle takes of its process alone; "
                     "descriptors and mappings of both together. A message allocates nothing.",
                     table(heads, rows) if rows else "")
