"""A heddle loop inside another one: both sides are served, timers and all, and it ends when the outer loop does.

usage: embedded.py in_poll_loop|in_glib PROGRAM
"""
# SPDX-License-Identifier: MIT

import os
import signal
import socket
import subprocess
import sys

import blackbox as bb


def line_of(process):
    return process.stdout.readline().decode()


def main():
    kind, program = sys.argv[1:]

    def both_loops():
        process = bb.spawn([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            match = bb.Server.LINE.fullmatch(line_of(process))
            bb.check(match, "has not said where it listens")
            with socket.create_connection((match["v4"], int(match["port"])), timeout=10) as client:
                bb.ask(client, b"first")
                if kind == "in_poll_loop":
                    process.stdin.write(b"hello\n")
                    process.stdin.flush()
                    bb.check(line_of(process) == "you said: hello\n", "the loop that was there before has stopped")
                bb.ask(client, os.urandom(1 << 20))
                with socket.create_connection((match["v4"], int(match["port"])), timeout=10) as other:
                    bb.ask(other, b"second")
                if kind == "in_poll_loop":
                    process.stdin.close()
                else:
                    process.send_signal(signal.SIGINT)
                bb.check(client.recv(10) == b"", "a client got bytes out of nowhere")
            process.stdin = None
            _, errors = process.communicate(timeout=20)
            bb.check(process.returncode == 0 and not errors, f"ended with {process.returncode}: {errors!r}")
        finally:
            bb.end(process)

    bb.run([(kind, both_loops)], 60)


main()
