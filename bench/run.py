"""./dev bench [name]: runs one benchmark, or all. Each is a file beside this one with a function `run(build, options)`.

A benchmark prints a Markdown table and leaves it, and the figures as JSON, in build/bench/.
"""
# SPDX-License-Identifier: MIT

import argparse
import importlib
import pathlib
import sys

NAMES = ["echo", "selectors", "compile"]  # the order they run in


def main():
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("name", nargs="?", choices=NAMES, help="one benchmark; all of them without it")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of what is timed")
    parser.add_argument("--only", action="append", metavar="WHO", help="only these servers")
    parser.add_argument("--skip-counts", action="store_true", help="no valgrind, no strace")
    options = parser.parse_args()
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    for name in [options.name] if options.name else NAMES:
        importlib.import_module(f"questions.{name}").run(options.build.resolve(), options)


main()
