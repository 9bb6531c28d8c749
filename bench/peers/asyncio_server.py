"""Echo over asyncio, or over uvloop: usage: asyncio_server.py asyncio|uvloop [--mode M] [--unix PATH] [--port P]

Echo is a Protocol, the fastest that they have; the handlers of `busy` are over streams.
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


async def with_timer(reader, writer):
    """Sleeps between reading a message and answering it."""
    while message := await reader.read(64):
        await asyncio.sleep(0.001)
        writer.write(message)
        await writer.drain()
    writer.close()


async def work(jobs, results):
    while message := await jobs.get():
        await results.put(message)


async def with_queue(reader, writer):
    """Hands each message to another task through one queue and awaits its answer from another."""
    jobs, results = asyncio.Queue(1), asyncio.Queue(1)
    worker = asyncio.create_task(work(jobs, results))
    while message := await reader.read(64):
        await jobs.put(message)
        writer.write(await results.get())
        await writer.drain()
    await jobs.put(b"")
    await worker
    writer.close()


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
    else:
        handler = {"timer": with_timer, "queue": with_queue}[options.mode]
        start = asyncio.start_unix_server if options.unix else asyncio.start_server
        await start(handler, sock=listener, backlog=4096)
    await stopped.wait()


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
