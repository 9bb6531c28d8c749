"""kv_server, with redis-cli, redis-benchmark, and sockets that don't keep to the protocol."""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import csv
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import blackbox as bb

TESTS = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,lrange_100,lrange_300,lrange_500,lrange_600"


def cli(server, *words, send=b""):
    """What redis-cli prints, without colours and numbers."""
    out, status = bb.output(["redis-cli", "--no-raw" if not send else "--raw", "-p", str(server.port), *words], send)
    bb.check(status == 0, f"redis-cli {words} ended with {status}: {out!r}")
    return out.decode().strip()


def benchmark(server, requests, *options, tests=TESTS):
    out, status = bb.output(["redis-benchmark", "-p", str(server.port), "-n", str(requests), "--csv", "-t", tests, *options], seconds=250)
    bb.check(status == 0, f"redis-benchmark ended with {status}: {out[-500:]!r}")
    text = out.decode()
    rows = list(csv.DictReader(line for line in text.splitlines() if line.startswith('"')))
    # Some are measured twice, and pushes come before ranges.
    bb.check("WARNING" not in text and "rror" not in text and len(rows) >= len(tests.split(",")), text[-1000:])
    return {row["test"]: float(row["rps"]) for row in rows}


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def ask(server, request, end=True):
    """All that is answered to these bytes, until the server closes."""
    with server.connect() as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
            if end:
                client.shutdown(socket.SHUT_WR)
        return bb.receive_rest(client)


