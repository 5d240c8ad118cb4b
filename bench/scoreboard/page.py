"""The page: one HTML file that asks nothing of anybody else."""

from html import escape

from . import chart, figures, questions, text
from .figures import ENOUGH, PLACEMENTS
from .parts import (charts_over, judged, placements_of, said, section, spread, table, title_of)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1320px; margin: 2em auto;
  padding: 0 1.2em; background: #fff; }
h1 { font-size: 1.7em; margin-bottom: 0.1em; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
h3 { margin: 1.4em 0 0.3em; font-size: 1.05em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 0.6em 0; font-variant-numeric: tabular-nums; }
table { font-size: 13.5px; }
th, td { padding: 0.2em 0.7em 0.2em 0; text-align: right; border-bottom: 1px solid #eee;
  white-space: nowrap; }
.facts td { white-space: normal; } .facts td:first-child { white-space: nowrap; }
th { border-bottom: 1px solid #999; font-weight: 600; vertical-align: bottom; }
th.word, td.word { text-align: left; }
tr.ours td { font-weight: 600; } tr.floor td, tr.textbook td { color: #666; }
td.ahead { color: #14692e; } td.behind, .bad { color: #b3261e; font-weight: 600; }
.charts { display: flex; flex-wrap: wrap; gap: 1em 2em; }
figure { margin: 0; width: 620px; max-width: 100%; } figcaption { font-weight: 600; }
figure > svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #555; }
svg .label { font-size: 12px; } svg .grid { stroke: #e4e4e4; } svg .axis { stroke: #888; }
.legend { list-style: none; padding: 0; margin: 0 0 0 66px; columns: 3; font-size: 12.5px; }
.legend li { break-inside: avoid; } .key { width: 26px; height: 8px; margin-right: 0.5em; }
.note { color: #555; max-width: 62em; } details { margin: 0.6em 0; } summary { cursor: pointer; }
"""


def machine(run):
    facts = run.machine
    rows = [("machine", facts.get("description", "unknown")),
            ("processor", f"{facts.get('vendor', '?')}, family {facts.get('family', '?')}, "
                          f"model {facts.get('model', '?')}"
                          f"{', a virtual machine' if facts.get('hypervisor') else ''}"),
            ("kernel", facts.get("kernel", "?")),
            ("compiler", f"{run.build.get('compiler', '?')}   {run.build.get('flags', '')}"),
            ("Rondo", run.build.get("rondo", "?")),
            ("measured", run.date),
            ("rivals", ", ".join(f"{name} {version}" for name, version in run.packages.items()
                                if version != "missing") or
             "versions not known")]
    for mode in run.placements:
        numbers = [mode.get(k) for k in ("centre_ns", "low_ns", "high_ns", "probes")]
        if all(figures.is_number(n) for n in numbers):
            rows.append((str(mode.get("name", "?")),
                         "{:.0f} ns for a bare exchange of two lines ({:.0f} to {:.0f}; {} probes)"
                         .format(*numbers)))
    return f'<div class="facts">{table((("", True), ("", True)), [("", (n, str(v))) for n, v in rows])}</div>'


def notices(run):
    missing = [str(name) for name, version in run.packages.items() if version == "missing"]
    if not missing:
        return ""
    return f'<p class="bad">Not installed, so not compared with: {escape(", ".join(missing))}</p>'


def failures(run):
    return "".join(f'<p class="bad">FAILED: {escape(str(f.get("engine")))}: {escape(str(f.get("why")))}</p>'
                   for f in run.failures)


def summary(run):
    heads = (("question", True), ("cores", True), ("Rondo", True), ("", False), ("spread, n", False),
             ("best rival", True), ("", False), ("spread, n", False), ("to rival", False),
             ("textbook", False), ("floor", False))
    rows = []
    for one in figures.standings(run):
        at = one.placement
        cells = [one.title, "" if at == "any" else at]
        for series, asked in ((one.mine, True), (one.rival, one.has_rivals)):
            cells += ([series.engine, said(series, at), f"{spread(series, at)}, {series.count(at)}"]
                      if series else ["too few" if asked else "none", "", ""])
        cells += [judged(one.to(one.rival)) if one.has_rivals else ""]
        cells += [text.ratio(one.to(other)) if other else "" for other in (one.textbook, one.floor)]
        rows.append(("", cells))
    return (table(heads, rows) if rows else '<p class="note">Nothing of it was measured.</p>')


def over_size(run):
    def bytes_per_s(series, placement):
        return series.median(placement) * series.parameters["bytes"]

    parts = []
    for question in ("hand_off", "process_stream", "frames_written", "guarded"):
        parts += charts_over(run, question, "bytes", "size of a message", "B/s", bytes_per_s, text.size)
    parts += charts_over(run, "process_round_trip", "bytes", "size of a message", "ns",
                         lambda s, p: s.median(p), text.size)
    return section("Over the size of a message",
                   "Bytes a second (more is better), and round trips (less is better). Medians.", parts)


def percentiles(run):
    parts = []
    marks = [(s, f"{s} %") for s in (0, 25, 50, 75, 90, 100)]
    for placement in placements_of(run):
        for contest in run.contests().values():
            first = contest[0]
            able = [s for s in contest if s.count(placement) >= ENOUGH]
            # Where placement is not told apart, ns are loops of one thread.
            if first.unit != "ns" or placement == "any" or not able or first.question == "latency":
                continue
            lines = [chart.Line(s.engine, s.role, [
                (share, figures.quantile(s.values[placement], share / 100), "")
                for share in range(0, 101, 2)]) for s in able]
            where = [title_of(first.question), text.parameters(first)]
            where += [] if placement == "any" else [placement]
            parts.append(chart.chart(lines, "share of the samples", ", ".join(filter(None, where)),
                                     lambda v: text.amount(v, "ns"), marks))
    return section("Round trips: how samples differ",
                   "A sample is the mean of a few milliseconds of round trips without a pause. The "
                   "curves show how samples differ, not the tail of single messages.", parts)


def scaling(run):
    parts = []
    for placement in placements_of(run):
        sizes = sorted({s.parameters.get("bytes") for s in run.series if s.question == "mpmc" and
                        figures.is_number(s.parameters.get("bytes"))})
        for size in sizes:
            group = [s for s in run.series if s.question == "mpmc" and
                     s.parameters.get("bytes") == size and s.count(placement) >= ENOUGH]
            mixes = sorted({(s.parameters.get("producers"), s.parameters.get("consumers"))
                            for s in group}, key=lambda m: (sum(map(float, m)), m))
            if len(mixes) < 2:
                continue
            engines = {}
            for s in group:
                mix = (s.parameters.get("producers"), s.parameters.get("consumers"))
                engines.setdefault((s.engine, s.role), []).append(
                    (mixes.index(mix), s.median(placement),
                     f"{said(s, placement)}, {s.count(placement)} samples"))
            lines = [chart.Line(e, r, sorted(points)) for (e, r), points in engines.items()]
            parts.append(chart.chart(
                lines, "producers and consumers", f"messages/s, {text.size(size)}, {placement}",
                lambda v: text.amount(v, "/s"),
                [(i, f"{figures.mix_name(*mix)}{'*' if figures.oversubscribed(run, *mix) else ''}")
                 for i, mix in enumerate(mixes)]))
    return section("Scaling: several to several",
                   "Messages a second of all together. *: more threads than cores, and each yields as "
                   "soon as the queue is full or empty for it, in all queues alike: switching between "
                   "threads is part of the figure. Compare engines within such a mix, not mixes with "
                   "each other. Queues in which a preempted thread holds up all others are left out "
                   "where there are more than two threads for each core.", parts)


def fan_out(run):
    parts = charts_over(run, "fan_out", "consumers", "consumers", "/s", lambda s, p: s.median(p), str)
    for question in ("frames_read", "frames_written"):
        parts += charts_over(run, question, "readers", "readers", "/s", lambda s, p: s.median(p), str)
    return section("Fan-out: one to several", "Deliveries a second, summed over all consumers.", parts)


def near_and_far(run):
    rows = []
    for one in figures.standings(run):
        mine = one.mine
        if mine is None:
            continue
        for placement in PLACEMENTS[:-1]:
            if mine.count(placement) == 0:
                continue
            rival = one.rival if one.rival and one.rival.count(placement) else None
            rows.append(("", [one.title, placement, mine.engine, said(mine, placement),
                              str(mine.count(placement)), rival.engine if rival else "-",
                              said(rival, placement) if rival else "", str(rival.count(placement)) if
                              rival else "", judged(figures.advantage(mine, rival, placement))]))
    heads = (("question", True), ("cores", True), ("Rondo", True), ("", False), ("samples", False),
             ("rival", True), ("", False), ("samples", False), ("to rival", False))
    if not rows:
        return ""
    return ("<h2>Near and far</h2><p class=note>The same two engines, wherever the cores were. Near and "
            "far are the modes of this machine's own probes.</p>" + table(heads, rows))


def all_figures(run):
    parts = ["<h2>All figures</h2><p class=note>Spread: the middle half of the samples around the "
             f"median. A ratio is given from {ENOUGH} samples on either side. Unused: samples that "
             "were disturbed, or whose cores moved or were not clearly placed.</p>"]
    questions = dict.fromkeys(s.question for s in run.series)
    heads = (("engine", True), ("", True), ("cores", True), ("median", False), ("spread", False),
             ("samples", False), ("unused", False), ("to best rival", False), ("to floor", False))
    for question in questions:
        rows = []
        for contest in run.contests().values():
            if contest[0].question != question:
                continue
            for placement in PLACEMENTS:
                rival = figures.best(contest, placement, "rival")
                floor = figures.best(contest, placement, "floor")
                for s in contest:
                    if not s.count(placement):
                        continue
                    ratios = [text.ratio(figures.advantage(s, other, placement)) if other and
                              s.role == "ours" else "" for other in (rival, floor)]
                    rows.append((s.role, [s.engine, text.parameters(s), placement, said(s, placement),
                                          spread(s, placement), str(s.count(placement)),
                                          str(s.unused), *ratios]))
        if rows:
            parts.append(f"<details><summary>{escape(title_of(question))}</summary>"
                         f"{table(heads, rows)}</details>")
    return "".join(parts)


def comparison(run, before):
    found = figures.changes(before, run)
    noise = figures.noise(found)
    band = noise or 1.1
    note = (f"What is not Rondo's and cannot have changed moved by up to {band - 1:.0%} between the two "
            "runs (9 of 10 of them). " if noise else
            "Too few rivals are in both files to tell what moves by itself; 10 % is taken for it. ")
    note += ("A change is named if the whole of its 95 % interval (bootstrap of the median) lies beyond "
             "that. Above 1 is better now.")
    parts = [f"<h2>Against {escape(before.date)}</h2>"]
    if not run.same_machine(before):
        parts.append('<p class="bad">The two files are of different machines: what differs need not be '
                     "Rondo's doing.</p>")
    parts.append(f"<p class=note>{escape(note)}</p>")
    heads = (("question", True), ("engine", True), ("", True), ("cores", True), ("before", False),
             ("now", False), ("times", False), ("95 % interval", False), ("", True))

    def row(change):
        s, at = change.after, change.placement
        named = figures.verdict(change, band)
        mark = {"regression": "behind", "improvement": "ahead"}.get(named, "")
        return (s.role, [title_of(s.question), s.engine, text.parameters(s), at,
                         f"{said(change.before, at)} ({change.before.count(at)})",
                         f"{said(s, at)} ({s.count(at)})", text.ratio(change.ratio),
                         f"{change.low:.2f} to {change.high:.2f}", (named, mark)])

    ours = sorted((c for c in found if c.after.role == "ours"), key=lambda c: c.ratio)
    for name, title in (("regression", "Regressions"), ("improvement", "Improvements")):
        named = [c for c in ours if figures.verdict(c, band) == name]
        parts.append(f"<h3>{title}</h3>" + (table(heads, map(row, named)) if named else
                                            "<p class=note>None.</p>"))
    parts.append("<details><summary>All that both files have</summary>"
                 f"{table(heads, map(row, sorted(found, key=lambda c: c.ratio)))}</details>")
    return "".join(parts)


def page(run, before=None):
    body = ["<h1>Rondo: where it stands</h1>", failures(run), notices(run), machine(run),
            "<h2>Summary</h2><p class=note>Medians; above 1 Rondo is ahead. Rondo is the better of its "
            "engines in this question, which is named; n: samples, "
            f"{ENOUGH} at least on either side.</p>",
            summary(run)]
    if before is not None:
        body.append(comparison(run, before))
    body += [near_and_far(run), over_size(run), questions.latency(run), percentiles(run), scaling(run),
             fan_out(run), questions.features(run), questions.growth(run), questions.opening(run),
             questions.footprint(run), all_figures(run)]
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "style-src 'unsafe-inline'\">"
            f"<title>Rondo: where it stands</title><style>{STYLE}</style></head>"
            f'<body>{"".join(body)}</body></html>\n')
