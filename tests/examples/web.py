"""http_server, with curl, nc, wrk, openssl s_client, and sockets that ask for what they shouldn't."""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import functools
import hashlib
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import blackbox as bb

SIZES = {"empty.txt": 0, "one.bin": 1, "small.html": 1000, "kept.bin": 65536, "large.bin": 65537, "larger.bin": 3_000_000}


class Site(bb.Server):
    """http_server with a folder of files."""

    def __init__(self, folder, path, selector, *arguments, tls=False):
        self.folder, self.scheme = folder, "https" if tls else "http"
        if tls:
            arguments = (*arguments, "--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem")
        super().__init__(path, selector, arguments=["--root", f"{folder}/root", *arguments])

    def content(self, name):
        return pathlib.Path(f"{self.folder}/root/{name}").read_bytes()

    def url(self, path):
        return f"{self.scheme}://localhost:{self.port}/{path}"

    def curl(self, *arguments, seconds=20):
        """What curl prints, and its exit status."""
        done = subprocess.run(
            [bb.tool("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", str(seconds), "--cacert",
             f"{self.folder}/cert.pem", "--resolve", f"localhost:{self.port}:127.0.0.1", *arguments],
            capture_output=True, timeout=seconds + 5, check=False)
        return done.stdout + done.stderr, done.returncode

    def secure(self):
        context = ssl.create_default_context(cafile=f"{self.folder}/cert.pem")
        return context.wrap_socket(self.connect(), server_hostname="localhost")

    def serves(self, timeout=10.0):
        """A new client is served, right now."""
        start = time.monotonic()
        got, status = self.curl(self.url("small.html"), seconds=int(timeout))
        bb.check(status == 0 and got == self.content("small.html"), f"curl ended with {status}: {got[:100]!r}")
        bb.check(time.monotonic() - start < 2, f"it took {time.monotonic() - start:.1f} s")


def say(server, request):
    """All that is answered to these bytes, until the server closes."""
    with server.connect() as client:
        client.sendall(request)
        return bb.receive_rest(client)


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d+) [A-Za-z ]+\r\n", answer)
    bb.check(match, f"no answer of HTTP: {answer[:100]!r}")
    return int(match[1])


