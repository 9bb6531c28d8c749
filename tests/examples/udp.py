"""udp_echo, against socat and plain sockets: every datagram comes back whole, and to who sent it."""
# SPDX-License-Identifier: MIT

import os
import socket
import subprocess
import time

import blackbox as bb


def dial(server, receive_buffer=1 << 21):
    client = socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect((server.host, server.port))
    return client


UNWANTED = b"no answer, please"


def serves(server):
    with dial(server) as client:
        message = os.urandom(16)
        client.send(message)
        answer = client.recv(100)
        while answer == UNWANTED:  # for one that had our port before, and has gone
            answer = client.recv(100)
        bb.check(answer == message, "the answer is another")


def socat(server):
    """socat gets back what it sends."""
    for message in (b"x", b"hello\n", os.urandom(8000)):
        process = bb.spawn(["socat", "-t0.5", "-b65536", "-", f"UDP:{server.host}:{server.port}"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, errors = process.communicate(message, timeout=20)
        finally:
            bb.end(process)
        bb.check(process.returncode == 0, f"socat ended with {process.returncode}: {errors!r}")
        bb.check(out == message, f"socat sent {len(message)} bytes and got {out[:80]!r}")


def sizes(server):
    """Datagrams of all sizes come back, from none to the largest."""
    with dial(server) as client:
        for size in (0, 1, 2, 1471, 1472, 1473, 9000, 65506, 65507):
            message = os.urandom(size)
            client.send(message)
            bb.check(client.recv(70000) == message, f"{size} bytes came back otherwise")


def bursts(server):
    """Bursts from many clients come back in order, each to its sender."""
    clients = [dial(server) for _ in range(20)]
    for turn in range(20):
        for number in range(5):
            for who, client in enumerate(clients):
                client.send(f"{turn} {number} {who}".encode())
        for who, client in enumerate(clients):
            for number in range(5):
                answer = client.recv(100).decode()
                bb.check(answer == f"{turn} {number} {who}", f"client {who} got {answer!r}")
    for client in clients:
        client.close()


def gone(server):
    """Clients that don't wait for their answer harm nobody."""
    for _ in range(200):
        with dial(server) as client:
            client.send(UNWANTED)
    serves(server)
    bb.check(server.settled_fds() == server.fds(), "descriptors come and go")


def idle(server):
    """It takes no time when nothing comes."""
    serves(server)
    before = server.cpu()
    time.sleep(1)
    bb.check(server.cpu() - before <= 0.05, f"{server.cpu() - before} s of CPU in an idle second")


def main():
    options = bb.parse()
    checks = []
    for function in (socat, sizes, bursts, gone, idle):
        def body(function=function):
            with bb.Server(options.server, options.selector) as server:
                function(server)
                server.alive()
                server.interrupt()
        checks.append((bb.title(function), body))

    def other_family():
        with bb.Server(options.server, options.selector, host="::1") as server:
            serves(server)
            server.interrupt()

    checks.append(("it listens on IPv6 as well", other_family))

    def port_in_use():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((bb.HOST, 0))
            port = other.getsockname()[1]
            process = subprocess.run([options.server, "--host", bb.HOST, "--port", str(port)], stdin=subprocess.DEVNULL,
                                     capture_output=True, timeout=20)
        bb.check(process.returncode == 1, f"ended with {process.returncode}")
        bb.check(f"{bb.HOST}:{port}".encode() in process.stderr, f"the message does not name the address: {process.stderr}")

    checks.append(("a port in use is named", port_in_use))
    bb.run(checks, options.seconds)


main()
