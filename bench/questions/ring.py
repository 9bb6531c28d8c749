"""What does a loop on io_uring cost beside one on epoll, the same handlers on both, and beside a raw loop over io_uring?

How often io_uring_enter(2) is called for a message of 64 bytes comes from the loop's own counter, as (total of 2M messages
- total of M) / M: under a tracer more completions would come at a time. The rows are those of `echo`; ratios are taken
within a round.
"""
# SPDX-License-Identifier: MIT

import re

from questions import common, echo, plot

COUNTED = {"50 connections": 50, "1 connection": 1}
LIMITS = {"50 connections": 0.12, "1 connection": 1.05}


def enters(build, command, connections, messages):
    def count(total):
        with common.serving(command) as (process, address):
            common.load(build, address, connections=connections, messages=total)
        return int(re.search(r"ring enters: (\d+)", process.errors)[1])
    return round(common.per_message(count, messages), 3)


def run(build, options):
    epoll = common.servers(build, options)[common.OURS]
    entries = {common.OURS: epoll, common.OURS_RING: [*epoll, "--selector", "io_uring"]}
    entries.update((name, command) for name, command in common.servers(build, options).items()
                   if name in (common.FLOOR, *common.NOT_READINESS))
    verdicts = common.Verdicts()
    counts = {}
    if not options.row or "enters" in options.row:
        for name, connections in COUNTED.items():
            common.progress(f"counting: {name}")
            counts[name] = enters(build, entries[common.OURS_RING], connections, 2_000 if options.quick else 100_000)
            verdicts.check(f"enters a message, {name}", counts[name], LIMITS[name])
    figures = {}
    for row in echo.ROWS:
        if (options.row and not any(word.lower() in row.lower() for word in options.row)) or not echo.possible(row):
            continue
        results = echo.measure_row(build, entries, row, options)
        figures[row] = echo.summary(results)
        of_epoll = common.ratios(results[common.OURS_RING], results[common.OURS], "cpu_us")[1]
        figures[row][common.OURS_RING]["cpu_of_epoll"] = round(of_epoll, 3)
        limit = 1.15 if "16 KiB" in row else 1.02 if row in ("TCP: 64 B, 100 connections", "TCP: 64 B, 1,000 connections") else 1.05
        verdicts.check(f"{row}: CPU a message of epoll's", of_epoll, limit, "x")
        for raw in common.NOT_READINESS:
            if raw in results and row.startswith("TCP: 64 B"):
                of_raw = common.ratios(results[common.OURS_RING], results[raw], "cpu_us")[1]
                figures[row][common.OURS_RING]["cpu_of_raw_ring"] = round(of_raw, 3)
                if row.endswith(("100 connections", "1,000 connections")):
                    verdicts.check(f"{row}: CPU a message of the raw io_uring loop's", of_raw, 1.10, "x")
    text = "## A loop on io_uring\n\nLoopback; server and load on a core each; medians of interleaved rounds.\n\n"
    if counts:
        text += common.markdown(["64 B over TCP", "io_uring_enter a message"], [[name, f"{n:.3f}"] for name, n in counts.items()])
    for row, row_figures in figures.items():
        text += f"\n### {row}\n\n" + echo.table(row_figures)
    panels = {f"{row}: CPU a message, us": {name: e["cpu_us"] for name, e in row_figures.items()}
              for row, row_figures in figures.items()}
    common.publish("ring", text + "\n### Goals\n" + verdicts.text(), {"enters": counts, "rows": figures},
                   plot.bars(panels, common.COLOURS) if panels else None)
    # With many connections the count follows how busy the load's core is; tests/io/whole/ring_test.cpp guards it.
    if counts and not options.quick:
        common.hold_to_limits("enters of the ring", counts)
