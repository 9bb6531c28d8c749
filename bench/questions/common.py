"""What the questions share: servers on one core and the load on another, rounds, counting, tables, verdicts."""
# SPDX-License-Identifier: MIT

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOOR, OURS = "raw C epoll loop", "heddle"
OURS_SIMPLE = "heddle, a buffer each"  # the handler of the echo example
OURS_UNIX = "heddle, Unix socket"
OURS_RING = "heddle on io_uring"
FIRST = False  # servers and load go before all other work of the machine: --first sets it
LINE = re.compile(r"listening on (\S+)")
PYTHON = "/usr/bin/python3"

# name -> (the program under build/release, or a script beside this folder; what it can do with a message).
# Who was not found when the build was configured is left out.
SERVERS = {
    FLOOR: ("bench/raw_epoll", "echo"),
    "raw C io_uring": ("bench/raw_uring", "echo"),
    OURS: ("bench/heddle_server", "echo own readable timer queue"),
    "libevent": ("bench/libevent_echo", "echo"),
    "libuv": ("bench/libuv_echo", "echo"),
    "Asio callbacks": ("bench/asio_callbacks", "echo"),
    "Asio coroutines": ("bench/asio_coroutines", "echo timer queue"),
    "Go": ("bench/go_server", "echo timer queue http"),
    "tokio": ("bench/tokio_server", "echo timer queue"),
    "uvloop": ("bench/peers/asyncio_server.py uvloop", "echo timer queue"),
    "asyncio": ("bench/peers/asyncio_server.py asyncio", "echo timer queue"),
}
NOT_READINESS = ("raw C io_uring",)  # shown as a mark, not compared with
COLOURS = {FLOOR: "#555555", "featureless floor": "#555555", "raw C io_uring": "#bbbbbb", OURS: "#d6604d", OURS_SIMPLE: "#f4a582",
           OURS_UNIX: "#f4a582", OURS_RING: "#b2182b",
           "libevent": "#92c5de", "libuv": "#2166ac", "Asio callbacks": "#c2a5cf", "Asio coroutines": "#762a83",
           "Asio": "#762a83", "haproxy": "#2166ac", "redis-server": "#2166ac", "Go": "#35978f", "tokio": "#e08214", "uvloop": "#a6dba0", "asyncio": "#1b7837"}


class LeftOut(Exception):
    """Why somebody can't take part."""


def left_out(name, why):
    print(f"({name} is left out: {why})", file=sys.stderr, flush=True)


def command_of(build, name):
    """The command line that starts a peer's server. Throws LeftOut."""
    program, *arguments = SERVERS[name][0].split()
    if program.endswith(".py"):
        if subprocess.run([PYTHON, "-c", f"import {arguments[0]}"], capture_output=True, check=False).returncode:
            raise LeftOut("not installed")
        return [PYTHON, "-B", str(ROOT / program), *arguments]
    if not (build / program).exists():
        raise LeftOut("not built")
    return [str(build / program), *arguments]


def servers(build, options, mode="echo"):
    """name -> command of all who take part in a question that needs `mode`."""
    found = {}
    for name, (_, modes) in SERVERS.items():
        wanted = not options.only or any(word.lower() in name.lower() for word in options.only)
        if not wanted or mode not in modes.split():
            continue
        try:
            found[name] = [*command_of(build, name), "--mode", mode]
        except LeftOut as reason:
            left_out(name, reason)
    return found


def programs(build, options, peers):
    """name -> command of those of `peers`, name -> program under build/release, who are wanted and built."""
    found = {}
    for name, program in peers.items():
        if options.only and not any(word.lower() in name.lower() for word in options.only):
            continue
        if (build / program).exists():
            found[name] = [str(build / program)]
        else:
            left_out(name, "not built")
    return found


def servers_and_simple(build, options):
    """The same for echo, and next to heddle its handler that is simple."""
    found = {}
    for name, command in servers(build, options).items():
        found[name] = command
        if name == OURS:
            found[OURS_SIMPLE] = servers(build, options, "own")[name]
    return found


