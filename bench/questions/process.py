"""What does it take to start a child process, /bin/true, and wait for its end? One and eight at a time, on one core."""
# SPDX-License-Identifier: MIT

import os
import subprocess
import time

from questions import common, plot

RAW = "raw posix_spawn, waitpid"
AT_A_TIME = (1, 8)


def run(build, options):
    script = str(common.ROOT / "bench/micro/process_python.py")
    commands = {common.OURS: [str(build / "bench/process_heddle")], RAW: [str(build / "bench/process_raw")],
                "Python asyncio": [common.PYTHON, "-B", script, "asyncio"],
                "Python subprocess": [common.PYTHON, "-B", script, "subprocess"]}
    for name in list(commands):
        if not os.path.exists(commands[name][0]) or (options.only and not any(w.lower() in name.lower() for w in options.only)):
            common.left_out(name, "not built, or not asked for")
            del commands[name]
    count = 20 if options.quick else 100

    def took(name, number, at_a_time):
        began = time.monotonic()
        done = subprocess.run([*commands[name], str(number), str(at_a_time)], check=False, start_new_session=True,
                              preexec_fn=common.on_the_servers_core, capture_output=True, timeout=120)
        if done.returncode:
            raise common.LeftOut(f"it fails: {done.stderr[-200:]!r}")
        return (time.monotonic() - began) * 1e6, float(done.stdout)

    def measure(name):
        row = {}
        for at_a_time in AT_A_TIME:  # what starting and stopping the program costs drops out of the difference
            fewer, more = took(name, count, at_a_time), took(name, 3 * count, at_a_time)
            row[f"us_{at_a_time}"] = (more[0] - fewer[0]) / (2 * count)
            row[f"cpu_{at_a_time}"] = (more[1] - fewer[1]) / (2 * count)
        return row

    results = common.rounds(options.rounds or (1 if options.quick else 5), commands, measure)
    figures = {name: {key: round(common.median([r[key] for r in rounds]), 1) for key in rounds[0]}
               for name, rounds in results.items() if rounds}
    table = common.markdown(["by", "one at a time, us", "CPU, us", "eight at a time, us each", "CPU, us"],
                            [[common.bold(name)] + [f"{e[f'{key}_{n}']:,.0f}" for n in AT_A_TIME for key in ("us", "cpu")]
                             for name, e in figures.items()])
    verdicts = common.Verdicts()
    if common.OURS in results and RAW in results:
        for n in AT_A_TIME:
            middle = common.ratios(results[common.OURS], results[RAW], f"cpu_{n}")[1]
            verdicts.lines.append(f"- {n} at a time: {middle:.2f}x the CPU of the raw calls")
    common.publish("process", "## Start a child and wait for its end\n\n/bin/true, on one core; CPU is without the child's.\n\n"
                   + table + verdicts.text(), figures,
                   plot.bars({f"{n} at a time: CPU, us": {name: e[f"cpu_{n}"] for name, e in figures.items()} for n in AT_A_TIME},
                             {**common.COLOURS, RAW: "#555555", "Python asyncio": "#1b7837", "Python subprocess": "#a6dba0"}, "{:,.0f}"))
