"""The echo server on several threads: every loop serves as many of its clients as the others, pinned or not."""
# SPDX-License-Identifier: MIT

import os
import pathlib
import re
import subprocess

import blackbox as bb

CLIENTS = 400


def watched_by_each(pid):
    """How many descriptors each loop's epoll watches, without its wake-up and its listener."""
    counts = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{number}") == "anon_inode:[eventpoll]":
            info = pathlib.Path(f"/proc/{pid}/fdinfo/{number}").read_text(encoding="ascii")
            counts.append(len(re.findall(r"^tfd:", info, re.MULTILINE)) - 2)
    return counts


def spread(server, threads):
    clients = [server.connect() for _ in range(CLIENTS)]
    for client in clients:
        bb.ask(client, b"here")
    if server.selector == "epoll":
        counts = watched_by_each(server.process.pid)
        bb.check(len(counts) == threads and sum(counts) == CLIENTS, f"{threads} threads watch {counts}")
        bb.check(max(counts) * threads <= 1.1 * CLIENTS, f"not even: {counts}")
    for client in clients:
        client.close()
    server.interrupt()


def cores_of_threads(pid):
    """The cores that each thread may use."""
    texts = [pathlib.Path(f"/proc/{pid}/task/{thread}/status").read_text(encoding="ascii")
             for thread in os.listdir(f"/proc/{pid}/task")]
    return [re.search(r"Cpus_allowed_list:\s+(\S+)", text)[1] for text in texts]


def main():
    options = bb.parse()
    checks = []
    for threads in (1, 2, 4):
        def body(threads=threads):
            with bb.Server(options.server, options.selector, arguments=["--threads", str(threads)]) as server:
                spread(server, threads)
        checks.append((f"{threads} threads serve {CLIENTS} clients evenly", body))

    def pinned():
        with bb.Server(options.server, options.selector, arguments=["--threads", "3", "--pin"]) as server:
            server.serves()
            cores = cores_of_threads(server.process.pid)
            others = 1 if bb.with_instrument(options.server) == "tsan" else 0  # ThreadSanitizer has a thread of its own
            bb.check(len(cores) == 3 + others and sum(core.isdigit() for core in cores) >= 3, f"not pinned: {cores}")
            spread(server, 3)

    def refused():
        done = subprocess.run([options.server, "--port", "0", "--threads", "many"], capture_output=True, text=True, timeout=20,
                              check=False)
        bb.check(done.returncode == 1 and "--threads \"many\"" in done.stderr, f"{done}")

    checks.append(("pinned threads have a core each", pinned))
    checks.append(("a number of threads that is none is refused", refused))
    bb.run(checks, options.seconds)


main()
