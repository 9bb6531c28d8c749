"""Random programs: made by a seed, as text that both interpreters read, and in words.

A program is a list of blocks, one for each task that it begins with. A block is a list of steps, and a step a list
[kind, number, arguments, blocks]. As text a step is "( kind number argument... [ step... ]... )", a program one line:
"seed [ step... ] [ step... ]...". Tasks and steps have numbers of their own in the order in which they are written down;
the tasks that a program begins with are 1, 2, ...; each step is done once at most, so each task runs once at most.
"""
# SPDX-License-Identifier: MIT

import random

FEATURES = {
    # What steps a program may have (and how often), by what is to be compared.
    "tasks": {"spawn": 8, "join": 7},
    "cancels": {"cancel": 8, "cancel_later": 4, "cancel_self": 2},
    "uncancel": {"uncancel": 2, "cancelling": 2},
    "timeouts": {"timeout": 10},
    "groups": {"group": 8, "group_spawn": 8},
    "failures": {"fail": 1, "rescue": 4},
    "catches": {"catch": 7, "finally": 6},
    "throws": {"throw": 1},
    "gathers": {"gather": 5},
    "settles": {"settle": 4},
    "waits": {"wait": 5, "as_completed": 3},
    "shields": {"shield": 5, "shield_new": 3},
    "holds": {"hold": 5},
    "queues": {"put": 5, "get": 5, "put_nowait": 1, "get_nowait": 1},
    "queue_ends": {"put": 3, "get": 3, "task_done": 4, "join_queue": 3, "shutdown": 1},
    "conditions": {"notified": 6, "notify": 6},
    "locks": {"locked": 5, "permitted": 4},
    "events": {"set": 3, "clear": 1, "await_event": 4},
}
ALWAYS = {"sleep": 14, "yield": 5}
USUAL = ("tasks", "cancels", "catches")
TASK_STARTERS = {"spawn": 1, "group_spawn": 1, "shield_new": 1}  # how many tasks each starts
BODIES = {"timeout": 1, "group": 1, "rescue": 2, "catch": 2, "finally": 2, "locked": 1, "permitted": 1, "hold": 1, "notified": 1}
LOCKS, SEMAPHORES, QUEUES, EVENTS, CONDITIONS = 2, (1, 2), (0, 1), 2, 1


