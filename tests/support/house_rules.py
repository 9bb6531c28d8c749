"""The rules of the house that a compiler does not check: the order of the rooms, what public headers may include, complete file
lists, the size of a file.

usage: house_rules.py --source ROOT --objects BUILD --listed FLOOR FILE... [--listed ...] --public FLOOR FILE... [--public ...]
"""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import re
import subprocess

import blackbox as bb
import rooms

COSTLY = {"memory", "functional", "iostream", "istream", "ostream", "sstream", "fstream", "mutex", "thread", "regex",
          "future", "condition_variable", "filesystem", "format", "ranges", "algorithm", "map", "unordered_map",
          "random", "locale"}
ON_PURPOSE = re.compile(r'^\s*#\s*include\s*<([^>]+)>\s*// on purpose: \S', re.MULTILINE)  # the budget is to be spent
LINES = 750
README_LINES = 48
LOOSE = {"README.md", "CMakeLists.txt", "rooms.svg", "ASYNCIO.md", "GUIDE.md"}
read = rooms.read


def each_once(problems):
    problems = sorted(set(problems))
    bb.check(not problems, "\n  " + "\n  ".join(problems))


def symbols(objects):
    """[(object, the letter that nm gives, the symbol)] of `objects`."""
    found = []
    for path in objects:
        listing = subprocess.run([bb.tool("nm"), "--format=posix", str(path)], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            name, letter, *_ = line.split()
            found.append((path, letter, name))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--objects", type=pathlib.Path, required=True)
    parser.add_argument("--listed", nargs="+", action="append", default=[])
    parser.add_argument("--public", nargs="+", action="append", default=[])
    options = parser.parse_args()
    root = options.source.resolve()
    listed, public = set(), set()
    for paths, given in ((listed, options.listed), (public, options.public)):
        for floor, *files in given:
            paths.update(root / floor / name for name in files)
    sources = rooms.sources(root)
    umbrella = root / "heddle.hpp"
    ranks = {room: rank for rank, room in enumerate(rooms.order(root))}

    def rank_of(path):
        return ranks.get(rooms.room_of(root, path), -1)

    def complete_lists():
        bb.check(sources and ranks, "no sources, or no rooms, at all")
        each_once(f"{path.relative_to(root)} is not listed in its floor's CMakeLists.txt" for path in sources if path not in listed)

    def frugal_headers():
        problems = []
        for path in sorted(public) + [umbrella]:
            if path.suffix != ".hpp":
                continue
            here = path.relative_to(root)
            spent = ON_PURPOSE.findall(read(path))
            for kind, name in rooms.INCLUDE.findall(read(path)):
                if kind == "<" and (name.endswith(".h") or "/" in name):
                    problems.append(f"{here} includes <{name}>: the system stays in .cpp files")
                elif kind == "<" and name in COSTLY and name not in spent:
                    problems.append(f"{here} includes <{name}>, which every user then compiles")
            if path != umbrella:
                problems += [f"{here} includes {target.relative_to(root)}, which is not installed"
                             for target in rooms.quoted(path) if target not in public]
        each_once(problems)

    def signs():
        problems = []
        examples = [path for path in (root / "examples").iterdir() if path.suffix in (".cpp", ".hpp")]
        for path in sources + examples + [umbrella]:
            text, here = read(path), path.relative_to(root)
            if not text.startswith("//"):
                problems.append(f"{here} does not begin with a comment that says what it is for")
            if "// SPDX-License-Identifier: MIT" not in text.splitlines()[:12]:
                problems.append(f"{here} has no SPDX line near its top")
            if text.count("\n") > LINES:
                problems.append(f"{here} has {text.count(chr(10))} lines, and may have {LINES}")
        each_once(problems)

    bb.run([("every source and header is listed", complete_lists),
            ("public headers include neither the system nor what is costly to compile, nor what is private", frugal_headers),
            ("each file begins with its sign and reads as a page or few", signs)], 60, keep_going=True)


main()
