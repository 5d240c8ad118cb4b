"""What a file of ./dev bench says (docs/bench_schema.md): its series, medians, ratios, changes."""

import json
import math
import random

ENOUGH = 5  # samples, on each side of a ratio
PLACEMENTS = ("near", "far", "farther", "siblings", "any")
BOOTSTRAPS = 400
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")  # of single messages

# The questions of the summary, in its order: what is asked, with which parameters, in words.
HEADLINES = (
    ("hand_off", {"bytes": 8, "slots": 1024}, "between threads, 8 B"),
    ("hand_off", {"bytes": 64, "slots": 1024}, "between threads, 64 B"),
    ("hand_off", {"bytes": 1024, "slots": 8192}, "between threads, 1 KiB"),
    ("mpmc", {"bytes": 64, "producers": 1, "consumers": 1}, "queue for many, 1 to 1, 64 B"),
    ("mpmc", {"bytes": 64, "producers": 4, "consumers": 4}, "queue for many, 4 to 4, 64 B"),
    ("fan_out", {"bytes": 64, "consumers": 4}, "one to four, 64 B"),
    ("process_round_trip", {"bytes": 64}, "between processes, there and back, 64 B"),
    ("process_stream", {"bytes": 64}, "between processes, 64 B"),
    ("process_stream", {"bytes": 1 << 20}, "between processes, 1 MiB"),
)


class Unreadable(Exception):
    """The file is not of this schema; the text says why."""


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def quantile(values, share):
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Series:
    """The samples of one question to one engine."""

    def __init__(self, raw):
        self.question = str(raw["question"])
        self.engine = str(raw["engine"])
        self.role = str(raw["role"])
        self.parameters = {str(k): v if is_number(v) else str(v)
                           for k, v in dict(raw["parameters"]).items()}
        self.unit = str(raw["unit"])
        self.more_is_better = bool(raw["more_is_better"])
        self.dropped = raw.get("dropped", 0) if is_number(raw.get("dropped", 0)) else 0
        self.values = {}
        for sample in raw["samples"]:
            value, placement = sample[0], str(sample[1])
            if is_number(value) and value > 0:
                self.values.setdefault(placement, []).append(value)

    @property
    def key(self):
        return (self.question, tuple(sorted((k, str(v)) for k, v in self.parameters.items())))

    def count(self, placement):
        return len(self.values.get(placement, ()))

    def median(self, placement):
        return median(self.values[placement])

    @property
    def unused(self):
        """Samples that no figure is made of."""
        return self.dropped + self.count("moved") + self.count("unclear")


class Run:
    """One file."""

    def __init__(self, content):
        if not isinstance(content, dict) or content.get("schema") != "rondo-bench":
            raise Unreadable("is not a file of ./dev bench")
        if content.get("version") != 1:
            raise Unreadable(f"is of version {content.get('version')} of the schema, not of 1")
        try:
            self.series = [Series(raw) for raw in content["series"]]
            self.placements = [dict(mode) for mode in content.get("placements", [])]
            self.failures = [dict(failure) for failure in content.get("failures", [])]
            self.machine = dict(content.get("machine", {}))
            self.build = dict(content.get("build", {}))
            self.packages = dict(content.get("packages", {}))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise Unreadable(f"is damaged: {error!r}") from error
        self.date = str(content.get("date", ""))

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8") as file:
                return Run(json.load(file))
        except (OSError, ValueError, RecursionError) as error:
            raise Unreadable(f"{path} cannot be read: {error}") from error
        except Unreadable as error:
            raise Unreadable(f"{path} {error}") from error

    def contests(self):
        """Who was asked the same: {key: [series]}, in the order of the file."""
        groups = {}
        for series in self.series:
            groups.setdefault(series.key, []).append(series)
        return groups

    def same_machine(self, other):
        facts = ("vendor", "family", "model", "cores")
        return all(self.machine.get(fact) == other.machine.get(fact) for fact in facts)


def best(contest, placement, *roles):
    """The best median among these roles; of engines with enough samples only. None if there is none."""
    able = [s for s in contest if s.role in roles and s.count(placement) >= ENOUGH]
    if not able:
        return None
    choose = max if able[0].more_is_better else min
    return choose(able, key=lambda s: s.median(placement))


