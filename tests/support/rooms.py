"""The rooms of the house: their order, as CONTRIBUTING.md has it, and who includes whom. `rooms.py ROOT` prints the includes between
rooms; `rooms.py ROOT --draw` draws the pictures in runtime/README.md and io/README.md anew."""
# SPDX-License-Identifier: MIT

import os
import pathlib
import re
import sys

FLOORS = ["selector", "runtime", "io"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
LISTED = re.compile(r"^    ((?:selector|runtime|io)(?:/\w+)?)  +(\S.*)$", re.MULTILINE)


def read(path):
    return path.read_text(encoding="utf-8")


def order(root):
    """The rooms bottom up, each with what it is for: the list in CONTRIBUTING.md is the only one there is."""
    return {room: purpose for room, purpose in LISTED.findall(read(root / "CONTRIBUTING.md"))}


def sources(root):
    return [path for floor in FLOORS for path in sorted((root / floor).rglob("*")) if path.suffix in (".cpp", ".hpp")]


def room_of(root, path):
    return str(path.relative_to(root).parent)


def quoted(path):
    """The files that `path` includes by quote."""
    for kind, name in INCLUDE.findall(read(path)):
        if kind == '"':
            yield pathlib.Path(os.path.normpath(path.parent / name))


def arrows(root):
    """{(room, room): [(file, file)]}: the includes that go from one room to another."""
    found = {}
    for path in sources(root):
        for target in quoted(path):
            here, there = room_of(root, path), room_of(root, target)
            if here != there:
                found.setdefault((here, there), []).append((path.relative_to(root), target.relative_to(root)))
    return found


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    ranks = list(order(root))
    for (here, there), files in sorted(arrows(root).items()):
        up = here not in ranks or there not in ranks or ranks.index(here) < ranks.index(there)
        print(f"{'UP ' if up else '   '}{here} -> {there}: {len(files)}")
        if up:
            for source, target in files:
                print(f"       {source} -> {target}")


if __name__ == "__main__":
    main()
