"""What do a selector's calls cost, beside the bare system calls, with 10 to 10,000 descriptors?"""
# SPDX-License-Identifier: MIT

import json
import math
import os
import subprocess

from questions import common

BARE = {"epoll": "bare epoll", "poll": "bare poll", "select": "bare select"}
COLOURS = {"epoll": "#1b7837", "bare epoll": "#a6dba0", "poll": "#2166ac", "bare poll": "#92c5de",
           "select": "#762a83", "bare select": "#c2a5cf", "io_uring": "#d6604d", "kqueue": "#888888"}
LIMIT = 1.15  # epoll, of the bare calls


def measure(build, rounds):
    command = [str(build / "bench/selectors"), str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=900,
                          preexec_fn=lambda: os.sched_setaffinity(0, {common.cores()[0]}))
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(figures):
    names = list(dict.fromkeys(figure["who"] for figure in figures))
    rows = {}
    for figure in figures:
        rows.setdefault((figure["operation"], figure["n"]), {})[figure["who"]] = figure["ns"]
    lines = []
    for (operation, n), row in sorted(rows.items(), key=lambda item: (item[0][0], item[0][1])):
        ratio = row["epoll"] / row["bare epoll"]
        lines.append([operation, f"{n:,}", *[f"{row[name]:,.0f}" if name in row else "" for name in names], f"{ratio:.2f}x"])
    return common.markdown(["ns of CPU", "N", *names, "epoll of bare"], lines)


def panel(figures, operation, left):
    """One plot, both axes logarithmic: N across, nanoseconds up."""
    width, height, decades_across, lowest, decades_up = 300, 260, 3, 2, 5
    parts = [f'<g transform="translate({left},40)"><text x="{width / 2}" y="-14" text-anchor="middle" '
             f'font-weight="bold">{operation}</text>']
    for decade in range(decades_up + 1):
        y = height - height * decade / decades_up
        label = ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms"][decade]
        parts.append(f'<path d="M0 {y:.0f}H{width}" stroke="#ddd"/><text x="-6" y="{y + 4:.0f}" text-anchor="end">{label}</text>')
    for decade in range(decades_across + 1):
        x = width * decade / decades_across
        parts.append(f'<path d="M{x:.0f} 0V{height}" stroke="#ddd"/>'
                     f'<text x="{x:.0f}" y="{height + 16}" text-anchor="middle">{10 ** (decade + 1):,}</text>')
    for name, colour in COLOURS.items():
        points = [(figure["n"], figure["ns"]) for figure in figures
                  if figure["who"] == name and figure["operation"] == operation]
        spots = [(width * (math.log10(n) - 1) / decades_across, height - height * (math.log10(ns) - lowest) / decades_up)
                 for n, ns in points]
        if not spots:
            continue
        dashes = ' stroke-dasharray="5 3"' if name.startswith("bare") else ""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
    return "".join(parts) + "</g>"


def svg(figures):
    names = [name for name in COLOURS if any(figure["who"] == name for figure in figures)]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 340" font-family="sans-serif" font-size="11">',
             '<rect width="900" height="340" fill="white"/>',
             panel(figures, "select, 1 ready", 60), panel(figures, "select, all ready", 440)]
    for i, name in enumerate(names):
        dashes = ' stroke-dasharray="5 3"' if name.startswith("bare") else ""
        parts.append(f'<path d="M770 {60 + 20 * i}h26" stroke="{COLOURS[name]}" stroke-width="2"{dashes}/>'
                     f'<text x="802" y="{64 + 20 * i}">{name}</text>')
    return "".join(parts) + "</svg>\n"


def run(build, options):
    figures = measure(build, 3 * options.rounds)
    allocated = sum(figure["allocations"] for figure in figures if not figure["who"].startswith("bare"))
    ratios = {}
    for figure in figures:
        if figure["who"] in ("epoll", "bare epoll"):
            ratios.setdefault((figure["operation"], figure["n"]), {})[figure["who"]] = figure["ns"]
    worst = max(ratios, key=lambda what: ratios[what]["epoll"] / ratios[what]["bare epoll"])
    ratio = ratios[worst]["epoll"] / ratios[worst]["bare epoll"]
    verdict = (f"Once warm, heddle's calls made {allocated} allocations. epoll at its worst is {ratio:.2f}x the bare calls "
               f"({worst[0]}, N = {worst[1]:,}; the limit is {LIMIT}).\n")
    intro = (f"## What a selector's calls cost\n\nCPU time a call on one core, median of {3 * options.rounds} interleaved "
             f"rounds. poll(2) and select(2) register nothing with the kernel.\n\n")
    common.publish("selectors", intro + table(figures) + "\n" + verdict, figures)
    path = common.ROOT / "build/bench/selectors.svg"
    path.write_text(svg(figures), encoding="utf-8")
    print(f"plot: {path.relative_to(common.ROOT)}")
    if allocated or ratio > LIMIT:
        print("That is more than allowed.")
