"""Plots as SVG text: bars in panels, and lines over two logarithmic axes."""
# SPDX-License-Identifier: MIT

import math


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def document(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="11">\n<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def bars(panels, colours, form="{:.2f}", columns=2):
    """panels: title -> name -> value. A bar that is more than four times the median ends in an arrow."""
    panels = {title: values for title, values in panels.items() if values}
    tallest = max((len(values) for values in panels.values()), default=0)
    label, width, high = 130, 430, 40 + 17 * tallest
    parts = []
    for index, (title, values) in enumerate(panels.items()):
        left, top = 10 + width * (index % columns), 10 + high * (index // columns)
        middle = sorted(values.values())[len(values) // 2]
        longest = min(max(values.values()), 4 * middle) or 1
        parts.append(f'<text x="{left + label}" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        for row, (name, value) in enumerate(values.items()):
            y, length = top + 22 + 17 * row, (width - label - 75) * min(value / longest, 1)
            more = " →" if value > longest else ""
            parts.append(f'<text x="{left + label - 6}" y="{y + 10}" text-anchor="end">{escape(name)}</text>'
                         f'<rect x="{left + label}" y="{y}" width="{length:.1f}" height="13" '
                         f'fill="{colours.get(name, "#888888")}"/>'
                         f'<text x="{left + label + length + 4:.1f}" y="{y + 10}">{form.format(value)}{more}</text>')
    lines = math.ceil(len(panels) / columns)
    return document(20 + width * min(columns, max(len(panels), 1)), 20 + high * lines, parts)


def lines(panels, colours, across, up, ticks, dashed=()):
    """panels: title -> name -> [(x, y)]. `across` and `up` are the first power of ten and how many decades; `ticks` names
    those of the y axis."""
    width, height = 300, 260
    parts = []
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    for index, (title, series) in enumerate(panels.items()):
        parts.append(f'<g transform="translate({60 + 380 * index},40)"><text x="{width / 2}" y="-14" '
                     f'text-anchor="middle" font-weight="bold">{escape(title)}</text>')
        for decade in range(up[1] + 1):
            y = height - height * decade / up[1]
            parts.append(f'<path d="M0 {y:.0f}H{width}" stroke="#ddd"/>'
                         f'<text x="-6" y="{y + 4:.0f}" text-anchor="end">{ticks[decade]}</text>')
        for decade in range(across[1] + 1):
            x = width * decade / across[1]
            parts.append(f'<path d="M{x:.0f} 0V{height}" stroke="#ddd"/><text x="{x:.0f}" y="{height + 16}" '
                         f'text-anchor="middle">{10 ** (decade + across[0]):,}</text>')
        for name, points in series.items():
            spots = [(width * (math.log10(x) - across[0]) / across[1],
                      height - height * (math.log10(y) - up[0]) / up[1]) for x, y in points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            dashes = ' stroke-dasharray="5 3"' if name in dashed else ""
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"{dashes}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in spots]
        parts.append("</g>")
    left = 10 + 380 * len(panels)
    for i, name in enumerate(names):
        dashes = ' stroke-dasharray="5 3"' if name in dashed else ""
        parts.append(f'<path d="M{left} {60 + 20 * i}h26" stroke="{colours[name]}" stroke-width="2"{dashes}/>'
                     f'<text x="{left + 32}" y="{64 + 20 * i}">{escape(name)}</text>')
    return document(left + 150, max(340, 80 + 20 * len(names)), parts)
