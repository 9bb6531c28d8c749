"""Much data through an echo server comes back identical: by a Python client, by nc and by socat."""
# SPDX-License-Identifier: MIT

import os
import subprocess
import tempfile

import blackbox as bb


def python_client(server, mebibytes=64):
    """64 MiB in odd chunk sizes come back identical."""
    with server.connect(timeout=30) as client:
        bb.round_trip(client, mebibytes << 20, seed=1)


def several_at_once(server, mebibytes=64):
    """Eight clients at once, each with its own bytes."""
    clients = [server.connect(timeout=30) for _ in range(8)]
    joins = [bb.in_background(bb.round_trip, client, (mebibytes << 20) // 32 + 13, seed)
             for seed, client in enumerate(clients)]
    for join in joins:
        join()
    for client in clients:
        client.close()


def through(server, command):
    with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as received:
        for chunk in bb.odd_chunks(4 << 20, seed=2):
            sent.write(chunk)
        sent.seek(0)
        process = bb.spawn(command, stdin=sent, stdout=received, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            bb.end(process)
        bb.check(process.returncode == 0, f"{command[0]} ended with {process.returncode}: {errors!r}")
        sent.seek(0)
        received.seek(0)
        bb.check(sent.read() == received.read(), f"{command[0]} got other bytes back than it sent "
                 f"({os.fstat(received.fileno()).st_size} of {os.fstat(sent.fileno()).st_size})")


def netcat(server, _=None):
    """nc gets a file back."""
    through(server, ["nc", "-N", server.host, str(server.port)])


def socat(server, _=None):
    """socat gets a file back."""
    through(server, ["socat", "-t", "20", "-", f"TCP:{server.host}:{server.port}"])


bb.main(python_client, several_at_once, netcat, socat)
