"""Plays histories again on Python's own selectors and compares keys, masks, readiness and error classes.

usage: replay.py PROGRAM FIRST COUNT      (PROGRAM is selector_histories, which prints what heddle's selectors did)

The differences that are known, and left out here, are listed in selector/README.md.
"""
# SPDX-License-Identifier: MIT

import collections
import contextlib
import ctypes
import os
import selectors
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

LIBC = ctypes.CDLL(None, use_errno=True)
TFD_NONBLOCK = os.O_NONBLOCK
NUMBERS = [*range(100, 108), *range(150, 154)]
CLASSES = {"select": selectors.SelectSelector, "poll": selectors.PollSelector, "epoll": selectors.EpollSelector}


@contextlib.contextmanager
def as_socket(number):
    """A socket object over the descriptor, which stays open; OSError when it is no socket."""
    end = socket.socket(fileno=number)
    try:
        yield end
    finally:
        end.detach()


class World:
    """The descriptors, at the same numbers as in history.cpp, and what each is."""

    def __init__(self):
        self.kinds = {}
        os.dup2(2, NUMBERS[-1] + 1, inheritable=False)  # select(2) passes over numbers beyond the descriptor table
        os.close(NUMBERS[-1] + 1)

    def place(self, fd, number, kind):
        os.dup2(fd, number, inheritable=False)
        os.close(fd)
        self.kinds[number] = kind

    def close(self, number):
        if self.kinds.pop(number, None):
            os.close(number)

    def close_all(self):
        for number in list(self.kinds):
            self.close(number)

    def open(self, slot, kind):
        a = 100 + 2 * int(slot)
        self.close(a)
        self.close(a + 1)
        if kind == "pipe":
            fds = os.pipe2(os.O_NONBLOCK)
        elif kind == "socketpair":
            fds = [end.detach() for end in socket.socketpair()]
        elif kind == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as server:
                client = socket.create_connection(server.getsockname())
                fds = [client.detach(), server.accept()[0].detach()]
        elif kind == "listener":
            fds = [socket.create_server(("127.0.0.1", 0), backlog=64).detach()]
        elif kind == "eventfd":
            fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)]
        elif kind == "timerfd":
            fds = [LIBC.timerfd_create(time.CLOCK_MONOTONIC, TFD_NONBLOCK)]
        else:
            fd, path = tempfile.mkstemp()
            os.unlink(path)
            fds = [fd]
        for number, fd in zip((a, a + 1), fds):
            os.set_blocking(fd, False)
            self.place(fd, number, kind)

    def dup(self, number, onto):
        if number in self.kinds and number != onto:
            os.dup2(number, onto, inheritable=False)
            self.kinds[onto] = self.kinds[number]

    def write(self, number):
        os.write(number, struct.pack("=Q", 1)[:8 if self.kinds[number] == "eventfd" else 1])

    def read(self, number):
        if self.kinds[number] == "listener":
            with as_socket(number) as server:
                server.accept()[0].close()
        else:
            while os.read(number, 65536):
                pass

    def fill(self, number):
        if self.kinds[number] in ("tcp", "file"):
            return
        if self.kinds[number] == "eventfd":
            os.write(number, struct.pack("=Q", 2**64 - 2))
            return
        for size in (65536, 1):
            with contextlib.suppress(BlockingIOError):
                while os.write(number, bytes(size)):
                    pass

    def halfclose(self, number):
        with as_socket(number) as end:
            end.shutdown(socket.SHUT_WR)

    def reset(self, number):
        with contextlib.suppress(OSError), as_socket(number) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(number)

    def poke(self, number):
        if self.kinds[number] == "timerfd":
            LIBC.timerfd_settime(number, 0, struct.pack("qqqq", 0, 0, 0, 1), None)
            poller = select.poll()
            poller.register(number, select.POLLIN)
            poller.poll(1000)
        elif self.kinds[number] == "listener" and number < 150 and number % 2 == 0:
            with as_socket(number) as server:
                address = server.getsockname()
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(OSError):
                client.connect(address)
            self.close(number + 1)
            self.place(client.detach(), number + 1, "tcp")

    def act(self, action, *arguments):
        if action == "open":
            self.open(*arguments)
            return
        arguments = [int(argument) for argument in arguments]
        if arguments[0] in self.kinds:
            with contextlib.suppress(OSError):
                getattr(self, action)(*arguments)


