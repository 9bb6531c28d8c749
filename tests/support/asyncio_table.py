"""The table of asyncio's names is true: whatever it calls heddle's stands in a public header, and it leaves out nothing that this
Python's asyncio has."""
# SPDX-License-Identifier: MIT

import argparse
import asyncio
import pathlib
import re

import blackbox as bb

CODE = re.compile(r"`([^`]+)`")
NAME = re.compile(r"[A-Za-z_]\w*")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# Of C++, and the names that the table gives to what is the reader's.
NOT_OURS = {"auto", "co_await", "co_return", "a", "b", "body", "d", "f", "handles", "host", "loop", "main", "options", "port",
            "s", "t", "tasks", "when", "x"}
CLASSES = {"AbstractEventLoop": "loop", "Task": "Task", "Future": "Future", "StreamReader": "StreamReader",
           "StreamWriter": "StreamWriter", "Server": "Server", "Lock": "Lock", "Event": "Event", "Condition": "Condition",
           "Semaphore": "Semaphore", "Barrier": "Barrier", "Queue": "Queue", "TaskGroup": "TaskGroup", "Runner": "Runner",
           "Timeout": "Timeout", "Handle": "Handle", "TimerHandle": "TimerHandle", "BaseTransport": "BaseTransport",
           "ReadTransport": "ReadTransport", "WriteTransport": "WriteTransport", "DatagramTransport": "DatagramTransport",
           "SubprocessTransport": "SubprocessTransport"}


def rows(text):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 2 and set(cells[0]) != set("- ") and cells[0] != "asyncio":
            yield cells


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--headers", nargs="+", required=True)
    options = parser.parse_args()
    table = list(rows((options.source / "runtime/ASYNCIO.md").read_text(encoding="utf-8")))
    words, members = set(), set()
    for header in options.headers:
        text = COMMENT.sub("", (options.source / header).read_text(encoding="utf-8"))
        words.update(NAME.findall(text))

    def ours_exist():
        bb.check(len(table) > 100, f"the table has {len(table)} rows")
        problems = []
        for asyncios, heddles in table:
            for code in CODE.findall(heddles):
                code = re.sub(r'"[^"]*"', "", re.sub(r"\bstd::\w+|\b\d+s\b", "", code))
                problems += [f"{name}, for {asyncios}" for name in NAME.findall(code) if name not in words | NOT_OURS]
        bb.check(not problems, "no public header has\n  " + "\n  ".join(problems))

    def theirs_are_complete():
        told = {name for asyncios, _ in table for code in CODE.findall(asyncios) for name in NAME.findall(code)}
        missing = [name for name in asyncio.__all__ if name not in told]
        qualified = {re.sub(r"\(.*", "", code) for asyncios, _ in table for code in CODE.findall(asyncios)}
        for name, told_as in CLASSES.items():
            # What a class has itself, not what it has from one that is told of already.
            own = [member for member in vars(getattr(asyncio, name, object)) if not member.startswith("_")]
            missing += [f"{told_as}.{member}" for member in own if f"{told_as}.{member}" not in qualified]
        bb.check(not missing, "the table says nothing of\n  " + "\n  ".join(missing))

    bb.run([("every name of heddle's in it is in a public header", ours_exist),
            ("every public name of asyncio is in it", theirs_are_complete)], 20, keep_going=True)


main()
