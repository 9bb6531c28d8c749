"""How many requests a second does the HTTP example answer, under wrk? 100 connections that are kept alive."""
# SPDX-License-Identifier: MIT

from questions import common, plot, web


def run(build, options):
    if not web.installed("http", "wrk"):
        return
    servers = common.servers(build, options, "http")
    example = build / "examples/http_server"
    if example.exists():
        servers = {common.OURS: [str(example)], **servers}
    else:
        common.left_out(common.OURS, "there is no example http_server")

    if not servers:
        return

    def measure(name):
        with common.serving(servers[name]) as (process, address):
            before = common.cpu_ns(process.pid)
            result = web.wrk(f"http://{address}/", 1)
            result["cpu_us"] = (common.cpu_ns(process.pid) - before) / result["requests"] / 1000
        if result["failed"]:
            raise common.LeftOut("wrk reports errors")
        return result

    results = common.rounds(options.rounds or (1 if options.quick else 5), servers, measure)
    figures = {name: {key: round(common.median([r[key] for r in rounds]), 2) for key in ("per_second", "cpu_us", "p99_us")}
               for name, rounds in results.items()}
    table = common.markdown(["server", "requests/s", "CPU, us", "p99, us"],
                            [[common.bold(name), f"{e['per_second']:,.0f}", f"{e['cpu_us']:.2f}", f"{e['p99_us']:.0f}"]
                             for name, e in figures.items()])
    common.publish("http", "## HTTP under wrk\n\nGET /, 100 connections that are kept alive, server and wrk on a core each.\n\n"
                   + table, figures, plot.bars({"requests a second": {n: e["per_second"] for n, e in figures.items()},
                                                "CPU a request, us": {n: e["cpu_us"] for n, e in figures.items()}},
                                               common.COLOURS, "{:,.1f}"))
