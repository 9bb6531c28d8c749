"""What does one echoed message of 64 bytes cost the server? Counts: instructions, system calls, allocations.

They come from callgrind, strace and memcheck as (total of 2M messages - total of M) / M, so starting drops out, and
they repeat to a per cent on a busy machine. heddle is examples/echo_server here, what the README shows; over a Unix
socket it is the same handler.
"""
# SPDX-License-Identifier: MIT

from questions import common, plot

CONNECTIONS = 50


def counted(build, command, messages, family):
    """All three; what a tool can't count of somebody is missing."""
    entry = {}
    options = {"connections": CONNECTIONS, "family": family}
    total, calls = common.system_calls(build, command, messages // 2, **options)
    entry["system_calls"], entry["calls"] = round(total, 3), calls
    if "raw_uring" in command[0]:
        return entry  # under valgrind it doesn't end
    try:
        entry["instructions"] = round(common.instructions(build, command, messages, **options), 1)
        entry["allocations"] = round(common.allocations(build, command, messages // 2, **options), 3)
    except (common.LeftOut, SystemExit, TypeError) as reason:
        common.progress(f"not by valgrind: {reason}")
    return entry


def run(build, options):
    servers = common.servers_and_simple(build, options)
    if common.OURS in servers:
        servers[common.OURS_UNIX] = servers.pop(common.OURS_SIMPLE)
        servers[common.OURS] = [str(build / "examples/echo_server")]
    figures = {}
    for name, command in servers.items():
        common.progress(f"counting: {name}")
        try:
            figures[name] = counted(build, command, 2_000 if options.quick else 20_000,
                                    "unix" if name == common.OURS_UNIX else "tcp")
        except common.LeftOut as reason:
            common.left_out(name, reason)

    def shown(entry, key, form):
        return form.format(entry[key]) if key in entry else "-"

    table = common.markdown(
        ["server", "instructions", "system calls", "allocations", "which calls"],
        [[common.bold(name), shown(e, "instructions", "{:.0f}"), shown(e, "system_calls", "{:.2f}"),
          shown(e, "allocations", "{:.2f}"), ", ".join(f"{call} {n:.2f}" for call, n in e["calls"].items())]
         for name, e in figures.items()])
    intro = (f"## What one echoed message costs the server\n\n64 bytes, {CONNECTIONS} connections, one message in flight on "
             "each, TCP loopback where it doesn't say Unix, epoll; user mode, per message.\n\n")
    verdicts = common.Verdicts()
    ours = figures.get(common.OURS)
    if ours:
        verdicts.check("instructions", ours["instructions"], 203)
        verdicts.check("system calls", ours["system_calls"], 2.03)
    panels = {"user-mode instructions a message": {n: e["instructions"] for n, e in figures.items() if "instructions" in e},
              "system calls a message": {n: e["system_calls"] for n, e in figures.items()}}
    common.publish("cost", intro + table + verdicts.text(), {"connections": CONNECTIONS, "size": 64, "servers": figures},
                   plot.bars(panels, common.COLOURS))
    for name, record in ((common.OURS, "cost"), (common.OURS_UNIX, "cost over a Unix socket")):
        if name in figures and not options.quick:
            common.hold_to_limits(record, figures[name])
