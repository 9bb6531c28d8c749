"""asyncio as heddle means it: virtual time, and all differences that are meant, each at its place, with its reason.

README.md lists them; peer_several.py and peer_sync.py have some of them. What is not named there is Python 3.11's own asyncio: tasks,
futures, wait(), gather(), shield(), ...
"""
# SPDX-License-Identifier: MIT

import asyncio
import collections.abc
import heapq
import types


AT_ONCE = ("asyncio.tasks", "peer_several")  # whose functions are called by a task as it ends


class VirtualLoop(asyncio.BaseEventLoop):
    """Time moves when nobody is ready. What is due at one moment comes in the order in which it was asked for."""

    def __init__(self):
        super().__init__()
        self.now = 0
        self.timers = []
        self.asked = 0
        self.set_task_factory(PeerTask.make)
        self.set_exception_handler(lambda loop, context: None)
        self.tasks = []  # in the order in which they were started

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.asked += 1
        heapq.heappush(self.timers, (when, self.asked, handle))
        return handle

    def call_soon(self, callback, *args, context=None):
        # Difference 1: asyncio.tasks' own callbacks at a task's end take no turn of the loop.
        if isinstance(callback, types.FunctionType) and callback.__module__ in AT_ONCE:
            callback(*args)
            return None
        return super().call_soon(callback, *args, context=context)

    def _timer_handle_cancelled(self, handle):
        pass

    def _write_to_self(self):
        pass

    def _run_once(self):
        timers, ready = self.timers, self._ready
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready and timers:
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()


class Coroutine(collections.abc.Coroutine):
    """The coroutine of a PeerTask, seen each time that it goes on and when it ends."""

    def __init__(self, inner):
        self.inner = inner
        self.task = None
        self.late = False

    def go_on(self, function, *args):
        if self.late:
            self.late, self.task._must_cancel = False, True
        else:
            self.task.note_delivered()
        try:
            return function(*args)
        except StopIteration:
            # Difference 3: a result goes before a request to stop that nothing has thrown yet.
            self.task._must_cancel = False
            raise

    def send(self, value):
        return self.go_on(self.inner.send, value)

    def throw(self, *error):
        return self.go_on(self.inner.throw, *error)

    def close(self):
        self.inner.close()

    def __await__(self):
        raise NotImplementedError


class PeerTask(asyncio.tasks._PyTask):
    owner = None  # the group
    pending = 0  # requests whose Cancelled is still to be thrown
    deliveries = 0  # how often such were thrown
    holds = ()
    gathers = None  # the Scope of the gather() that it waits for
    yields = stopping = False  # it is in yield_once(); a Cancelled comes out of that

    @staticmethod
    def make(loop, coroutine, **how):
        wrapped = Coroutine(coroutine)
        task = PeerTask(wrapped, loop=loop, **how)
        wrapped.task = task
        task.holds = []
        loop.tasks.append(task)
        return task

    def _Task__wakeup(self, future):
        # Difference 2: a request to stop that comes when the task has what it waits for takes nothing away.
        if self._must_cancel and not future.cancelled():
            self._must_cancel = False
            self._coro.late = True
        super()._Task__wakeup(future)

    def _Future__schedule_callbacks(self):
        super()._Future__schedule_callbacks()
        if self.owner is not None:
            self.owner.child_done(self)

    # Difference 6: each request is accounted for by itself, as one that a hold() keeps back, one whose Cancelled is still to be
    # thrown (`pending`), or one whose Cancelled was thrown. Level n is the inside of n holds.

    def cancel(self, msg=None, level=0):
        if all_asked is not None:
            if self in all_asked:
                return not self.done()
            all_asked.add(self)
        if len(self.holds) > level and not self.done():
            self.holds[level].held += 1
            self._num_cancels_requested += 1
            return True
        if self.gathers is not None and not self.done() and self.gathers.is_being_stopped():
            # Difference 10: the call goes on until all have ended, and its requests until then make one Cancelled.
            self._num_cancels_requested += 1
            self.deliveries += 1
            cancel_all(self.gathers.tasks)
            return True
        asked = super().cancel(msg)
        if asked and self.yields:
            self.stopping = True
            self.deliveries += 1
        elif asked and self._must_cancel:
            self.pending += 1
        elif asked:
            self.deliveries += 1
        return asked

    def uncancel(self):
        if self.delivered() == 0:
            holder = next((hold for hold in self.holds if hold.held), None)
            if self.pending:
                self.pending -= 1
            elif holder:
                holder.held -= 1
        left = super().uncancel()
        self._must_cancel = self.stopping or self.pending > 0  # Python 3.13: none comes for a request that was taken back
        return left

    def note_delivered(self):
        if self.pending:
            self.pending = 0
            self.deliveries += 1

    def in_force(self):
        return self.cancelling() - sum(hold.held for hold in self.holds)

    def delivered(self):
        return self.in_force() - self.pending

    def request(self, level):
        """cancel() on behalf of a timeout or a group; yields what take_back() takes."""
        mark = self.holds[level].deliveries if len(self.holds) > level else self.deliveries
        self.cancel(level=level)
        return mark

    def take_back(self, mark):
        """How many others are left that aren't held."""
        if mark == self.deliveries and self.pending:
            self.pending -= 1
            self._num_cancels_requested -= 1
            self._must_cancel = self.pending > 0
        else:
            self.uncancel()
        return self.in_force()

    def put_off(self):
        """The Cancelled of a request comes out of the next await, after an error; as TaskGroup does it in Python 3.13."""
        if self.delivered():
            self.pending += 1
            self._must_cancel = True


