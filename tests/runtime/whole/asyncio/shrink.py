"""Makes a program that shows a difference small: whatever can be left out is left out."""
# SPDX-License-Identifier: MIT

import copy


def places(program):
    """Every (block, index) of a program, the outer ones first."""
    found = []

    def walk(block):
        for i, step in enumerate(block):
            found.append((block, i))
            for inner in step[3]:
                walk(inner)

    for block in program:
        walk(block)
    return found


def smaller(program):
    """Programs that are a little smaller, those that are much smaller first."""
    for i, block in enumerate(program):
        if block:
            yield [[] if j == i else other for j, other in enumerate(program)]
    if program and not program[-1]:
        yield program[:-1]
    for at in range(len(places(program))):
        copied = copy.deepcopy(program)
        block, i = places(copied)[at]
        del block[i]
        yield copied
    for at in range(len(places(program))):
        block, i = places(program)[at]
        for which in range(len(block[i][3])):  # its block in the place of the step
            copied = copy.deepcopy(program)
            block, i = places(copied)[at]
            block[i : i + 1] = block[i][3][which]
            yield copied
    for at in range(len(places(program))):
        block, i = places(program)[at]
        kind, _, args, _ = block[i]
        for which, value in enumerate(args):
            times = {"sleep": [0], "timeout": [0], "cancel_later": [1], "wait": [1]}.get(kind, [])
            for less in [value // 2, value - 1] if which in times and value > 1 else []:
                copied = copy.deepcopy(program)
                block, i = places(copied)[at]
                block[i][2][which] = less
                yield copied


def shrink(program, differs, most=3000):
    """The smallest program that is found of which `differs` is still true."""
    tried = 0
    again = True
    while again and tried < most:
        again = False
        for candidate in smaller(program):
            tried += 1
            if differs(candidate):
                program, again = candidate, True
                break
            if tried >= most:
                break
    return program
