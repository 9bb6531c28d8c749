"""How many connections a second: connect, one message of 64 bytes and its answer, close; 50 clients at a time."""
# SPDX-License-Identifier: MIT

from questions import common, plot

FAMILIES = {"tcp": "TCP", "unix": "Unix"}


def run(build, options):
    servers = common.servers(build, options)
    figures = {}
    for family, title in FAMILIES.items():
        def measure(name, family=family):
            with common.serving(servers[name], family) as (process, address):
                return common.load(build, address, churn=1, connections=50, warm=0.02 if options.quick else 0.1,
                                   seconds=0.05 if options.quick else 0.5, pid=process.pid)

        common.progress(title)
        results = common.rounds(options.rounds or (1 if options.quick else 5), servers, measure)
        figures[title] = {name: {key: round(common.median([r[key] for r in rounds]), 2)
                                 for key in ("per_second", "cpu_us", "p50_us", "p99_us")} for name, rounds in results.items()}
    text = "## Connections a second\n\nEach brings one message of 64 bytes; 50 clients at a time; loopback.\n"
    for title, entries in figures.items():
        text += f"\n### {title}\n\n" + common.markdown(
            ["server", "connections/s", "CPU each, us", "p50, us", "p99, us"],
            [[common.bold(name), f"{e['per_second']:,.0f}", f"{e['cpu_us']:.1f}", f"{e['p50_us']:.0f}", f"{e['p99_us']:.0f}"]
             for name, e in entries.items()])
    panels = {f"{title}: CPU a connection, us": {name: e["cpu_us"] for name, e in entries.items()}
              for title, entries in figures.items()}
    common.publish("churn", text, figures, plot.bars(panels, common.COLOURS, "{:.1f}"))