def cores():
    """(core of the server, core of the load): two of those that we may use, or the same one twice."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def on_core(*cores_allowed):
    """To be called in the process that is to run there, which leads a session of its own."""
    os.sched_setaffinity(0, cores_allowed)
    if FIRST:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path("/proc/self/autogroup").write_text("-15", encoding="ascii")


def on_the_servers_core():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job of a shell inherits it ignored
    on_core(cores()[0])


def on_the_loads_core():
    on_core(cores()[1])


def on_all_cores():
    on_core(*os.sched_getaffinity(0))


def interrupt(process):
    """Ends a server by SIGINT and returns what it wrote to stderr. It is sent again where it came just before a wait."""
    for patience in (8, 8, 8):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)[1]
    raise LeftOut(f"{' '.join(process.args)} does not end at SIGINT")


@contextlib.contextmanager
def serving(command, family="tcp", prefix=()):
    """Runs a server, under a tool if `prefix` says so; yields (process, address). SIGINT ends it, so that tools write
    their totals; a server that does not answer is killed. Throws LeftOut if it doesn't start."""
    with tempfile.TemporaryDirectory() as folder:
        where = ["--unix", f"{folder}/socket"] if family == "unix" else ["--port", "0"]
        if "--selector" not in command:
            where += ["--selector", "epoll"]
        process = subprocess.Popen([*prefix, *command, *where],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True, preexec_fn=on_the_servers_core)
        try:
            line = process.stdout.readline() if select.select([process.stdout], [], [], 60)[0] else ""
            match = LINE.search(line)
            if not match:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise LeftOut(f"it does not start: {process.communicate()[1].strip()[-300:]}")
            yield process, match[1]
            process.errors = interrupt(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def load_command(build, address, options):
    command = [str(build / "bench" / options.get("program", "load")), address]
    for name, value in options.items():
        if name != "program":
            command += [f"--{name}", str(value)]
    return command


def load(build, address, **options):
    """Runs the load (see bench/load.c) and returns what it says."""
    command = load_command(build, address, options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False,
                          start_new_session=True, preexec_fn=on_the_loads_core)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def loading(build, command, family="tcp", **options):
    """A server and its load, connected and waiting; yields a function that measures once. So all the peers of a round
    stand ready, and follow each other at once."""
    with serving(command, family) as (process, address):
        words = load_command(build, address, {**options, "repeat": 1, "pid": process.pid})
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
                              preexec_fn=on_the_loads_core) as client:
            def measure():
                client.stdin.write("\n")
                client.stdin.flush()
                line = client.stdout.readline() if select.select([client.stdout], [], [], 30)[0] else ""
                if not line:
                    raise SystemExit(f"no answer: {' '.join(command)}, {' '.join(words)}")
                return json.loads(line)

            if client.stdout.readline() != "ready\n":
                raise LeftOut("its connections can't be opened")
            try:
                yield measure
            finally:
                client.kill()


ROUNDS_OF_A_PROCESS = 3


def loaded_rounds(build, count, cases):
    """rounds() over `cases`: name -> what loading() is called with. A process keeps the luck that it has with its pages,
    which is worth some percent: all are started anew every few rounds."""
    results = {name: [] for name in cases}
    for first in range(0, count, ROUNDS_OF_A_PROCESS):
        with contextlib.ExitStack() as stack:
            ready = {}
            for name in results:
                command, family, options = cases[name]
                try:
                    ready[name] = stack.enter_context(loading(build, command, family, **options))
                except LeftOut as reason:
                    left_out(name, reason)
            some = rounds(min(ROUNDS_OF_A_PROCESS, count - first), ready, lambda name: ready[name](), first, count)
        results = {name: results[name] + some[name] for name in some}
    return results


def rounds(count, names, measure, first=0, of=None):
    """Calls measure(name) for all, `count` times, in another order each time; who throws LeftOut drops out.
    Returns name -> list of what it returned. `first`: how many of the rounds, `of` in all, have been before."""
    results = {name: [] for name in names}
    for turn in range(first, first + count):
        progress(f"round {turn + 1} of {of or count}")
        order = list(results)
        shift = turn % len(order) if order else 0
        for name in order[shift:] + order[:shift]:
            try:
                results[name].append(measure(name))
            except LeftOut as reason:
                left_out(name, reason)
                del results[name]
    return results


