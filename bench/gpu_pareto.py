"""The only place for the picture of all policies on all traces, and the page around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from infra.core.gpu.simulate import Outcome

TARGET = 1.15


def pareto(rows: list[Outcome]) -> str:
    """An SVG: bill against what waiting was worth, both as shares of the optimum's J; one mark for each trace."""
    best = {each.trace: each.total_usd for each in rows if each.policy == "optimum"}
    names = list(dict.fromkeys(each.policy for each in rows))
    colours = ("#000000", "#0072B2", "#56B4E9", "#009E73", "#999999", "#E69F00", "#CC79A7", "#D55E00")
    colour = dict(zip(names, colours, strict=True))
    width, height, left, bottom = 760, 460, 60, 50
    points = [
        (each.policy, each.cost_usd / best[each.trace], each.waited_usd / best[each.trace], each.trace)
        for each in rows
    ]
    most_x, most_y = max(p[1] for p in points) * 1.05, max(p[2] for p in points) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="{left}" y="{height - 12}">bill, in J of the optimum</text>'
        f'<text x="8" y="16">waiting, in J of the optimum</text>'
        f'<path d="M{left} 24V{height - bottom}H{width - 170}" stroke="#666" fill="none"/>'
    ]

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = width - left - 180, height - bottom - 30
        return left + x / most_x * across, height - bottom - y / most_y * up

    for tenth in range(0, int(most_x * 10) + 1, 5):
        at, level = place(tenth / 10, 0)
        parts.append(f'<text x="{at:.0f}" y="{level + 14:.0f}" text-anchor="middle">{tenth / 10:.1f}</text>')
    for tenth in range(1, int(most_y * 10) + 1):
        at, level = place(0, tenth / 10)
        parts.append(f'<text x="{at - 6:.0f}" y="{level + 4:.0f}" text-anchor="end">{tenth / 10:.1f}</text>')
    # Along a line J is the same: the target, in the part of the picture where it is.
    (x1, y1), (x2, y2) = place(TARGET - most_y * 0.95, most_y * 0.95), place(TARGET, 0)
    parts.append(
        f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="#666" stroke-dasharray="4 3" fill="none"/>'
        f'<text x="{x1 - 4:.0f}" y="{y1 - 4:.0f}" text-anchor="middle">J = {TARGET}</text>'
    )
    for name, x, y, trace in points:
        at, level = place(x, y)
        parts.append(
            f'<circle cx="{at:.1f}" cy="{level:.1f}" r="4" fill="{colour[name]}" fill-opacity="0.7">'
            f"<title>{escape(name)}, {escape(trace)}: bill {x:.2f}, waiting {y:.2f}</title></circle>"
        )
    for index, name in enumerate(names):
        y = 40 + 18 * index
        parts.append(
            f'<circle cx="{width - 155}" cy="{y - 4}" r="5" fill="{colour[name]}"/>'
            f'<text x="{width - 144}" y="{y}">{escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def page(rows: list[Outcome], floors: Mapping[str, float], shapes: Iterable[str]) -> str:
    """The chart, and J of every policy on every shape as a share of the clairvoyant optimum's."""
    policies = [each for each in dict.fromkeys(row.policy for row in rows) if each != "optimum"]
    head = "".join(f"<th>{escape(each)}</th>" for each in ["best that knows the rates", *policies])
    lines = []
    for shape in shapes:
        mine = [row for row in rows if row.trace.startswith(f"{shape} ")]
        total = {each: sum(r.total_usd for r in mine if r.policy == each) for each in ["optimum", *policies]}
        seeds = sum(1 for row in mine if row.policy == "optimum")
        shares = [floors[shape] * seeds, *(total[each] for each in policies)]
        cells = "".join(f"<td>{share / total['optimum']:.3f}</td>" for share in shares)
        lines.append(f"<tr><th>{escape(shape)}</th>{cells}</tr>")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>GPU policies</title><style>"
        "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd;font-weight:normal}"
        "th:first-child{text-align:left}</style><h1>GPU policies on made-up arrivals</h1>"
        "<p>J is the bill and what waiting beyond the objective is worth. Each figure is a share of the J of the "
        "clairvoyant optimum, which knows every request beforehand; nearer to the lower left is better.</p>"
        f"<table><tr><th>arrivals</th>{head}</tr>{''.join(lines)}</table>{pareto(rows)}</html>"
    )
