"""tls_echo against openssl s_client, curl and Python's ssl, with a certificate made by `openssl req`."""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import os
import select
import socket
import ssl
import subprocess
import tempfile
import time

import blackbox as bb


class TlsServer(bb.Server):
    """tls_echo with a certificate."""

    folder = None

    def __init__(self, path, selector="default", **options):
        super().__init__(path, selector, arguments=["--cert", f"{self.folder}/cert.pem", "--key", f"{self.folder}/key.pem"],
                         **options)

    def secure(self, **options):
        context = ssl.create_default_context(cafile=f"{self.folder}/cert.pem")
        for name, value in options.items():
            setattr(context, name, value)
        return context.wrap_socket(self.connect(), server_hostname="localhost"), context


def s_client(server, *options, send=b"", seconds=20):
    """Runs `openssl s_client` with `send` as its input; what it says."""
    process = bb.spawn([bb.tool("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
                        f"{server.folder}/cert.pem", "-verify_return_error", *options],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return process.communicate(send, timeout=seconds)[0].decode(errors="replace")
    finally:
        bb.end(process)


def verified(server):
    """openssl s_client verifies the certificate and the name, in TLS 1.3 and 1.2."""
    for version in ("-tls1_3", "-tls1_2"):
        said = s_client(server, version, "-verify_hostname", "localhost", "-servername", "localhost")
        bb.check("Verify return code: 0 (ok)" in said, said)
    said = s_client(server, "-verify_hostname", "example.org")
    bb.check("hostname mismatch" in said, said)
    said = s_client(server, "-tls1_1")
    bb.check("Verify return code: 0 (ok)" not in said or "Cipher is (NONE)" in said, said)


def echoes(server):
    """openssl s_client gets back what it sends."""
    message = b"".join(b"line %d\n" % n for n in range(20_000))
    process = bb.spawn([bb.tool("openssl"), "s_client", "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{server.port}",
                        "-CAfile", f"{server.folder}/cert.pem", "-verify_return_error"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        sender = bb.in_background(lambda: (process.stdin.write(message), process.stdin.flush()))
        got = bytearray()
        while len(got) < len(message):
            more = os.read(process.stdout.fileno(), 1 << 16)
            bb.check(more, f"s_client ended after {len(got)} of {len(message)} bytes")
            got += more
        sender()
        bb.check(bytes(got) == message, "what came back is not what was sent")
    finally:
        bb.end(process)


def new_keys(server):
    """New keys in the middle of a conversation (KeyUpdate) go unnoticed."""
    process = bb.spawn([bb.tool("openssl"), "s_client", "-tls1_3", "-connect", f"127.0.0.1:{server.port}",
                        "-CAfile", f"{server.folder}/cert.pem"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = bytearray()
        for line in (b"before\n", b"K\n", b"between\n", b"k\n", b"after\n"):
            process.stdin.write(line)
            process.stdin.flush()
            awaited = b"KEYUPDATE" if len(line) == 2 else b"\n" + line
            start = len(said)
            while said.find(awaited, max(0, start - 1)) < 0:
                more = os.read(process.stdout.fileno(), 4096)
                bb.check(more, f"s_client ended after {line!r}: {said[-2000:].decode(errors='replace')}")
                said += more
    finally:
        bb.end(process)


def resumes(server):
    """A session is resumed, from openssl s_client and from Python."""
    said = s_client(server, "-reconnect", "-tls1_2")
    bb.check(said.count("Reused, TLSv1.2") >= 4, said)
    first, context = server.secure()
    bb.ask(first, b"a ticket comes with this")
    session = first.session
    first.unwrap().close()
    second = context.wrap_socket(server.connect(), server_hostname="localhost", session=session)
    bb.check(second.session_reused, "the session was not resumed")
    bb.ask(second, b"again")
    second.unwrap().close()


def much(server):
    """Megabytes come back, in odd chunks, and the end is a goodbye."""
    client, _ = server.secure()
    sent, received = b"".join(bb.odd_chunks(8 << 20, seed=3)), bytearray()
    chunks = bb.odd_chunks(8 << 20, seed=3)
    left = next(chunks)
    # From one thread: an SSL object of Python's is not to be used by two.
    client.setblocking(False)
    while len(received) < len(sent):
        wants = []
        if left:
            try:
                left = left[client.send(left):] or next(chunks, b"")
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                wants.append(client)
        try:
            data = client.recv(1 << 16)
            bb.check(data, f"the server ended after {len(received)} of {len(sent)} bytes")
            received += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if wants or not left:
                select.select([client], wants, [], 10)
    bb.check(sent == received, "what came back is not what was sent")
    client.settimeout(10)
    client.unwrap().close()


def curl(server):
    """curl --cacert trusts it, and gets its own request back as an answer of HTTP/0.9."""
    url = f"https://localhost:{server.port}/hello"
    command = [bb.tool("curl"), "--silent", "--show-error", "--http0.9", "--max-time", "3", "--noproxy", "*",
               "--resolve", f"localhost:{server.port}:127.0.0.1"]
    # The echo never ends by itself, so curl stops at its time limit, with what it got.
    trusting = subprocess.run([*command, "--cacert", f"{server.folder}/cert.pem", url], capture_output=True, timeout=20)
    bb.check(b"GET /hello HTTP/1.1" in trusting.stdout, f"{trusting}")
    doubting = subprocess.run([*command, url], capture_output=True, timeout=20)
    bb.check(doubting.returncode == 60, f"curl trusted a self-signed certificate: {doubting}")


def manners(server):
    """Garbage, cut connections and silent clients harm nobody."""
    bystander, _ = server.secure()
    bb.ask(bystander, b"before")
    before = server.settled_fds()
    for seed in range(40):
        with server.connect() as client:
            client.sendall(b"".join(bb.odd_chunks(1 + seed * 100, seed)))
            if seed % 2:
                bb.reset(client)
    for _ in range(10):
        client, _ = server.secure()
        client.sendall(b"x" * 100_000)
        bb.reset(client)
    with server.connect() as client:  # plain HTTP
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        bb.receive_rest(client)
    silent = [server.connect() for _ in range(10)]
    bb.ask(bystander, b"during")
    for client in silent:
        client.close()
    bb.check(bb.eventually(lambda: server.fds() <= before), f"{server.fds()} descriptors open, {before} before")
    bb.ask(bystander, b"after")
    bystander.unwrap().close()


def slow(server):
    """A client that sends its handshake byte by byte is served, and others meanwhile."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=f"{server.folder}/cert.pem")
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = False
        while not done:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                done = True
            for byte in outgoing.read():
                client.send(bytes([byte]))
            if not done:
                incoming.write(client.recv(1 << 16))
        other, _ = server.secure()
        bb.ask(other, b"meanwhile")
        other.unwrap().close()
        tls.write(b"slow")
        for byte in outgoing.read():
            client.send(bytes([byte]))
            time.sleep(0.001)
        answer = b""
        while answer != b"slow":
            try:
                answer += tls.read(100)
            except ssl.SSLWantReadError:
                incoming.write(client.recv(1 << 16))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--selector", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bb.make_certificate(folder)
        TlsServer.folder = folder

        def on_fresh_server(function):
            def body():
                with TlsServer(options.server, options.selector) as server:
                    function(server)
                    server.alive()
                    server.interrupt()
            return body

        def bad_use():
            for arguments, awaited in ((["--cert", "/no/such"], b"--key is needed"), ([], b"--cert is needed"),
                                       (["--cert", "/no/such", "--key", "/no/such"], b"/no/such"), (["--key"], b"usage"),
                                       (["--help"], b" --cert FILE --key FILE [--host")):
                done = subprocess.run([options.server, *arguments], capture_output=True, timeout=20)
                bb.check(awaited in done.stdout + done.stderr, f"{arguments}: {done}")

        checks = [(bb.title(function), on_fresh_server(function))
                  for function in (verified, echoes, new_keys, resumes, much, curl, manners, slow)]
        bb.run([*checks, ("bad use is an error that says what is missing", bad_use)], 55)


main()
