"""The same by Python: `process_python.py asyncio|subprocess COUNT AT_A_TIME`."""
# SPDX-License-Identifier: MIT

import asyncio
import subprocess
import sys
import time

how, left, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def run_some():
    global left
    while left > 0:
        left -= 1
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0


async def run_all():
    await asyncio.gather(*(run_some() for _ in range(at_a_time)))


if how == "asyncio":
    asyncio.run(run_all())
else:
    alive = []
    while left > 0 or alive:
        while left > 0 and len(alive) < at_a_time:
            left -= 1
            alive.append(subprocess.Popen(["/bin/true"]))
        assert alive.pop(0).wait() == 0
print(round(1e6 * time.process_time()))
