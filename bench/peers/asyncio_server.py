"""Echo over asyncio, or over uvloop: usage: asyncio_server.py asyncio|uvloop [--mode M] [--unix PATH] [--port P]

Echo is a Protocol, asyncio's fastest; the handlers of `busy` are over sockets, as a coroutine would be written.
"""
# SPDX-License-Identifier: MIT

import argparse
import asyncio
import resource
import signal
import socket


class Echo(asyncio.Protocol):
    transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def with_timer(client):
    """Sleeps between reading a message and answering it."""
    loop = asyncio.get_running_loop()
    while message := await loop.sock_recv(client, 64):
        await asyncio.sleep(0.001)
        await loop.sock_sendall(client, message)
    client.close()


async def work(jobs, results):
    while message := await jobs.get():
        await results.put(message)


async def with_queue(client):
    """Hands each message to another task through one queue and awaits its answer from another."""
    loop = asyncio.get_running_loop()
    jobs, results = asyncio.Queue(1), asyncio.Queue(1)
    worker = asyncio.create_task(work(jobs, results))
    while message := await loop.sock_recv(client, 64):
        await jobs.put(message)
        await loop.sock_sendall(client, await results.get())
    await jobs.put(b"")
    await worker
    client.close()


async def serve(listener, mode):
    loop = asyncio.get_running_loop()
    handler = {"timer": with_timer, "queue": with_queue}[mode]
    tasks = set()
    while True:
        client, _ = await loop.sock_accept(listener)
        if client.family == socket.AF_INET:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(handler(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def main(options):
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    listener = socket.socket(socket.AF_UNIX if options.unix else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(options.unix or ("127.0.0.1", options.port))
    listener.listen(4096)
    listener.setblocking(False)
    print("listening on", options.unix or "{}:{}".format(*listener.getsockname()), flush=True)
    if options.mode == "echo":
        create = loop.create_unix_server if options.unix else loop.create_server
        await create(Echo, sock=listener, backlog=4096)
        await stopped.wait()
    else:
        serving = asyncio.create_task(serve(listener, options.mode))
        await stopped.wait()
        serving.cancel()


parser = argparse.ArgumentParser()
parser.add_argument("runtime", choices=["asyncio", "uvloop"])
parser.add_argument("--mode", default="echo")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--unix")
parser.add_argument("--selector")
arguments = parser.parse_args()
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
if arguments.runtime == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main(arguments))
