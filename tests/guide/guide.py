"""Runs the programs of io/GUIDE.md, in their order, and checks what the text says of each."""
# SPDX-License-Identifier: MIT

import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import blackbox as bb

programs = sys.argv[1:]


class Program:
    """One of them, and where it listens."""

    def __init__(self, number, addresses=1, arguments=()):
        self.process = bb.spawn([programs[number - 1], *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
        self.addresses = []
        for _ in range(addresses):
            line = self.process.stdout.readline()
            match = re.fullmatch(r"listening on \[?([0-9a-f.:]+?)\]?:(\d+)\n", line)
            bb.check(match, f"program {number} says {line!r}")
            self.addresses.append((match[1], int(match[2])))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        bb.end(self.process)

    def connect(self, index=0):
        return Client(self.addresses[index])

    def stop(self, signum, seconds=5):
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=seconds)
        bb.check(self.process.returncode == 0, f"ended with {self.process.returncode}: {err}")
        bb.check(err == "", f"stderr: {err}")
        return out


class Client:
    def __init__(self, address):
        self.socket = socket.create_connection(address, 5)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline()

    def ends(self):
        return self.file.read(1) == b""

    def end_writing(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.file.close()
        self.socket.close()


def echoes(client):
    client.send(b"hello\n")
    bb.check(client.line() == b"hello\n", "what comes back is something else")


def echo_by_hand():
    with Program(1) as program:
        first, second = program.connect(), program.connect()
        echoes(second)
        echoes(first)
        first.end_writing()
        bb.check(first.ends(), "the connection goes on after our end")
        program.stop(signal.SIGINT)
        bb.check(second.ends(), "a connection outlived the server")


def server():
    with Program(2, addresses=2) as program:
        for index in range(2):
            echoes(program.connect(index))
        program.stop(signal.SIGINT)


def protocol():
    with Program(3) as program:
        client = program.connect()
        client.send(b"abc\r\nd")
        bb.check(client.line() == b"cba\n", "a line isn't reversed")
        client.send(b"ef\n" + b"".join(b"line %d\n" % i for i in range(500)))
        bb.check(client.line() == b"fed\n", "a line that came in two pieces")
        for i in range(500):
            bb.check(client.line() == f"line {i}"[::-1].encode() + b"\n", "pipelined lines")
        client.send(b"x" * 5000)
        bb.check(client.line() == b"that line is too long\n", "a line without end")
        bb.check(client.ends(), "goes on after a line without end")
        client = program.connect()
        client.send(b"last")
        client.end_writing()
        bb.check(client.line() == b"tsal\n", "a last line without a newline")
        program.stop(signal.SIGINT)


def deadlines():  # patience: 0.3 s
    with Program(4) as program:
        slow, polite, trickling = program.connect(), program.connect(), program.connect()
        polite.send(b"me\n")
        bb.check(polite.line() == b"who are you?\n" and polite.line() == b"hello me\n", "the conversation")

        def trickle():
            for _ in range(8):
                trickling.send(b"x")
                time.sleep(0.1)

        thread = threading.Thread(target=trickle)
        thread.start()
        bb.check(slow.line() == b"who are you?\n" and slow.line() == b"you are too slow\n", "a slow client")
        bb.check(trickling.line() == b"who are you?\n" and trickling.line() == b"you are too slow\n", "one byte at a time")
        thread.join()
        start = time.monotonic()
        bb.check(polite.ends() and slow.ends() and trickling.ends(), "idle connections go on")
        bb.check(time.monotonic() - start < 5, "idle connections go on for long")
        program.stop(signal.SIGINT)


def limits():
    with Program(5) as program:
        clients = [program.connect() for _ in range(5)]
        for client in clients[:2]:
            bb.check(client.line() in (b"1 at a time\n", b"2 at a time\n"), "the first two")
        readable, _, _ = select.select([client.socket for client in clients[2:]], [], [], 0.2)
        bb.check(not readable, "a third is served, or refused")
        for left, waiting in ((0, 2), (1, 3), (2, 4)):
            clients[left].close()
            bb.check(clients[waiting].line().endswith(b" at a time\n"), "who waits isn't served when another leaves")
        program.stop(signal.SIGINT)


def end():
    for signum in (signal.SIGTERM, signal.SIGINT):
        with Program(6) as program:
            client = program.connect()
            echoes(client)
            program.process.send_signal(signum)
            bb.check(bb.eventually(lambda: refused(program.addresses[0])), "it still accepts")
            echoes(client)
            client.end_writing()
            bb.check(client.ends(), "the last connection goes on")
            out, err = program.process.communicate(timeout=5)
            bb.check(program.process.returncode == 0 and err == "", f"ended with {program.process.returncode}: {err}")
            if signum == signal.SIGTERM:
                bb.check(re.fullmatch(r"served \d+\n", out), f"it says {out!r}")


def refused(address):
    try:
        socket.create_connection(address, 5).close()
        return False
    except ConnectionResetError:  # the listener was closed while its backlog held us
        return False
    except ConnectionRefusedError:
        return True


def threads():
    with Program(7) as program:
        clients = [program.connect() for _ in range(20)]
        for client in clients:
            echoes(client)
        program.stop(signal.SIGINT)


def shared_buffer():
    with Program(8) as program:
        clients = [program.connect() for _ in range(3)]
        for client in clients:
            echoes(client)
        # More than the sockets hold, read late: the rest of each write has to wait.
        much = [bytes([65 + index]) * 8_000_000 for index in range(len(clients))]
        senders = [threading.Thread(target=client.send, args=(data,)) for client, data in zip(clients, much)]
        for sender in senders:
            sender.start()
        time.sleep(0.1)
        for client, data in zip(clients, much):
            bb.check(client.file.read(len(data)) == data, "bytes were lost or mixed")
        for client, sender in zip(clients, senders):
            sender.join()
            client.end_writing()
            bb.check(client.ends(), "the connection goes on")


def test():
    done = subprocess.run([programs[8]], capture_output=True, text=True, timeout=20)
    bb.check(done.returncode == 0 and done.stdout == "passed\n", f"{done.returncode}: {done.stdout}{done.stderr}")


def lines_before_tls():
    with tempfile.TemporaryDirectory() as folder:
        bb.make_certificate(folder)
        context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
        with Program(10, arguments=[f"{folder}/cert.pem", f"{folder}/key.pem"]) as program:
            for before in (b"", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"):
                client = program.connect()
                bb.check(client.line() == b"220 hello\r\n", "the greeting")
                client.send(before + b"STARTTLS\r\n")
                bb.check(client.line() == b"220 go ahead\r\n", "the answer")
                with context.wrap_socket(client.socket, server_hostname="localhost") as secure:
                    secure.sendall(b"secret\r\n")
                    bb.check(secure.recv(100) == b"secret\r\n", "what comes back is something else")
            # Plain text behind STARTTLS.
            client = program.connect()
            client.send(b"STARTTLS\r\nRCPT TO:<evil@example.org>\r\n")
            bb.check(client.line() == b"220 hello\r\n" and client.line() == b"220 go ahead\r\n", "the answer")
            try:
                context.wrap_socket(client.socket, server_hostname="localhost")
                bb.check(False, "a handshake after plain text")
            except OSError:
                pass
            program.process.send_signal(signal.SIGINT)
            _, err = program.process.communicate(timeout=5)
            bb.check("wrong version number" in err and "evil" not in err, err)


def datagrams():
    with Program(len(programs)) as program:
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.connect((host, program.addresses[0][1]))  # takes no answer from elsewhere
                for text in (b"hello", b"x" * 1200):
                    client.send(text)
                    bb.check(client.recv(2000) == text, "what comes back is something else")
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 3)
                client.send(b"congested")
                bb.check(client.recv(2000) == b"!ongested", "a congestion mark isn't seen")
        program.stop(signal.SIGINT)


bb.check(len(programs) in (10, 11), f"the guide has {len(programs)} programs")
bb.run([("1: an echo by hand", echo_by_hand), ("2: a Server", server), ("3: a protocol", protocol), ("4: deadlines", deadlines),
        ("5: limits", limits), ("6: an end", end), ("7: all processors", threads), ("8: one buffer for all", shared_buffer),
        ("9: a test", test), *([("10: lines before TLS", lines_before_tls)] if len(programs) == 11 else []),
        ("datagrams", datagrams)], 50)
