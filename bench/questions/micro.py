"""What do the runtimes' single operations cost, beside coroutines that have no features at all?

Each operation of each runtime is a process of its own, on one core; where another thread takes part it is time that
passes on both cores, else time on the core. Rounds are interleaved, many and short, and the fastest counts: what else
the machine does can only add to a time, and these are too short for it to be the same in each round.
"""
# SPDX-License-Identifier: MIT

import json
import os
import subprocess

from questions import common, plot

WHO = {"featureless floor": "micro_floor", common.OURS: "micro_heddle", "Asio": "micro_asio", "tokio": "micro_tokio",
       "Go": "micro_go"}
# name -> (what it is, ns that heddle may take, how many times ahead of Asio and tokio it should be)
OPERATIONS = {
    "await_child": ("await a child that returns at once", 9, 1),
    "spawn": ("spawn a task that ends at once", 20, 4),
    "spawn_join": ("spawn a task and join it", 40, 4),
    "yield": ("yield, two tasks taking turns", 7, 4),
    "queue": ("queue of capacity 1, one item across", 25, 4),
    "lock": ("lock and unlock, uncontended", 5, None),
    "timer": ("start a far timer and cancel it", 45, 4),
    "timeout": ("await a child under a far timeout", None, None),
    "sleeps": ("a million sleeps at once, each", 500, 4),
    "post": ("post from another thread, each", 25, 1),
    "to_thread": ("call on another thread and back", None, None),
    "exception": ("exception through three frames", None, None),
    "cancel": ("start a task that waits, cancel it", 700, None),
}
THREADS = ("post", "to_thread")


def is_google(who):
    return WHO[who] in ("micro_floor", "micro_heddle", "micro_asio")


def start(command, **environment):
    threads = any(word in command[-1] or word == command[1] for word in THREADS)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
                          start_new_session=True, check=False,
                          preexec_fn=common.on_all_cores if threads else common.on_the_servers_core)
    if done.returncode:
        raise common.LeftOut(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def operations(build, who):
    program = str(build / "bench" / WHO[who])
    if is_google(who):
        names = [line.split("/")[0] for line in start([program, "--benchmark_list_tests"]).split()]
    else:
        names = start([program, "list"]).split()
    return [name for name in names if name in OPERATIONS]


def google(build, program, pattern, seconds, tasks):
    """What Google Benchmark says of one benchmark: (ns of an item, its counters)."""
    out = start([str(build / "bench" / program), f"--benchmark_min_time={seconds}", "--benchmark_format=json",
                 f"--benchmark_filter=^{pattern}$"], HEDDLE_BENCH_TASKS=str(tasks))
    entry = json.loads(out)["benchmarks"][0]
    return {"ns": 1e9 / entry["items_per_second"], **({"bytes": entry["bytes"]} if "bytes" in entry else {})}


def measure(build, who, operation, options):
    seconds, tasks = (0.001, 1000) if options.quick else (0.05, 1_000_000)
    if is_google(who):
        pattern = {"sleeps": "sleeps/iterations:1", "post": "post/real_time", "to_thread": "to_thread/real_time"}
        return google(build, WHO[who], pattern.get(operation, operation), seconds, tasks)
    out = start([str(build / "bench" / WHO[who]), operation, str(seconds)], HEDDLE_BENCH_TASKS=str(tasks))
    return json.loads(out)


def judge(figures):
    verdicts = common.Verdicts()
    for operation, (title, goal, times) in OPERATIONS.items():
        row = figures.get(operation, {})
        if goal is None or common.OURS not in row:
            continue
        ours = row[common.OURS]["ns"]
        verdicts.check(title, ours, goal, " ns")
        for peer in ("Asio", "tokio"):
            if times and peer in row:
                ahead = row[peer]["ns"] / ours
                verdicts.say(f"{title}: {ahead:.1f} times ahead of {peer}, goal {times}", ahead >= times)
    return verdicts


def run(build, options):
    who = [name for name, program in WHO.items() if (build / "bench" / program).exists()]
    for name in WHO.keys() - set(who):
        common.left_out(name, "not built")
    who = [name for name in who if not options.only or any(word.lower() in name.lower() for word in options.only)]
    has = {name: operations(build, name) for name in who}
    figures = {}
    for operation, (title, _, _) in OPERATIONS.items():
        if options.row and not any(word.lower() in title.lower() for word in options.row):
            continue
        count = options.rounds or (1 if options.quick else 15)
        if operation == "sleeps":
            count = min(count, 5)  # it takes its time
        common.progress(title)
        results = common.rounds(count, [name for name in who if operation in has[name]],
                                lambda name: measure(build, name, operation, options))
        figures[operation] = {name: {key: round(min(r[key] for r in rounds), 2) for key in rounds[0]}
                              for name, rounds in results.items()}

    def cell(operation, name):
        entry = figures[operation].get(name)
        return "-" if entry is None else f"{entry['ns']:,.1f}" if entry["ns"] < 1000 else f"{entry['ns']:,.0f}"

    lines = [[title, *[cell(operation, name) for name in who], f"{goal}" if goal else ""]
             for operation, (title, goal, _) in OPERATIONS.items() if operation in figures]
    if "sleeps" in figures:
        lines.append(["a sleeping task, bytes", *[f"{figures['sleeps'][name]['bytes']:,.0f}" if name in figures["sleeps"]
                                                  else "-" for name in who], "300"])
    table = common.markdown(["ns each", *[common.bold(name) for name in who], "goal"], lines)
    intro = "## What single operations cost\n\nTime on one core; for what crosses threads, time that passes. The fastest of " \
            "interleaved rounds.\n\n"
    panels = {f"{OPERATIONS[operation][0]}, ns": {name: entry["ns"] for name, entry in row.items()}
              for operation, row in figures.items()}
    common.publish("micro", intro + table + judge(figures).text(), figures, plot.bars(panels, common.COLOURS, "{:,.1f}"))
