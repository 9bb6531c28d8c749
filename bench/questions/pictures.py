"""Draws the README's two pictures, docs/echo.svg and docs/operations.svg, from the figures that the questions `echo` and `micro`
have left in build/bench/: ./dev bench echo micro pictures. Each carries its own background, a light or a dark one, as the reader's
browser asks for."""
# SPDX-License-Identifier: MIT

import json
import math

from questions import common, micro, plot

STYLE = """<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d1d9e0 } .grid { stroke: #d1d9e0 } .title { font-size: 16px; font-weight: 600 }
  .head, .ours { font-weight: 600 } .soft { fill: #59636e } .other { fill: #8c9bab } .raw { fill: #59636e } .mine { fill: #d6453d }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .card { fill: #0d1117; stroke: #3d444d } .grid { stroke: #3d444d } .soft { fill: #9198a1 }
    .other { fill: #66758a } .raw { fill: #b1bac4 } .mine { fill: #f0625a }
  }
</style>"""
ECHO_ROWS = {"TCP: 64 B, 100 connections": "64 bytes", "TCP: 64 B, 100 connections, 32 deep": "64 bytes, 32 in flight on each",
             "TCP: 16 KiB, 100 connections": "16 KiB"}
RUNTIMES = {common.OURS: "#d6453d", "Go": "#2f9e94", "Asio": "#8f6fd1", "tokio": "#e08a14", "featureless floor": "#8c9bab"}
LEFT_OUT = ("post", "to_thread", "exception")  # two threads' time, and what is the compiler's


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{plot.escape(words)}</text>'


def card(width, height, title, subtitle, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
            f'<title>{plot.escape(title)}</title>\n{STYLE}\n'
            f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
            + "\n".join([text(24, 34, title, "title"), text(24, 56, subtitle, "soft"), *parts]) + "\n</svg>\n")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def echo(figures):
    """Bars, the cheapest first: all panels on the scale of their own, which ends at three times the raw loop's."""
    panels = {title: {name: entry["cpu_us"] for name, entry in figures[row].items() if name not in common.NOT_READINESS}
              for row, title in ECHO_ROWS.items() if row in figures}
    label, bar, step, top = 165, 150, 24, 118
    parts, most = [], max(len(values) for values in panels.values())
    for index, (title, values) in enumerate(panels.items()):
        left = 24 + index * (label + bar + 55)
        end = 3 * values.get(common.FLOOR, min(values.values()))
        parts.append(text(left + label, top - 20, title, "head"))
        for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
            y, length = top + row * step, bar * min(value / end, 1)
            ours = name in (common.OURS, common.OURS_SIMPLE)
            kind = "mine" if ours else "raw" if name == common.FLOOR else "other"
            parts += [text(left + label - 8, y + 13, name, "ours" if ours else "", "end"),
                      f'<rect class="{kind}" x="{left + label}" y="{y}" width="{length:.1f}" height="{step - 7}" rx="2"/>',
                      text(left + label + length + 6, y + 13, number(value) + (" →" if value > end else ""), "ours" if ours else "")]
    return card(24 + len(panels) * (label + bar + 55), top + most * step + 16, "What an echoed message costs the server",
                "Microseconds of CPU a message, the kernel's part included; 100 TCP connections over loopback. Less is better.", parts)


def operations(figures):
    """Dots on a logarithmic axis, a row an operation."""
    rows = {title: {name: figures[key][name]["ns"] for name in RUNTIMES if name in figures[key]}
            for key, (title, _, _) in micro.OPERATIONS.items() if key in figures and key not in LEFT_OUT}
    values = [value for row in rows.values() for value in row.values()]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    left, width, step, top = 300, 560, 30, 122
    bottom = top + step * len(rows)

    def place(value):
        return left + width * (math.log10(value) - first) / (last - first)

    parts = []
    for decade in range(first, last + 1):
        x = place(10 ** decade)
        parts += [f'<path class="grid" d="M{x:.1f} {top - 12}V{bottom}"/>',
                  text(x, bottom + 18, f"{10 ** decade:,} ns" if decade < 3 else f"{10 ** (decade - 3):,} µs", "soft", "middle")]
    for row, (title, each) in enumerate(rows.items()):
        y = top + step * row + 8
        parts.append(text(left - 14, y + 4, title, "", "end"))
        spots = [place(value) for value in each.values()]
        parts.append(f'<path class="grid" d="M{min(spots):.1f} {y}H{max(spots):.1f}" stroke-width="2"/>')
        for name, value in reversed(each.items()):  # heddle's lies on top
            parts.append(f'<circle cx="{place(value):.1f}" cy="{y}" r="{7 if name == common.OURS else 5.5}" '
                         f'fill="{RUNTIMES[name]}"><title>{plot.escape(name)}: {number(value)} ns</title></circle>')
        if common.OURS in each:
            parts.append(text(left + width + 24, y + 4, f"{number(each[common.OURS])} ns", "ours"))
    x = left
    for name, colour in RUNTIMES.items():
        if any(name in each for each in rows.values()):
            parts += [f'<circle cx="{x}" cy="88" r="5.5" fill="{colour}"/>', text(x + 12, 92, name, "ours" if name == common.OURS else "")]
            x += 34 + 8 * len(name)
    parts.append(text(left + width + 24, 92, common.OURS, "ours"))
    return card(left + width + 110, bottom + 36, "What single operations cost",
                "Nanoseconds each on one core, logarithmic. Less is better. The floor is coroutines without any feature.", parts)


def run(build, options):
    docs = common.ROOT / "docs"
    docs.mkdir(exist_ok=True)
    for question, draw, name in (("echo", echo, "echo"), ("micro", operations, "operations")):
        source = common.ROOT / f"build/bench/{question}.json"
        if not source.exists():
            common.left_out(f"docs/{name}.svg", f"./dev bench {question} has not run yet")
            continue
        (docs / f"{name}.svg").write_text(draw(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
        print(f"docs/{name}.svg is drawn", flush=True)
