"""SIGINT ends an echo server cleanly, whatever its clients are doing, and frees its port at once."""
# SPDX-License-Identifier: MIT

import socket

import blackbox as bb


def idle(_):
    """Nobody is connected."""


def with_clients(server):
    """Clients are connected: they see the end, and nothing listens any more."""
    clients = [server.connect() for _ in range(50)]
    for client in clients:
        bb.ask(client, b"here")
    stuck = server.connect(receive_buffer=4096)  # and one that the server cannot write to
    stuck.setblocking(False)
    try:
        while True:
            stuck.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    server.interrupt()
    for client in clients:
        try:
            bb.check(client.recv(10) == b"", "a client got bytes out of nowhere")
        except ConnectionError:
            pass
        client.close()
    stuck.close()
    try:
        server.connect(timeout=2).close()
    except OSError:
        pass
    else:
        raise bb.Failed("somebody still listens")
    # The next one can have the same port, though the kernel remembers the old connections.
    with bb.Server(server.path, server.selector, port=server.port) as again:
        again.serves()
        again.interrupt()


def at_once(server):
    """Immediately after a client came."""
    client = server.connect()
    client.sendall(b"x")
    server.interrupt()
    client.close()


def main():
    options = bb.parse()
    checks = []
    for function in (idle, with_clients, at_once):
        def body(function=function):
            with bb.Server(options.server, options.selector) as server:
                function(server)
                if server.process.poll() is None:
                    server.interrupt()
        checks.append((bb.title(function), body))

    def other_family():
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            raise bb.Skipped(f"no IPv6 loopback here: {error}") from None
        with bb.Server(options.server, options.selector, host="::1") as server:
            server.serves()
            server.interrupt()

    checks.append(("it listens on IPv6 as well", other_family))
    bb.run(checks, options.seconds)


main()
