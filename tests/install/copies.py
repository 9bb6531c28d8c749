"""heddle in other people's processes: several copies of the static library in one program, and plugins that are loaded
while it runs, by Python. Everything happens in a temporary folder."""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import tempfile

import blackbox as bb
import plugins
from commands import tell
from consumers import install

HERE = pathlib.Path(__file__).resolve().parent / "copies"

def check_symbols(file):
    """No symbol of heddle is left to the dynamic linker, which would take another copy's; nor one of the standard library for
    heddle's types, but for the vtables of std::thread, which call what they are given."""
    lines = tell(bb.tool("readelf"), "--dyn-syms", "-W", file).splitlines()
    own = [line.split() for line in lines if "6heddle" in line and " UND " not in line]
    bb.check(len(own) > 100, f"{file.name} exports hardly anything of heddle: is this a copy?")
    wanted = set(tell(bb.tool("readelf"), "-rW", file).split())
    loose = [words[-1] for words in own if "DEFAULT" in words and "St6thread11_State_impl" not in words[-1]
             and (words[-1] in wanted or words[-1].startswith("_ZN6heddle"))]
    bb.check(not loose, f"{file.name} shares with other copies: {loose[:5]}")


def compile_copies(compiler, work, flags):
    """The objects of two copies and of the program that uses them."""
    objects = []
    for name, words in (("first", ("copy", "-DCOPY=first_copy")), ("second", ("copy", "-DCOPY=second_copy")),
                        ("program", ("program",))):
        objects.append(work / f"{name}.o")
        tell(compiler, "-std=c++20", "-O0", "-fPIC", "-Wall", "-Wextra", "-Werror", *words[1:], *flags, "-c",
             HERE / f"{words[0]}.cpp", "-o", objects[-1])
    return objects


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--built", type=pathlib.Path)
    parser.add_argument("--compiler", required=True)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prefix = work / "prefix"
        made = {}

        def flags(word):
            where = next(prefix.glob("**/heddle.pc")).parent
            return tell("pkg-config", word, "heddle", env={"PKG_CONFIG_PATH": str(where)}).split()

        def library(kind, name):
            file = work / kind / f"lib{name}.so"
            file.parent.mkdir(exist_ok=True)
            hidden = ["-Wl,--exclude-libs,ALL"] if kind == "hidden" else []
            tell(options.compiler, "-shared", made[name], *hidden, *flags("--libs"), "-o", file)
            return file

        def set_up():
            install("static", options, work, prefix)
            made.update(zip(("first", "second", "program"), compile_copies(options.compiler, work, flags("--cflags"))))

        def both(*what):
            """With the archive's symbols hidden, as is usual, and without."""
            for kind in ("hidden", "plain"):
                program = work / f"program_{len(what)}_{kind}"
                libraries = [library(kind, name) for name in what]
                own = [made["program"]] if len(what) == 2 else [made["program"], made["second"], *flags("--libs")]
                tell(options.compiler, made["program"], *own[1:], *libraries, "-pthread", "-o", program)
                out = tell(program)
                bb.check(out == "each by itself\n", f"{program.name} printed {out!r}")

        def symbols():
            for kind in ("hidden", "plain"):
                check_symbols(library(kind, "first"))

        def loaded():
            libraries = [library("hidden", name) for name in ("first", "second")]
            for file in libraries:
                plugins.check_static_tls(file)
            plugins.load_in_python(*libraries)

        bb.run([("heddle is installed, and the copies compile", set_up),
                ("no symbol is shared", symbols),
                ("two shared libraries with a copy each", lambda: both("first", "second")),
                ("a program and a shared library with a copy each", lambda: both("first")),
                ("plugins are loaded by Python, and use little static TLS", loaded)], 290)


if __name__ == "__main__":
    main()
