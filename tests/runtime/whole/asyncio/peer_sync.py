"""More of peer.py: what tasks wait at for each other. Semaphores and events are asyncio's own."""
# SPDX-License-Identifier: MIT

import asyncio
import collections

from peer import checkpoint


class Lock(asyncio.Lock):
    """Difference 13: who is to be stopped, but has not had its turn yet, is passed over."""

    def _wake_up_first(self):
        waiter = next((waiter for waiter in self._waiters or () if not waiter.cancelled()), None)
        if waiter is not None and not waiter.done():
            waiter.set_result(True)


class QueueShutDown(Exception):
    pass


class Queue:
    """asyncio.Queue of Python 3.13. Difference 12: items and places are handed to who has waited longest: nobody overtakes."""

    def __init__(self, maxsize):
        self.maxsize = maxsize
        self.items = collections.deque()
        self.getters = collections.deque()
        self.putters = collections.deque()
        self.joiners = collections.deque()
        self.unfinished = 0
        self.shut_down = False

    @staticmethod
    async def wait(waiters, item=None):
        waiter = asyncio.get_running_loop().create_future()
        waiters.append((waiter, item))
        return await waiter

    @staticmethod
    def first(waiters):
        """Who waits longest, and isn't to be stopped."""
        while waiters:
            waiter, item = waiters.popleft()
            if not waiter.done():
                return waiter, item
        return None

    def put_nowait(self, item):
        if self.shut_down:
            raise QueueShutDown
        if getter := self.first(self.getters):
            getter[0].set_result(item)
        elif not self.maxsize or len(self.items) < self.maxsize:
            self.items.append(item)
        else:
            raise asyncio.QueueFull
        self.unfinished += 1

    def get_nowait(self):
        if not self.items:
            raise QueueShutDown if self.shut_down else asyncio.QueueEmpty
        item = self.items.popleft()
        if putter := self.first(self.putters):
            self.items.append(putter[1])
            self.unfinished += 1
            putter[0].set_result(None)
        return item

    async def put(self, item):
        checkpoint()
        try:
            self.put_nowait(item)
        except asyncio.QueueFull:
            await self.wait(self.putters, item)

    async def get(self):
        checkpoint()
        try:
            return self.get_nowait()
        except asyncio.QueueEmpty:
            return await self.wait(self.getters)

    def shutdown(self, immediate):
        self.shut_down = True
        if immediate:
            self.finish(len(self.items))
            self.items.clear()
        for waiters in (self.getters, self.putters):
            while waiter := self.first(waiters):
                waiter[0].set_exception(QueueShutDown())

    def finish(self, count):
        self.unfinished -= min(count, self.unfinished)
        while not self.unfinished and (joiner := self.first(self.joiners)):
            joiner[0].set_result(None)

    def task_done(self):
        if not self.unfinished:
            raise ValueError
        self.finish(1)

    async def join(self):
        checkpoint()
        if self.unfinished:
            await self.wait(self.joiners)


class Notification(asyncio.Future):
    """Who waits for a condition: for its notification, and then for the lock."""

    stopped = notified = False

    def cancel(self, msg=None):
        if self.stopped:
            return True
        if self.notified or self.done():
            return False
        self.stopped = True
        self.condition.waiters.remove(self)
        if self.condition.lock_at_once():
            return super().cancel(msg)
        self.condition.queue_for_lock(self)
        return True


class Condition:
    """asyncio.Condition. Difference 13: who is notified, or stopped, queues for the lock there and then, not when its turn comes."""

    def __init__(self):
        self.lock = Lock()
        self.lock._waiters = collections.deque()
        self.waiters = []

    def lock_at_once(self):
        if self.lock.locked() or not all(waiter.cancelled() for waiter in self.lock._waiters):
            return False
        self.lock._locked = True
        return True

    def queue_for_lock(self, waiter):
        self.lock._waiters.append(waiter)

    async def wait(self):
        checkpoint()
        waiter = Notification()
        waiter.condition = self
        self.waiters.append(waiter)
        self.lock.release()
        await waiter
        self.lock._waiters.remove(waiter)
        self.lock._locked = True
        if waiter.stopped:
            raise asyncio.CancelledError

    def notify(self, count):
        for waiter in self.waiters[:count]:
            waiter.notified = True
            self.queue_for_lock(waiter)
        del self.waiters[:count]
