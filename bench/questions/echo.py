"""How fast is echo, and what does a message cost the server in time on its core?

Each row is a kind of traffic. All servers stand connected; in a round each gets the same load for the same time, one after
the other, the server on one core and the load on another. Ratios are taken within a round, so that the machine's moods
drop out. Most of a message's time is
the kernel's, the same for all: `./dev bench cost` tells more about the server itself.
"""
# SPDX-License-Identifier: MIT

import resource

from questions import common, plot

TRAFFIC = {
    "64 B, 1 connection": {"connections": 1},
    "64 B, 100 connections": {"connections": 100},
    "64 B, 1,000 connections": {"connections": 1000},
    "64 B, 8,000 connections": {"connections": 8000},
    "16 KiB, 100 connections": {"connections": 100, "size": 16384},
    "64 B, 100 connections, 32 deep": {"connections": 100, "depth": 32},
}
ROWS = {f"{kind.upper() if kind == 'tcp' else 'Unix'}: {title}": (kind, traffic)
        for kind in ("tcp", "unix") for title, traffic in TRAFFIC.items()}
KEYS = ("per_second", "cpu_us", "p50_us", "p99_us", "p999_us")
NOISE = 1.03


def possible(row):
    needed = ROWS[row][1]["connections"] + 50
    if needed <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        return True
    common.left_out(row, f"needs {needed} descriptors: ulimit -Hn")
    return False


def measure_row(build, servers, row, options):
    kind, traffic = ROWS[row]
    if options.quick:
        traffic = {**traffic, "connections": min(traffic["connections"], 100)}
    times = {"seconds": 0.02, "warm": 0.01} if options.quick else {"seconds": 0.25, "warm": 0.05}
    common.progress(row)
    return common.loaded_rounds(build, options.rounds or (1 if options.quick else 9),
                                {name: (command, kind, {**traffic, **times}) for name, command in servers.items()})


def summary(results):
    """name -> medians, and ratios to the floor and of heddle, round by round."""
    figures = {}
    for name, rounds in results.items():
        entry = {key: round(common.median([r[key] for r in rounds]), 3) for key in KEYS}
        if common.FLOOR in results:
            entry["cpu_of_raw"] = round(common.ratios(rounds, results[common.FLOOR], "cpu_us")[1], 3)
            entry["rate_of_raw"] = round(common.ratios(rounds, results[common.FLOOR], "per_second")[1], 3)
        if common.OURS in results and name != common.OURS:
            low, middle, high = common.ratios(results[common.OURS], rounds, "cpu_us")
            entry["heddle_cpu_of_this"] = [round(x, 3) for x in (low, middle, high)]
            entry["heddle_p99_of_this"] = round(common.ratios(results[common.OURS], rounds, "p99_us")[1], 3)
        figures[name] = entry
    return figures


def table(figures):
    return common.markdown(
        ["server", "messages/s", "of raw", "CPU, us", "of raw", "p50, us", "p99, us", "p99.9, us"],
        [[common.bold(name), f"{e['per_second']:,.0f}", f"{e['rate_of_raw']:.2f}x" if "rate_of_raw" in e else "-",
          f"{e['cpu_us']:.2f}", f"{e['cpu_of_raw']:.2f}x" if "cpu_of_raw" in e else "-",
          f"{e['p50_us']:.0f}", f"{e['p99_us']:.0f}", f"{e['p999_us']:.0f}"] for name, e in figures.items()])


def judge(figures):
    """The goals, over all rows."""
    verdicts = common.Verdicts()
    for connections in ("100", "1,000"):
        entry = figures.get(f"TCP: 64 B, {connections} connections", {}).get(common.OURS, {})
        if "cpu_of_raw" in entry:
            verdicts.check(f"CPU a message of the raw loop's, TCP, {connections} connections", entry["cpu_of_raw"], 1.03, "x")
    for row, servers in figures.items():
        for name in (common.OURS, common.OURS_SIMPLE):
            if "16 KiB" in row and "cpu_of_raw" in servers.get(name, {}):
                verdicts.check(f"{row}, {name}: CPU a message of the raw loop's", servers[name]["cpu_of_raw"], 1.02, "x")
        peers = {name: entry for name, entry in servers.items()
                 if name not in (common.OURS, common.OURS_SIMPLE, common.FLOOR, *common.NOT_READINESS)}
        if common.OURS not in servers or not peers:
            continue
        # Ahead by more than noise: in the median by 3 %, and in three rounds of four at all.
        ahead = [f"{name} (heddle {e['heddle_cpu_of_this'][1]:.2f}x)" for name, e in peers.items()
                 if e["heddle_cpu_of_this"][1] > NOISE and e["heddle_cpu_of_this"][0] > 1]
        verdicts.say(f"{row}: no peer costs less CPU" + (f", but {', '.join(ahead)}" if ahead else ""), not ahead)
        best = max(peers, key=lambda name: peers[name]["heddle_p99_of_this"])
        ratio = peers[best]["heddle_p99_of_this"]
        verdicts.say(f"{row}: p99 {ratio:.2f}x of the best peer's ({best}), goal at most 1.1x", ratio <= 1.1)
    return verdicts


def run(build, options):
    servers = common.servers_and_simple(build, options)
    figures = {}
    for row in ROWS:
        if (not options.row or any(word.lower() in row.lower() for word in options.row)) and possible(row):
            figures[row] = summary(measure_row(build, servers, row, options))
    text = ("## How fast is echo\n\nLoopback, a message in flight on each connection where nothing else is said; server and "
            "load on a core each; CPU is the server's time on its core a message, kernel included. Medians of interleaved "
            "rounds.\n")
    for row, entries in figures.items():
        text += f"\n### {row}\n\n" + table(entries)
    panels = {f"{row}: CPU a message, us": {name: e["cpu_us"] for name, e in entries.items()}
              for row, entries in figures.items()}
    common.publish("echo", text + "\n### Goals\n" + judge(figures).text(), figures, plot.bars(panels, common.COLOURS))
