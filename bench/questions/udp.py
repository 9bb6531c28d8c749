"""What does a datagram cost the server that echoes it, many by each call, beside the bare calls? And what, where the kernel
cuts and puts together (UDP_SEGMENT, UDP_GRO)?
"""
# SPDX-License-Identifier: MIT

from questions import common, plot

FLOOR = "raw C recvmmsg, sendmmsg"
PEERS = {FLOOR: "bench/raw_udp", common.OURS: "bench/heddle_udp"}
# row -> (what the server does, the load's options)
PLAIN, OFFLOAD = "1,200 B", "1,200 B, with those and offload"
ROWS = {
    "64 B": ("plain", {"size": 64}),
    PLAIN: ("plain", {"size": 1200}),
    "1,200 B, with ECN and addresses": ("details", {"size": 1200}),
    OFFLOAD: ("offload", {"size": 1200, "segments": 54, "batch": 2, "flight": 2}),
}
KEYS = ("per_second", "cpu_us", "lost")


def judge(figures):
    verdicts = common.Verdicts()
    for row, entries in figures.items():
        ratio = entries.get(common.OURS, {}).get("cpu_of_raw")
        if ratio:
            verdicts.check(f"CPU a datagram of the raw calls', {row}", ratio, 1.05, "x")
    if common.OURS in figures.get(PLAIN, {}) and common.OURS in figures.get(OFFLOAD, {}):
        verdicts.check("CPU a datagram with offload, of without", figures[OFFLOAD][common.OURS]["cpu_us"]
                       / figures[PLAIN][common.OURS]["cpu_us"], 1 / 3, "x")
    return verdicts


def run(build, options):
    servers = common.programs(build, options, PEERS)
    times = {"seconds": 0.02, "warm": 0.01} if options.quick else {"seconds": 0.25, "warm": 0.05}
    figures = {}
    for row, (mode, traffic) in ROWS.items():
        if options.row and not any(word.lower() in row.lower() for word in options.row):
            continue
        common.progress(row)
        results = common.loaded_rounds(
            build, options.rounds or (1 if options.quick else 25),
            {name: ([*command, "--mode", mode], "tcp", {"program": "udp_load", **traffic, **times})
             for name, command in servers.items()})
        figures[row] = {}
        for name, rounds in results.items():
            entry = {key: round(common.median([r[key] for r in rounds]), 4) for key in KEYS}
            if FLOOR in results:
                entry["cpu_of_raw"] = round(common.ratios(rounds, results[FLOOR], "cpu_us")[1], 3)
                entry["rate_of_raw"] = round(common.ratios(rounds, results[FLOOR], "per_second")[1], 3)
            figures[row][name] = entry
    text = ("## What a datagram costs\n\nEcho over loopback, some hundred datagrams in flight, up to 64 by each call, with offload "
            "16 of up to 54 segments; server and load on a core each; CPU is the server's time on its core a datagram, kernel "
            "included. Medians of interleaved rounds.\n\n")
    text += common.markdown(
        ["traffic", "server", "datagrams/s", "of raw", "CPU, us", "of raw"],
        [[row, common.bold(name), f"{e['per_second']:,.0f}", f"{e['rate_of_raw']:.2f}x" if "rate_of_raw" in e else "-",
          f"{e['cpu_us']:.3f}", f"{e['cpu_of_raw']:.2f}x" if "cpu_of_raw" in e else "-"]
         for row, entries in figures.items() for name, e in entries.items()])
    panels = {f"{row}: CPU a datagram, us": {name: e["cpu_us"] for name, e in entries.items()}
              for row, entries in figures.items()}
    common.publish("udp", text + judge(figures).text(), figures,
                   plot.bars(panels, {**common.COLOURS, FLOOR: common.COLOURS[common.FLOOR]}))
