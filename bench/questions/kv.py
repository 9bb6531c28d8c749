"""How many commands a second does the key-value example answer, under redis-benchmark? Beside redis-server, if installed."""
# SPDX-License-Identifier: MIT

import csv
import shutil
import subprocess

from questions import common, daemons, plot

THEM = "redis-server"
KINDS = {"one at a time": 1, "16 deep": 16}
TESTS = ("set", "get")


def benchmark(server, test, depth, requests):
    process, address = server
    host, port = address.rsplit(":", 1)
    before = common.cpu_ns(process.pid)
    done = subprocess.run(["redis-benchmark", "-h", host, "-p", port, "-c", "50", "-n", str(requests), "-P", str(depth), "-t",
                           test, "--csv"], text=True, capture_output=True, check=True, timeout=120, start_new_session=True,
                          preexec_fn=common.on_the_loads_core).stdout
    return {"per_second": float(next(csv.DictReader(done.splitlines()))["rps"]),
            "cpu_us": (common.cpu_ns(process.pid) - before) / requests / 1000}


def run(build, options):
    if shutil.which("redis-benchmark") is None:
        common.left_out("kv", "redis-benchmark is not installed")
        return
    results = {}
    with daemons.all_running({common.OURS: lambda: daemons.example(build, "kv_server"),
                              THEM: daemons.redis_server}) as servers:
        if not servers:
            return
        for title, depth in KINDS.items():
            for test in TESTS:
                row = f"{test.upper()}, {title}"
                if options.row and not any(word.lower() in row.lower() for word in options.row):
                    continue
                common.progress(row)
                requests = 1_000 if options.quick else 30_000 * (depth if depth == 1 else depth // 2)
                results[row] = common.rounds(options.rounds or (1 if options.quick else 9), servers,
                                             lambda name: benchmark(servers[name], test, depth, requests))
    panels = {f"{row}: commands a second": {name: e["per_second"] for name, e in each.items()}
              for row, each in daemons.figures(results).items()}
    common.publish("kv", "## The key-value example under redis-benchmark\n\n50 connections, server and load on a core each. Medians "
                   "of interleaved rounds.\n\n" + daemons.table("commands", results)
                   + daemons.judge(results, THEM, "commands").text(),
                   daemons.figures(results), plot.bars(panels, common.COLOURS, "{:,.0f}"))
