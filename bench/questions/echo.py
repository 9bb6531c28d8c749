"""What does one echoed message cost the server? 64 bytes, 50 connections, one message in flight on each, TCP loopback.

Counts come from callgrind, strace and memcheck as (total of 2M messages - total of M) / M, so starting drops out.
Times come from interleaved rounds with the server on one core and the load on another; most of a message's time is
the kernel's, the same for all, which is why the counts say more.
"""
# SPDX-License-Identifier: MIT

from questions import common

CONNECTIONS, MESSAGES, ROUND = 50, 20_000, 200_000


def run(build, options):
    servers = common.servers(build, options.only)
    figures = {name: {} for name in servers}

    if not options.skip_counts:
        for name, program in servers.items():
            common.progress(f"counting: {name}")
            figures[name]["instructions"] = round(common.instructions(build, program, CONNECTIONS, MESSAGES), 1)
            total, calls = common.system_calls(build, program, CONNECTIONS, MESSAGES // 2)
            figures[name]["system_calls"], figures[name]["calls"] = round(total, 3), calls
            figures[name]["allocations"] = round(common.allocations(build, program, CONNECTIONS, MESSAGES // 2), 3)

    rounds = {name: [] for name in servers}
    for turn in range(options.rounds):
        common.progress(f"round {turn + 1} of {options.rounds}")
        order = list(servers.items())
        for name, program in order[turn % len(order):] + order[:turn % len(order)]:
            with common.serving(program) as (process, host, port):
                common.load(build, host, port, CONNECTIONS, CONNECTIONS * 100)  # warm
                before = common.cpu_ns(process.pid)
                result = common.load(build, host, port, CONNECTIONS, ROUND)
                result["cpu_us"] = (common.cpu_ns(process.pid) - before) / ROUND / 1000
            rounds[name].append(result)

    floor = next(iter(servers))
    for name, results in rounds.items():
        entry = figures[name]
        entry["per_second"] = round(common.median([r["messages"] / r["seconds"] for r in results]))
        for key in ("cpu_us", "p50_us", "p99_us", "p999_us"):
            entry[key] = round(common.median([r[key] for r in results]), 2)
        # Round by round against the floor of the same round: the machine's moods drop out.
        entry["throughput_ratio"] = round(common.median(
            [(r["messages"] / r["seconds"]) / (f["messages"] / f["seconds"]) for r, f in zip(results, rounds[floor])]), 3)
        entry["cpu_ratio"] = round(common.median([r["cpu_us"] / f["cpu_us"] for r, f in zip(results, rounds[floor])]), 3)

    def shown(entry, key, form):
        return form.format(entry[key]) if key in entry else "-"

    table = common.markdown(
        ["server", "instructions", "system calls", "allocations", "CPU, us", "of raw", "messages/s", "of raw", "p99, us"],
        [[f"**{name}**" if name == "heddle" else name,
          shown(e, "instructions", "{:.0f}"), shown(e, "system_calls", "{:.2f}"), shown(e, "allocations", "{:.2f}"),
          shown(e, "cpu_us", "{:.2f}"), shown(e, "cpu_ratio", "{:.2f}x"), shown(e, "per_second", "{:,}"),
          shown(e, "throughput_ratio", "{:.2f}x"), shown(e, "p99_us", "{:.0f}")] for name, e in figures.items()])
    intro = (f"## What one echoed message costs the server\n\n64 bytes, {CONNECTIONS} connections, one message in "
             f"flight on each, TCP loopback, epoll; per message, median of {options.rounds} interleaved rounds.\n\n")
    common.publish("echo", intro + table, {"connections": CONNECTIONS, "size": 64, "servers": figures})
    if not options.skip_counts:
        common.hold_to_limits("echo", figures.get("heddle", {}))
