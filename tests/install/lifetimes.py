"""What a task refers to may be gone before it: io/GUIDE.md shows forms that are wrong and forms that are right. All compile;
clang warns of those that are marked, and of no other."""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import re
import shutil
import subprocess

import blackbox as bb

HERE = pathlib.Path(__file__).resolve().parent
HEAD = '#include "lifetimes.hpp"\nTask<void> forms(TaskGroup& group, int& count);\nTask<void> forms(TaskGroup& group, int& count) {\n'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include", required=True)
    options = parser.parse_args()

    blocks = re.findall(r"^```cpp forms\n(.*?)^```$", (options.source / "io/GUIDE.md").read_text(encoding="utf-8"),
                        re.MULTILINE | re.DOTALL)
    text = HEAD + "".join(blocks) + "}\n"

    def compiled_by(compiler):
        done = subprocess.run([compiler, "-std=c++20", "-Wall", "-Wextra", f"-I{options.include}", f"-I{HERE}", "-fsyntax-only",
                               "-x", "c++", "-"], input=text, capture_output=True, text=True, timeout=100)
        bb.check(done.returncode == 0, done.stderr)
        return done.stderr

    def warned():
        clang = shutil.which("clang++-19")
        if not clang:
            raise bb.Skipped("clang 19 is not installed")
        marked = {number for number, line in enumerate(text.splitlines(), 1) if "// dangles" in line}
        warnings = {int(line) for line in re.findall(r"<stdin>:(\d+):\d+: warning: .*\[-Wdangling\]", compiled_by(clang))}
        bb.check(marked and warnings == marked, f"clang warns of the lines {sorted(warnings)}, not {sorted(marked)}, of\n{text}")

    bb.run([("the compiler takes all forms", lambda: compiled_by(options.compiler)),
            ("clang warns of those that dangle, and of no other", warned)], 110, keep_going=True)


main()
