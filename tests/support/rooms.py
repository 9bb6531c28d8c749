"""The rooms of the house: their order, as CONTRIBUTING.md has it, and who includes whom. `rooms.py ROOT` prints the includes between
rooms; `rooms.py ROOT --draw` draws the pictures in the READMEs of the floors anew (./dev rooms)."""
# SPDX-License-Identifier: MIT

import html
import os
import pathlib
import re
import sys
import textwrap

FLOORS = ["selector", "runtime", "io"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
LISTED = re.compile(r"^    ((?:selector|runtime|io)(?:/\w+)?)  +(\S.*)$", re.MULTILINE)


def read(path):
    return path.read_text(encoding="utf-8")


def order(root):
    """The rooms bottom up, each with what it is for: the list in CONTRIBUTING.md is the only one there is."""
    return {room: purpose for room, purpose in LISTED.findall(read(root / "CONTRIBUTING.md"))}


def sources(root):
    return [path for floor in FLOORS for path in sorted((root / floor).rglob("*")) if path.suffix in (".cpp", ".hpp")]


def room_of(root, path):
    return str(path.relative_to(root).parent)


def quoted(path):
    """The files that `path` includes by quote."""
    for kind, name in INCLUDE.findall(read(path)):
        if kind == '"':
            yield pathlib.Path(os.path.normpath(path.parent / name))


def arrows(root):
    """{(room, room): [(file, file)]}: the includes that go from one room to another."""
    found = {}
    for path in sources(root):
        for target in quoted(path):
            here, there = room_of(root, path), room_of(root, target)
            if here != there:
                found.setdefault((here, there), []).append((path.relative_to(root), target.relative_to(root)))
    return found


# The pictures.

WIDTH, MARGIN = 900, 16
BOX_WIDTH, BOX_HEIGHT, GAP, BAR_HEIGHT = 610, 66, 18, 40
TOP = 52  # of the first box: above it stands how to read the picture
LINE = 84  # characters of a purpose in a line; a box has room for two
COLOURS = ["#8f63e8", "#2f7fe8", "#c8621a", "#2a8f48", "#e0453f", "#1e8792", "#c9509a", "#8c7618"]  # legible on white and on black
STYLE = """
    text { font-family: -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-size: 13px; fill: #57606a }
    .paper { fill: #ffffff }
    .box { fill: #f6f8fa; stroke: #afb8c1 }
    .name { font-size: 16px; font-weight: bold; fill: #24292f }
    .arrow { fill: none }
    .count { font-size: 12px; font-weight: bold; text-anchor: middle; paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
    .files { text-anchor: end }
    @media (prefers-color-scheme: dark) {
      text { fill: #9da7b1 }
      .paper { fill: #0d1117 }
      .box { fill: #161b22; stroke: #57606a }
      .name { fill: #e6edf3 }
      .count { stroke: #0d1117 }
    }
"""


def plural(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ports(y, rooms_above, rooms_below, box):
    """Where arrows touch the edge of `box`: {other room: y}. Those that come in lie above those that go out, and a longer arrow
    around a shorter one, so that they cross as seldom as can be."""
    ends = sorted(rooms_above, key=lambda room: y[box] - y[room]) + sorted(rooms_below, key=lambda room: y[box] - y[room])
    return {room: y[box] + BOX_HEIGHT * (i + 1) / (len(ends) + 1) for i, room in enumerate(ends)}


def arrow(x, start, end, steps, count, colour):
    """From one box down to another, `steps` boxes further, beside those between; and the number of includes at its widest place."""
    reach = 30 + 36 * steps
    thickness = min(1 + count.bit_length() * 0.5, 4)
    bend = x + reach / 0.75
    across, down = x + reach, (start + end) / 2
    return (f'  <path class="arrow" stroke="{colour}" stroke-width="{thickness:g}" '
            f'd="M {x} {start:.1f} C {bend:.1f} {start:.1f} {bend:.1f} {end:.1f} {x + 7} {end:.1f}"/>',
            f'  <path class="head" fill="{colour}" d="M {x} {end:.1f} l 10 -5 v 10 z"/>',
            f'  <text class="count" style="fill: {colour}" x="{across:.1f}" y="{down + 4:.1f}">{count}</text>')


def picture(root, floor):
    """The rooms of `floor` as a stack of boxes, with an arrow for the includes from one to another, as an SVG."""
    purposes = order(root)
    stack = [room for room in reversed(purposes) if room.split("/")[0] == floor]
    below = list(reversed(FLOORS[:FLOORS.index(floor)]))
    includes = {pair: len(files) for pair, files in arrows(root).items()}
    y = {room: TOP + i * (BOX_HEIGHT + GAP) for i, room in enumerate(stack)}
    edge = MARGIN + BOX_WIDTH
    boxes, lines, heads, counts = [], [], [], []
    touches = {}
    for room in stack:
        touches[room] = ports(y, [other for other in stack if (other, room) in includes and y[other] < y[room]],
                              [other for other in stack if (room, other) in includes and y[other] > y[room]], room)
    for i, room in enumerate(stack):
        colour = COLOURS[i % len(COLOURS)]
        files = sum(room_of(root, path) == room for path in sources(root))
        words = textwrap.wrap(purposes[room], LINE)
        if len(words) > 2:
            raise ValueError(f"CONTRIBUTING.md says more of {room} than two lines of its picture hold: {purposes[room]}")
        boxes += [f'  <rect class="box" x="{MARGIN}" y="{y[room]}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>',
                  f'  <rect fill="{colour}" x="{MARGIN}" y="{y[room] + 6}" width="5" height="{BOX_HEIGHT - 12}"/>',
                  f'  <text class="name" x="{MARGIN + 18}" y="{y[room] + 23}">{html.escape(room)}</text>',
                  f'  <text class="files" x="{edge - 14}" y="{y[room] + 22}">{plural(files, "file")}</text>']
        boxes += [f'  <text x="{MARGIN + 18}" y="{y[room] + 41 + 16 * n}">{html.escape(text)}</text>' for n, text in enumerate(words)]
        for other in stack[i + 1:]:
            if (room, other) in includes:
                line, head, count = arrow(edge, touches[room][other], touches[other][room], stack.index(other) - i,
                                          includes[room, other], colour)
                lines.append(line)
                heads.append(head)
                counts.append(count)
    bottom = TOP + len(stack) * (BOX_HEIGHT + GAP)
    if below:
        down = sum(count for (here, there), count in includes.items() if here in stack and there.split("/")[0] in below)
        boxes += [f'  <rect class="box" x="{MARGIN}" y="{bottom}" width="{BOX_WIDTH}" height="{BAR_HEIGHT}" rx="6"/>',
                  f'  <text class="name" x="{MARGIN + 18}" y="{bottom + 26}">{", ".join(below)}</text>',
                  f'  <text class="files" x="{edge - 14}" y="{bottom + 25}">'
                  f'{"the floor" if len(below) == 1 else "the floors"} below: {plural(down, "include")} from above</text>']
        bottom += BAR_HEIGHT + GAP
    title = f"The rooms of {floor}/, and which of them include which"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom}" viewBox="0 0 {WIDTH} {bottom}" role="img">',
        f"  <title>{title}</title>", f"  <style>{STYLE}  </style>",
        f'  <rect class="paper" width="{WIDTH}" height="{bottom}"/>',
        f'  <text x="{MARGIN}" y="22">A room may use those below it, never those above it.</text>',
        f'  <text x="{MARGIN}" y="40">An arrow has the colour of the room that includes; the number says how often it does.</text>',
        *lines, *boxes, *heads, *counts, "</svg>", ""])


def pictures(root):
    """{file: what it is to hold}."""
    return {root / floor / "rooms.svg": picture(root, floor) for floor in FLOORS}


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    if "--draw" in sys.argv[2:]:
        for path, text in pictures(root).items():
            path.write_text(text, encoding="utf-8")
        return
    ranks = list(order(root))
    for (here, there), files in sorted(arrows(root).items()):
        up = here not in ranks or there not in ranks or ranks.index(here) < ranks.index(there)
        print(f"{'UP ' if up else '   '}{here} -> {there}: {len(files)}")
        if up:
            for source, target in files:
                print(f"       {source} -> {target}")


if __name__ == "__main__":
    main()
