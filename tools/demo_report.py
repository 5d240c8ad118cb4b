"""Shows what the benchmark driver measured for ./dev demo: one table, and a picture of it.

    demo_report.py MEASURED.json PICTURE    prints the table; writes PICTURE.svg and PICTURE.png
"""

import json
import math
import subprocess
import sys

TRANSPORTS = ("shm ring", "pipe", "unix socket")
COLOURS = {"shm ring": "#c8102e", "pipe": "#3b6ea5", "unix socket": "#7a7a7a"}
TITLES = {"shm ring": "shared-memory ring", "pipe": "pipe", "unix socket": "UNIX socket"}


def three_digits(value):
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def scaled(value, units):
    """1234.5 with ("ns", "us") -> "1.23 us"."""
    if value is None:
        return "-"
    for unit in units[:-1]:
        if value < 999.5:
            return f"{three_digits(value)} {unit}"
        value /= 1000
    return f"{three_digits(value)} {units[-1]}"


def binary(size):
    for unit, width in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= width and size % width == 0:
            return f"{size // width} {unit}"
    return f"{size} B"


def round_trip(row):
    return scaled(row.get("round_trip_ns"), ("ns", "µs", "ms", "s"))


def throughput(row):
    if row.get("bytes_per_s") is None:
        return "-"
    messages = scaled(row.get("messages_per_s"), ("/s", "k/s", "M/s", "G/s"))
    data = scaled(row.get("bytes_per_s"), ("B/s", "kB/s", "MB/s", "GB/s"))
    return f"{data} ({messages})" if row["bytes"] < 4096 else data


def print_table(measured, rows):
    sizes = sorted({size for _, size in rows})
    cells = [["message"] + [TITLES[t] for t in TRANSPORTS] * 2]
    for size in sizes:
        line = [rows.get((t, size), {"bytes": size}) for t in TRANSPORTS]
        cells.append([binary(size)] + [round_trip(r) for r in line] + [throughput(r) for r in line])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    half = sum(widths[1:4]) + 4
    print(" " * widths[0] + "  " + "round trip".center(half) + "  | " + "throughput".center(
        sum(widths[4:]) + 4).rstrip())
    for line in cells:
        padded = [cell.rjust(width) for cell, width in zip(line, widths)]
        print("  ".join(padded[:4]) + "  | " + "  ".join(padded[4:]))
    print()
    print(f"Medians, measured together just now; cores {placement_text(measured, rows)}.")
    print(measured["machine"])


def placement_text(measured, rows):
    tags = {row.get("placement") for row in rows.values()} - {None}
    if len(tags) == 1:
        bare = measured.get("bare_exchange_ns")
        return tags.pop() + (f" (a bare exchange takes {bare:.0f} ns)" if bare else "")
    return measured.get("placement", "mixed") + " (it changed in between: compare with care)"


def data_block(name, transport, sizes, rows):
    """size, round trip, throughput, and the last two as text."""
    lines = [f"${name} << EOD"]
    for size in sizes:
        row = rows.get((transport, size), {})
        values = [row.get("round_trip_ns"), row.get("bytes_per_s")]
        texts = [round_trip(row), scaled(values[1], ("B/s", "kB/s", "MB/s", "GB/s"))]
        lines.append(" ".join([str(size)] + ["NaN" if v is None else str(v) for v in values] +
                              [f'"{text}"' for text in texts]))
    return "\n".join(lines + ["EOD"])


def curves(column, rows):
    key = "round_trip_ns" if column == 2 else "bytes_per_s"
    measured = {transport for (transport, _), row in rows.items() if row.get(key)}
    plots = [f"$data{index} using 1:{column} with linespoints lw 2.5 pt 7 ps 0.9 "
             f'lc rgb "{COLOURS[transport]}" title "{TITLES[transport]}"'
             for index, transport in enumerate(TRANSPORTS) if transport in measured]
    if "shm ring" not in measured:
        return ", ".join(plots)
    # The ring's figures stand at its points: below it in one panel, above in the other.
    plots.append(f"$data0 using 1:{column}:{column + 2} with labels "
                 f'offset {"2.5,-0.9" if column == 2 else "0,1"} tc rgb "{COLOURS["shm ring"]}" notitle')
    return ", ".join(plots)


def plot_script(measured, rows, terminal, output):
    sizes = sorted({size for _, size in rows})
    ticks = ", ".join(f'"{binary(size)}" {size}' for size in sizes)
    blocks = [data_block(f"data{index}", transport, sizes, rows)
              for index, transport in enumerate(TRANSPORTS)]
    note = f"{measured['machine']}; cores {placement_text(measured, rows)}; medians"
    return "\n".join(blocks) + f"""
set terminal {terminal}
set output "{output}"
set multiplot layout 1,2 margins 0.07,0.985,0.20,0.90 spacing 0.09
set datafile missing "NaN"
set logscale xy
set xtics ({ticks}) nomirror
set xrange [{sizes[0] / 4}:{sizes[-1] * 4}]
set border 3 lc rgb "#444444"
set grid ytics lt 1 lw 0.6 lc rgb "#dddddd"
set xlabel "size of a message"
set label 2 "{note}" at screen 0.07,0.03 tc rgb "#666666"

set label 1 "{{/:Bold Round trip}}  (less is better)" at graph 0.0,1.06
set ytics ("10 ns" 1e1, "100 ns" 1e2, "1 µs" 1e3, "10 µs" 1e4, "100 µs" 1e5, "1 ms" 1e6, \
  "10 ms" 1e7) nomirror
set yrange [{bound(rows, "round_trip_ns", min)}:{bound(rows, "round_trip_ns", max)}]
set key left top Left reverse samplen 2 spacing 1.2
plot {curves(2, rows)}

unset label 2
set label 1 "{{/:Bold Throughput}}  (more is better)"
set ytics ("1 MB/s" 1e6, "10 MB/s" 1e7, "100 MB/s" 1e8, "1 GB/s" 1e9, "10 GB/s" 1e10, \
  "100 GB/s" 1e11) nomirror
set yrange [{bound(rows, "bytes_per_s", min)}:{bound(rows, "bytes_per_s", max)}]
set key right bottom Left reverse samplen 2 spacing 1.2
plot {curves(3, rows)}
unset multiplot
"""


def bound(rows, key, end):
    """The axis ends at a power of ten, a little beyond the data."""
    values = [row[key] for row in rows.values() if row.get(key)]
    power = math.log10(end(values) * (0.45 if end is min else 1.7))
    return 10.0 ** (math.floor(power) if end is min else math.ceil(power))


def draw(measured, rows, picture):
    for suffix, terminal in (("svg", 'svg size 1100,480 font "Helvetica,13" background "white"'),
                             ("png", 'pngcairo size 1100,480 font "Helvetica,11"')):
        script = plot_script(measured, rows, terminal, f"{picture}.{suffix}")
        subprocess.run(["gnuplot"], input=script.encode(), check=True)
    print(f"\nThe same as a picture: {picture}.svg and {picture}.png")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        measured = json.load(file)
    rows = {(row["transport"], row["bytes"]): row for row in measured["rows"]}
    print_table(measured, rows)
    draw(measured, rows, sys.argv[2])


if __name__ == "__main__":
    main()