def median(values):
    return statistics.median(values)


def ratios(mine, theirs, key):
    """Round by round, mine of theirs: the machine's moods drop out. (first quartile, median, third quartile)"""
    each = [m[key] / t[key] for m, t in zip(mine, theirs)]
    if len(each) < 2:
        return each[0], each[0], each[0]
    low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
    return low, middle, high


def per_message(count, messages):
    """`count(messages)` is a total of a whole run; what starting and stopping costs drops out of the difference."""
    return (count(2 * messages) - count(messages)) / messages


def instructions(build, command, messages, family="tcp", **options):
    """User-mode instructions per message, by callgrind."""
    def count(total):
        prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        with serving(command, family, prefix) as (process, address):
            load(build, address, messages=total, **options)
        return int(re.search(r"Collected : (\d+)", process.errors)[1])
    return per_message(count, messages)


def allocations(build, command, messages, family="tcp", **options):
    """Heap allocations per message, by memcheck."""
    def count(total):
        prefix = ["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"]
        with serving(command, family, prefix) as (process, address):
            load(build, address, messages=total, **options)
        return int(re.search(r"total heap usage: ([\d,]+) allocs", process.errors)[1].replace(",", ""))
    return per_message(count, messages)


def system_calls(build, command, messages, family="tcp", **options):
    """System calls per message, by strace; and which."""
    tables = {}

    def count(total):
        with serving(command, family, ["strace", "-f", "-c", "-o", "/dev/stderr"]) as (process, address):
            load(build, address, messages=total, **options)
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
        total += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii").split()[0])
    return total


def write(name, text):
    """Leaves a file in build/bench/."""
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def publish(name, text, figures, plot=None):
    """Prints the table, and leaves it, the figures and the plot in build/bench/."""
    write(f"{name}.md", text)
    write(f"{name}.json", json.dumps(figures, indent=2) + "\n")
    if plot:
        write(f"{name}.svg", plot)
    print(text, flush=True)


def hold_to_limits(name, figures):
    """Counts more than 5 % above those that bench/limits.json records fail the run: the record is changed with the code
    that changes them."""
    recorded = json.loads((ROOT / "bench/limits.json").read_text(encoding="utf-8"))[name]
    worse = [f"{key}: {figures[key]}, recorded {count}" for key, count in recorded.items()
             if figures[key] > count * 1.05 + 0.01]
    if worse:
        raise SystemExit(f"heddle costs more than bench/limits.json says of {name}: " + "; ".join(worse))


LEVEL = 0.97  # of what a peer does
BUSY = 0.9  # of a core: who keeps it less busy waits for the load


def busy(figures):
    """The share of a core that a server took, by what it did a second and its CPU for each."""
    return figures["per_second"] * figures["cpu_us"] / 1e6


class Verdicts:
    """What is hoped for, and whether it is so."""

    def __init__(self):
        self.lines = []
        self.missed = []

    def check(self, what, value, limit, unit=""):
        """Is `value` at most `limit`?"""
        self.say(f"{what}: {value:.4g}{unit}, goal at most {limit:.4g}{unit}", value <= limit)

    def level(self, what, peer, rate, cpu, busy, unit="requests", ahead=False):
        """Does heddle do as much a second as `peer`, or more if it is to be ahead? `rate`, `cpu`: of the peer's; `busy`: the share
        of a core that the busier of the two servers took."""
        text = f"{what}: {rate:.2f}x of {peer}'s {unit} a second, goal {'more than 1' if ahead else f'at least {LEVEL}'}x"
        text += f"; {cpu:.2f}x of its CPU for each"
        if busy < BUSY:
            text += f" (the load's core is the limit: a server's is busy for {busy:.0%})"
        self.say(text, rate > 1 if ahead else rate >= LEVEL)

    def say(self, text, good):
        self.lines.append(f"- {'met' if good else '**not met**'}: {text}")
        if not good:
            self.missed.append(text)

    def text(self):
        return "\n" + "\n".join(self.lines) + "\n" if self.lines else ""


def bold(name):
    return f"**{name}**" if name == OURS else name


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "| --- " + "| ---: " * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)
