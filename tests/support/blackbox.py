"""Drives an example executable from outside, with clients that are not ours.

A driver is a script with functions that take a Server and check one thing each; `main` runs them in order, each on a
fresh server, and prints one line per check. Only loopback is used, the kernel picks the ports, everything is bounded
in time, and no process outlives its driver: servers run in process groups of their own that are killed on the way
out, and the kernel kills them should the driver itself be killed.
"""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import ctypes
import hashlib
import os
import random
import re
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HOST = "127.0.0.1"
SKIPPED = 77
SELECT_LIMIT = 1024  # FD_SETSIZE
PR_SET_PDEATHSIG = 1
IP_BIND_ADDRESS_NO_PORT = 24


class Failed(Exception):
    """A check that does not hold; the message is what the reader of the test log sees."""


class Skipped(Exception):
    """A check that this machine cannot run, and why."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def tool(name):
    """The path of a program that a check needs."""
    path = shutil.which(name)
    if not path:
        raise Skipped(f"{name} is not installed")
    return path


def make_certificate(folder):
    """cert.pem and key.pem for localhost, which nobody else trusts."""
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True, capture_output=True, timeout=30)


def want_descriptors(count):
    """Raises the soft limit on open files to the hard one; skips when that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        raise Skipped(f"needs {count} descriptors, the hard RLIMIT_NOFILE is {hard}")


def eventually(condition, seconds=5.0):
    """Waits until condition() holds; says whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def with_instrument(path):
    """Which sanitizer an executable was built with, or nothing: memory then has another meaning."""
    with open(path, "rb") as file:
        code = file.read()
    return "asan" if b"__asan_init" in code else "tsan" if b"__tsan_init" in code else ""


def spawn(command, **options):
    """Popen in a process group of its own that dies with us."""
    libc = ctypes.CDLL(None)

    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job of a shell inherits it ignored

    # A recycling sanitizer quarantine would look like a leak.
    env = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=1:" + os.environ.get("ASAN_OPTIONS", ""))
    return subprocess.Popen(command, start_new_session=True, preexec_fn=prepare, env=env, **options)


def end(process):
    """Kills a process group and reaps its leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


class Server:
    """A server under test, most often one that echoes: started on a port the kernel picks, and certainly gone at the end."""

    LINE = re.compile(r"listening on (?:\[(?P<v6>[0-9a-f:]+)\]|(?P<v4>[0-9.]+)):(?P<port>\d+) \(selector (?P<name>\w+)\)\n")

    def __init__(self, path, selector="default", host=HOST, port=0, nofile=None, arguments=()):
        self.path, self.selector = path, selector
        command = [path, "--host", host, "--port", str(port), "--selector", selector, *arguments]
        self.log = os.memfd_create("stderr")
        self.process = spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        if nofile:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (nofile, nofile))
        try:
            line = self._first_line(20)
            match = self.LINE.fullmatch(line)
            check(match, f"the first line is {line!r}, not 'listening on HOST:PORT (selector NAME)'; {self.errors()}")
            if selector != "default":
                check(match["name"] == selector, f"asked for {selector}, got {line!r}")
            self.host, self.port = match["v6"] or match["v4"], int(match["port"])
        except BaseException:
            self.__exit__()
            raise

    def _first_line(self, seconds):
        line, deadline = b"", time.monotonic() + seconds
        with selectors.DefaultSelector() as wait:
            wait.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                check(wait.select(deadline - time.monotonic()), f"has not said where it listens in {seconds} s; {self.errors()}")
                more = os.read(self.process.stdout.fileno(), 4096)
                if not more:
                    raise Failed(f"ended with {self.process.wait(5)} before it listened; {self.errors()}")
                line += more
        return line.decode()

    def errors(self):
        text = os.pread(self.log, 1 << 16, 0).decode(errors="replace")
        return f"stderr: {text.strip() or '(empty)'}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        os.close(self.log)

    # What the kernel says about it.

    def alive(self):
        check(self.process.poll() is None, f"the server ended with {self.process.poll()}; {self.errors()}")

    def fds(self):
        self.alive()
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def settled_fds(self):
        """The same, once it has seen that those who left have left."""
        count, since = self.fds(), time.monotonic()
        while time.monotonic() - since < 0.3:
            time.sleep(0.01)
            if self.fds() != count:
                count, since = self.fds(), time.monotonic()
        return count

    def rss(self):
        """Resident memory in bytes."""
        self.alive()
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def cpu(self):
        """User and system time in seconds."""
        self.alive()
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # Clients.

    def connect(self, timeout=10.0, source=None, receive_buffer=None):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        try:
            client.settimeout(timeout)
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                client.bind((source, 0))
            client.connect((self.host, self.port))
        except BaseException:
            client.close()
            raise
        return client

    def serves(self, timeout=10.0):
        """A new client is served, right now."""
        with self.connect(timeout) as client:
            ask(client, b"are you there? " + os.urandom(16).hex().encode())

    def interrupt(self, seconds=10.0, signum=signal.SIGINT):
        """SIGINT, or another: it must end by itself, with 0 and without complaints."""
        self.process.send_signal(signum)
        name = signal.Signals(signum).name
        if self.selector != "poll" and with_instrument(self.path) == "tsan" and not eventually(
                lambda: self.process.poll() is not None, seconds / 4):
            # ThreadSanitizer keeps a signal back until the next call that it intercepts, and pselect(), epoll_pwait2() and
            # io_uring_enter() are none: what came just before them waits for a descriptor.
            with contextlib.suppress(OSError):
                self.connect().close()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"still running {seconds} s after {name}; {self.errors()}") from None
        check(code == 0, f"{name} ended it with {code}, not 0; {self.errors()}")


