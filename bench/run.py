"""./dev bench [name]: runs one question, or all. Each is a file in questions/ with a function `run(build, options)`.

A question prints a Markdown table and leaves it, the figures as JSON, and a plot as SVG in build/bench/.
bench/README.md tells what each number means.
"""
# SPDX-License-Identifier: MIT

import argparse
import importlib
import pathlib
import sys

NAMES = ["cost", "busy", "echo", "ring", "churn", "threads", "idle", "growth", "micro", "process", "http", "files", "tls",
         "proxy", "kv", "udp", "stream", "selectors", "compile"]  # the order they run in
BY_NAME = ["pictures"]  # only when it is asked for: it changes files of the repository


def main():
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("name", nargs="*", metavar="name", help=f"{', '.join(NAMES)}; all of these without it; pictures draws the README's")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help="interleaved rounds of what is timed")
    parser.add_argument("--only", action="append", metavar="WHO", help="only these peers, by a part of the name")
    parser.add_argument("--row", action="append", metavar="ROW", help="only these rows, by a part of the name")
    parser.add_argument("--first", action="store_true",
                        help="before all other work of the machine, which nearly stops meanwhile (for root)")
    parser.add_argument("--quick", action="store_true", help="no figures worth a look: only that everything works")
    options = parser.parse_args()
    for name in options.name:
        if name not in NAMES + BY_NAME:
            parser.error(f"there is no {name}: {', '.join(NAMES + BY_NAME)}")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    importlib.import_module("questions.common").FIRST = options.first
    for name in options.name or NAMES:
        print(f"{name}:", file=sys.stderr, flush=True)
        importlib.import_module(f"questions.{name}").run(options.build.resolve(), options)


main()
