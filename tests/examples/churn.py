"""Clients come and go by the thousand; the server ends with the descriptors and the memory it had."""
# SPDX-License-Identifier: MIT

import socket

import blackbox as bb


def visit(server, turn):
    # From many addresses, because each can have only so many connections in TIME_WAIT.
    client = server.connect(source=f"127.0.1.{turn % 200 + 1}")
    manner = turn % 5
    if manner < 2:
        bb.ask(client, b"x" * 64)
    elif manner == 2:
        client.sendall(b"not waiting for the answer")
    elif manner == 3:
        client.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        bb.check(bb.receive_rest(client) == b"bye", "the goodbye is missing")
    if turn % 7 == 0:
        bb.reset(client)
    else:
        client.close()


def come_and_go(server, count=2000):
    """Thousands of connects and disconnects leave as many open descriptors as before."""
    for turn in range(200):
        visit(server, turn)
    server.serves()
    bb.check(bb.eventually(lambda: server.fds() < 20), f"{server.fds()} descriptors open after 200 visits")
    before, memory = server.settled_fds(), server.rss()
    for turn in range(count):
        visit(server, turn)
    bb.check(bb.eventually(lambda: server.fds() == before), f"{server.fds()} descriptors open, {before} before")
    grown = server.rss() - memory
    slack = (16 if bb.with_instrument(server.path) else 2) << 20
    bb.check(grown < slack, f"grew by {grown >> 10} KiB in {count} visits")
    server.serves()


bb.main(come_and_go)
