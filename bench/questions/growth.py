"""Does the cost grow as it should: with what happens, and not with what is there?

A message with 100 connections that send, alone and among 7,900 that are idle; and tasks that are spawned, all alive at
once, and joined: time and memory each, from a thousand to a million.
"""
# SPDX-License-Identifier: MIT

import resource

from questions import common, micro, plot

ACTIVE, IDLE = 100, 7900
TASKS = (1_000, 10_000, 100_000, 1_000_000)


def messages(build, options):
    servers = common.servers(build, options)
    idle = min(100 if options.quick else IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - ACTIVE - 50)
    times = {"seconds": 0.02, "warm": 0.01} if options.quick else {"seconds": 0.25, "warm": 0.05}
    cases = {(name, count): (command, "tcp", {"connections": ACTIVE, "idle": count, **times})
             for name, command in servers.items() for count in (0, idle)}
    results = common.loaded_rounds(build, options.rounds or (1 if options.quick else 9), cases)
    figures = {}
    for name in servers:
        few, many = results.get((name, 0)), results.get((name, idle))
        if few and many:
            figures[name] = {"alone_us": round(common.median([r["cpu_us"] for r in few]), 3),
                             "among_idle_us": round(common.median([r["cpu_us"] for r in many]), 3),
                             "ratio": round(common.ratios(many, few, "cpu_us")[1], 3)}
    return figures, idle


def tasks(build, options):
    if not (build / "bench/micro_heddle").exists():
        common.left_out("tasks", "Google Benchmark is not installed")
        return {}
    counts = TASKS[:2] if options.quick else TASKS
    results = common.rounds(options.rounds or (1 if options.quick else 5), counts, lambda count:
                            micro.google(build, "micro_heddle", f"crowd/{count}/iterations:1", 0.1, count))
    return {count: {key: round(common.median([r[key] for r in rounds]), 1) for key in ("ns", "bytes")}
            for count, rounds in results.items()}


def run(build, options):
    echo, idle = messages(build, options)
    crowd = tasks(build, options)
    text = (f"## Growth\n\n### A message with {ACTIVE} connections that send, alone and among {idle:,} idle ones\n\n"
            + common.markdown(["server", "alone: CPU, us", "among idle: CPU, us", "ratio"],
                              [[common.bold(name), f"{e['alone_us']:.2f}", f"{e['among_idle_us']:.2f}", f"{e['ratio']:.2f}x"]
                               for name, e in echo.items()]))
    text += "\n### heddle's tasks, spawned, all alive at once, and joined\n\n" + common.markdown(
        ["tasks", "ns each", "bytes each"], [[f"{count:,}", f"{e['ns']:,.0f}", f"{e['bytes']:,.0f}"]
                                             for count, e in crowd.items()])
    verdicts = common.Verdicts()
    if common.OURS in echo:
        verdicts.check("CPU a message among idle connections, of alone", echo[common.OURS]["ratio"], 1.1, "x")
    if len(crowd) == len(TASKS):
        # Linear, but for memory that no longer fits the caches.
        verdicts.check("a task among a million, of a task among 100,000", crowd[TASKS[-1]]["ns"] / crowd[TASKS[-2]]["ns"],
                       1.5, "x")
        verdicts.check("memory of a task that was spawned", crowd[TASKS[-1]]["bytes"], 300, " bytes")
    picture = None
    if crowd:
        series = {common.OURS: [(count, e["ns"] * count / 1e3) for count, e in crowd.items()],
                  "linear": [(count, crowd[TASKS[0]]["ns"] * count / 1e3) for count in crowd]}
        picture = plot.lines({"spawn and join N tasks: time": series}, {**common.COLOURS, "linear": "#bbbbbb"}, (3, 3),
                             (1, 6), ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"], dashed=["linear"])
    common.publish("growth", text + verdicts.text(), {"echo": echo, "tasks": crowd}, picture)
