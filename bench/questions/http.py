"""How many requests a second does the HTTP example answer, under wrk? 100 connections that are kept alive."""
# SPDX-License-Identifier: MIT

import re
import shutil
import subprocess

from questions import common, plot

UNITS = {"us": 1, "ms": 1000, "s": 1_000_000}


def wrk(address, seconds):
    done = subprocess.run(["wrk", "-t1", "-c100", f"-d{seconds}s", "--latency", f"http://{address}/"], text=True,
                          capture_output=True, check=True, timeout=60, start_new_session=True,
                          preexec_fn=common.on_the_loads_core).stdout
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done)
    return {"per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1]),
            "requests": int(re.search(r"(\d+) requests in", done)[1]), "p99_us": float(slow[1]) * UNITS[slow[2]],
            "failed": "Non-2xx" in done or "Socket errors" in done}


def run(build, options):
    if shutil.which("wrk") is None:
        common.left_out("http", "wrk is not installed")
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
            result = wrk(address, 1)
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
