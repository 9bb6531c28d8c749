"""Clients with odd manners: half-closed, resetting in the middle, never reading, silent."""
# SPDX-License-Identifier: MIT

import socket
import time

import blackbox as bb


def half_closed(server):
    """A client that half-closes still gets the rest."""
    for size in (0, 1, 5, 1 << 16, 3 << 20):
        message = b"".join(bb.odd_chunks(size, seed=size))
        with server.connect() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sender = bb.in_background(lambda: (client.sendall(message), client.shutdown(socket.SHUT_WR)))
            answer = bb.receive_rest(client)
            sender()
            bb.check(answer == message, f"sent {size} bytes and half-closed, got {len(answer)}")
    server.serves()


def half_closed_first(server):
    """A client that half-closes at once and reads late gets everything."""
    message = b"late" * 5000
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
    time.sleep(0.1)
    for client in clients:
        bb.check(bb.receive_rest(client) == message, "something is missing")
        client.close()


def resets(server):
    """Clients that reset in the middle of a transfer harm nobody."""
    bystander = server.connect()
    bb.ask(bystander, b"before")
    before = server.fds()
    for turn in range(100):
        client = server.connect()
        if turn % 4:  # every fourth says nothing at all
            client.setblocking(False)
            try:
                for chunk in bb.odd_chunks(turn << 14, seed=turn):
                    client.send(chunk)
            except BlockingIOError:
                pass  # the server is stuck writing to us: the moment to leave
        bb.reset(client)
        if turn % 10 == 0:
            bb.ask(bystander, b"during")
    bb.ask(bystander, b"after")
    bb.check(bb.eventually(lambda: server.fds() <= before), f"{server.fds()} descriptors open, {before} before")
    bystander.close()
    server.serves()


def push(client, limit):
    """Sends until nothing has gone through for half a second, or `limit` bytes have; returns the count."""
    block, total, last = bytes(1 << 16), 0, time.monotonic()
    client.setblocking(False)
    while total < limit and time.monotonic() - last < 0.5:
        try:
            total += client.send(block)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.002)
    return total


def deaf(server):
    """Clients that never read do not fill the server's memory, and others are served."""
    limit, slack = 64 << 20, 4 << 20
    if bb.with_instrument(server.path):
        slack *= 4
    bystander = server.connect()
    bb.ask(bystander, b"before")
    before = server.fds()
    first = server.connect(receive_buffer=4096)
    push(first, limit)  # the server's own buffers are warm after this
    memory = server.rss()
    clients = [first]
    for _ in range(5):
        client = server.connect(receive_buffer=4096)
        pushed = push(client, limit)
        bb.check(pushed < limit, f"took {pushed >> 20} MiB from a client that reads nothing")
        start = time.monotonic()
        bb.ask(bystander, b"during")
        bb.check(time.monotonic() - start < 1, "a bystander waited more than a second")
        clients.append(client)
    grown = server.rss() - memory
    bb.check(grown < slack, f"grew by {grown >> 10} KiB for 5 clients that never read")
    cpu = server.cpu()
    time.sleep(0.5)
    bb.check(server.cpu() - cpu < 0.2, "spins while its clients do not read")
    server.serves()
    # One of them starts to read after all and gets every byte.
    late = clients.pop()
    late.settimeout(20)
    late.shutdown(socket.SHUT_WR)
    bb.check(len(bb.receive_rest(late)) == pushed, "the one who read at last did not get everything")
    late.close()
    for client in clients:
        bb.reset(client)
    bb.check(bb.eventually(lambda: server.fds() <= before), f"{server.fds()} descriptors open, {before} before")
    bystander.close()


bb.main(half_closed, half_closed_first, resets, deaf)
