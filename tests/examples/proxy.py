"""tcp_proxy in front of an echo server, and in front of servers that are rude, or not there."""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import signal
import socket
import subprocess
import time

import blackbox as bb


class Backend:
    """A listener of ours behind the proxy."""

    def __init__(self):
        self.listener = socket.create_server((bb.HOST, 0))
        self.listener.settimeout(10)
        self.address = f"{bb.HOST}:{self.listener.getsockname()[1]}"

    def accept(self):
        client = self.listener.accept()[0]
        client.settimeout(10)
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def was_reset(client):
    """The client's connection ends by a reset, not by a goodbye."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


def is_turned_away(server, timeout=10):
    """Who connects is reset, at once or a little later."""
    try:
        with server.connect(timeout) as client:
            return was_reset(client)
    except ConnectionResetError:
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--echo", required=True)
    parser.add_argument("--selector", default="default")
    parser.add_argument("--seconds", type=int, default=50)
    parser.add_argument("--load", type=int, default=0, help="seconds of load, and nothing else")
    options = parser.parse_args()

    @contextlib.contextmanager
    def proxy(to, *arguments):
        with bb.Server(options.server, options.selector, arguments=["--to", to, *arguments]) as server:
            yield server
            server.alive()
            server.interrupt()

    @contextlib.contextmanager
    def proxied_echo(*arguments):
        with bb.Server(options.echo) as echo:
            with proxy(f"{echo.host}:{echo.port}", *arguments) as server:
                yield server

    def carries():
        """What is sent comes back whole, also after a half-close, and many at once."""
        with proxied_echo() as server:
            with server.connect() as client:
                bb.round_trip(client, 16 << 20, seed=1)
            joins = []
            for number in range(30):
                client = server.connect()
                joins.append((client, bb.in_background(bb.round_trip, client, 100_000 + number, number)))
            for client, join in joins:
                join()
                client.close()

    def by_nc_and_socat():
        """nc and socat get back what they send."""
        with proxied_echo() as server:
            message = b"".join(b"line %d\n" % n for n in range(20_000))
            for command in (["nc", "-N", server.host, str(server.port)],
                            ["socat", "-t10", "-", f"TCP:{server.host}:{server.port}"]):
                got, status = bb.output(command, message)
                bb.check(status == 0 and got == message, f"{command[0]} sent {len(message)} bytes and got {len(got)}")

    def half_closes():
        """Either side may end its half first, and go on reading."""
        with Backend() as backend, proxy(backend.address) as server:
            with server.connect() as client, backend.accept() as behind:
                behind.sendall(b"all I have")
                behind.shutdown(socket.SHUT_WR)
                bb.check(bb.receive_rest(client) == b"all I have", "the end of the server's side was not passed on")
                client.sendall(b"thank you")
                client.shutdown(socket.SHUT_WR)
                bb.check(bb.receive_rest(behind) == b"thank you", "the way there was closed with the way back")

    def resets():
        """A reset is passed on as one, both ways."""
        with Backend() as backend, proxy(backend.address) as server:
            for turn in range(20):
                client, behind = server.connect(), backend.accept()
                for end in (client, behind):
                    end.sendall(b"x" * 1000)
                bb.receive_exactly(client, 1000)
                bb.receive_exactly(behind, 1000)
                first, second = (client, behind) if turn % 2 else (behind, client)
                bb.reset(first)
                bb.check(was_reset(second), "one side's reset was an ordinary end to the other")
                second.close()

    def nobody_there():
        """A server that isn't there is a reset for the client, and a message that names it."""
        with bb.closed_port() as port, proxy(f"{bb.HOST}:{port}") as server:
            for _ in range(3):
                bb.check(is_turned_away(server), "no reset")
            bb.check(f"{bb.HOST}:{port}: Connection refused" in server.errors(), server.errors())
        with proxy("no-such-host.invalid:80") as server:
            bb.check(is_turned_away(server), "no reset")
            bb.check('"no-such-host.invalid"' in server.errors(), server.errors())

    def does_not_answer():
        """A server that doesn't answer is given up after five seconds."""
        with socket.socket() as full:  # whose queue is full: the kernel drops who else wants to connect
            full.bind((bb.HOST, 0))
            full.listen(0)
            waiting = []
            for _ in range(3):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(full.getsockname())
                waiting.append(client)
            time.sleep(0.1)
            with proxy(f"{bb.HOST}:{full.getsockname()[1]}") as server:
                start = time.monotonic()
                bb.check(is_turned_away(server, timeout=20), "no reset")
                bb.check(4.5 < time.monotonic() - start < 9, f"given up after {time.monotonic() - start:.1f} s")
                bb.check("timed out" in server.errors(), server.errors())
            for client in waiting:
                client.close()

    def idle_ones():
        """A connection on which nothing moves is closed; slow ones, byte by byte, are not."""
        with proxied_echo("--idle", "0.6") as server:
            before = server.settled_fds()
            silent, half_open = server.connect(), server.connect()
            half_open.shutdown(socket.SHUT_RD)
            with server.connect() as slow:
                for byte in range(10):
                    bb.ask(slow, bytes([byte]))
                    time.sleep(0.15)
                bb.check(silent.recv(1) == b"", "the silent one got something")
                bb.check(bb.eventually(lambda: server.fds() == before + 2), "those that are gone are still open")
            half_open.close()
            silent.close()

    def one_deaf():
        """Who reads nothing is not buffered for without end, and others are served."""
        with proxied_echo() as server:
            deaf = server.connect(receive_buffer=4096)
            deaf.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                last = time.monotonic()
                while time.monotonic() - last < 0.5:
                    try:
                        sent += deaf.send(bytes(1 << 16))
                        last = time.monotonic()
                    except BlockingIOError:
                        time.sleep(0.01)
                    bb.check(sent < 64 << 20, "it takes whatever comes")
            server.serves()
            bb.reset(deaf)

    def grace():
        """SIGTERM: who is connected may come to an end, and nobody else connects."""
        with bb.Server(options.echo) as echo:
            with bb.Server(options.server, options.selector, arguments=["--to", f"{echo.host}:{echo.port}"]) as server:
                with server.connect() as client:
                    bb.ask(client, b"before")
                    server.process.send_signal(signal.SIGTERM)

                    def refused():
                        try:
                            server.connect(timeout=1).close()
                        except OSError:
                            return True
                        return False
                    bb.check(bb.eventually(refused), "somebody still listens")
                    bb.ask(client, b"after")
                server.process.wait(5)  # sooner than the grace ends
                bb.check(server.process.returncode == 0, f"ended with {server.process.returncode}")

    def bad_use():
        """Bad use is an error that names what is wrong."""
        for arguments, awaited in ((["--to", "nonsense"], b'"nonsense" is not a host and port'),
                                   (["--to", "a:b:c"], b'"a:b:c"'), (["--to", "host:66000"], b'"66000" is not a port'),
                                   ([], b"--to is needed"), (["--to"], b"usage"),
                                   (["--help"], b" --to HOST:PORT [--idle SECONDS] [--grace SECONDS] [--host"),
                                   (["--to", "h:1", "--idle", "soon"], b'--idle "soon"'),
                                   (["--to", "h:1", "--host", "300.1.1.1"], b'"300.1.1.1"'),
                                   (["--to", "h:1", "--port", "x"], b'"x" is not a port')):
            done = subprocess.run([options.server, *arguments], capture_output=True, timeout=20, check=False)
            bb.check(awaited in done.stdout + done.stderr, f"{arguments}: {done}")
            bb.check((done.returncode == 0) == (arguments == ["--help"]), f"{arguments}: ended with {done.returncode}")

    def load():
        """It carries echoes from 50 clients for a while, without a byte wrong."""
        with proxied_echo() as server:
            end, count = time.monotonic() + options.load, 0

            def talk(seed):
                rounds = 0
                with server.connect(timeout=30) as client:
                    while time.monotonic() < end:
                        bb.ask(client, next(bb.odd_chunks(1 << 17, seed + rounds)))
                        rounds += 1
                return rounds
            joins = [bb.in_background(talk, seed * 1000) for seed in range(50)]
            for join in joins:
                count += join(options.load + 60)
            print(f"{count} messages in {options.load} s")
            bb.check(count > 50, "too few")

    if options.load:
        bb.run([(bb.title(load), load)], options.seconds)
    checks = [carries, by_nc_and_socat, half_closes, resets, nobody_there, idle_ones, one_deaf, grace, bad_use]
    if options.selector in ("epoll", "default"):
        checks.append(does_not_answer)
    bb.run([(bb.title(check), check) for check in checks], options.seconds)


main()
