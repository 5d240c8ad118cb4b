"""Line charts as inline SVG."""

import math
from html import escape

WIDTH, HEIGHT = 620, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 14, 40

OURS = ("#c8102e", "#e8703a", "#8f1d5c", "#d4a017")
RIVALS = ("#3b6ea5", "#2a9d8f", "#6a4c93", "#5b8c3e", "#8d99ae", "#0f4c5c", "#b08968", "#4361ee",
          "#7a7a7a", "#457b9d")


class Line:
    def __init__(self, name, role, points):
        self.name, self.role, self.points = name, role, points  # (x, y, what it says)


def colours(lines):
    """Ours in warm colours, the others in cold ones; what is no product in grey."""
    ours, rivals = iter(OURS * 9), iter(RIVALS * 9)
    styles = []
    for line in lines:
        if line.role == "ours":
            styles.append((next(ours), "", 2.6))
        elif line.role == "variant":
            styles.append((next(ours), "7 2", 1.6))
        elif line.role == "textbook":
            styles.append(("#333333", "6 3", 1.8))
        elif line.role == "floor":
            styles.append(("#999999", "2 3", 1.8))
        else:
            styles.append((next(rivals), "", 1.6))
    return styles


def log_ticks(low, high):
    ticks = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            value = step * 10.0**exponent
            if low <= value <= high:
                ticks.append(value)
    if len(ticks) > 8:
        decades = [t for t in ticks if abs(math.log10(t) - round(math.log10(t))) < 1e-9]
        ticks = decades if len(decades) > 2 else ticks[::2]
    return ticks


def chart(lines, x_label, y_label, y_text, x_ticks, x_log=False):
    """`x_ticks`: (x, text). y is logarithmic: what is compared is ratios."""
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    scale = math.log if x_log else float
    xs = [scale(x) for x, _ in x_ticks] + [scale(p[0]) for line in lines for p in line.points]
    ys = [p[1] for line in lines for p in line.points]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(ys) / 1.15, max(ys) * 1.15
    if y_high < 4 * y_low:  # what hardly differs shall not look as if it did
        middle = math.sqrt(y_low * y_high)
        y_low, y_high = middle / 2, middle * 2
    span = (x_high - x_low) or 1

    def x_of(x):
        margin = 14
        return LEFT + margin + (scale(x) - x_low) / span * (WIDTH - LEFT - RIGHT - 2 * margin)

    def y_of(y):
        share = math.log(y / y_low) / math.log(y_high / y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for tick in log_ticks(y_low, y_high):
        y = y_of(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(y_text(tick))}</text>')
    for x, text in x_ticks:
        parts.append(f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 16}" '
                     f'text-anchor="middle">{escape(text)}</text>')
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" '
                 f'y2="{HEIGHT - BOTTOM}" class="axis"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
                 f'text-anchor="middle" class="label">{escape(x_label)}</text>')
    legend = []
    for line, (colour, dashes, width) in zip(lines, colours(lines)):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y, _ in line.points)
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                     f'stroke-width="{width}"{dash}/>')
        if len(line.points) <= 12:
            parts += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}">'
                      f"<title>{escape(line.name)}: {escape(said)}</title></circle>"
                      for x, y, said in line.points]
        legend.append(f'<li><svg viewBox="0 0 26 8" class="key"><line x1="0" x2="26" y1="4" y2="4" '
                      f'stroke="{colour}" stroke-width="{width}"{dash}/></svg>{escape(line.name)}</li>')
    parts.append("</svg>")
    return (f'<figure><figcaption>{escape(y_label)}</figcaption>{"".join(parts)}'
            f'<ul class="legend">{"".join(legend)}</ul></figure>')
