"""How many commands a second does the key-value example answer, under redis-benchmark? Beside redis-server, if installed."""
# SPDX-License-Identifier: MIT

import contextlib
import csv
import shutil
import socket
import subprocess

from questions import common, plot

KINDS = {"one at a time": 1, "16 deep": 16}


def benchmark(address, depth, requests):
    host, port = address.rsplit(":", 1)
    done = subprocess.run(["redis-benchmark", "-h", host, "-p", port, "-c", "50", "-n", str(requests), "-P", str(depth), "-t",
                           "set,get", "--csv"], text=True, capture_output=True, check=True, timeout=120,
                          start_new_session=True, preexec_fn=common.on_the_loads_core).stdout
    return {row["test"]: float(row["rps"]) for row in csv.DictReader(done.splitlines())}


@contextlib.contextmanager
def redis_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
                          stdout=subprocess.PIPE, text=True, start_new_session=True,
                          preexec_fn=common.on_the_servers_core) as process:
        for line in process.stdout:
            if "Ready to accept" in line:
                break
        yield process, f"127.0.0.1:{port}"
        process.terminate()


def run(build, options):
    if shutil.which("redis-benchmark") is None:
        common.left_out("redis", "redis-benchmark is not installed")
        return
    servers = {}
    if (build / "examples/kv_server").exists():
        servers[common.OURS] = lambda: common.serving([str(build / "examples/kv_server")])
    else:
        common.left_out(common.OURS, "there is no example kv_server")
    if shutil.which("redis-server"):
        servers["redis-server"] = redis_server
    else:
        common.left_out("redis-server", "not installed")
    if not servers:
        return
    figures = {}
    for title, depth in KINDS.items():
        def measure(name, depth=depth):
            with servers[name]() as (_, address):
                return benchmark(address, depth, 1_000 if options.quick else 100_000 * depth)

        results = common.rounds(options.rounds or (1 if options.quick else 3), servers, measure)
        for name, rounds in results.items():
            for test in rounds[0]:
                figures.setdefault(f"{test}, {title}", {})[name] = round(common.median([r[test] for r in rounds]))
    table = common.markdown(["commands/s", *[common.bold(name) for name in servers]],
                            [[title, *[f"{row[name]:,}" for name in servers if name in row]] for title, row in figures.items()])
    common.publish("redis", "## The key-value example under redis-benchmark\n\n50 connections, server and load on a core each.\n\n"
                   + table, figures, plot.bars(figures, common.COLOURS, "{:,.0f}"))
