"""How long does the echo server take to compile at -O2, next to the standard headers that any such program needs, and how
large is it? heddle is examples/echo_server.cpp; Asio, which has only headers, the same in bench/compile/."""
# SPDX-License-Identifier: MIT

import os
import pathlib
import subprocess
import tempfile

from questions import common, plot

HEADERS = ("coroutine", "string", "vector", "chrono", "span", "system_error")
BARE, HEDDLE = "the bare standard headers", "heddle: echo_server"


def seconds(command):
    """CPU time of one run of the compiler: other work on the machine does not count."""
    before = os.times()
    subprocess.run(command, check=True, timeout=120)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def program_size(build, name, folder, thing):
    """Of the stripped program, with what is linked statically into it."""
    program = build / "examples/echo_server"
    if name != HEDDLE:
        program = folder / "program"
        subprocess.run(["g++", str(thing), "-o", str(program)], check=True, timeout=120)
    subprocess.run(["strip", "-o", str(folder / "stripped"), str(program)], check=True)
    return (folder / "stripped").stat().st_size


def run(build, options):
    count = options.rounds or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bare = folder / "bare.cpp"
        bare.write_text("".join(f"#include <{header}>\n" for header in HEADERS) + "int main() {}\n", encoding="ascii")
        sources = {BARE: (bare, []), HEDDLE: (common.ROOT / "examples/echo_server.cpp", ["-foptimize-sibling-calls"])}
        if os.path.exists("/usr/include/asio.hpp"):
            sources["Asio callbacks"] = (common.ROOT / "bench/compile/asio_callbacks.cpp", [])
            sources["Asio coroutines"] = (common.ROOT / "bench/compile/asio_coroutines.cpp", [])
        objects, programs = {}, {}

        def measure(who):
            source, flags = sources[who]
            thing = folder / "out.o"
            spent = seconds(["g++", "-std=c++20", "-O2", "-DNDEBUG", "-I", str(build / "include"), *flags,
                             "-c", str(source), "-o", str(thing)])
            objects[who] = thing.stat().st_size
            programs[who] = programs.get(who) or program_size(build, who, folder, thing)
            return {"seconds": spent}

        if not options.quick:
            common.rounds(1, sources, measure)  # fills the page cache
        results = common.rounds(count, sources, measure)
    figures = {who: {"seconds": round(common.median([r["seconds"] for r in rounds]), 3),
                     "of_bare": round(common.ratios(rounds, results[BARE], "seconds")[1], 3),
                     "object": objects[who], "program": programs[who]} for who, rounds in results.items()}
    table = common.markdown(["g++ -O2 -c", "CPU, s", "of bare", "object, KB", "program, KB"],
                            [[who, f"{e['seconds']:.2f}", f"{e['of_bare']:.2f}x", f"{e['object'] / 1024:.0f}",
                              f"{e['program'] / 1024:.0f}"] for who, e in figures.items()])
    verdicts = common.Verdicts()
    verdicts.check("compile time of the echo server, of the bare headers'", figures[HEDDLE]["of_bare"], 2, "x")
    intro = (f"## What compiling the echo server costs\n\nMedian of {count} interleaved rounds. The program is stripped; heddle "
             "is linked into it statically.\n\n")
    common.publish("compile", intro + table + verdicts.text(), figures,
                   plot.bars({"CPU to compile, s": {who: e["seconds"] for who, e in figures.items()}},
                             {**common.COLOURS, HEDDLE: common.COLOURS[common.OURS]}))
