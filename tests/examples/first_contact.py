"""What a newcomer does first: `./dev echo`, then nc. The server answers, says how to talk to it, and Ctrl-C ends it."""
# SPDX-License-Identifier: MIT

import os
import re
import signal
import subprocess
import sys

import blackbox as bb


def main():
    dev = os.path.join(sys.argv[1], "dev")

    def echo(port, *arguments):
        process = bb.spawn([dev, "echo", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        try:
            line, hint = "", None
            while not (match := re.match(r"listening on 127\.0\.0\.1:(\d+) \(selector \w+\)", line)):
                line = process.stdout.readline()
                bb.check(line, "./dev echo ended before it listened")
                if said := re.search(r"nc localhost (\d+)", line):
                    hint = int(said[1])
            bb.check(hint == (port or None), f"{arguments}: the hint was {hint}")
            nc = bb.spawn(["nc", "-N", "localhost", match[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                answer = nc.communicate(b"hello heddle\n", timeout=20)[0]
            finally:
                bb.end(nc)
            bb.check(answer == b"hello heddle\n", f"nc got {answer!r}")
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does
            process.communicate(timeout=20)
            bb.check(process.returncode == 0, f"ended with {process.returncode}")
        finally:
            bb.end(process)

    def echoes():
        with bb.closed_port() as free:
            pass
        for port in (0, free):
            echo(port, "--port", str(port))
            echo(port, f"--port={port}")

    def bad_command():
        done = subprocess.run([dev, "eco"], capture_output=True, text=True, timeout=20)
        bb.check(done.returncode == 2 and "eco" in done.stderr and "./dev echo" in done.stderr, f"{done}")

    def tells():
        done = subprocess.run([dev], capture_output=True, text=True, timeout=20)
        bb.check(done.returncode == 0 and "./dev test" in done.stdout, f"{done}")

    bb.run([("./dev tells what it can do", tells), ("./dev refuses what it does not know", bad_command),
            ("./dev echo, and nc talks to it where it says", echoes)], 290)


main()