def get(path, *headers, method="GET", version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def files(server):
    """curl gets files of all sizes, whole."""
    for name, size in SIZES.items():
        got, status = server.curl(server.url(name))
        bb.check(status == 0 and got == server.content(name), f"{name}: curl ended with {status}, {len(got)} of {size} bytes")
    got, status = server.curl("-I", server.url("larger.bin"))
    bb.check(status == 0 and b"Content-Length: 3000000\r\n" in got, f"HEAD: {got!r}")
    got, status = server.curl("--http1.0", server.url("small.html"))
    bb.check(status == 0 and got == server.content("small.html"), f"HTTP/1.0: {status}")
    got, status = server.curl(server.url(""))
    bb.check(got == server.content("index.html"), f"the index: {got!r}")
    got, status = server.curl("-L", server.url("folder%20one"))
    bb.check(got == server.content("folder one/index.html"), f"a folder: {got!r}")
    for name, kind in (("small.html", b"text/html"), ("empty.txt", b"text/plain"), ("one.bin", b"application/octet-stream")):
        got, _ = server.curl("-I", server.url(name))
        bb.check(b"Content-Type: " + kind in got, f"{name}: {got!r}")


def keep_alive(server):
    """curl keeps its connection for the next request, also after an error."""
    urls = [server.url(name) for name in ("small.html", "nothing", "larger.bin", "small.html")]
    got, status = server.curl("-w", "[%{http_code} %{num_connects}]", *urls)
    said = re.findall(rb"\[(\d+) (\d+)\]", got)
    bb.check(said == [(b"200", b"1"), (b"404", b"0"), (b"200", b"0"), (b"200", b"0")], f"{said}, {status}")
    got, status = server.curl("-H", "Connection: close", "-w", "[%{num_connects}]", urls[0], urls[0])
    bb.check(re.findall(rb"\[(\d+)\]", got) == [b"1", b"1"], f"Connection: close was not heeded: {got[-100:]!r}")
    answer = say(server, b"GET /one.bin HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /one.bin HTTP/1.0\r\n\r\n")
    bb.check(answer.count(b"HTTP/1.1 200 OK") == 2 and answer.count(b"Connection: keep-alive") == 1, f"HTTP/1.0: {answer}")


def ranges(server):
    """curl gets parts of files, and goes on with one that it has the beginning of."""
    content = server.content("larger.bin")
    small = server.content("small.html")
    for text, first, end in (("0-0", 0, 1), ("100-199", 100, 200), ("2999999-", 2_999_999, 3_000_000),
                             ("-5", 2_999_995, 3_000_000), ("65536-9999999", 65_536, 3_000_000)):
        got, status = server.curl("-r", text, "-w", "[%{http_code}]", server.url("larger.bin"))
        bb.check(got == content[first:end] + b"[206]", f"{text}: {status}, {len(got)} bytes")
    got, _ = server.curl("-r", "10-19", "-i", server.url("small.html"))
    bb.check(b"Content-Range: bytes 10-19/1000\r\n" in got and got.endswith(b"\r\n\r\n" + small[10:20]), f"{got!r}")
    got, _ = server.curl("-r", "1000-", "-i", server.url("small.html"))
    bb.check(b" 416 " in got and b"Content-Range: bytes */1000\r\n" in got, f"{got!r}")
    for ignored in ("bytes=5-4", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=-", "bytes=" + "9" * 30 + "-"):
        answer = say(server, get("/small.html", f"Range: {ignored}"))
        bb.check(status_of(answer) == 200 and answer.endswith(small), f"{ignored}: {answer[:100]!r}")
    with tempfile.NamedTemporaryFile() as part:
        part.write(content[:1_234_567])
        part.flush()
        got, status = server.curl("-C", "-", "-o", part.name, server.url("larger.bin"))
        bb.check(status == 0 and pathlib.Path(part.name).read_bytes() == content, f"going on: {status}, {got!r}")
    for text in ("0-0", "1000-"):
        answer = say(server, get("/small.html", f"Range: bytes={text}", method="HEAD"))
        bb.check(status_of(answer) == 200 and b"Content-Length: 1000\r\n" in answer and b"Content-Range" not in answer, f"HEAD: {answer!r}")
    etag = re.search(rb'ETag: (".*?")', server.curl("-I", server.url("small.html"))[0])[1].decode()
    for tag, code in ((etag, 206), ('"another"', 200)):
        answer = say(server, get("/small.html", "Range: bytes=0-1", f"If-Range: {tag}"))
        bb.check(status_of(answer) == code, f"If-Range {tag}: {answer[:60]!r}")


def unchanged(server):
    """What curl has already isn't sent again."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            got, status = server.curl("--etag-compare", f"{folder}/etag", "--etag-save", f"{folder}/etag", "-w", "%{http_code}",
                                      "-o", f"{folder}/got", server.url("small.html"))
        bb.check(status == 0 and got == b"304", f"by ETag: {got!r}")
        got, _ = server.curl("-z", f"{folder}/got", "-w", "%{http_code}", "-o", "/dev/null", server.url("small.html"))
        bb.check(got == b"304", f"by date: {got!r}")
        got, _ = server.curl("-z", "Sun, 06 Nov 1994 08:49:37 GMT", "-w", "%{http_code}", "-o", "/dev/null", server.url("small.html"))
        bb.check(got == b"200", f"by an old date: {got!r}")
    for odd in ("yesterday", "Sun, 06 Nov 9", ""):
        answer = say(server, get("/small.html", f"If-Modified-Since: {odd}"))
        bb.check(status_of(answer) == 200, f"{odd!r}: {answer[:60]!r}")


def changes(server):
    """A file that is changed, made or removed is seen so a second later."""
    path = pathlib.Path(f"{server.folder}/root/changing.txt")
    for content in (b"first", b"second version", None, b"third"):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        awaited = (content, 200) if content else (b"404 Not Found\n", 404)

        def seen(awaited=awaited):
            answer = say(server, get("/changing.txt"))
            return (answer.partition(b"\r\n\r\n")[2], status_of(answer)) == awaited
        bb.check(bb.eventually(seen, 3), f"{awaited} is not seen")


def pipelined(server):
    """Requests that come together are answered in order, small and large ones mixed."""
    names = ["one.bin", "larger.bin", "nothing", "small.html", "large.bin", "empty.txt", "kept.bin"] * 5
    requests = b"".join(get(f"/{name}").replace(b"Connection: close\r\n", b"") for name in names)
    with server.connect() as client:
        sender = bb.in_background(lambda: (client.sendall(requests), client.shutdown(socket.SHUT_WR)))
        answer = bb.receive_rest(client)
        sender()
    for name in names:
        head, _, answer = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        body, answer = answer[:length], answer[length:]
        if name == "nothing":
            bb.check(status_of(head) == 404, f"{head!r}")
        else:
            bb.check(status_of(head) == 200 and body == server.content(name), f"{name}: {head!r}, {len(body)} bytes")
    bb.check(not answer, f"{len(answer)} bytes too many")
    said, _ = bb.output(["nc", "-N", server.host, str(server.port)], get("/small.html"))
    bb.check(said.endswith(server.content("small.html")), f"nc got {said[:100]!r}")


def nothing_outside(server):
    """No path leads out of the folder."""
    for path in ("/../secret", "/folder%20one/../../secret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret", "/./../secret",
                 "//../secret", "/folder%20one/%2e%2e/%2e%2e/secret", "/..", "/small.html%00.txt", "/%", "/%4", "/%zz", "*",
                 "http://x/../secret"):
        answer = say(server, get(path))
        bb.check(status_of(answer) in (400, 404) and b"hidden" not in answer, f"{path}: {answer!r}")
    got, _ = server.curl("--path-as-is", "-w", "%{http_code}", server.url("../secret"))
    bb.check(got.endswith(b"400"), f"{got!r}")
    for path, code in (("/small.html?a=b/../..", 200), ("/a..b", 200), ("/%73mall.html", 200), ("http://x/small.html", 200),
                       ("http://x", 200), ("http://x?a/small.html", 200), ("/index", 301), ("/index/", 404), ("/small.html/", 404),
                       ("/small.html/x", 404), ("/" + "x" * 300, 404), ("/pipe", 403), ("//folder%20one", 301)):
        answer = say(server, get(path))
        bb.check(status_of(answer) == code, f"{path[:40]}: {answer[:80]!r}")
        bb.check(code != 301 or b"Location: /" + path.strip("/").encode() + b"/\r\n" in answer, f"{answer!r}")
    for path in ("http://x", "http://x?a/small.html"):
        bb.check(say(server, get(path)).endswith(server.content("index.html")), f"{path} is not the index")
    if os.geteuid() != 0:  # root may read everything
        bb.check(status_of(say(server, get("/forbidden.txt"))) == 403, "a file that may not be read")


def refused(server):
    """What isn't understood, or isn't wanted, is answered as HTTP says, and the connection closed."""
    huge = 50_000_000
    for request, code in (
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), 400),
            (b"\x00" * 100, 400), (b"hello\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET  / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505), (b"GET / HTTP/0.9\r\n\r\n", 505), (b"GET /\r\n\r\n", 505),
            (get("/", method="POST"), 405), (get("/", method="DELETE"), 405), (get("x:80", method="CONNECT"), 405),
            (get("/", f"Content-Length: {huge}") + bytes(2_000_000), 413),
            (get("/", "Transfer-Encoding: chunked") + b"100000\r\n" + bytes(0x100000) + b"\r\n" + b"1000\r\n" + bytes(0x1000), 413),
            (get("/", "X: " + "x" * 20_000), 431), (get("/" + "x" * 20_000), 431),
            (get("/", *(f"X{n}: y" for n in range(3000))), 431), (b"x" * 100_000, 400)):
        start = time.monotonic()
        answer = say(server, request)
        bb.check(status_of(answer) == code, f"{request[:60]!r}: {answer[:80]!r} instead of {code}")
        bb.check(b"Connection: close\r\n" in answer and (code != 405 or b"Allow: GET, HEAD\r\n" in answer), f"{answer!r}")
        bb.check(time.monotonic() - start < 5, f"{request[:60]!r} took {time.monotonic() - start:.1f} s")
    answer = say(server, b"HEAD /one.bin HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
    bb.check(answer.count(b"HTTP/1.1 ") == 2 and answer.endswith(b"Connection: close\r\n\r\n400 Bad Request\n"), f"{answer!r}")
    got, status = server.curl("-d", "x" * 100, "-w", "%{http_code}", server.url("small.html"))
    bb.check(status == 0 and got.endswith(b"405"), f"POST by curl: {status}, {got!r}")
    answer = say(server, get("/one.bin", "Content-Length: 5") + b"hello")  # a body that nobody wants
    bb.check(status_of(answer) == 200, f"{answer!r}")
    answer = say(server, get("/one.bin", "Upgrade: h2c", "Connection: Upgrade"))
    bb.check(status_of(answer) == 200, f"{answer!r}")
    server.serves()


def framing(server):
    """What two readers could take apart in two ways is refused, or is the last of its connection."""
    host, smuggled = b"Host: a\r\n", b"GET /small.html HTTP/1.1\r\nHost: a\r\n\r\n"
    for head in (b"Host : a\r\n", b"Host\t: a\r\n", host + b"Content-Length : 5\r\n", host + b"Content-Length\t: 5\r\n",
                 host + b"X : y\r\n", host + b"X :\r\n", b" " + host, b"Host:\r\nHost: a\r\n", host + b"Host:\r\n", b"Host:\r\nHost:\r\n"):
        answer = say(server, b"GET /one.bin HTTP/1.1\r\n" + head + b"\r\n" + smuggled)
        bb.check(status_of(answer) == 400 and answer.count(b"HTTP/1.1 ") == 1, f"{head}: {answer!r}")
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    for method in (b"GET", b"HEAD"):
        for body in (b"Content-Length: 5\r\n\r\nhello", chunked + b"5\r\nhello\r\n0\r\n\r\n", chunked + b"0\r\n\r\n",
                     chunked + b"5\r\nhelloXX0\r\n\r\n", chunked + b"0\r\nX : y\r\nHost: b\r\n\r\n"):
            answer = say(server, method + b" /one.bin HTTP/1.1\r\n" + host + body + smuggled)
            bb.check(answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close\r\n" in answer, f"{method} {body}: {answer!r}")
    answer = say(server, get("/small.html", "Transfer-Encoding: chunked") + b"0\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\n\r\n")
    bb.check(status_of(answer) == 200 and answer.endswith(server.content("small.html")), f"a trailer counted: {answer[:100]!r}")
    answer = say(server, b"GET /one.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" + get("/one.bin"))
    bb.check(answer.count(b"HTTP/1.1 200 OK") == 2, f"no body: {answer!r}")


def expectations(server):
    """Who sends a body only when told to is told, or is answered at once."""
    for head, first in ((get("/one.bin", "Expect: 100-continue", "Content-Length: 5"), b"HTTP/1.1 100 Continue\r\n\r\n"),
                        (get("/one.bin", "expect: 100-CONTINUE", "Transfer-Encoding: chunked"), b"HTTP/1.1 100 Continue\r\n\r\n"),
                        (get("/one.bin", "Expect: 100-continue", "Content-Length: 50000000"), b"HTTP/1.1 413 "),
                        (get("/one.bin", "Expect: 100-continue", "Content-Length: 5", method="POST"), b"HTTP/1.1 405 "),
                        (get("/one.bin", "Expect: a miracle", "Content-Length: 5"), b"HTTP/1.1 417 "),
                        (get("/one.bin", "Expect: 100-continue"), b"HTTP/1.1 200 OK\r\n")):
        with server.connect() as client:
            client.settimeout(5)
            client.sendall(head)
            answer = client.recv(1000)
            bb.check(answer.startswith(first), f"{head}: {answer!r} instead of {first}")
            if b" 100 " not in first:
                continue
            client.sendall(b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in head else b"hello")
            answer = answer[len(first):]
            while chunk := client.recv(1000):
                answer += chunk
            bb.check(status_of(answer) == 200 and answer.count(b"HTTP/1.1 ") == 1, f"{head}: {answer!r}")
    with server.connect() as old:  # HTTP/1.0 has no such answer
        old.settimeout(5)
        old.sendall(get("/one.bin", "Expect: 100-continue", "Content-Length: 5", version="1.0") + b"hello")
        bb.check(status_of(old.recv(1000)) == 200, "HTTP/1.0 with an expectation")
    got, status = server.curl("-X", "GET", "-H", "Expect: 100-continue", "-d", "x" * 5000, "--expect100-timeout", "15", "-w", "%{http_code}",
                              server.url("small.html"), seconds=10)
    bb.check(status == 0 and got.endswith(b"200"), f"curl: {status}, {got[-100:]!r}")


def slow_heads(server):
    """A head that comes byte by byte is given up after a while, with others served meanwhile; so are silent clients."""
    silent = [server.connect() for _ in range(20)]
    slow = server.connect()
    slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start, head, sent = time.monotonic(), get("/small.html", "X: " + "y" * 1000), 0
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - start < 10:
            slow.send(head[sent:sent + 1])
            sent += 1
            if sent == 5:
                server.serves()
            time.sleep(0.02)
            slow.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                answer = slow.recv(1000)
                bb.check(status_of(answer) == 408, f"{answer!r}")
                break
            slow.setblocking(True)
    took = time.monotonic() - start
    bb.check(0.9 < took < 5, f"given up after {took:.1f} s")
    slow.close()
    for client in silent:
        client.settimeout(10)
        bb.check(client.recv(100) == b"", "a silent client was answered")
        client.close()
    with server.connect() as empty:  # nothing but lines with nothing on them
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 10 and not select.select([empty], [], [], 0.1)[0]:
                empty.send(b"\r\n")
            bb.check(empty.recv(100) == b"", "nothing was answered")
        bb.check(0.9 < time.monotonic() - start < 5, f"empty lines were given up after {time.monotonic() - start:.1f} s")
    with server.connect() as patient:  # one that comes slowly, but in time
        patient.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in get("/small.html"):
            patient.send(bytes([byte]))
            time.sleep(0.002)
        bb.check(bb.receive_rest(patient).endswith(server.content("small.html")), "no answer")
    server.serves()


def slow_reader(server):
    """Who reads slowly gets all of it, for longer than a silent client may stay; who reads nothing is closed."""
    content = server.content("huge.bin")
    deaf, slow = server.connect(receive_buffer=4096), server.connect(receive_buffer=65536)
    deaf.sendall(get("/huge.bin"))
    slow.sendall(get("/huge.bin"))
    start, got = time.monotonic(), bytearray()
    while time.monotonic() - start < 4:
        got += slow.recv(20_000)
        time.sleep(0.02)
    got += bb.receive_rest(slow)
    bb.check(got.endswith(content) and len(got) - len(content) < 500, f"{len(got)} of {len(content)} bytes")
    try:
        deaf_got = len(bb.receive_rest(deaf))
    except ConnectionError:
        deaf_got = 0
    bb.check(deaf_got < len(content), "who read nothing was waited for")
    deaf.close()
    slow.close()


def resets(server):
    """Clients that go in the middle of an answer, or of a head, harm nobody."""
    server.serves()
    before = server.settled_fds()
    for turn in range(60):
        client = server.connect(receive_buffer=4096)
        client.sendall(get("/larger.bin")[:None if turn % 3 else 20 + turn])
        if turn % 3 and turn % 2:
            client.recv(1000)
        if turn % 4 < 2:
            bb.reset(client)
        else:
            client.close()
        if turn % 20 == 0:
            server.serves()
    server.serves()
    # A file that was asked for stays open a while.
    bb.check(bb.eventually(lambda: server.fds() <= before + 1), f"{server.fds()} descriptors open, {before} before")


def terminated(server):
    """SIGTERM: an answer under way is sent to its end, idle connections are closed at once."""
    idle, busy = server.connect(), server.connect(receive_buffer=65536)
    idle.sendall(get("/one.bin").replace(b"Connection: close\r\n", b""))
    idle.recv(1000)
    busy.sendall(get("/larger.bin").replace(b"Connection: close\r\n", b""))
    got = busy.recv(1000)
    server.process.send_signal(signal.SIGTERM)
    bb.check(bb.receive_rest(idle) == b"", "the idle one got something")
    got += bb.receive_rest(busy)
    bb.check(got.endswith(server.content("larger.bin")), f"{len(got)} bytes")
    start = time.monotonic()
    bb.check(server.process.wait(10) == 0, f"ended with {server.process.returncode}")
    bb.check(time.monotonic() - start < 3, "it waited for nobody")


def crowd(server):
    """wrk, for a second: all is answered."""
    load(server, 1, 50, "small.html")


def load(server, seconds, connections, path):
    said, status = bb.output(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://{server.host}:{server.port}/{path}"],
                             seconds=seconds + 20)
    text = said.decode()
    bb.check(status == 0 and "Socket errors" not in text and "Non-2xx" not in text, text)
    count = int(re.search(r"(\d+) requests in", text)[1])
    bb.check(count > 100, text)
    print(f"  /{path}: {re.search(r'Requests/sec: *([0-9.]+)', text)[1]} requests/s", flush=True)


# TLS.

def secure_files(server):
    """curl --cacert gets files of all sizes and parts of them, and keeps its connection; it trusts nobody else."""
    files(server)
    keep_alive_urls = [server.url("small.html"), server.url("larger.bin")]
    got, _ = server.curl("-w", "[%{http_code} %{num_connects}]", *keep_alive_urls)
    bb.check(re.findall(rb"\[(\d+) (\d+)\]", got) == [(b"200", b"1"), (b"200", b"0")], "the connection was not kept")
    got, _ = server.curl("-r", "70000-2000000", server.url("larger.bin"))
    bb.check(got == server.content("larger.bin")[70_000:2_000_001], f"a part: {len(got)} bytes")
    done = subprocess.run([bb.tool("curl"), "--silent", "--noproxy", "*", f"https://127.0.0.1:{server.port}/"], capture_output=True,
                          timeout=20, check=False)
    bb.check(done.returncode == 60, f"curl trusted a self-signed certificate: {done}")


def s_client(server):
    """openssl s_client verifies it, agrees on http/1.1, and is answered."""
    said, _ = bb.output(["openssl", "s_client", "-ign_eof", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
                         f"{server.folder}/cert.pem", "-verify_return_error", "-verify_hostname", "localhost", "-alpn", "http/1.1"],
                        get("/small.html"))
    for part in (b"Verify return code: 0 (ok)", b"ALPN protocol: http/1.1", b"HTTP/1.1 200 OK", server.content("small.html")):
        bb.check(part in said, f"{part[:40]!r} is missing: {said!r}")


def secure_end(server):
    """SIGTERM waits neither for a handshake that doesn't come to its end, nor for who is idle after one."""
    idle, silent, half = server.secure(), server.connect(), server.connect()
    half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a hello
    server.serves()
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for client in (idle, silent, half):
        with contextlib.suppress(ConnectionError):
            bb.check(bb.receive_rest(client) == b"", "who hadn't asked got something")
    bb.check(server.process.wait(10) == 0, f"ended with {server.process.returncode}")
    bb.check(time.monotonic() - start < 1.5, f"it took {time.monotonic() - start:.1f} s")


def secure_manners(server):
    """Garbage, plain HTTP, cut and silent connections on the TLS port harm nobody."""
    bystander = server.secure()
    request = get("/one.bin").replace(b"Connection: close\r\n", b"")

    def asks():
        bystander.sendall(request)
        bb.check(b"200 OK" in bystander.recv(10_000), "a bystander was not answered")

    asks()
    before = server.settled_fds()
    for seed in range(20):
        with server.connect() as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(b"".join(bb.odd_chunks(1 + seed * 100, seed)))
            if seed % 2:
                bb.reset(client)
    with server.connect() as plain:
        plain.sendall(get("/"))
        bb.receive_rest(plain)
    bb.check("TLS handshake" in server.errors(), server.errors())
    silent = [server.connect() for _ in range(10)]
    for _ in range(5):
        client = server.secure()
        client.sendall(get("/larger.bin"))
        bb.reset(client)
    asks()
    for client in silent:  # whose handshake doesn't come
        bb.check(client.recv(100) == b"", "a silent client was answered")
        client.close()
    with server.secure() as slow:
        for byte in get("/small.html"):
            slow.send(bytes([byte]))
        answer = bb.receive_rest(slow)
        bb.check(answer.endswith(server.content("small.html")), f"{answer[:100]!r}")
    bb.check(bb.eventually(lambda: server.fds() <= before + 1), f"{server.fds()} descriptors open, {before} before")
    server.serves()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--selector", default="default")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--long", choices=("wrk", "gigabyte"))
    parser.add_argument("--seconds", type=int, default=55)
    options = parser.parse_args()

    def gigabyte(server):
        """1 GiB by curl, whole, and the others are served meanwhile."""
        size = 1 << 30
        block = os.urandom(1 << 20)
        digest = hashlib.sha256()
        with open(f"{server.folder}/root/gigabyte.bin", "wb") as file:
            for number in range(size >> 20):
                piece = number.to_bytes(8, "little") + block[8:]
                file.write(piece)
                digest.update(piece)
        start = time.monotonic()
        with bb.spawn([bb.tool("curl"), "--silent", "--noproxy", "*", "--cacert", f"{server.folder}/cert.pem", "--resolve",
                       f"localhost:{server.port}:127.0.0.1", server.url("gigabyte.bin")], stdout=subprocess.PIPE) as client:
            got, count, asked = hashlib.sha256(), 0, 0
            while piece := client.stdout.read(1 << 20):
                got.update(piece)
                count += len(piece)
                if count >> 28 > asked:
                    asked += 1
                    server.serves()
        bb.check(client.returncode == 0 and count == size, f"curl ended with {client.returncode} and {count} bytes")
        bb.check(got.digest() == digest.digest(), "they are not those of the file")
        print(f"  1 GiB in {time.monotonic() - start:.2f} s, checksum and all", flush=True)
        speed = subprocess.run([bb.tool("curl"), "--silent", "--noproxy", "*", "--cacert", f"{server.folder}/cert.pem", "--resolve",
                                f"localhost:{server.port}:127.0.0.1", "-o", "/dev/null", "-w", "%{size_download} %{time_total}",
                                server.url("gigabyte.bin")], capture_output=True, text=True, check=True).stdout.split()
        bb.check(int(speed[0]) == size, f"{speed[0]} bytes")
        print(f"  1 GiB into nothing in {speed[1]} s", flush=True)

    def ten_seconds(server):
        """wrk, for ten seconds, and for shorter on larger files: not an error."""
        load(server, 10, 100, "small.html")
        load(server, 3, 100, "kept.bin")
        load(server, 3, 20, "larger.bin")

    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/root")
        os.mkdir(f"{folder}/root/folder one")
        os.makedirs(f"{folder}/root/index/index.html")
        contents = {name: b"".join(bb.odd_chunks(size, seed=size)) for name, size in SIZES.items()}
        contents |= {"index.html": b"<p>the index", "folder one/index.html": b"<p>a folder", "a..b": b"dots", "forbidden.txt": b"no",
                     "../secret": b"hidden"}
        if not options.long:
            contents["huge.bin"] = bytes(12 << 20)
        for name, content in contents.items():
            pathlib.Path(f"{folder}/root/{name}").write_bytes(content)
        os.chmod(f"{folder}/root/forbidden.txt", 0)
        os.mkfifo(f"{folder}/root/pipe")
        bb.make_certificate(folder)

        def site(*arguments, tls=False):
            return functools.partial(Site, folder, options.server, options.selector, *arguments, tls=tls)

        def without_root():
            with bb.Server(options.server, options.selector) as server:
                answer = say(server, get("/"))
                bb.check(status_of(answer) == 200 and b"<!DOCTYPE html>" in answer, f"{answer!r}")
                bb.check(status_of(say(server, get("/etc/passwd"))) == 404, "there is something")
                server.interrupt()

        def bad_use():
            for arguments, awaited in ((["--patience", "x"], b'--patience "x"'), (["--port", "-1"], b'"-1" is not a port'),
                                       (["--host", "1.2.3.4.5"], b"1.2.3.4.5"), (["--root"], b"usage"),
                                       (["--root", "/no/such"], b"/no/such"), (["--root", __file__], b"is not a folder"),
                                       *([(["--tls-cert", "/no/such", "--tls-key", "/no/such"], b"/no/such")] if options.tls else [])):
                done = subprocess.run([options.server, *arguments], capture_output=True, timeout=20, check=False)
                bb.check(awaited in done.stderr and done.returncode != 0, f"{arguments}: {done}")

        if options.long == "wrk":
            checks = [bb.on_fresh(site(), ten_seconds)]
        elif options.long == "gigabyte":
            checks = [bb.on_fresh(site(tls=options.tls), gigabyte)]
        elif options.tls:
            checks = [bb.on_fresh(site("--patience", "2", tls=True), check) for check in (secure_files, s_client, secure_manners)]
            checks.append(bb.on_fresh(site(tls=True), secure_end))
        else:
            checks = [bb.on_fresh(site(), check) for check in (files, keep_alive, ranges, unchanged, changes, pipelined,
                                                               nothing_outside, refused, framing, expectations, resets, terminated, crowd)]
            checks += [bb.on_fresh(site("--patience", "1"), check) for check in (slow_heads, slow_reader)]
            checks.append(("without a root there is one page", without_root))
        if not options.long:
            checks.append(("bad use is an error that names what is wrong", bad_use))
        bb.run(checks, options.seconds)


main()
