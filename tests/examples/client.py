"""echo_client, against a Python echo server and nc: everything sent and everything received arrives."""
# SPDX-License-Identifier: MIT

import re
import socket
import subprocess
import tempfile

import blackbox as bb


def run_client(client, port, data, host=bb.HOST):
    """Returns its exit code, output and errors."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        process = bb.spawn([client, host, str(port)], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, errors = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            raise bb.Failed("the client is still running after 30 s") from None
        finally:
            bb.end(process)
    return process.returncode, out, errors.decode(errors="replace")


def serve_once(handler):
    """A server for one client, in the background; returns its port and a function that waits for its end."""
    listener = socket.create_server((bb.HOST, 0))
    listener.settimeout(20)

    def body():
        with listener:
            client, _ = listener.accept()
            client.settimeout(20)
            with client:
                handler(client)

    return listener.getsockname()[1], bb.in_background(body)


def echo(client):
    while data := client.recv(1 << 16):
        client.sendall(data)


def echo_all_at_the_end(client):
    client.sendall(bb.receive_rest(client))


def main():
    client = bb.parse().server

    def echoed(handler, size):
        data = b"".join(bb.odd_chunks(size, seed=size))
        port, join = serve_once(handler)
        code, out, errors = run_client(client, port, data)
        join()
        bb.check(code == 0, f"ended with {code}: {errors}")
        bb.check(out == data, f"sent {len(data)} bytes, printed {len(out)}, not the same")

    def from_python():
        for size in (0, 1, 100, 70_001, 16 << 20):  # the last fills all buffers: it must read while it sends
            echoed(echo, size)
        echoed(echo_all_at_the_end, 1 << 20)  # only works if it half-closes

    def from_netcat():
        reply = b"".join(bb.odd_chunks(300_000, seed=3))
        with tempfile.TemporaryFile() as file:
            file.write(reply)
            file.seek(0)
            process = bb.spawn(["nc", "-l", "-v", "-N", bb.HOST, "0"], stdin=file, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
            try:
                line = process.stderr.readline().decode()
                match = re.search(r"Listening on \S+ (\d+)", line)
                bb.check(match, f"nc says {line!r}")
                # A listening nc leaves when its peer half-closes, so the client's input stays open until all is there.
                us = bb.spawn([client, bb.HOST, match[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                try:
                    us.stdin.write(b"to nc")
                    us.stdin.flush()
                    out = us.stdout.read(len(reply))
                    out += us.communicate(timeout=20)[0]
                finally:
                    bb.end(us)
                received, _ = process.communicate(timeout=20)
            finally:
                bb.end(process)
        bb.check((us.returncode, out) == (0, reply), f"ended with {us.returncode} and {len(out)} of {len(reply)} bytes")
        bb.check(received == b"to nc", f"nc got {received[:80]!r}")

    def refused():
        with socket.create_server((bb.HOST, 0)) as listener:
            port = listener.getsockname()[1]
        code, out, errors = run_client(client, port, b"hello")
        bb.check(code == 1 and not out, f"ended with {code} and {out!r}")
        bb.check(f"{bb.HOST}:{port}" in errors, f"the message does not name the address: {errors!r}")

    def peer_resets():
        port, join = serve_once(lambda peer: (peer.recv(10), bb.reset(peer)))
        code, _, errors = run_client(client, port, b"x" * 100_000)
        join()
        bb.check(code == 1 and errors, f"ended with {code} and says {errors!r}")

    def bad_use():
        for arguments in ([], [bb.HOST], [bb.HOST, "seven"]):
            process = subprocess.run([client, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
            bb.check(process.returncode == 2 and process.stderr, f"{arguments}: {process}")

    bb.run([("a Python server echoes, from nothing to 16 MiB", from_python),
            ("nc sends and receives", from_netcat),
            ("a refused connection is named", refused),
            ("a reset by the peer is an error", peer_resets),
            ("bad use is refused", bad_use)], 50)


main()
