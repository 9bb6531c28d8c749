"""chat_server, with nc and plain sockets: who says what to whom, and who is shown out."""
# SPDX-License-Identifier: MIT

import signal
import socket
import subprocess
import time

import blackbox as bb


class Guest:
    """Somebody in the room."""

    def __init__(self, server, name, **options):
        self.socket = server.connect(**options)
        self.file = self.socket.makefile("rb")
        self.expect("* who are you?")
        self.say(name)
        if name:
            self.expect(f"* welcome, {name}. /who tells who is here, /quit leaves")

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self):
        return self.file.readline().decode(errors="replace").rstrip("\n")

    def expect(self, *lines):
        for line in lines:
            heard = self.hear()
            bb.check(heard == line, f"heard {heard!r} instead of {line!r}")

    def gone(self):
        """It was shown out: the connection has ended, or was reset."""
        try:
            while self.file.readline():
                pass
        except ConnectionError:
            pass

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def room(server):
    """All others hear what one says, who comes and who goes, and nobody hears themselves."""
    with Guest(server, "ann") as ann, Guest(server, "bob") as bob:
        ann.expect("* bob has joined")
        with Guest(server, "cid") as cid:
            ann.expect("* cid has joined")
            bob.expect("* cid has joined")
            ann.say("hello")
            bob.expect("ann: hello")
            cid.expect("ann: hello")
            bob.say("/who")
            bob.expect("* ann bob cid")
            cid.say("bye\r")
            cid.say("/quit")
            ann.expect("cid: bye", "* cid has left")
            bob.expect("cid: bye", "* cid has left")
            bb.check(cid.hear() == "", "cid is still here")
        ann.say("tab\tand bell\a")
        bob.expect("ann: tab?and bell?")
        ann.socket.shutdown(socket.SHUT_WR)
        bob.expect("* ann has left")


def names(server):
    """A name is asked for until it is a good one that nobody has."""
    before = server.settled_fds()
    with Guest(server, "ann") as ann, Guest(server, "") as other:
        other.expect("* a name has 1 to 20 letters, without spaces", "* who are you?")
        for name, why in (("ann", "ann is here already"), ("two words", "a name has 1 to 20 letters, without spaces"),
                          ("x" * 21, "a name has 1 to 20 letters, without spaces")):
            other.say(name)
            other.expect(f"* {why}", "* who are you?")
        other.say("anna")
        ann.expect("* anna has joined")
    bb.check(bb.eventually(lambda: server.fds() == before), "those who left are still here")
    with Guest(server, "ann"):  # free again
        pass


def by_nc(server):
    """nc talks, and leaves by a half-close."""
    with Guest(server, "ann") as ann:
        said, status = bb.output(["nc", "-N", server.host, str(server.port)], b"bob\nhello from nc\n")
        bb.check(status == 0 and b"* welcome, bob" in said, f"nc ended with {status}: {said!r}")
        ann.expect("* bob has joined", "bob: hello from nc", "* bob has left")


def long_line(server):
    """A line that is too long is told, and costs nobody else anything."""
    with Guest(server, "ann") as ann, Guest(server, "bob") as bob:
        ann.expect("* bob has joined")
        bob.say("x" * 1000)
        ann.expect("bob: " + "x" * 1000)
        bob.socket.sendall(b"y" * 2000)
        bob.expect("* a line has at most 1024 bytes")
        bob.gone()
        ann.expect("* bob has left")


def byte_by_byte(server):
    """A line may come byte by byte, and its end late; garbage is made printable."""
    with Guest(server, "ann") as ann, Guest(server, "bob") as bob:
        ann.expect("* bob has joined")
        bob.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for letter in b"slowly":
            bob.socket.send(bytes([letter]))
            time.sleep(0.01)
            ann.say("meanwhile")
            bob.expect("ann: meanwhile")
        bob.say("")
        ann.expect("bob: slowly")
        bob.socket.sendall(bytes(range(10, 20)).replace(b"\n", b"\t") + b"\x7f\x1b[2J\n")
        ann.expect("bob: " + "?" * 12 + "[2J")