def advantage(mine, other, placement):
    """How many times better; above 1 is ahead. None: too few samples, or nobody to compare with."""
    if mine is None or other is None:
        return None
    if min(mine.count(placement), other.count(placement)) < ENOUGH:
        return None
    ratio = mine.median(placement) / other.median(placement)
    return ratio if mine.more_is_better else 1 / ratio


class Standing:
    """The answer to one headline question."""

    def __init__(self, title, contest):
        self.title = title
        ours = [s for s in contest if s.role == "ours"]
        most = {p: max((s.count(p) for s in ours), default=0) for p in PLACEMENTS}
        # Near, if it was near for long enough.
        self.placement = next((p for p in PLACEMENTS if most[p] >= ENOUGH),
                              max(PLACEMENTS, key=lambda p: most[p]))
        self.mine = best(contest, self.placement, "ours")
        self.rival = best(contest, self.placement, "rival")
        self.has_rivals = any(s.role == "rival" for s in contest)
        self.textbook = best(contest, self.placement, "textbook")
        self.floor = best(contest, self.placement, "floor")

    def to(self, other):
        return advantage(self.mine, other, self.placement)


def standings(run):
    found = []
    contests = run.contests().values()
    for question, wanted, title in HEADLINES:
        for contest in contests:
            first = contest[0]
            if first.question == question and all(
                    first.parameters.get(k) == v for k, v in wanted.items()):
                found.append(Standing(title, join_floor(run, contest)))
                break
    return found


def mix_name(producers, consumers):
    return f"{producers}P{consumers}C"


def oversubscribed(run, producers, consumers):
    """Whether threads had to share cores."""
    cores = run.machine.get("cores_allowed", run.machine.get("cores"))
    return all(map(is_number, (producers, consumers, cores))) and producers + consumers > cores


def join_floor(run, contest):
    """With the bare exchange of two lines, which is no matter of size but bounds a small round trip."""
    first = contest[0]
    if first.question != "process_round_trip" or any(s.role == "floor" for s in contest):
        return contest
    return contest + [s for s in run.series if s.question == first.question and s.role == "floor"
                      and s.parameters.get("bytes") == first.parameters.get("bytes")]


class Change:
    """One engine's answer to one question, in two runs. Above 1 is better in the second."""

    def __init__(self, before, after, placement):
        self.before, self.after, self.placement = before, after, placement
        old, new = before.values[placement], after.values[placement]
        self.ratio = self._better(median(new), median(old))
        # The same interval for the same samples, whenever it is asked for.
        chance = random.Random(f"{before.key}{before.engine}{placement}{len(old)}{len(new)}")
        drawn = sorted(self._better(median(chance.choices(new, k=len(new))),
                                    median(chance.choices(old, k=len(old))))
                       for _ in range(BOOTSTRAPS))
        self.low, self.high = quantile(drawn, 0.025), quantile(drawn, 0.975)

    def _better(self, new, old):
        return new / old if self.before.more_is_better else old / new


def changes(before, after):
    """Of all that both runs asked, with enough samples in both."""
    old = {(s.key, s.engine): s for s in before.series}
    found = []
    for series in after.series:
        other = old.get((series.key, series.engine))
        if other is None or other.unit != series.unit:
            continue
        for placement in PLACEMENTS:
            if min(series.count(placement), other.count(placement)) >= ENOUGH:
                found.append(Change(other, series, placement))
    return found


def noise(all_changes):
    """What changed though nothing of it could: 9 of 10 rivals and floors moved by less than this factor.

    Samples of one run are closer to each other than to those of another run: an interval from within
    the runs is too narrow for a difference between them. None: too few controls to say.
    """
    controls = [abs(math.log(c.ratio)) for c in all_changes
                if c.after.role not in ("ours", "variant")]
    return math.exp(quantile(controls, 0.9)) if len(controls) >= ENOUGH else None


def verdict(change, band):
    """'regression' or 'improvement' only where the whole interval lies beyond what the controls did."""
    if change.high < 1 / band:
        return "regression"
    if change.low > band:
        return "improvement"
    return ""