@contextlib.contextmanager
def closed_port():
    """A port at which nobody listens, nor anybody else can begin to meanwhile: it is bound, and no more."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


def receive_exactly(client, count):
    data = bytearray()
    while len(data) < count:
        more = client.recv(count - len(data))
        check(more, f"the server closed after {len(data)} of {count} bytes")
        data += more
    return bytes(data)


def receive_rest(client):
    data = bytearray()
    while more := client.recv(1 << 16):
        data += more
    return bytes(data)


def ask(client, message):
    """Sends a message and checks that it comes back."""
    client.sendall(message)
    answer = receive_exactly(client, len(message))
    check(answer == message, f"sent {message[:80]!r}, got {answer[:80]!r}")


def reset(client):
    """Closes with a reset instead of a goodbye."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def odd_chunks(size, seed):
    """`size` reproducible bytes in chunks of odd sizes, from one byte to some hundred kilobytes."""
    rng = random.Random(seed)
    block = rng.randbytes((1 << 20) + 7)
    left, at = size, 0
    while left:
        chunk = min(left, rng.choice((1, 3, 63, 1021, 4097, 16385, 65537, 131071, 300007)), len(block) - at)
        yield block[at:at + chunk]
        left -= chunk
        at = (at + chunk) % len(block)


def in_background(function, *arguments):
    """Runs it on a thread; returns a function that joins, re-raises what it raised and returns what it returned."""
    outcome = {}

    def body():
        try:
            outcome["value"] = function(*arguments)
        except BaseException as error:  # noqa: it is raised again in the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def join(seconds=60.0):
        thread.join(seconds)
        check(not thread.is_alive(), f"{function.__name__} did not end in {seconds} s")
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")

    return join


def round_trip(client, size, seed):
    """Sends `size` bytes in odd chunks, half-closes, and compares checksums with what comes back meanwhile."""
    sent, received, count = hashlib.sha256(), hashlib.sha256(), 0

    def send():
        for chunk in odd_chunks(size, seed):
            sent.update(chunk)
            client.sendall(chunk)
        client.shutdown(socket.SHUT_WR)

    sender = in_background(send)
    while data := client.recv(1 << 18):
        received.update(data)
        count += len(data)
    sender()
    check(count == size, f"sent {size} bytes, got {count} back")
    check(sent.digest() == received.digest(), f"the {size} bytes that came back are not those that were sent")


def output(command, send=b"", seconds=20):
    """What a client of others prints: (stdout and stderr, its exit status)."""
    process = spawn([tool(command[0]), *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out = process.communicate(send, timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} did not end in {seconds} s") from None
    finally:
        end(process)
    return out, process.returncode


def on_fresh(make, function):
    """A check called with the server that `make()` starts, which ends cleanly then, if the check hasn't ended it."""
    def body():
        with make() as server:
            try:
                function(server)
            except (OSError, Failed):
                server.alive()  # if it isn't, that is the better message
                raise
            if server.process.poll() is None:
                server.interrupt()
            check(server.process.returncode == 0, f"the server ended with {server.process.returncode}; {server.errors()}")
    return title(function), body


def run(checks, seconds, keep_going=False):
    """Runs (name, function) pairs under one alarm; exits as CTest expects, by default after the first failure."""

    def too_late(*_):
        raise Failed(f"not finished after {seconds} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    skipped = failed = 0
    for name, function in checks:
        start = time.monotonic()
        try:
            function()
        except Skipped as why:
            print(f"skipped: {name}: {why}", flush=True)
            skipped += 1
        except (Failed, OSError) as error:
            print(f"FAILED: {name} ({time.monotonic() - start:.2f} s): {type(error).__name__}: {error}", flush=True)
            failed += 1
            if not keep_going:
                raise SystemExit(1) from (None if isinstance(error, Failed) else error)
        else:
            print(f"ok: {name} ({time.monotonic() - start:.2f} s)", flush=True)
    raise SystemExit(1 if failed else SKIPPED if skipped == len(checks) else 0)


def title(function):
    return function.__doc__.splitlines()[0].rstrip(".")


def parse(seconds=50):
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--selector", default="default")
    parser.add_argument("--scale", type=int, default=None)
    parser.add_argument("--seconds", type=int, default=seconds)
    return parser.parse_args()


def main(*checks):
    """The main of most drivers: `script --server PATH --selector NAME [--scale N]`. A check is called with a Server
    of its own, which must then end cleanly, and with the scale as well if one is given."""
    options = parse()

    def on_fresh_server(function):
        def body():
            with Server(options.server, options.selector) as server:
                try:
                    function(server) if options.scale is None else function(server, options.scale)
                except (OSError, Failed):
                    server.alive()  # if it isn't, that is the better message
                    raise
                server.alive()
                server.interrupt()
        return body

    run([(title(function), on_fresh_server(function)) for function in checks], options.seconds)
