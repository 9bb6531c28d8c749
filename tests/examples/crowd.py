"""Many clients at once, all of them served; on select, those beyond FD_SETSIZE are refused and do no harm."""
# SPDX-License-Identifier: MIT

import resource
import socket
import time

import blackbox as bb


def talk(clients, text):
    """Every client has its own message under way at the same time."""
    messages = [f"{text} {i}\n".encode() * 5 for i in range(len(clients))]
    for client, message in zip(clients, messages):
        client.sendall(message)
    for client, message in zip(clients, messages):
        bb.check(bb.receive_exactly(client, len(message)) == message, "a client got another's bytes")


def crowd(server, count=2000):
    """All clients at once are served (2,000; 900 on select)."""
    if server.selector == "select":
        count = min(count, 900)
    bb.want_descriptors(count)
    before = server.fds()
    clients = [server.connect(timeout=30) for _ in range(count)]
    for turn in range(3):
        talk(clients, f"turn {turn}")
    bb.check(server.fds() >= before + count, f"{server.fds()} descriptors open for {count} clients")
    for client in clients[::2]:
        client.close()
    talk(clients[1::2], "half of us")
    for client in clients[1::2]:
        client.close()
    bb.check(bb.eventually(lambda: server.fds() <= before), f"{server.fds()} descriptors open, {before} before")
    server.serves()


def surplus(server, count=2000):
    """Clients beyond FD_SETSIZE are refused, while the others are served."""
    if server.selector != "select":
        raise bb.Skipped("only select has such a limit")
    bb.want_descriptors(1200)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
    served, refused = [], []
    for i in range(1150):
        client = server.connect()
        try:
            client.sendall(b"hello")
            answer = client.recv(5, socket.MSG_WAITALL)
        except ConnectionError:
            answer = b""
        bb.check(answer in (b"hello", b""), f"client {i} got {answer!r}")
        (served if answer else refused).append(client)
    # A word may be echoed before the server finds that it cannot wait for more.
    bb.eventually(lambda: ended(served, refused), 0.5)
    bb.check(len(served) >= 900, f"only {len(served)} were served")
    bb.check(len(served) < bb.SELECT_LIMIT, f"{len(served)} served with select, which cannot be")
    bb.check(len(refused) >= 100, f"only {len(refused)} were refused")
    talk(served, "we are still served")
    cpu, start = server.cpu(), time.monotonic()
    time.sleep(0.5)
    bb.check(server.cpu() - cpu < 0.5 * (time.monotonic() - start), "spins while it is full and nobody talks")
    for client in refused + served[:200]:
        client.close()
    bb.check(bb.eventually(lambda: server.fds() < 850), f"{server.fds()} descriptors still open")
    serves_again(server)
    for client in served:
        client.close()


def ended(served, refused):
    for client in list(served):
        client.setblocking(False)
        try:
            client.recv(1)
        except BlockingIOError:
            continue
        except ConnectionError:
            pass
        finally:
            client.settimeout(10)
        served.remove(client)
        refused.append(client)


def full_table(server, _=None):
    """With no descriptor left the server waits without spinning, and serves again when there is room."""
    limit = server.fds() + 40
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    clients = [server.connect() for _ in range(80)]
    for client in clients:
        try:
            client.sendall(b"hello")
        except ConnectionError:
            pass  # refused already
    served = [client for client in clients if answered(client)]
    bb.check(30 <= len(served) <= 40, f"{len(served)} of 80 served with room for 40")
    cpu, start = server.cpu(), time.monotonic()
    time.sleep(1)
    bb.check(server.cpu() - cpu < 0.3 * (time.monotonic() - start), "spins while its descriptor table is full")
    talk(served, "we are still served")
    for client in served:
        client.close()
    for client in set(clients) - set(served):  # served now, or refused: but told so
        try:
            bb.check(client.recv(5, socket.MSG_WAITALL) in (b"hello", b""), "a client got something else")
        except ConnectionError:
            pass
        client.close()
    serves_again(server)


def serves_again(server):
    """The server may meet a newcomer before it has seen that others left: it may refuse a few first."""
    for _ in range(50):
        try:
            return server.serves()
        except (ConnectionError, bb.Failed):
            time.sleep(0.05)
    server.serves()


def answered(client):
    client.settimeout(0.02)
    try:
        return client.recv(5, socket.MSG_WAITALL) == b"hello"
    except OSError:
        return False
    finally:
        client.settimeout(10)


bb.main(crowd, surplus, full_table)
