"""How much memory does an idle connection take in the server?

Private memory of the server with 5,500 connections less that with 500, each of which has had one message answered. The
kernel's memory for the sockets, the same for all, is not in it.
"""
# SPDX-License-Identifier: MIT

import contextlib
import re
import resource
import subprocess

from questions import common, plot


@contextlib.contextmanager
def holding(build, address, connections):
    with subprocess.Popen([str(build / "bench/load"), address, "--hold", "1", "--connections", str(connections)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the load could not open its connections")
        yield
        process.stdin.close()


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1])


def run(build, options):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 600
    first, more = (50, 100) if options.quick else (500, min(5000, most))
    entries = common.servers_and_simple(build, options)
    for name, command in common.servers(build, options, "readable").items():
        entries[f"{name}, buffer after readable()"] = command
    frugal = f"{common.OURS}, buffer after readable()"
    on_ring = f"{common.OURS_RING}, the same"
    if frugal in entries:
        entries[on_ring] = [*entries[frugal], "--selector", "io_uring"]
    figures = {}
    for name, command in entries.items():
        common.progress(name)
        try:
            with common.serving(command) as (process, address), holding(build, address, first):
                before = memory(process.pid)
                with holding(build, address, more):
                    figures[name] = round((memory(process.pid) - before) / more, 3)
        except common.LeftOut as reason:
            common.left_out(name, reason)
    table = common.markdown(["server", "KB a connection"],
                            [[common.bold(name), f"{value:.2f}"] for name, value in figures.items()])
    verdicts = common.Verdicts()
    for name, limit in ((frugal, 0.6), (on_ring, 0.7)):
        if name in figures:
            verdicts.check(name, figures[name], limit, " KB")
    common.publish("idle", "## Memory of an idle connection\n\nPrivate memory of the server; loopback TCP; each connection has "
                   f"had one message answered; {more:,} connections.\n\n" + table + verdicts.text(), figures,
                   plot.bars({"KB a connection": figures}, {**common.COLOURS, frugal: common.COLOURS[common.OURS],
                                                            on_ring: common.COLOURS[common.OURS_RING]}))
