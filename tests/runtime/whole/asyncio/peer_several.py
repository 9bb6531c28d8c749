"""More of peer.py: calls that wait for several tasks, and shield()."""
# SPDX-License-Identifier: MIT

import asyncio

from peer import cancel_all, checkpoint


class Scope:
    """The tasks of one call that ends when they have, as all such calls of heddle do."""

    def __init__(self, coroutines):
        self.tasks = []
        self.finished = []
        self.left = 0
        self.waiter = None
        self.stops_all = bool  # whether one that fails, or is cancelled, stops the others
        for coroutine in coroutines:
            task = asyncio.get_running_loop().create_task(coroutine)
            task.owner = self
            self.left += 1
            self.tasks.append(task)

    def child_done(self, child):
        self.left -= 1
        self.finished.append(child)
        if (child.cancelled() or child.exception()) and self.stops_all():
            self.stops_all = bool
            cancel_all(self.tasks)
        if self.left == 0 and self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def join(self, pass_on):
        """Waits for all of them; whether there were requests meanwhile, which are passed on to them or not."""
        asked = False
        while self.left:
            try:
                checkpoint()
                self.waiter = asyncio.get_running_loop().create_future()
                await self.waiter
            except asyncio.CancelledError:
                asked = True
                if pass_on:
                    cancel_all(self.tasks)
        return asked


def newest_first(outer):
    outer._children = outer._children[::-1]
    return outer


async def gather(coroutines):
    """asyncio.gather(). Difference 10: what is not done when it ends is stopped, and it waits for that."""
    task = asyncio.current_task()
    scope = Scope(coroutines)
    outer = newest_first(asyncio.gather(*scope.tasks))
    scope.stops_all = lambda: not outer._cancel_requested
    scope.is_being_stopped = lambda: outer._cancel_requested and outer.done() and scope.left > 0
    failure = None
    task.gathers = scope
    try:
        await outer
    except BaseException as error:
        failure = error
    if failure is None:
        task.gathers = None
        return
    # When one of its own has ended it, they are all asked to stop once, whoever asks it to stop after that.
    asked = await scope.join(pass_on=scope.stops_all is not bool) or outer._cancel_requested
    task.gathers = None
    errors = [child.exception() for child in scope.finished if not child.cancelled() and child.exception()]
    # Difference 11: an error is not lost to a request to stop, nor the request to the error.
    if errors:
        if asked:
            task.put_off()
        raise errors[0]
    raise failure


async def gather_settled(coroutines):
    """Outcomes, as gather(return_exceptions=True)."""
    scope = Scope(coroutines)
    return await newest_first(asyncio.gather(*scope.tasks, return_exceptions=True))


async def as_completed(coroutines, count, note):
    """asyncio.as_completed() of Python 3.13, which yields the tasks themselves, for the first `count` of them."""
    task = asyncio.current_task()
    scope = Scope(coroutines)
    done = asyncio.Queue()
    for child in scope.tasks:
        child.add_done_callback(lambda child: done.put_nowait(child))
    failure = None
    try:
        for _ in range(count):
            checkpoint()
            note(await done.get())
    except asyncio.CancelledError as error:
        failure = error
    # Difference 10 again.
    cancel_all(child for child in scope.tasks if not child.done())
    asked = await scope.join(pass_on=False)
    if failure is not None:
        raise failure
    if asked:
        task.put_off()


async def shield(task):
    checkpoint()
    await asyncio.shield(task)
