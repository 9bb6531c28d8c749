"""How many messages a second does the TCP proxy of the examples carry, there and back? Beside haproxy, if installed.

The proxy has one core; the load, and the echo server behind the proxy, share the other. All proxies stand before the same
server, and follow each other within a round.
"""
# SPDX-License-Identifier: MIT

from questions import common, daemons, plot

THEM = "haproxy"
TRAFFIC = {"64 B": {"size": 64}, "64 KiB": {"size": 65536}}
CONNECTIONS = 50


def measure(build, server, size, options):
    process, address = server
    times = {"seconds": 0.05, "warm": 0.01} if options.quick else {"seconds": 0.5, "warm": 0.1}
    return common.load(build, address, connections=CONNECTIONS, size=size, pid=process.pid, **times)


def run(build, options):
    backend = daemons.free_address()
    echo = build / "bench/heddle_server"
    results = {}
    command = [str(echo), "--port", backend.split(":")[1]]
    with daemons.running(command, backend, on_core=common.on_the_loads_core), \
            daemons.all_running({common.OURS: lambda: daemons.example(build, "tcp_proxy", "--to", backend),
                                 THEM: lambda: daemons.haproxy(backend)}) as servers:
        if not servers:
            return
        for row, traffic in TRAFFIC.items():
            if options.row and not any(word.lower() in row.lower() for word in options.row):
                continue
            common.progress(row)
            results[row] = common.rounds(options.rounds or (1 if options.quick else 9), servers,
                                         lambda name: measure(build, servers[name], traffic["size"], options))
    panels = {f"messages of {row} a second": {name: e["per_second"] for name, e in each.items()}
              for row, each in daemons.figures(results).items()}
    common.publish("proxy", f"## A TCP proxy in front of an echo server\n\n{CONNECTIONS} connections, a message in flight on each; the "
                   "proxy on a core of its own, load and echo server on another. Medians of interleaved rounds.\n\n"
                   + daemons.table("messages", results) + daemons.judge(results, THEM, "messages").text(),
                   daemons.figures(results), plot.bars(panels, common.COLOURS, "{:,.0f}"))
