"""Where is my task stuck? SIGQUIT says, and so does gdb, of a server that runs.

usage: dump.py sigquit|gdb --server PROGRAM --selector NAME
"""
# SPDX-License-Identifier: MIT

import re
import shutil
import signal
import subprocess
import sys

import blackbox as bb


def check_dump(text, server, client):
    here, there = f"127.0.0.1:{server.port}", f"127.0.0.1:{client.getsockname()[1]}"
    on = f" on {server.selector}\n"
    bb.check("heddle: 2 tasks" in text and on in text, f"no list of 2 tasks{on!r}: {text!r}")
    bb.check(re.search(r'task 1 "main": waits for fd \d+ READ \(TCP listener ' + here + r"\)", text),
             f"the listener is missing: {text!r}")
    bb.check(re.search(r"task 2: waits for fd \d+ READ \(TCP " + here + " <- " + there + r"\), registered for \S+, \d",
                       text), f"the client {there} is missing: {text!r}")
    bb.check(len(re.findall(r"at \S+echo_server\.cpp:\d+ in ", text)) >= 2, f"lines are missing: {text!r}")


def by_sigquit(server):
    """Ctrl-backslash prints the tasks, and the server goes on."""
    with server.connect() as client:
        bb.ask(client, b"here")
        for _ in range(2):
            before = len(server.errors())
            server.process.send_signal(signal.SIGQUIT)
            bb.check(bb.eventually(lambda: len(server.errors()) > before), "nothing was printed")
            bb.eventually(lambda: "echo_server.cpp" in server.errors()[before:])
            check_dump(server.errors(), server, client)
        bb.ask(client, b"still there")


def from_gdb(server):
    """A debugger that is attached calls heddle_dump_tasks()."""
    if not shutil.which("gdb"):
        raise bb.Skipped("no gdb here")
    with server.connect() as client:
        bb.ask(client, b"here")
        answer = subprocess.run(["gdb", "-p", str(server.process.pid), "-batch", "-nx", "-ex",
                                 "call (void)heddle_dump_tasks()"], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=90, check=False)
        if "ptrace: Operation not permitted" in answer.stderr:
            raise bb.Skipped("gdb may not attach to a process here")
        bb.check(bb.eventually(lambda: "echo_server.cpp" in server.errors()), f"nothing was printed: {answer!r}")
        check_dump(server.errors(), server, client)
        bb.ask(client, b"still there")


def main():
    kind = sys.argv.pop(1)
    options = bb.parse()
    body = {"sigquit": by_sigquit, "gdb": from_gdb}[kind]

    def check():
        with bb.Server(options.server, options.selector) as server:
            body(server)

    bb.run([(body.__doc__, check)], 110)


main()
