"""The rules of the house that a compiler does not check: layers, what public headers may include, complete file lists.

usage: house_rules.py --source ROOT --listed LAYER FILE... [--listed ...] --public LAYER FILE... [--public ...]
"""
# SPDX-License-Identifier: MIT

import argparse
import os
import pathlib
import re

import blackbox as bb

LAYERS = ["selector", "runtime", "io"]  # each may include itself and those before it
COSTLY = {"memory", "functional", "iostream", "istream", "ostream", "sstream", "fstream", "mutex", "thread", "regex",
          "future", "condition_variable", "filesystem", "format", "ranges", "algorithm", "map", "unordered_map",
          "random", "locale"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
ON_PURPOSE = re.compile(r'^\s*#\s*include\s*<([^>]+)>\s*// on purpose: \S', re.MULTILINE)  # the budget is to be spent
HEADER_LINES = 450


def read(path):
    return path.read_text(encoding="utf-8")


def each_once(problems):
    problems = sorted(set(problems))
    bb.check(not problems, "\n  " + "\n  ".join(problems))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--listed", nargs="+", action="append", default=[])
    parser.add_argument("--public", nargs="+", action="append", default=[])
    options = parser.parse_args()
    root = options.source.resolve()
    listed, public = {}, {}
    for lists, given in ((listed, options.listed), (public, options.public)):
        for layer, *files in given:
            lists.setdefault(layer, set()).update(files)  # a folder may hold more than one library
    sources = [path for layer in LAYERS for path in sorted((root / layer).rglob("*")) if path.suffix in (".cpp", ".hpp")]
    headers = [root / layer / name for layer in LAYERS for name in sorted(public.get(layer, ()))]
    umbrella = [root / "heddle.hpp"] if (root / "heddle.hpp").exists() else []

    def complete_lists():
        bb.check(sources, "no sources at all")
        each_once(f"{path.relative_to(root)} is not listed in {path.parent.name}/CMakeLists.txt" for path in sources
                  if path.name not in listed.get(path.parent.name, ()))

    def layers():
        problems = []
        for path in sources + umbrella:
            rank = LAYERS.index(path.parent.name) if path.parent.name in LAYERS else len(LAYERS)
            for kind, name in INCLUDE.findall(read(path)):
                here = path.relative_to(root)
                if kind == "<" and name.startswith("heddle/"):
                    problems.append(f"{here} includes <{name}>: inside the library, by relative quote")
                if kind == '"':
                    target = pathlib.Path(os.path.normpath(path.parent / name))
                    layer = target.relative_to(root).parts[0] if target.is_relative_to(root) else "?"
                    if layer not in LAYERS or LAYERS.index(layer) > rank:
                        problems.append(f"{here} includes \"{name}\": upward, or out of the library")
        each_once(problems)

    def frugal_headers():
        problems = []
        for path in headers + umbrella:
            spent = ON_PURPOSE.findall(read(path))
            for kind, name in INCLUDE.findall(read(path)):
                here = path.relative_to(root)
                if kind == "<" and (name.endswith(".h") or "/" in name):
                    problems.append(f"{here} includes <{name}>: the system stays in .cpp files")
                elif kind == "<" and name in COSTLY and name not in spent:
                    problems.append(f"{here} includes <{name}>, which every user then compiles")
                elif kind == '"' and path not in umbrella:
                    target = pathlib.Path(os.path.normpath(path.parent / name))
                    if target.name not in public.get(target.parent.name, ()):
                        problems.append(f"{here} includes \"{name}\", which is not installed")
        each_once(problems)

    def signs():
        problems = []
        for path in sources + umbrella:
            text, here = read(path), path.relative_to(root)
            if not text.startswith("//"):
                problems.append(f"{here} does not begin with a comment that says what it is for")
            if "// SPDX-License-Identifier: MIT" not in text.splitlines()[:12]:
                problems.append(f"{here} has no SPDX line near its top")
            if path.suffix == ".hpp" and text.count("\n") > HEADER_LINES:
                problems.append(f"{here} has {text.count(chr(10))} lines; a header should read as a page or few")
        each_once(problems)

    bb.run([("every source and header is listed", complete_lists),
            ("nothing includes upward: selector <- runtime <- io", layers),
            ("public headers include neither the system nor what is costly to compile", frugal_headers),
            ("each file begins with its sign", signs)], 20, keep_going=True)


main()
