"""The rules of the house that a compiler does not check: the order of the rooms and their pictures, what public headers may include,
complete file lists, the size of a file.

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
HOP = re.compile(r"`([\w/]+\.[hc]pp): (?:[\w<>~]+::)*(~?\w+)(?:<[\w, ]*>)?\(\)`")
BYTES = r"(?:(?:std::)?(?:byte|uint8_t)|char|unsigned char)"
CLEARED = re.compile(  # memory that is cleared when it is made: a vector or string of a size, an array that is new, ...
    rf"\bmake_unique<\s*{BYTES}\[\]>|\bvector<{BYTES}>\s*\w*[({{][^,(){{}}]+[)}}]|\bnew {BYTES}\s*\[[^\]]+\]\s*[({{]"
    rf"|\bstring\s*\w*\([^,()]+,\s*'\\0'\)|\barray<{BYTES}, [\d']{{4,}}>\s*\w+\s*=?\s*{{|\b{BYTES} \w+\[[\d']{{4,}}\]\s*=?\s*{{")
GROWING = re.compile(rf"\b(?:std::string|vector<{BYTES}>)&? (\w+)\b")  # what resize() clears
LINES = 400
README_LINES = 48
LOOSE = {"README.md", "CMakeLists.txt", "rooms.svg", "ASYNCIO.md", "GUIDE.md"}
read = rooms.read


def each_once(problems):
    problems = sorted(set(problems))
    bb.check(not problems, "\n  " + "\n  ".join(problems))


def symbols(objects):
    """[(object, the letter that nm gives, the symbol)] of `objects`: what they need, and what they have for others."""
    listing = subprocess.run([bb.tool("nm"), "--extern-only", "--print-file-name", "--format=posix", *map(str, objects)],
                             capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        path, _, symbol = line.partition(": ")
        name, letter, *_ = symbol.split()
        yield pathlib.Path(path), letter, name


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

    def nothing_loose():
        problems = []
        for floor in rooms.FLOORS:
            for path in (root / floor).rglob("*"):
                here = path.relative_to(root)
                if path.is_dir() and str(here) not in ranks:
                    problems.append(f"{here}/ is not among the rooms in CONTRIBUTING.md")
                elif path.is_file() and path.parent == root / floor and path.name not in LOOSE and str(floor) not in ranks:
                    problems.append(f"{here} lies in no room")
        for room in ranks:
            readme = root / room / "README.md"
            if not readme.exists():
                problems.append(f"{room}/ has no README.md")
                continue
            text = read(readme)
            if "/" in room and text.count("\n") > README_LINES:
                problems.append(f"{room}/README.md is longer than a screen")
            if "/" in room:
                problems += [f"{room}/README.md doesn't name {path.name}" for path in (root / room).glob("*.?pp") if path.stem not in text]
        each_once(problems)

    def one_order():
        problems = []
        for path in sources + [umbrella]:
            here = path.relative_to(root)
            for kind, name in rooms.INCLUDE.findall(read(path)):
                if kind == "<" and name.startswith("heddle/"):
                    problems.append(f"{here} includes <{name}>: inside the library, by relative quote")
            for target in rooms.quoted(path):
                if not target.is_relative_to(root) or rank_of(target) < 0:
                    problems.append(f"{here} includes {target}, which is not of the library")
                elif path != umbrella and rank_of(target) > rank_of(path):
                    problems.append(f"{here} includes {target.relative_to(root)}: against the order in CONTRIBUTING.md")
        each_once(problems)

    def symbols_too():
        objects = {}
        for floor in rooms.FLOORS:
            for path in (options.objects / floor).rglob("*.o"):
                parts = path.parts[path.parts.index("CMakeFiles") + 2:-1]
                objects[path] = "/".join((floor, *parts))
        bb.check(objects, "no objects")
        table = list(symbols(objects))
        home = {name: objects[path] for path, letter, name in table if letter in "TDBR"}
        demangle = lambda name: subprocess.run([bb.tool("c++filt"), name], capture_output=True, text=True, check=True).stdout.strip()
        each_once(f"{path.stem} in {objects[path]} needs {demangle(name)}, whose body is in {home[name]}"
                  for path, letter, name in table
                  if letter == "U" and name in home and ranks[home[name]] > ranks[objects[path]])

    def nobody_waits_in_a_fork():
        problems = []
        for floor in rooms.FLOORS:
            for path in (options.objects / floor).rglob("*.o"):
                listing = subprocess.run([bb.tool("readelf"), "--syms", "--wide", path], capture_output=True, text=True, check=True).stdout
                problems += [f"{path.stem} in {floor} has a static that is made when a function is first called ({name}): the child of a "
                             "fork() may find its lock taken (constinit, or a compare_exchange)"
                             for name in re.findall(r" (?!TLS)[A-Z]+ +\w+ +\w+ +\w+ (_ZGV\w+)$", listing, re.MULTILINE)]
        for path in sources:
            text = read(path)
            at_load = re.findall(r"^\[\[maybe_unused\]\] const int [\w:]+ =\s+::pthread_atfork\(", text, re.MULTILINE)
            if text.count("::pthread_atfork(") != len(at_load):
                problems.append(f"{path.relative_to(root)} calls pthread_atfork() later than at load: a fork() that is under way may "
                                "miss it, and what it was to unlock stays locked")
        each_once(problems)

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

    def framed_headers():
        problems = []
        for path in sorted(public):
            text, here = read(path), path.relative_to(root)
            if path.suffix != ".hpp" or path.name == "export.hpp":
                continue
            first = re.search(r'^\s*#\s*include\s*(\S+)', text, re.MULTILINE)
            if not first or not first[1].endswith('export.hpp"'):
                problems.append(f"{here} doesn't include selector/export.hpp first")
            if not re.search(r"^HEDDLE_HEADER_BEGIN$.*^HEDDLE_HEADER_END$", text, re.MULTILINE | re.DOTALL):
                problems.append(f"{here} isn't between HEDDLE_HEADER_BEGIN and HEDDLE_HEADER_END")
            if re.search(r"\binline\b[^()\n]*\bthread_local\b", text):
                problems.append(f"{here} has a thread-local that copies of heddle would share")
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

    def not_cleared():
        problems = []
        programs = [path for folder in ("examples", "bench") for path in (root / folder).rglob("*.?pp")]
        for path in sources + programs:
            text = read(path)
            growing = set(GROWING.findall(text))
            for number, line in enumerate(text.splitlines(), 1):
                resized = re.findall(r"\b(\w+)(?:\.|->)resize\(", line)
                if (CLEARED.search(line) or growing & set(resized)) and "// cleared on purpose: " not in line:
                    problems.append(f"{path.relative_to(root)}:{number} clears memory: what is only read into needn't be "
                                    "(ByteBlock, make_unique_for_overwrite)")
        each_once(problems)

    def pictures():
        each_once(f"{path.relative_to(root)} is not as the includes are: ./dev rooms draws it anew"
                  for path, text in rooms.pictures(root).items() if not path.exists() or read(path) != text)

    def walks():
        problems, hops = [], 0
        for floor in rooms.FLOORS:
            for name, function in HOP.findall(read(root / floor / "README.md")):
                hops += 1
                path = next((path for path in (root / floor / name, root / name) if path.is_file()), None)
                if path is None:
                    problems.append(f"{floor}/README.md names {name}, which isn't there")
                elif not re.search(rf"\b{re.escape(function)}\b", read(path)):
                    problems.append(f"{floor}/README.md: there is no {function}() in {name}")
        bb.check(hops > 40, f"only {hops} hops were found")
        each_once(problems)

    def users_names():
        shown = [path for path in (root / "examples").iterdir() if path.suffix in (".cpp", ".hpp")]
        shown += [root / "README.md", root / "io/GUIDE.md", *(root / "tests/install/consumer").glob("*.cpp")]
        each_once(f"{path.relative_to(root)} names something of heddle::detail, which is not for users" for path in shown
                  if "detail::" in read(path))

    bb.run([("every source and header is listed", complete_lists),
            ("nothing lies loose, and each room has its README", nothing_loose),
            ("no include runs against the order of the rooms", one_order),
            ("nor does a symbol that an object needs", symbols_too),
            ("no lock outlives a fork()", nobody_waits_in_a_fork),
            ("no buffer is cleared, only to be read into", not_cleared),
            ("the pictures of the rooms are as the includes are", pictures),
            ("public headers include neither the system nor what is costly to compile, nor what is private", frugal_headers),
            ("public headers begin with export.hpp, and are framed", framed_headers),
            ("the walks in the floors' READMEs name functions that are where they say", walks),
            ("what is shown to users names nothing of heddle::detail", users_names),
            ("each file begins with its sign and reads as a page or few", signs)], 60, keep_going=True)


main()
