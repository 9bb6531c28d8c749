"""Servers that people run, where they are installed: started by us, with a configuration of their own, on a free port and in
the foreground; nothing of them stays."""
# SPDX-License-Identifier: MIT

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time

from questions import common

HAPROXY = """global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen proxy
    bind {address}
    server backend {backend}
"""


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def answers(address):
    host, port = address.split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(command, address, folder=None, on_core=common.on_the_servers_core):
    """Runs a server until the end of the block; yields (process, address) when it answers. Throws LeftOut if it doesn't."""
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True, preexec_fn=on_core) as process:
        try:
            patience = time.monotonic() + 10
            while not answers(address):
                if process.poll() is not None or time.monotonic() > patience:
                    raise common.LeftOut(f"{command[0]} does not start")
                time.sleep(0.02)
            yield process, address
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def installed(name):
    """Throws LeftOut if it isn't. (Daemons are where a user's PATH doesn't lead.)"""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise common.LeftOut("not installed")
    return program


@contextlib.contextmanager
def redis_server():
    program, address = installed("redis-server"), free_address()
    host, port = address.split(":")
    with tempfile.TemporaryDirectory() as folder:
        with running([program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no"], address, folder) as server:
            yield server


@contextlib.contextmanager
def haproxy(backend):
    program, address = installed("haproxy"), free_address()
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/haproxy.cfg", "w", encoding="ascii") as file:
            file.write(HAPROXY.format(address=address, backend=backend))
        with running([program, "-db", "-f", file.name], address, folder) as server:
            yield server


@contextlib.contextmanager
def all_running(starts):
    """`starts`: name -> a function that returns a context as above, or example(). Yields name -> (process, address) of all
    that could be started."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, start in starts.items():
            try:
                servers[name] = stack.enter_context(start())
            except common.LeftOut as reason:
                common.left_out(name, reason)
        yield servers


def example(build, name, *arguments):
    """One of heddle's examples. Throws LeftOut if it wasn't built."""
    program = build / "examples" / name
    if not program.exists():
        raise common.LeftOut(f"there is no example {name}")
    return common.serving([str(program), *arguments])


def judge(results, them, unit):
    """Is heddle level with `them` in each row? By the medians: as the load shares the machine, a rate of a round alone says little."""
    verdicts = common.Verdicts()
    for row, each in figures(results).items():
        if common.OURS in each and them in each:
            ours, theirs = each[common.OURS], each[them]
            rate, cpu = (ours[key] / theirs[key] for key in ("per_second", "cpu_us"))
            verdicts.level(row, them, rate, cpu, max(map(common.busy, (ours, theirs))), unit)
    return verdicts


def table(unit, results):
    """Rows of medians, and the CPU each took."""
    names = list(dict.fromkeys(name for rounds in results.values() for name in rounds))
    header = [f"{unit}/s; CPU each, us", *[common.bold(name) for name in names]]
    return common.markdown(header, [[row, *[f"{each[name]['per_second']:,.0f}; {each[name]['cpu_us']:.2f}" if name in each else "-"
                                            for name in names]] for row, each in figures(results).items()])


def figures(results):
    return {row: {name: {key: round(common.median([r[key] for r in rounds]), 3) for key in ("per_second", "cpu_us")}
                  for name, rounds in each.items()} for row, each in results.items()}
