"""The echo server on two loops against one, and what it costs a connection to be handed to the other loop.

Two cores that the servers share with their load show no scaling; what is looked at here is the even spread of connections, and its
price: connections a second with the kernel's hash alone, and with a ServerSpread.
"""
# SPDX-License-Identifier: MIT

import os
import pathlib
import re
import subprocess

from questions import common

HASH, SPREAD = "the kernel's hash", "ServerSpread"


def spread_of(build, address, pid, connections):
    """The busiest loop's connections by the mean: each loop's own selector has a descriptor for each it has waited for."""
    with subprocess.Popen([str(build / "bench/load"), address, "--hold", "1", "--connections", str(connections)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise common.LeftOut("its connections can't be opened")
        counts = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{number}") == "anon_inode:[eventpoll]":
                info = pathlib.Path(f"/proc/{pid}/fdinfo/{number}").read_text(encoding="ascii")
                counts.append(len(re.findall(r"^tfd:", info, re.MULTILINE)) - 2)  # without the wake-up and the listener
        process.stdin.close()
    return max(counts) * len(counts) / sum(counts)


def run(build, options):
    example = build / "examples/echo_threads"
    if not example.exists():
        common.left_out("threads", "there is no example echo_threads")
        return
    commands = {f"{loops} loop{'s' if loops > 1 else ''}, {how}": [str(example), "--threads", str(loops), *more]
                for loops, how, more in ((1, HASH, ["--by-kernel"]), (2, HASH, ["--by-kernel"]), (2, SPREAD, []),
                                         (4, HASH, ["--by-kernel"]), (4, SPREAD, []))}
    connections = 100 if options.quick else 1000
    short = {"warm": 0.02, "seconds": 0.05} if options.quick else {"warm": 0.1, "seconds": 0.5}

    def measure(name):
        with common.serving(commands[name]) as (process, address):
            spread = spread_of(build, address, process.pid, connections)
            echo = common.load(build, address, connections=100, pid=process.pid, **short)
            churn = common.load(build, address, churn=1, connections=50, pid=process.pid, **short)
        return {"spread": spread, "echo_per_second": echo["per_second"], "echo_cpu_us": echo["cpu_us"],
                "churn_per_second": churn["per_second"], "churn_cpu_us": churn["cpu_us"]}

    results = common.rounds(options.rounds or (1 if options.quick else 7), commands, measure)
    figures = {name: {key: round(common.median([r[key] for r in rounds]), 3) for key in rounds[0]}
               for name, rounds in results.items() if rounds}
    for name, entry in figures.items():
        entry["worst_spread"] = round(max(r["spread"] for r in results[name]), 3)
    rows = [[name, f"{e['spread']:.3f}", f"{e['worst_spread']:.3f}", f"{e['echo_per_second']:,.0f}", f"{e['echo_cpu_us']:.2f}", f"{e['churn_per_second']:,.0f}",
             f"{e['churn_cpu_us']:.1f}"] for name, e in figures.items()]
    verdicts = common.Verdicts()
    for loops in (2, 4):
        mine, theirs = f"{loops} loops, {SPREAD}", f"{loops} loops, {HASH}"
        if mine in results and theirs in results:
            verdicts.check(f"{loops} loops: the busiest has of the mean of {connections:,} connections, in the worst round",
                           figures[mine]["worst_spread"], 1.1, "x")
            verdicts.lines.append(f"- {loops} loops: a connection with the spread costs "
                                  f"{common.ratios(results[mine], results[theirs], 'churn_cpu_us')[1]:.2f}x the CPU of one without, "
                                  f"and a second has {common.ratios(results[mine], results[theirs], 'churn_per_second')[1]:.2f}x as many")
    text = ("## The echo server on several loops\n\nAll loops share one core, and the load has another, so this shows no scaling: "
            "two cores shared with the load generator can't. It shows how evenly connections are spread (busiest loop by the mean of "
            f"{connections:,}), that a message costs the same, and what a connection costs that may be handed to another loop "
            "(connect, one message, close; 50 at a time).\n\n"
            + common.markdown(["server", "busiest/mean", "in the worst round", "messages/s", "CPU each, us", "connections/s", "CPU each, us"], rows)
            + verdicts.text())
    common.publish("threads", text, figures)
    if verdicts.missed and not options.quick:
        raise SystemExit("threads: " + "; ".join(verdicts.missed))
