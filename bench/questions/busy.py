"""What does a message cost whose handler awaits something else, while more messages arrive?

The handler reads one message of 64 bytes, sleeps a millisecond (`timer`) or hands it to another task through a queue and
awaits the answer from another (`queue`), and answers; eight messages are in flight on each connection, each sent by a call
of its own. A runtime that watches a descriptor only while somebody waits for it pays with an epoll_ctl or two a message.
"""
# SPDX-License-Identifier: MIT

from questions import common, plot

MODES = {"timer": "sleeps a millisecond", "queue": "asks another task through queues"}
TRAFFIC = {"connections": 50, "depth": 8, "apart": 1}


def ask(build, mode, options):
    servers = common.servers(build, options, mode)
    figures = {}
    for name, command in servers.items():
        common.progress(f"{mode}: counting: {name}")
        total, calls = common.system_calls(build, command, 1_000 if options.quick else 10_000, **TRAFFIC)
        figures[name] = {"system_calls": round(total, 3), "epoll_ctl": calls.get("epoll_ctl", 0), "calls": calls}

    def measure(name):
        with common.serving(servers[name]) as (process, address):
            return common.load(build, address, **TRAFFIC, warm=0.05 if options.quick else 0.15,
                               seconds=0.05 if options.quick else 0.5, pid=process.pid)

    results = common.rounds(options.rounds or (1 if options.quick else 5), servers, measure)
    for name, rounds in results.items():
        for key in ("cpu_us", "per_second", "p50_us", "p99_us"):
            figures[name][key] = round(common.median([r[key] for r in rounds]), 3)
    return figures


def run(build, options):
    figures = {mode: ask(build, mode, options) for mode in MODES}
    text = ("## What a message costs when the handler awaits something else\n\n64 bytes, 50 connections, 8 messages in "
            "flight on each, TCP loopback.\n")
    verdicts = common.Verdicts()
    for mode, title in MODES.items():
        rows = [[common.bold(name), f"{e['system_calls']:.2f}", f"{e['epoll_ctl']:.2f}", f"{e['cpu_us']:.2f}",
                 f"{e['per_second']:,.0f}", f"{e['p50_us']:.0f}", f"{e['p99_us']:.0f}"] for name, e in figures[mode].items()]
        text += f"\n### The handler {title}\n\n" + common.markdown(
            ["server", "system calls", "epoll_ctl", "CPU, us", "messages/s", "p50, us", "p99, us"], rows)
        if common.OURS in figures[mode]:
            verdicts.check(f"{mode}: epoll_ctl a message", figures[mode][common.OURS]["epoll_ctl"], 0)
    panels = {f"{mode}: {what}": {name: e[key] for name, e in figures[mode].items()} for mode in MODES
              for key, what in (("cpu_us", "CPU a message, us"), ("system_calls", "system calls a message"))}
    common.publish("busy", text + verdicts.text(), figures, plot.bars(panels, common.COLOURS))
    if common.OURS in figures["queue"] and not options.quick:
        ours = {mode: figures[mode][common.OURS] for mode in MODES}
        common.hold_to_limits("busy", {"timer epoll_ctl": ours["timer"]["epoll_ctl"],
                                       "queue epoll_ctl": ours["queue"]["epoll_ctl"],
                                       "queue system_calls": ours["queue"]["system_calls"]})