def commands(server):
    """redis-cli gets what Redis would answer."""
    for words, awaited in (
            ("ping", "PONG"), ("ping hello", '"hello"'), ("echo hello", '"hello"'), ("get a", "(nil)"), ("set a 1", "OK"),
            ("get a", '"1"'), ("incr a", "(integer) 2"), ("decr a", "(integer) 1"), ("decr b", "(integer) -1"),
            ("set c text", "OK"), ("incr c", "(error) ERR value is not an integer or out of range"),
            ("set d 9223372036854775807", "OK"), ("incr d", "(error) ERR increment or decrement would overflow"),
            ("set c x NX", "(nil)"), ("set e x XX", "(nil)"), ("set e x nx", "OK"), ("set c y xx", "OK"), ("get c", '"y"'),
            ("set c z EX 10", "(error) ERR syntax error"), ("exists a b zz a", "(integer) 3"), ("type a", "string"),
            ("rpush l 1 2 3", "(integer) 3"), ("lpush l 0 -1", "(integer) 5"), ("llen l", "(integer) 5"), ("llen zz", "(integer) 0"),
            ("lrange l 0 1", '1) "-1"\n2) "0"'), ("lrange l -2 -1", '1) "2"\n2) "3"'), ("lrange l 4 100", '1) "3"'),
            ("lrange l 3 1", "(empty array)"), ("lrange l 9 10", "(empty array)"), ("lrange l -100 0", '1) "-1"'),
            ("lrange zz 0 -1", "(empty array)"), ("lrange l a 1", "(error) ERR value is not an integer or out of range"),
            ("lpop l", '"-1"'), ("rpop l", '"3"'), ("lpop zz", "(nil)"), ("type l", "list"), ("type zz", "none"),
            ("get l", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("incr l", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("lpush a x", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("llen a", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("lrange a 0 1", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("set l x", "OK"), ("get l", '"x"'), ("rpush one 1", "(integer) 1"), ("rpop one", '"1"'), ("exists one", "(integer) 0"),
            ("dbsize", "(integer) 6"), ("del a b zz", "(integer) 2"), ("get", "(error) ERR wrong number of arguments for 'get' command"),
            ("get a b", "(error) ERR wrong number of arguments for 'get' command"), ("frob x", "(error) ERR unknown command 'frob'"),
            ("config get save", '1) "save"\n2) ""'), ("config get maxmemory", "(empty array)"), ("command", "(empty array)"),
            ("config set a b", "(error) ERR there is nothing to configure"), ("flushall", "OK"), ("dbsize", "(integer) 0")):
        got = cli(server, *words.split())
        bb.check(got == awaited, f"{words}: {got!r} instead of {awaited!r}")


def interactive(server):
    """redis-cli takes its commands from its input, and `--pipe` a mass of them."""
    got = cli(server, send=b"set a 1\nincr a\nget a\n")
    bb.check(got.split() == ["OK", "2", "2"], f"{got!r}")
    mass = b"".join(encode("SET", f"key{n}", n) for n in range(10_000))
    got = cli(server, "--pipe", send=mass)
    bb.check("errors: 0, replies: 10000" in got, got)
    bb.check(cli(server, "get", "key9999") == '"9999"', "the last one is missing")


def values(server):
    """Values are bytes of any kind, from none to megabytes, and keys too."""
    with server.connect() as client:
        for size in (0, 1, 4095, 4096, 65_536, 1_000_003, 8 << 20):
            value = b"".join(bb.odd_chunks(size, seed=size))
            sender = bb.in_background(client.sendall, encode("SET", b"\r\n\0key", value) + encode("GET", b"\r\n\0key"))
            awaited = b"+OK\r\n$%d\r\n%s\r\n" % (size, value)
            bb.check(bb.receive_exactly(client, len(awaited)) == awaited, f"{size} bytes came back otherwise")
            sender()


def inline(server):
    """Commands may be lines of words, as nc sends them."""
    got, status = bb.output(["nc", "-N", server.host, str(server.port)], b"PING\r\nset a  b\n\r\n  get a \nquit\nping\n")
    bb.check(status == 0 and got == b"+PONG\r\n+OK\r\n$1\r\nb\r\n+OK\r\n", f"nc got {got!r}")


def pipelines(server):
    """Commands that come together are answered in order, in few pieces; those that come byte by byte, too."""
    request, answer = bytearray(), bytearray()
    for number in range(20_000):
        request += encode("SET", f"k{number % 100}", number) + encode("GET", f"k{number % 100}") + b"PING\r\n"
        answer += b"+OK\r\n$%d\r\n%d\r\n+PONG\r\n" % (len(str(number)), number)
    with server.connect() as client:
        sender = bb.in_background(client.sendall, request)
        got = bb.receive_exactly(client, len(answer))
        sender()
        bb.check(got == answer, "an answer is wrong")
        client.sendall(encode("PING") * 16)  # one segment, one answer
        bb.check(client.recv(1000) == b"+PONG\r\n" * 16, "a batch was answered in pieces")
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in encode("SET", "slow", b"\r\n") + encode("GET", "slow"):
            client.send(bytes([byte]))
            time.sleep(0.001)
        bb.check(bb.receive_exactly(client, 13) == b"+OK\r\n$2\r\n\r\n\r\n", "byte by byte: something else")


def refused(server):
    """What breaks the protocol is told so, and closed; others are served."""
    bystander = server.connect()
    for request, awaited in (
            (b"*1\r\n+PING\r\n", b"expected '$', got '+'"), (b"*1\r\n\r\n", b"expected '$', got '?'"),
            (b"*x\r\n", b"invalid multibulk length"), (b"*99999999999999999999\r\n", b"invalid multibulk length"),
            (b"*65537\r\n", b"invalid multibulk length"), (b"*-2\r\n", b"invalid multibulk length"),
            (b"*1\r\n$x\r\n", b"invalid bulk length"), (b"*1\r\n$-1\r\n", b"invalid bulk length"),
            (b"*1\r\n$8388609\r\n", b"invalid bulk length"), (b"*1\r\n$4\r\nPING--", b"a string doesn't end where it should"),
            (b"x" * 70_000, b"too big inline request"), (encode("SET", *[bytes(4 << 20)] * 5), b"too big command"),
            (b"*3\r\n$" + b"1" * 70_000, b"too big inline request")):
        got = ask(server, request, end=False)
        bb.check(got.startswith(b"-ERR Protocol error: ") and awaited in got and got.endswith(b"\r\n"), f"{request[:40]!r}: {got!r}")
        bystander.sendall(encode("PING"))
        bb.check(bb.receive_exactly(bystander, 7) == b"+PONG\r\n", "a bystander was not answered")
    for request, awaited in ((b"*0\r\n*-1\r\nPING\r\n", b"+PONG\r\n"), (os.urandom(3).hex().encode() + b"\r\n", b"-ERR unknown command '"),
                             (encode("a\r\nb"), b"-ERR unknown command 'a  b'\r\n"), (encode("PING")[:-3], b""), (b"", b""),
                             (encode("SET", *"x" * 65_535), b"-ERR syntax error\r\n")):
        got = ask(server, request)
        bb.check(got.startswith(awaited) and bool(got) == bool(awaited), f"{request[:40]!r}: {got!r}")
    bystander.close()


def no_http(server):
    """What a web page can send is closed without an answer, and what its body asks for isn't done."""
    for head in (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"post / HTTP/1.1\r\n\r\n", b"hOST: a\r\n\r\n",
                 encode("Post", "/")):
        got = ask(server, head + b"SET a 1\r\n", end=False)
        bb.check(got == b"", f"{head[:20]!r}: {got!r}")
    got = ask(server, b"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\nSET a 1\r\n", end=False)
    bb.check(got == b"-ERR unknown command 'PUT'\r\n", f"PUT: {got!r}")
    bb.check(cli(server, "get", "a") == "(nil)", "it was done")


def resets(server):
    """Clients that go in the middle of a command, or of its answer, harm nobody."""
    cli(server, "ping")
    before = server.settled_fds()
    value = encode("SET", "big", bytes(4 << 20))
    bb.check(ask(server, value) == b"+OK\r\n", "not stored")
    for turn in range(40):
        client = server.connect(receive_buffer=4096)
        client.sendall(value[:turn * 1000] if turn % 2 else encode("GET", "big") * 4)
        bb.reset(client)
    bb.check(cli(server, "ping") == "PONG", "not served")
    bb.check(bb.eventually(lambda: server.fds() <= before), f"{server.fds()} descriptors open, {before} before")


def deaf(server):
    """Who asks for much and reads nothing fills no memory, and is closed when nothing goes on; others are served."""
    bb.check(ask(server, encode("SET", "big", bytes(1 << 20))) == b"+OK\r\n", "not stored")
    memory = server.rss()
    client = server.connect(receive_buffer=4096)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(1000):
            client.send(encode("GET", "big") * 100)
    start = time.monotonic()
    bb.check(cli(server, "ping") == "PONG" and time.monotonic() - start < 2, "not served")
    bb.check(server.rss() - memory < 32 << 20, f"grew by {(server.rss() - memory) >> 20} MiB")
    count = server.fds()
    bb.check(bb.eventually(lambda: server.fds() < count, 8), "who reads nothing was kept")
    client.close()


def slow(server):
    """A command that doesn't come to its end is given up, whether it stops or trickles; so are silent clients."""
    with server.connect() as stopped, server.connect() as trickling, server.connect() as silent:
        stopped.sendall(b"*2\r\n$4\r\nECHO\r\n$100\r\nx")
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            trickling.sendall(b"*2\r\n$4\r\nECHO\r\n$100000\r\n")
            while time.monotonic() - start < 6:
                trickling.send(b"x")
                time.sleep(0.05)
                if time.monotonic() - start > 0.5 and int((time.monotonic() - start) * 20) % 10 == 0:
                    bb.check(cli(server, "ping") == "PONG", "not served")
        bb.check(0.9 < time.monotonic() - start < 5, f"given up after {time.monotonic() - start:.1f} s")
        got = bb.receive_rest(stopped)
        bb.check(got.startswith(b"-ERR this command doesn't come to its end"), f"{got!r}")
        bb.check(silent.recv(10) == b"", "a silent one was answered")


def never_whole(server):
    """Commands whose ends come with the next ones' beginnings, for longer than one may take, are all answered."""
    ping = encode("PING")
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(ping[:5])
        start = time.monotonic()
        while time.monotonic() - start < 1.8:
            client.sendall(ping[5:] + ping[:5])
            bb.check(bb.receive_exactly(client, 7) == b"+PONG\r\n", "not answered")
            time.sleep(0.01)


def terminated(server):
    """SIGTERM ends it, also with clients."""
    with server.connect() as client:
        client.sendall(encode("PING"))
        client.recv(100)
        server.interrupt(signum=signal.SIGTERM)


def all_tests(server):
    """redis-benchmark -P 16, all commands, briefly."""
    benchmark(server, 1000, "-P", "16")


def as_documented(server):
    """The redis-benchmark command of the README works."""
    readme = pathlib.Path(__file__).parents[2] / "examples/README.md"
    command = re.search(r"`(redis-benchmark [^`]*)`", readme.read_text())[1].replace("7000", str(server.port)).split()
    out, status = bb.output([*command, "-n", "1000"])
    bb.check(status == 0 and b"LRANGE_600" in out and b"rror" not in out, f"ended with {status}: {out[-500:]!r}")


def all_tests_long(server):
    """redis-benchmark -P 16 and one at a time, all commands."""
    for depth, requests in (("1", 100_000), ("16", 1_000_000)):
        figures = benchmark(server, requests, "-P", depth, tests="ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop")
        figures |= benchmark(server, requests // 20, "-P", depth, tests="lrange_100,lrange_300,lrange_500,lrange_600")
        print(f"  -P {depth}: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in figures.items()), flush=True)
    figures = benchmark(server, 100_000, "-P", "16", "-d", "4096", tests="set,get")
    print("  -P 16 -d 4096: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in figures.items()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--selector", default="default")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seconds", type=int, default=55)
    options = parser.parse_args()

    def make(*arguments):
        return lambda: bb.Server(options.server, options.selector, arguments=arguments)

    def bad_use():
        for arguments, awaited in ((["--idle", "never"], b'--idle "never"'), (["--port", "1e3"], b'"1e3" is not a port'),
                                   (["--host", "[::1"], b"[::1"), (["--frob"], b"usage")):
            done = subprocess.run([options.server, *arguments], capture_output=True, timeout=20, check=False)
            bb.check(awaited in done.stderr and done.returncode != 0, f"{arguments}: {done}")

    if options.long:
        bb.run([bb.on_fresh(make(), all_tests_long)], options.seconds)
    checks = [bb.on_fresh(make(), check) for check in (commands, interactive, values, inline, pipelines, refused, no_http, resets,
                                                       terminated, all_tests, as_documented)]
    checks += [bb.on_fresh(make("--idle", "2"), deaf), bb.on_fresh(make("--idle", "2", "--patience", "1"), slow),
               bb.on_fresh(make("--patience", "1"), never_whole)]
    bb.run([*checks, ("bad use is an error that names what is wrong", bad_use)], options.seconds)


main()
