"""Runs programs on asyncio and writes down what happens; player.cpp does the same on heddle."""
# SPDX-License-Identifier: MIT

import asyncio

import peer
import peer_several
import peer_sync
import programs
from peer import checkpoint

HOUR = 3_600_000
ROUNDS = 60  # in which main cancels what is left
ROUNDS_HELD = 3  # later a hold() doesn't keep them back
MODES = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)


class Fail(Exception):
    pass


def in_words(error):
    if error is None:
        return "done"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, Fail):
        return f"fail {error.args[0]}"
    if isinstance(error, peer_sync.QueueShutDown):
        return "shut down"
    if isinstance(error, BaseExceptionGroup):
        return "group(" + ", ".join(map(in_words, error.exceptions)) + ")"
    return f"{type(error).__name__}: {error}"


class World:
    def __init__(self, program):
        self.program = program
        self.loop = peer.VirtualLoop()
        self.log = []
        self.tasks = {}
        self.groups = {}
        self.queues = [peer_sync.Queue(size) for size in programs.QUEUES]
        self.locks = [peer_sync.Lock() for _ in range(programs.LOCKS)]
        self.semaphores = [asyncio.Semaphore(permits) for permits in programs.SEMAPHORES]
        self.conditions = [peer_sync.Condition() for _ in range(programs.CONDITIONS)]
        self.events = [asyncio.Event() for _ in range(programs.EVENTS)]

    def say(self, task, step, what):
        self.log.append(f"{self.loop.now} {task} {step} {what}")

    def run(self):
        try:
            self.loop.run_until_complete(self.main())
        finally:
            self.loop.close()
        return self.log

    async def main(self):
        main = asyncio.current_task()
        for i, block in enumerate(self.program):
            self.start(i + 1, block)
        await asyncio.wait([self.tasks[i + 1] for i in range(len(self.program))], timeout=HOUR)
        await asyncio.sleep(1)  # who goes on in the moment of the last one's end is no matter then: difference 16
        for round in range(ROUNDS):
            left = [task for task in self.loop.tasks if not task.done() and task is not main]
            if not left:
                break
            self.say(0, 0, f"cancels {len(left)}")
            for task in left:
                task.cancel(level=0 if round < ROUNDS_HELD else len(task.holds))
            await asyncio.sleep(1)
        else:
            self.say(0, 0, "gives up")

    def start(self, number, block):
        self.tasks[number] = self.loop.create_task(self.life(number, block))

    async def life(self, me, steps):
        self.tasks[me] = asyncio.current_task()
        self.say(me, 0, "starts")
        error = None
        try:
            await self.all(me, steps)
        except BaseException as problem:
            error = problem
            raise
        finally:
            self.say(me, 0, in_words(error))

    async def all(self, me, steps):
        for kind, number, args, blocks in steps:
            what, error = None, None
            try:
                what = await getattr(self, "do_" + kind)(me, *args, *blocks)
            except BaseException as problem:
                error = problem
                raise
            finally:
                self.say(me, number, what or in_words(error))

    async def do_sleep(self, me, time):
        checkpoint()
        await asyncio.sleep(time)

    async def do_yield(self, me):
        await peer.yield_once()

    async def do_spawn(self, me, number, block):
        self.start(number, block)

    async def do_join(self, me, number):
        if number not in self.tasks:
            return "nobody"
        if self.tasks[number].done():
            checkpoint()
        await self.tasks[number]

    async def do_cancel(self, me, number):
        if number not in self.tasks:
            return "nobody"
        return "asked" if self.tasks[number].cancel() else "too late"

    async def do_cancel_self(self, me):
        asyncio.current_task().cancel()

    async def do_cancel_later(self, me, number, time):
        def cancel():
            if number in self.tasks:
                self.say(0, me, f"asks {number}" if self.tasks[number].cancel() else f"asks {number} too late")

        peer.call_later(time, cancel)

    async def do_uncancel(self, me, number):
        if number and number not in self.tasks:
            return "nobody"
        task = self.tasks[number] if number else asyncio.current_task()
        return f"left {task.uncancel()}"

    async def do_cancelling(self, me):
        return f"requests {asyncio.current_task().cancelling()}"

    async def do_timeout(self, me, time, body):
        await peer.timeout(time, self.all(me, body))

    async def do_hold(self, me, body):
        await peer.hold(self.all(me, body))

    async def do_group(self, me, number, body):
        group = self.groups[number] = peer.Group()
        try:
            await group.run(self.all(me, body))
        finally:
            del self.groups[number]

    async def do_group_spawn(self, me, group, number, block):
        if group not in self.groups or self.groups[group].closed:
            return "nobody"
        self.tasks[number] = self.groups[group].spawn(self.life(number, block))

    async def do_fail(self, me, number):
        raise Fail(number)

    async def do_throw(self, me):
        raise asyncio.CancelledError

    async def do_catch(self, me, body, handler):
        try:
            await self.all(me, body)
            return "done"
        except asyncio.CancelledError:
            pass
        await self.all(me, handler)
        return "caught"

    async def do_rescue(self, me, body, handler):
        try:
            await self.all(me, body)
            return "done"
        except Exception:
            pass
        await self.all(me, handler)
        return "rescued"

    async def do_finally(self, me, body, cleanup):
        try:
            await self.all(me, body)
        finally:
            await self.all(me, cleanup)

    def lives(self, numbers, blocks):
        return [self.life(number, block) for number, block in zip(numbers, blocks)]

    async def do_gather(self, me, *numbers_and_blocks):
        numbers, blocks = halves(numbers_and_blocks)
        await peer_several.gather(self.lives(numbers, blocks))

    async def do_settle(self, me, *numbers_and_blocks):
        numbers, blocks = halves(numbers_and_blocks)
        outcomes = await peer_several.gather_settled(self.lives(numbers, blocks))
        return ", ".join(map(in_words, outcomes))

    async def do_as_completed(self, me, count, *numbers_and_blocks):
        numbers, blocks = halves(numbers_and_blocks)

        def note(task):
            self.say(me, 0, "next: " + ("cancelled" if task.cancelled() else in_words(task.exception())))

        await peer_several.as_completed(self.lives(numbers, blocks), min(count, len(numbers)), note)

    async def do_wait(self, me, mode, time, *numbers):
        tasks = [self.tasks[number] for number in numbers if number in self.tasks]
        if not tasks:
            return "nobody"
        checkpoint()
        done, _ = await asyncio.wait(tasks, timeout=time or None, return_when=MODES[mode])
        return f"{len(done)} done"

    async def do_shield(self, me, number):
        if number not in self.tasks:
            return "nobody"
        await peer_several.shield(self.tasks[number])

    async def do_shield_new(self, me, number, block):
        self.start(number, block)
        await peer_several.shield(self.tasks[number])

    async def do_put(self, me, queue, item):
        await self.queues[queue].put(item)

    async def do_get(self, me, queue):
        return f"got {await self.queues[queue].get()}"

    async def do_put_nowait(self, me, queue, item):
        try:
            self.queues[queue].put_nowait(item)
        except asyncio.QueueFull:
            return "full"

    async def do_get_nowait(self, me, queue):
        try:
            return f"got {self.queues[queue].get_nowait()}"
        except asyncio.QueueEmpty:
            return "empty"

    async def do_task_done(self, me, queue):
        try:
            self.queues[queue].task_done()
        except ValueError:
            return "too often"

    async def do_join_queue(self, me, queue):
        await self.queues[queue].join()

    async def do_shutdown(self, me, queue, immediate):
        self.queues[queue].shutdown(immediate)

    async def do_notified(self, me, condition, body):
        checkpoint()
        async with self.conditions[condition].lock:
            await self.conditions[condition].wait()
            await self.all(me, body)

    async def do_notify(self, me, condition, count):
        checkpoint()
        async with self.conditions[condition].lock:
            self.conditions[condition].notify(count)

    async def do_locked(self, me, lock, body):
        checkpoint()
        async with self.locks[lock]:
            await self.all(me, body)

    async def do_permitted(self, me, semaphore, body):
        checkpoint()
        async with self.semaphores[semaphore]:
            await self.all(me, body)

    async def do_set(self, me, event):
        self.events[event].set()

    async def do_clear(self, me, event):
        self.events[event].clear()

    async def do_await_event(self, me, event):
        checkpoint()
        await self.events[event].wait()


def halves(numbers_and_blocks):
    half = len(numbers_and_blocks) // 2
    return numbers_and_blocks[:half], numbers_and_blocks[half:]


def play(program):
    return World(program).run()