def order(server):
    """Everybody hears all lines of many, each one's in order."""
    guests = [Guest(server, f"g{n}") for n in range(10)]
    lines = 200

    def listen(who, guest):
        heard = {}
        while sum(heard.values()) < (len(guests) - 1) * lines:
            line = guest.hear()
            if line.startswith("*"):
                continue
            name, number = line.split(": ")
            bb.check(name != f"g{who}" and int(number) == heard.get(name, 0), f"g{who} heard {line!r}, {heard}")
            heard[name] = heard.get(name, 0) + 1

    joins = [bb.in_background(listen, who, guest) for who, guest in enumerate(guests)]
    for number in range(lines):
        for guest in guests:
            guest.say(str(number))
    for join in joins:
        join(30)
    for guest in guests:
        guest.close()


def resets(server):
    """Who is gone without a goodbye has left, and the descriptors come back."""
    with Guest(server, "ann") as ann:
        before = server.settled_fds()
        for turn in range(30):
            guest = Guest(server, f"r{turn}")
            guest.say("hello")
            guest.file.close()
            bb.reset(guest.socket)
            ann.expect(f"* r{turn} has joined")
            heard = ann.hear()  # the reset may have overtaken the line
            if heard == f"r{turn}: hello":
                heard = ann.hear()
            bb.check(heard == f"* r{turn} has left", f"heard {heard!r}")
        bb.check(server.settled_fds() == before, f"{server.fds()} descriptors open, {before} before")


def main():
    options = bb.parse()

    def make(*arguments):
        return lambda: bb.Server(options.server, options.selector, arguments=arguments)

    def deaf(server):
        """Who takes nothing is shown out, without a line lost for the others."""
        deaf = Guest(server, "deaf", receive_buffer=4096)
        with Guest(server, "ann") as ann, Guest(server, "bob") as bob:
            ann.expect("* bob has joined")
            memory = server.rss()
            said = 0
            deadline = time.monotonic() + 20
            ann.socket.settimeout(20)
            while True:
                bob.say(f"{said:06} " + "x" * 900)
                heard = ann.hear()
                if heard == "* deaf has left":
                    break
                bb.check(heard.startswith(f"bob: {said:06}"), f"heard {heard[:40]!r} for {said}")
                said += 1
                bb.check(time.monotonic() < deadline, "it is still here")
            bb.check(server.rss() - memory < 16 << 20, f"grew by {(server.rss() - memory) >> 20} MiB")
        deaf.gone()
        deaf.close()

    def nameless(server):
        """Who doesn't give a name in time is shown out, also one that says it byte by byte."""
        with server.connect() as silent, server.connect() as slow:
            start = time.monotonic()
            try:
                while time.monotonic() - start < 8:
                    slow.send(b"x")
                    time.sleep(0.1)
            except ConnectionError:
                pass
            bb.check(0.9 < time.monotonic() - start < 5, f"it took {time.monotonic() - start:.1f} s")
            bb.check(bb.receive_rest(silent).endswith(b"* your time is up\n"), "no reason was given")
            with Guest(server, "ann"):
                pass

    def terminated(server):
        """SIGTERM ends it as SIGINT does."""
        with Guest(server, "ann") as ann:
            server.interrupt(signum=signal.SIGTERM)
            ann.gone()

    def bad_use():
        for arguments, awaited in ((["--patience", "-1"], b'--patience "-1"'), (["--port", "70000"], b'"70000" is not a port'),
                                   (["--host", "no.such.host.invalid"], b"no.such.host.invalid"), (["what"], b"usage")):
            done = subprocess.run([options.server, *arguments], capture_output=True, timeout=20, check=False)
            bb.check(awaited in done.stderr and done.returncode != 0, f"{arguments}: {done}")

    checks = [bb.on_fresh(make(), check) for check in (room, names, by_nc, long_line, byte_by_byte, order, resets, terminated)]
    checks += [bb.on_fresh(make("--patience", "1"), check) for check in (deaf, nameless)]
    bb.run([*checks, ("bad use is an error that names what is wrong", bad_use)], options.seconds)


main()