class Maker:
    def __init__(self, seed, features):
        self.dice = random.Random(seed)
        # Each program has its own taste: a few kinds of steps, and a few moments, meet more often than many would.
        some = self.dice.sample(features, min(len(features), self.dice.randint(3, 7)))
        weights = dict(ALWAYS)
        for feature in features:
            if feature in some or feature in USUAL and self.dice.random() < 0.7:
                weights.update(FEATURES[feature])
        self.weights = {kind: weight * self.dice.choice((0.5, 1, 1, 2, 4)) for kind, weight in weights.items()}
        self.weights["sleep"] = max(self.weights["sleep"], 10)
        self.longest = self.dice.choice((2, 4, 9))
        self.tasks = 0
        self.steps = 0
        self.left = self.dice.randint(6, 45)  # steps
        self.begun = [0]  # tasks that somebody may refer to

    def number(self):
        self.steps += 1
        return self.steps

    def task(self):
        self.tasks += 1
        self.begun.append(self.tasks)
        return self.tasks

    def program(self):
        count = self.dice.randint(1, 4)
        self.begun += range(1, count + 1)
        self.tasks = count
        return [self.kept_request() + self.block(1 + self.dice.randint(0, 7), 4, [], i + 1) for i in range(count)]

    def block(self, most, depth, groups, owner):
        steps = []
        for _ in range(most):
            if self.left <= 0 and steps:
                break
            steps.append(self.step(depth, groups, owner))
        return steps

    def some_task(self):
        return self.dice.choice(self.begun[1:])

    def joinable(self, owner):
        """Tasks of a higher number: so no two wait for each other."""
        later = [task for task in self.begun if task > owner]
        return later or None

    def step(self, depth, groups, owner):
        dice = self.dice
        self.left -= 1
        number = self.number()
        while True:
            kind = dice.choices(list(self.weights), list(self.weights.values()))[0]
            if depth <= 0 and (kind in BODIES or kind in TASK_STARTERS or kind in ("gather", "settle", "as_completed")):
                continue
            if kind == "group_spawn" and not groups:
                if "group" not in self.weights:
                    continue
                kind = "group"
            if kind in ("join", "shield", "wait") and not self.joinable(owner):
                kind = "sleep" if kind == "wait" or "spawn" not in self.weights else "spawn"
                if depth <= 0:
                    continue
            break
        args, blocks = [], []
        inner = lambda inside=groups, most=4: self.block(dice.randint(1, most), depth - 1, inside, owner)
        limited = lambda: self.life(depth - 1, groups, owner) if dice.random() < 0.5 else inner()
        child = lambda inside=groups: self.child(depth - 1, inside)
        if kind == "sleep":
            args = [dice.randint(1, self.longest)]
        elif kind in ("spawn", "shield_new"):
            task, block = child()
            args, blocks = [task], [block]
        elif kind in ("join", "shield"):
            args = [dice.choice(self.joinable(owner))]
        elif kind == "cancel":
            args = [self.some_task()]
        elif kind == "uncancel":
            args = [self.some_task() if dice.random() < 0.3 else 0]
        elif kind == "cancel_later":
            args = [self.some_task(), dice.randint(1, self.longest)]
        elif kind == "timeout":
            args, blocks = [dice.randint(1, self.longest)], [limited()]
        elif kind == "hold":
            blocks = [limited()]
        elif kind == "group":
            args, blocks = [number], [inner(groups + [number], 5)]
            while dice.random() < 0.6 and "group_spawn" in self.weights:
                task, block = self.child(depth - 1, groups + [number])
                starter = ["group_spawn", self.number(), [number, task], [block]]
                blocks[0].insert(dice.randint(0, len(blocks[0])), starter)
        elif kind == "group_spawn":
            task, block = child()
            args, blocks = [groups[-1] if dice.random() < 0.8 else dice.choice(groups), task], [block]
        elif kind == "fail":
            args = [number]
        elif kind in ("rescue", "catch", "finally"):
            blocks = [inner(), inner(most=2)]
        elif kind in ("gather", "settle", "as_completed"):
            for _ in range(dice.randint(1, 3)):
                task, block = child()
                args.append(task)
                blocks.append(block)
            if kind == "as_completed":
                args.insert(0, dice.randint(1, len(args)))
        elif kind == "wait":
            later = self.joinable(owner)
            args = [dice.randint(0, 2), dice.choice((0, 0, 1, 3, 6))]
            args += dice.sample(later, min(len(later), dice.randint(1, 3)))
        elif kind in ("put", "put_nowait"):
            args = [dice.randrange(len(QUEUES)), number]
        elif kind == "shutdown":
            args = [dice.randrange(len(QUEUES)), dice.randrange(2)]
        elif kind == "notified":
            # No joins inside: of two tasks one may wait for the other, and that for the lock, which no request to stop can change.
            join, self.weights["join"] = self.weights.get("join", 0), 0
            args, blocks = [dice.randrange(CONDITIONS)], [inner(most=2)]
            self.weights["join"] = join
        elif kind == "notify":
            args = [dice.randrange(CONDITIONS), dice.randint(1, 2)]
        elif kind in ("get", "get_nowait", "task_done", "join_queue"):
            args = [dice.randrange(len(QUEUES))]
        elif kind == "locked":
            args, blocks = [dice.randrange(LOCKS)], [inner(most=2)]
        elif kind == "permitted":
            args, blocks = [dice.randrange(len(SEMAPHORES))], [inner(most=2)]
        elif kind in ("set", "clear", "await_event"):
            args = [dice.randrange(EVENTS)]
        return [kind, number, args, blocks]

    def child(self, depth, groups):
        task = self.task()
        return task, self.life(depth, groups, task)

    def life(self, depth, groups, owner):
        """What is likely to meet something: a failure after a while, a wait with cleanup that takes its time; or anything."""
        dice = self.dice
        chance = dice.random()
        steps = self.kept_request()
        if chance < 0.2 and "fail" in self.weights:
            if dice.random() < 0.7:
                steps.append(self.plain("sleep", dice.randint(1, self.longest)))
            steps.append(self.plain("fail", self.steps + 1))
        elif chance < 0.6 and "catch" in self.weights:
            kind, number = dice.choice(("catch", "catch", "finally")), self.number()
            waits = [self.plain("sleep", self.longest + dice.randint(0, 4))]
            if dice.random() < 0.3:
                waits.insert(0, self.step(depth - 1, groups, owner))
            cleanup = [self.plain("sleep", dice.randint(1, self.longest)) if dice.random() < 0.7 else self.plain("yield")]
            if dice.random() < 0.4:
                cleanup.insert(dice.randint(0, 1), self.step(depth - 1, groups, owner))
            steps.append([kind, number, [], [waits, cleanup]])
        if not steps or dice.random() < 0.3:
            steps += self.block(dice.randint(1, 4), depth, groups, owner)
        return steps

    def kept_request(self):
        """Sometimes a task has caught a request to stop already, and never taken it back."""
        if "cancel_self" not in self.weights or "catch" not in self.weights or self.dice.random() < 0.85:
            return []
        return [self.plain("cancel_self"), ["catch", self.number(), [], [[self.plain("yield")], []]]]

    def plain(self, kind, *args):
        self.left -= 1
        return [kind, self.number(), list(args), []]


def make(seed, features):
    return Maker(seed, features).program()


def block_text(steps):
    return "[ " + "".join(step_text(step) + " " for step in steps) + "]"


def step_text(step):
    kind, number, args, blocks = step
    return " ".join(["(", kind, str(number), *map(str, args), *map(block_text, blocks), ")"])


def text(seed, program):
    return " ".join([str(seed), *map(block_text, program)])


def parse(line):
    """What text() has written: seed and program."""
    tokens = iter(line.split())
    seed = int(next(tokens))

    def block():
        steps = []
        for token in tokens:
            if token == "]":
                return steps
            kind, number, args, blocks = next(tokens), int(next(tokens)), [], []
            for token in tokens:
                if token == ")":
                    break
                if token == "[":
                    blocks.append(block())
                else:
                    args.append(int(token))
            steps.append([kind, number, args, blocks])
        return steps

    return seed, [block() for _ in tokens]


def in_words(program):
    """For people: a line a step."""
    lines = []

    def write(steps, indent):
        for kind, number, args, blocks in steps:
            lines.append(f"{number:>4}  {'  ' * indent}{kind} {' '.join(map(str, args))}".rstrip())
            for i, block in enumerate(blocks):
                if i:
                    lines.append(f"      {'  ' * indent}then" if kind in BODIES else f"      {'  ' * indent}and")
                write(block, indent + 1)

    for i, block in enumerate(program):
        lines.append(f"task {i + 1}")
        write(block, 1)
    return "\n".join(lines)
