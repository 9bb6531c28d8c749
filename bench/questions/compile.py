"""How long does the echo server take to compile, at -O2, next to the standard headers that any such program needs?"""
# SPDX-License-Identifier: MIT

import os
import subprocess
import tempfile

from questions import common

HEADERS = ("coroutine", "string", "vector", "chrono", "span", "system_error")


def seconds(command):
    """CPU time of one run of the compiler: other work on the machine does not count."""
    before = os.times()
    subprocess.run(command, check=True, timeout=120)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def run(build, options):
    rounds = options.rounds or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        bare = os.path.join(folder, "bare.cpp")
        with open(bare, "w", encoding="ascii") as file:
            file.writelines(f"#include <{header}>\n" for header in HEADERS)
        asio = common.ROOT / "bench/peers/asio_coroutines.cpp"
        sources = {"the bare standard headers": (bare, []),
                   "heddle: echo_server": (common.ROOT / "examples/echo_server.cpp", ["-foptimize-sibling-calls"]),
                   "Asio coroutines": (asio, [])}
        sources = {name: source for name, source in sources.items()
                   if os.path.exists(source[0]) and (source[0] != asio or os.path.exists("/usr/include/asio.hpp"))}
        times = {name: [] for name in sources}
        sizes = {}
        out = os.path.join(folder, "out.o")
        for turn in range(rounds + 1):
            common.progress(f"round {turn + 1} of {rounds + 1}")
            for name, (source, flags) in sources.items():
                if name.startswith("Asio") and turn > 2:
                    continue  # it takes its time
                spent = seconds(["g++", "-std=c++20", "-O2", "-DNDEBUG", "-I", str(build / "include"), *flags,
                                 "-c", str(source), "-o", out])
                sizes[name] = os.path.getsize(out)
                if turn:  # the first fills the page cache
                    times[name].append(spent)
    medians = {name: common.median(values) for name, values in times.items()}
    floor = medians["the bare standard headers"]
    table = common.markdown(["g++ -O2 -c", "CPU, s", "of bare", "object, KB"],
                            [[name, f"{value:.2f}", f"{value / floor:.2f}x", f"{sizes[name] / 1024:.0f}"]
                             for name, value in medians.items()])
    intro = f"## What compiling the echo server costs\n\nMedian of {rounds} interleaved rounds.\n\n"
    common.publish("compile", intro + table,
                   {name: {"seconds": round(value, 3), "ratio": round(value / floor, 3)} for name, value in medians.items()})