async def yield_once():
    """asyncio.sleep(0). Difference 15: a Cancelled that is on its way comes, as out of any other wait."""
    checkpoint()
    task = asyncio.current_task()
    task.yields = True
    try:
        await asyncio.sleep(0)
    finally:
        task.yields = task.stopping = False


class Hold:
    def __init__(self, task):
        self.held, self.deliveries = task.pending, task.deliveries


async def hold(coroutine):
    """heddle's shield() of what is no task: requests from outside of it wait until it has ended."""
    task = asyncio.current_task()
    task.holds.append(Hold(task))
    task.pending, task._must_cancel = 0, False
    try:
        await coroutine
    finally:
        mine = task.holds.pop()
        task.deliveries = mine.deliveries
        task.pending += mine.held
        task._must_cancel = task.pending > 0


def checkpoint():
    """Difference 4: whatever is awaited throws for a request that is there already, before it does anything."""
    task = asyncio.current_task()
    if task._must_cancel:
        task._must_cancel = False
        task.note_delivered()
        raise asyncio.CancelledError


def call_later(delay, callback):
    """Difference 9: a callback queues behind the tasks whose sleep ended at the same moment, if that was asked for before."""
    loop = asyncio.get_running_loop()
    return loop.call_later(delay, loop.call_soon, callback)


async def timeout(delay, coroutine):
    """asyncio.timeout() of Python 3.13: older requests that were never taken back are not its own."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    before, level, own = task.delivered(), len(task.holds), None

    def expire():
        nonlocal own
        own = task.request(level)

    timer = loop.call_at(loop.time() + delay, expire)
    error = None
    try:
        await coroutine
    except BaseException as problem:
        error = problem
    timer.cancel()
    if own is not None and task.take_back(own) <= before and isinstance(error, asyncio.CancelledError):
        raise TimeoutError
    if error is not None:
        raise error


all_asked = None  # within cancel_all(): those that it has come to


def cancel_all(tasks):
    """Difference 14: the newest first. Difference 17: each once, also one that another of them joins."""
    global all_asked
    before = all_asked
    all_asked = set() if before is None else before
    try:
        for task in reversed(list(tasks)):
            task.cancel()
    finally:
        all_asked = before


class Group:
    """asyncio.TaskGroup of Python 3.13."""

    def __init__(self):
        self.parent = asyncio.current_task()
        self.before, self.level = self.parent.delivered(), len(self.parent.holds)
        self.children = {}  # as a set with an order
        self.errors = []
        self.aborting = self.closing = self.closed = False
        self.own = None  # the request to stop the body
        self.waiter = None

    def spawn(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        task.owner = self
        self.children[task] = True
        # Difference 5: where asyncio refuses, the task is cancelled before it starts.
        if self.aborting:
            task.cancel()
        return task

    def abort(self):
        self.aborting = True
        cancel_all(self.children)

    def child_done(self, child):
        del self.children[child]
        if not child.cancelled() and child.exception() is not None:
            self.errors.append(child.exception())
            if not self.aborting:
                self.abort()
                if not self.closing:
                    self.own = self.parent.request(self.level)
        if not self.children and self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def run(self, body):
        failure = None
        try:
            await body
        except BaseException as error:
            failure = error
        self.closing = True
        cancelled = isinstance(failure, asyncio.CancelledError)
        if failure is not None and not self.aborting:
            self.abort()
        # Difference 7: compared with the requests from before the group, as timeout() does, not with none.
        if self.own is not None and self.parent.take_back(self.own) <= self.before:
            cancelled = False
        while self.children:
            try:
                checkpoint()
                self.waiter = asyncio.get_running_loop().create_future()
                await self.waiter
            except asyncio.CancelledError:
                cancelled = True
                if not self.aborting:
                    self.abort()
            finally:
                self.waiter = None
        self.closed = True
        # Difference 8: one that the body has joined and let pass is in the group once.
        if failure is not None and not isinstance(failure, asyncio.CancelledError) and failure not in self.errors:
            self.errors.append(failure)
        if self.errors:
            if cancelled and self.parent.in_force() > self.before:
                self.parent.put_off()
            raise ExceptionGroup("a group", self.errors)
        if cancelled:
            raise asyncio.CancelledError
