"""What do a selector's calls cost, beside the bare system calls, with 10 to 10,000 descriptors?"""
# SPDX-License-Identifier: MIT

import json
import subprocess

from questions import common, plot

BARE = {"epoll": "bare epoll", "poll": "bare poll", "select": "bare select"}
COLOURS = {"epoll": "#1b7837", "bare epoll": "#a6dba0", "poll": "#2166ac", "bare poll": "#92c5de",
           "select": "#762a83", "bare select": "#c2a5cf", "io_uring": "#d6604d", "kqueue": "#888888"}
LIMIT = 1.15  # epoll, of the bare calls


def measure(build, rounds):
    command = [str(build / "bench/selectors"), str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=900,
                          preexec_fn=common.on_the_servers_core)
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


def svg(figures):
    panels = {}
    for operation in ("select, 1 ready", "select, all ready"):
        panels[operation] = {name: [(figure["n"], figure["ns"]) for figure in figures
                                    if figure["who"] == name and figure["operation"] == operation] for name in COLOURS}
        panels[operation] = {name: points for name, points in panels[operation].items() if points}
    return plot.lines(panels, COLOURS, (1, 3), (2, 5), ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms"],
                      dashed=BARE.values())


def run(build, options):
    count = 1 if options.quick else 3 * (options.rounds or 5)
    figures = measure(build, count)
    allocated = sum(figure["allocations"] for figure in figures if not figure["who"].startswith("bare"))
    ratios = {}
    for figure in figures:
        if figure["who"] in ("epoll", "bare epoll"):
            ratios.setdefault((figure["operation"], figure["n"]), {})[figure["who"]] = figure["ns"]
    worst = max(ratios, key=lambda what: ratios[what]["epoll"] / ratios[what]["bare epoll"])
    verdicts = common.Verdicts()
    verdicts.check("allocations of heddle's calls, once warm", allocated, 0)
    verdicts.check(f"epoll of the bare calls at its worst ({worst[0]}, N = {worst[1]:,})",
                   ratios[worst]["epoll"] / ratios[worst]["bare epoll"], LIMIT, "x")
    intro = (f"## What a selector's calls cost\n\nCPU time a call on one core, median of {count} interleaved "
             f"rounds. poll(2) and select(2) register nothing with the kernel.\n\n")
    common.publish("selectors", intro + table(figures) + verdicts.text(), figures, svg(figures))
