"""Runs random programs on heddle and on Python's asyncio, and compares what happens, event by event.

usage: compare.py PLAYER [--programs N] [--seed S] [--features a,b,...] [--without a,b,...] [--keep-going]
                  [--program "text"]

PLAYER is play_programs. On a difference the program is made small, and printed with both logs side by side. What is meant to be
different, and how it is left out here, is in README.md. --keep-going goes on after a difference; in the
end it counts the kinds.
"""
# SPDX-License-Identifier: MIT

import argparse
import itertools
import select
import subprocess
import sys
import time
import warnings

if sys.version_info >= (3, 11):
    import interpreter
    import peer
import programs
from shrink import shrink

SECONDS = 20  # in which heddle plays a program, or hangs


class Heddle:
    """play_programs, as often as it has to be started."""

    def __init__(self, player):
        self.player = player
        self.process = None
        self.rest = b""

    def play(self, line):
        if self.process is None:
            self.process = subprocess.Popen([self.player], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.rest = b""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return self.stop("")
        end = time.monotonic() + SECONDS
        while not (self.rest == b".\n" or self.rest.endswith(b"\n.\n")):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return self.stop("hangs")
            more = self.process.stdout.read1(1 << 16)
            if not more:
                return self.stop("")
            self.rest += more
        log, self.rest = self.rest.decode().splitlines()[:-1], b""
        if log and log[-1].endswith("gives up"):
            self.stop("")  # it ends by itself
        return log

    def stop(self, why):
        if why:
            self.process.kill()
        code = self.process.wait()
        self.process = None
        return [f"heddle {why or f'ends with {code}'}"]


def first_difference(here, there):
    for i, (a, b) in enumerate(itertools.zip_longest(here, there, fillvalue="")):
        if a != b:
            return i, a, b
    return None


def by_task(log):
    """What each task does in each moment, whichever of them comes first in it."""
    moments = {}
    for line in log:
        time, task = line.split(" ", 2)[:2]
        moments.setdefault((time, task), []).append(line)
    return moments


def side_by_side(here, there):
    wide = max([len("heddle"), *map(len, here)])
    lines = [f"    {'heddle':{wide}}   asyncio"]
    for a, b in itertools.zip_longest(here, there, fillvalue=""):
        lines.append(f"{'  ' if a == b else '* '}  {a:{wide}}   {b}")
    return "\n".join(lines)


def kinds_in(program):
    found = set()

    def walk(block):
        for kind, _, _, blocks in block:
            found.add(kind)
            for inner in blocks:
                walk(inner)

    for block in program:
        walk(block)
    return " ".join(sorted(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("player")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--features", default=",".join(programs.FEATURES))
    parser.add_argument("--without", default="", help="all features but these")
    parser.add_argument("--program", help="as it is printed for a difference")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long, be it done or not")
    options = parser.parse_args()
    if sys.version_info < (3, 11):
        print("this Python has no task groups")
        return 77
    warnings.simplefilter("ignore")  # coroutines that are cancelled before they start
    heddle = Heddle(options.player)
    features = [feature for feature in options.features.split(",") if feature not in options.without.split(",")]

    def both(program):
        return heddle.play(programs.text(0, program)), interpreter.play(program)

    def unlike(program, here, there):
        # Difference 16: who goes on first when the last of those ends that one call waits for.
        if any(step in programs.text(0, program) for step in ("gather", "settle")) and by_task(here) == by_task(there):
            return False
        return first_difference(here, there) is not None

    def differs(program):
        return unlike(program, *both(program))

    if options.program:
        program = programs.parse(options.program)[1]
        print(programs.in_words(program))
        print(side_by_side(*both(program)))
        return differs(program)

    end = time.monotonic() + options.seconds
    kinds, played, events = {}, 0, 0
    for seed in range(options.seed, options.seed + options.programs):
        if time.monotonic() > end:
            break
        program = programs.make(seed, features)
        here, there = both(program)
        played += 1
        events += len(there)
        if not unlike(program, here, there):
            continue
        small = shrink(program, differs)
        kind = kinds_in(small)
        kinds.setdefault(kind, []).append(seed)
        if len(kinds[kind]) == 1:
            print(f"seed {seed} (--seed {seed} --programs 1 plays it again), made small:")
            print(programs.in_words(small))
            print("    " + programs.text(seed, small))
            print(side_by_side(*both(small)), flush=True)
            print()
        if not options.keep_going:
            break
    for kind, seeds in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"{len(seeds):>5} programs differ in: {kind}   seeds {' '.join(map(str, seeds[:5]))}")
    print(f"{played} programs, {events} events, {sum(map(len, kinds.values()))} differ")
    return bool(kinds) or played == 0


if __name__ == "__main__":
    sys.exit(main())
