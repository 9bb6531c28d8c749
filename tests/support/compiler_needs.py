"""A compiler that lacks what heddle needs says so in one line, whichever public header is included first."""
# SPDX-License-Identifier: MIT

import argparse
import concurrent.futures
import subprocess

import blackbox as bb

# Options, and the line that is to be read. GCC's -std=c++17 has coroutines with -fcoroutines, but not the rest.
LACKS = [(["-std=c++17"], "heddle needs C++20: compile with -std=c++20 or later"),
         (["-std=c++20", "-fno-exceptions"], "heddle needs exceptions: compile without -fno-exceptions"),
         (["-std=c++20", "-fno-rtti"], "heddle needs RTTI: compile without -fno-rtti")]
GCC_LACKS = [(["-std=c++17", "-fcoroutines"], "heddle needs C++20: compile with -std=c++20 or later"),
             (["-std=c++20", "-fno-coroutines"],
              "heddle needs coroutines: compile with -std=c++20 or later, and without -fno-coroutines")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include", required=True)
    parser.add_argument("--headers", nargs="+", required=True)
    options = parser.parse_args()

    def refused(header, flags, words):
        done = subprocess.run([options.compiler, *flags, f"-I{options.include}", "-fsyntax-only", "-x", "c++", "-"],
                              input=f"#include <heddle/{header}>\n", capture_output=True, text=True, timeout=60)
        errors = [line for line in done.stderr.splitlines() if ": error: " in line or ": fatal error: " in line]
        # The second one is that which makes the compiler stop.
        if done.returncode == 0 or len(errors) != 2 or words not in errors[0] or "fatal" not in errors[1]:
            return f"{header} with {' '.join(flags)}: {errors[:3]}"
        return None

    def all_refused(headers, flags, words):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            wrong = [text for text in pool.map(lambda header: refused(header, flags, words), headers) if text]
        bb.check(not wrong, "\n  " + "\n  ".join(wrong))

    def in_cxx17():
        all_refused(options.headers, *LACKS[0])

    def without(lacks):
        for flags, words in lacks:
            all_refused(["heddle.hpp", "selector/events.hpp", "runtime/core/task.hpp"], flags, words)

    def on_gcc():
        version = subprocess.run([options.compiler, "--version"], capture_output=True, text=True, check=True).stdout
        if "clang" in version:
            raise bb.Skipped("clang has no such options")
        without(GCC_LACKS)

    bb.run([("every header in C++17", in_cxx17), ("without exceptions, without RTTI", lambda: without(LACKS[1:])),
            ("without coroutines", on_gcc)], 290, keep_going=True)


main()
