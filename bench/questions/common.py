"""What the benchmarks share: servers on one core and the load on the other, counting, tables."""
# SPDX-License-Identifier: MIT

import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r"listening on ([0-9.]+):(\d+) \(selector \w+\)")

# name -> the program under build/release. Who was not found when the build was configured is left out.
SERVERS = {
    "raw C epoll loop": "bench/raw_epoll",
    "heddle": "examples/echo_server",
    "libevent": "bench/libevent_echo",
    "libuv": "bench/libuv_echo",
    "Asio callbacks": "bench/asio_callbacks",
    "Asio coroutines": "bench/asio_coroutines",
}


def servers(build, only=None):
    found = {name: build / path for name, path in SERVERS.items() if (build / path).exists()}
    if only:
        found = {name: path for name, path in found.items() if any(word.lower() in name.lower() for word in only)}
    for name in SERVERS.keys() - found.keys():
        print(f"({name} is left out)", file=sys.stderr)
    return found


def cores():
    """(core of the server, core of the load): two of those that we may use, or the same one twice."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def on_the_servers_core():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job of a shell inherits it ignored
    os.sched_setaffinity(0, {cores()[0]})


def interrupt(process):
    """Ends a server by SIGINT and returns what it wrote to stderr. It is sent again where it came just before a wait."""
    for patience in (8, 8, 8):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)[1]
    raise SystemExit(f"{process.args} does not end at SIGINT")


@contextlib.contextmanager
def serving(command, prefix=()):
    """Runs a server, under a tool if `prefix` says so; yields (process, host, port). SIGINT ends it, so that tools
    write their totals; a server that does not answer is killed."""
    process = subprocess.Popen([*prefix, str(command), "--host", "127.0.0.1", "--port", "0", "--selector", "epoll"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, preexec_fn=on_the_servers_core)
    try:
        line = process.stdout.readline()
        match = LINE.search(line)
        if not match:
            raise SystemExit(f"{command} says {line!r} instead of where it listens")
        yield process, match[1], match[2]
        process.errors = interrupt(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def load(build, host, port, connections, messages, size=64):
    command = [str(build / "bench/load"), host, port, str(connections), str(messages), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600,
                          preexec_fn=lambda: os.sched_setaffinity(0, {cores()[1]}))
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def per_message(count, messages):
    """`count(messages)` is a total of a whole run; what starting and stopping costs drops out of the difference."""
    return (count(2 * messages) - count(messages)) / messages


def instructions(build, program, connections=50, messages=20_000):
    """User-mode instructions per message, by callgrind."""
    def count(total):
        prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        with serving(program, prefix) as (process, host, port):
            load(build, host, port, connections, total)
        return int(re.search(r"Collected : (\d+)", process.errors)[1])
    return per_message(count, messages)


def allocations(build, program, connections=50, messages=10_000):
    """Heap allocations per message, by memcheck."""
    def count(total):
        prefix = ["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"]
        with serving(program, prefix) as (process, host, port):
            load(build, host, port, connections, total)
        return int(re.search(r"total heap usage: ([\d,]+) allocs", process.errors)[1].replace(",", ""))
    return per_message(count, messages)


def system_calls(build, program, connections=50, messages=10_000):
    """System calls per message, by strace; and which."""
    tables = {}

    def count(total):
        with serving(program, ["strace", "-f", "-c", "-o", "/dev/stderr"]) as (process, host, port):
            load(build, host, port, connections, total)
        table = {}
        for line in process.errors.splitlines():
            fields = line.split()
            if len(fields) in (5, 6) and fields[0].replace(".", "").isdigit() and fields[3].isdigit():
                table[fields[-1]] = int(fields[3])
        tables[total] = table
        return table["total"]

    total = per_message(count, messages)
    calls = {name: round((number - tables[messages].get(name, 0)) / messages, 3)
             for name, number in tables[2 * messages].items() if name != "total"}
    return total, {name: number for name, number in calls.items() if number >= 0.005}


def cpu_ns(pid):
    """Time on a core so far, of all threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def median(values):
    return statistics.median(values)


def publish(name, text, figures):
    """Prints the table and leaves it and the figures in build/bench/."""
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(text, end="", flush=True)


def hold_to_limits(name, figures):
    """Counts that are worse than bench/limits.json says fail the run: it is changed with the code that changes them."""
    limits = json.loads((ROOT / "bench/limits.json").read_text())[name]
    worse = [f"{key}: {figures[key]}, at most {limit}" for key, limit in limits.items() if figures.get(key, 0) > limit]
    if worse:
        raise SystemExit("heddle costs more than bench/limits.json says: " + "; ".join(worse))


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "| --- " + "| ---: " * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)
