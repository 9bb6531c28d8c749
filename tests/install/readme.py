"""The code in README.md is true: each ```cpp block is built against the installed library (what has a main is linked as
well), and each ```cmake block is a project's way to its first program."""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import re
import tempfile

import blackbox as bb
from consumers import install, tell

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--built", type=pathlib.Path)
    parser.add_argument("--compiler", required=True)
    options = parser.parse_args()
    blocks = [match.groups() for match in BLOCK.finditer((options.source / "README.md").read_text(encoding="utf-8"))]
    programs = [text for language, _, text in blocks if language == "cpp" and "int main(" in text]
    pieces = [(how, text) for language, how, text in blocks if language == "cpp" and "int main(" not in text]
    projects = [text for language, _, text in blocks if language == "cmake"]

    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prefix = work / "prefix"

        def set_up():
            install("static", options, work, prefix)

        def flags(*words):
            where = next(prefix.glob("**/heddle.pc")).parent
            return tell("pkg-config", *words, "heddle", env={"PKG_CONFIG_PATH": str(where)}).split()

        def compile_it(text, *words):
            file = work / "block.cpp"
            file.write_text(text)
            tell(options.compiler, "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", file, *words)

        def whole_programs():
            bb.check(programs, "README.md shows no program")
            for text in programs:
                compile_it(text, *flags("--cflags", "--libs"), "-o", work / "program")

        def fragments():  # ```cpp body stands for what is inside a coroutine
            for how, text in pieces:
                if how.strip() == "body":
                    text = f"heddle::Task<void> body() {{\n{text}\n}}\n"
                head = "#include <heddle/heddle.hpp>\nusing namespace std::chrono_literals;\n"
                compile_it(head + text, *flags("--cflags"), "-fsyntax-only")

        def cmake_projects():
            bb.check(projects, "README.md shows no CMake")
            for number, text in enumerate(projects):
                project = work / f"project{number}"
                project.mkdir()
                (project / "server.cpp").write_text(programs[0])
                (project / "CMakeLists.txt").write_text(
                    "cmake_minimum_required(VERSION 3.24)\nproject(readme LANGUAGES CXX)\n" + text)
                tell("cmake", "-S", project, "-B", project / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
                     f"-DCMAKE_CXX_COMPILER={options.compiler}")
                tell("cmake", "--build", project / "build")
                bb.check((project / "build/server").exists(), "no server was built")

        bb.run([("heddle is installed", set_up), ("the programs compile and link", whole_programs),
                ("the other pieces compile", fragments), ("the CMake project builds", cmake_projects)], 290)


main()
