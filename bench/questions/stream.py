"""How many bytes a second does one connection take, or give, and what do they cost the server, beside a raw loop?"""
# SPDX-License-Identifier: MIT

from questions import common, plot

PEERS = {common.FLOOR: "bench/raw_stream", common.OURS: "bench/heddle_stream"}
# row -> (family, what the server does, the load's options)
ROWS = {
    "TCP: received": ("tcp", "sink", {}),
    "TCP: sent": ("tcp", "source", {"receive": 1}),
    "Unix: received": ("unix", "sink", {}),
    "Unix: sent": ("unix", "source", {"receive": 1}),
}
KEYS = ("gb_per_second", "cpu_ms_per_gb")


def judge(figures):
    verdicts = common.Verdicts()
    for row, entries in figures.items():
        ratio = entries.get(common.OURS, {}).get("cpu_of_raw")
        if ratio:
            verdicts.check(f"CPU a byte of the raw loop's, {row}", ratio, 1.03, "x")
    return verdicts


def run(build, options):
    servers = common.programs(build, options, PEERS)
    times = {"seconds": 0.02, "warm": 0.01} if options.quick else {"seconds": 0.25, "warm": 0.05}
    figures = {}
    for row, (family, mode, traffic) in ROWS.items():
        if options.row and not any(word.lower() in row.lower() for word in options.row):
            continue
        common.progress(row)
        results = common.loaded_rounds(
            build, options.rounds or (1 if options.quick else 25),
            {name: ([*command, "--mode", mode], family, {"program": "stream_load", **traffic, **times})
             for name, command in servers.items()})
        figures[row] = {}
        for name, rounds in results.items():
            entry = {key: round(common.median([r[key] for r in rounds]), 3) for key in KEYS}
            if common.FLOOR in results:
                entry["cpu_of_raw"] = round(common.ratios(rounds, results[common.FLOOR], "cpu_ms_per_gb")[1], 3)
                entry["rate_of_raw"] = round(common.ratios(rounds, results[common.FLOOR], "gb_per_second")[1], 3)
            figures[row][name] = entry
    text = ("## Bytes of one connection\n\nLoopback, calls with 64 KiB; server and load on a core each; CPU is the server's time "
            "on its core, kernel included. Medians of interleaved rounds.\n\n")
    text += common.markdown(
        ["by the server", "server", "GB/s", "of raw", "CPU, ms a GB", "of raw"],
        [[row, common.bold(name), f"{e['gb_per_second']:.2f}", f"{e['rate_of_raw']:.2f}x" if "rate_of_raw" in e else "-",
          f"{e['cpu_ms_per_gb']:.1f}", f"{e['cpu_of_raw']:.2f}x" if "cpu_of_raw" in e else "-"]
         for row, entries in figures.items() for name, e in entries.items()])
    panels = {f"{row}: CPU, ms a GB": {name: e["cpu_ms_per_gb"] for name, e in entries.items()}
              for row, entries in figures.items()}
    common.publish("stream", text + judge(figures).text(), figures, plot.bars(panels, common.COLOURS))
