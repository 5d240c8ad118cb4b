"""What the page is put together from: tables, and charts of what varies in one parameter."""

from html import escape

from . import chart, figures, text
from .figures import ENOUGH, PLACEMENTS

TITLES = {
    "hand_off": "Between two threads",
    "fan_out": "One to several, in one process",
    "frames_written": "Large frames written, while they are read",
    "frames_read": "Large frames read, by all readers together",
    "process_round_trip": "Between two processes, there and back",
    "process_stream": "Between two processes, one way",
    "mpmc": "Several to several",
    "mpmc_round_trip": "There and back through two queues for many",
    "handles": "Handles beside the bare ring behind them",
    "guarded": "A guarded ring beside a simple one",
    "latency": "How late single messages are that are due by a schedule",
    "opening": "Opening and closing a channel",
    "pages": "Memory brought in when it is made, or later",
    "footprint": "What a channel takes",
    "feature": "What each feature costs a stream of small messages",
    "growth": "A stream of small messages, and what it does not use",
    "rare_receiver": "A rare message: processor time of who receives it",
    "rare_sender": "A rare message: processor time of who sends it",
}


def title_of(question):
    return TITLES.get(question, question)


def table(heads, rows):
    """heads: (text, is a word). rows: (class of the row, cells); a cell is a text, or (text, class)."""
    top = "".join(f'<th{" class=word" if word else ""}>{escape(head)}</th>' for head, word in heads)
    lines = []
    for style, cells in rows:
        line = []
        for cell, (_, word) in zip(cells, heads):
            said, mark = cell if isinstance(cell, tuple) else (cell, "")
            mark = " ".join(filter(None, ("word" if word else "", mark)))
            line.append(f'<td{f" class={chr(34)}{mark}{chr(34)}" if mark else ""}>{escape(said)}</td>')
        lines.append(f'<tr class="{escape(style)}">{"".join(line)}</tr>')
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def judged(ratio):
    if ratio is None:
        return text.ratio(ratio)
    return (text.ratio(ratio), "ahead" if ratio >= 1 else "behind")


def said(series, placement):
    return text.amount(series.median(placement), series.unit)


def spread(series, placement):
    """The middle half, as a share of the median."""
    values = series.values[placement]
    low, high = figures.quantile(values, 0.25), figures.quantile(values, 0.75)
    return f"±{(high - low) / 2 / figures.median(values):.0%}"


def placements_of(run):
    """Those that the file has samples of, the most common first."""
    counts = {p: sum(s.count(p) for s in run.series) for p in PLACEMENTS}
    return [p for p in sorted(PLACEMENTS, key=lambda p: -counts[p]) if counts[p]]


def by_parameter(all_series, question, name):
    """What differs in this parameter alone: [(the other parameters, [series])]."""
    groups = {}
    for series in all_series:
        if series.question == question and figures.is_number(series.parameters.get(name)):
            rest = tuple((k, v) for k, v in series.parameters.items() if k != name)
            groups.setdefault(rest, []).append(series)
    return groups.items()


def lines_over(group, name, placement, value_of):
    engines = {}
    for series in group:
        if series.count(placement) >= ENOUGH:
            engines.setdefault((series.engine, series.role), []).append(series)
    lines = []
    for (engine, role), members in engines.items():
        members.sort(key=lambda s: s.parameters[name])
        lines.append(chart.Line(engine, role, [
            (s.parameters[name], value_of(s), f"{said(s, placement)}, {s.count(placement)} samples")
            for s in members]))
    return lines


def charts_over(run, question, name, x_label, unit, value_of, x_text, only=None):
    """A chart for each placement and each choice of the other parameters where `name` varies. `only`:
    of these series alone."""
    found = []
    for placement in placements_of(run):
        for rest, group in by_parameter(run.series if only is None else only, question, name):
            lines = lines_over(group, name, placement, lambda s: value_of(s, placement))
            xs = sorted({p[0] for line in lines for p in line.points})
            if len(xs) < 2:
                continue
            where = [title_of(question), *(f"{k} {v}" for k, v in rest)]
            where += [] if placement == "any" else [placement]
            found.append(chart.chart(lines, x_label, ", ".join(where),
                                     lambda v: text.amount(v, unit), [(x, x_text(x)) for x in xs],
                                     x_log=True))
    return found


def section(title, note, parts):
    parts = [part for part in parts if part]
    if not parts:
        return ""
    return (f"<h2>{escape(title)}</h2><p class=note>{escape(note)}</p>"
            f'<div class="charts">{"".join(parts)}</div>')