def result_of(call):
    try:
        call()
        return "ok"
    except ValueError:
        return "ValueError"
    except KeyError:
        return "KeyError"
    except OSError as error:
        return f"OSError {error.errno}"


class Contestant:
    def __init__(self, name):
        self.selector = CLASSES[name]()
        self.known = collections.Counter()  # differences that the README lists

    def call(self, action, fd, events, data, expected, foggy):
        selector = self.selector
        if action == "unregister":
            return result_of(lambda: selector.unregister(fd))
        if action == "modify" and events not in (1, 2, 3):
            self.known["modify with a mask that is not one"] += 1
            return "ValueError"
        result = result_of(lambda: getattr(selector, action)(fd, events, data))
        if action == "register" and result == "OSError 17" and expected == "ok":
            # The kernel still has the file under this number; heddle takes it over, Python gives up.
            self.known["a file back under its number"] += 1
            selector._selector.unregister(fd)
            result = result_of(lambda: selector.register(fd, events, data))
        if foggy and result != expected:
            self.known["modify after close"] += 1
            with contextlib.suppress(KeyError):
                selector.unregister(fd)
            if expected == "ok":
                selector.register(fd, events, data)
            result = expected
        return result

    def ready(self, fog):
        try:
            listed = self.selector.select(0)
        except OSError as error:
            return f"OSError {error.errno}"
        text = ""
        for key, events in sorted(listed, key=lambda pair: pair[0].fd):
            if self.selector.get_map()[key.fd] != key or key.fileobj != key.fd:
                text += f"outdated {key} "
            if key.fd not in fog:
                text += f"{key.fd}:{events} "
        return text


def split(result):
    """'?~104 ~106 ok' -> ('ok', foggy, {104, 106})"""
    foggy = result.startswith("?")
    words = result.lstrip("?").split(" ")
    fog = {int(word[1:]) for word in words if word.startswith("~")}
    return " ".join(word for word in words if not word.startswith("~")), foggy, fog


def without(text, fog):
    return "".join(entry + " " for entry in text.split() if int(entry.split(":")[0]) not in fog) if ":" in text else text


def play(lines, totals):
    world = World()
    contestants = {name: Contestant(name) for name in CLASSES}
    try:
        for number, line in enumerate(lines):
            words, *results = [part.strip("\n") for part in line.split(" | ")]
            action, *arguments = words.split()
            results = dict(result.split("=", 1) for result in results)
            if action not in ("register", "modify", "unregister", "select"):
                world.act(action, *arguments)
                continue
            for name, result in results.items():
                contestant = contestants[name]
                expected, foggy, fog = split(result)
                if action == "select":
                    # TCP takes its time, and in two runs not the same.
                    for attempt in range(200):
                        got = contestant.ready(fog)
                        if got == without(expected, fog):
                            break
                        time.sleep(0.001)
                    expected = without(expected, fog)
                else:
                    fd, events, data = (*[int(word) for word in arguments], 0, 0)[:3]
                    got = contestant.call(action, fd, events, data, expected, foggy)
                if got != expected:
                    return f"line {number}: {words}\n  Python's {name}: {got}\n  heddle's:  {expected}"
        for contestant in contestants.values():
            totals.update(contestant.known)
        return None
    finally:
        for contestant in contestants.values():
            contestant.selector.close()
        world.close_all()


def main():
    program, first, count = sys.argv[1:]
    if not hasattr(os, "eventfd") or not hasattr(select, "epoll"):
        print("skipped: needs Python 3.10 on Linux")
        sys.exit(77)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    run = subprocess.run([program, first, count, "python"], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.returncode)
    histories = []
    for line in run.stdout.splitlines():
        if line.startswith("seed "):
            histories.append((line, []))
        else:
            histories[-1][1].append(line)
    totals = collections.Counter()
    for seed, lines in histories:
        failure = play(lines, totals)
        if failure:
            print(f"{seed} (`{program} {seed.split()[1]} 1 python` prints it): {failure}\n" + "\n".join(lines))
            sys.exit(1)
    print(f"{len(histories)} histories, {sum(len(lines) for _, lines in histories)} steps: Python's selectors agree")
    for difference, times in totals.items():
        print(f"  {times} times the known difference: {difference}")


main()
