"""Figures as text, for the terminal and for the page."""


def digits(value):
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def scaled(value, units):
    for unit in units[:-1]:
        if value < 999.5:
            return f"{digits(value)} {unit}".rstrip()
        value /= 1000
    return f"{digits(value)} {units[-1]}"


def amount(value, unit):
    """2.5e8, "messages/s" -> "250 M/s"; 1234, "ns" -> "1.23 µs"."""
    if unit == "ns":
        return scaled(value, ("ns", "µs", "ms", "s"))
    if unit.startswith("us"):
        return scaled(value, ("µs", "ms", "s"))
    if unit == "B":
        for name, width in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= width:
                return f"{digits(value / width)} {name}"
    if unit == "B/s":
        return scaled(value, ("B/s", "kB/s", "MB/s", "GB/s"))
    if unit.endswith("/s"):
        return scaled(value, ("/s", "k/s", "M/s", "G/s"))
    return digits(value) if unit in ("descriptors", "mappings") else f"{digits(value)} {unit}"


def size(count):
    for unit, width in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= width and count % width == 0:
            return f"{count // width} {unit}"
    return f"{count} B"


def ratio(value):
    if value is None:
        return "too few"
    return f"{value:.2f}" if value < 9.995 else digits(value)


def parameters(series):
    return ", ".join(size(v) if k == "bytes" and isinstance(v, int) else f"{k} {v}"
                     for k, v in series.parameters.items())


def summary(standings):
    """At most ten lines: where does it stand?"""
    form = "{:<40}{:<6}{:<29}{:<28}{:>7}"
    lines = [form.format("Where it stands (medians)", "", "Rondo", "best rival", "times")]

    def cell(series, placement):
        if series is None:
            return "too few samples"
        return f"{amount(series.median(placement), series.unit):>8} {series.engine}"[:28]

    for one in standings[:9]:
        at = "" if one.placement == "any" else one.placement[:5]
        times = ratio(one.to(one.rival)) if one.mine and one.rival else "-"
        lines.append(form.format(one.title, at, cell(one.mine, one.placement),
                                 cell(one.rival, one.placement) if one.has_rivals else "none",
                                 times))
    return "\n".join(lines)
