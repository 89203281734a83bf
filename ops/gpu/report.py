"""The only place for what a validation week says: quality, failures, waits, tokens; as text and a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from infra.host.box.gpu.inferences import COLD_WAIT_SECONDS
from ops.gpu.receipts import Verdict
from ops.gpu.usage import Record


@dataclass(frozen=True, slots=True)
class Report:
    """What the records come to; waits and run times in seconds, None where there are no records."""

    requests: int
    days: int
    verdicts: dict[str, int]
    revisions: tuple[str, ...]
    ok_share: float | None
    cold_share: float | None
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None
    tokens_in: int
    tokens_out: int
    reasons: tuple[tuple[str, int], ...]

    def as_data(self) -> dict[str, object]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def report(records: Sequence[Record]) -> Report:
    """The figures of all records."""
    count = len(records)
    verdicts = Counter(each.verdict.value for each in records)
    bad = Counter(f"{each.verdict}: {each.why}" for each in records if each.verdict is not Verdict.OK)
    waits, runs = (
        [each.wait_seconds for each in records],
        [each.run_seconds for each in records if each.run_seconds],
    )
    cold = sum(1 for each in waits if each > COLD_WAIT_SECONDS)
    return Report(
        count,
        len({each.at[:10] for each in records}),
        dict(verdicts.most_common()),
        tuple(sorted({each.revision for each in records})),
        verdicts[Verdict.OK.value] / count if count else None,
        cold / count if count else None,
        quantile(waits, 0.5),
        quantile(waits, 0.95),
        quantile(runs, 0.5),
        quantile(runs, 0.95),
        sum(each.tokens_in for each in records),
        sum(each.tokens_out for each in records),
        tuple(bad.most_common(10)),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of all do not exceed (nearest rank), or None."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LEGEND = 640, 320, 50, 52, 40, 160
WIDEST_BAR, MOST_LABELS = 60.0, 14


def chart(records: Sequence[Record]) -> str:
    """An SVG: requests of each day by verdict, stacked, with the day's share of good ones above it."""
    days = sorted({each.at[:10] for each in records})
    kinds = [each.value for each in Verdict if any(r.verdict is each for r in records)]
    counts = Counter((each.at[:10], each.verdict.value) for each in records)
    totals = Counter(each.at[:10] for each in records)
    most = max(totals.values(), default=1)
    floor, tall = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    step = min(WIDEST_BAR, (WIDTH - LEFT - LEGEND) / max(1, len(days)))
    every = -(-len(days) // MOST_LABELS) or 1
    good = sum(counts[day, Verdict.OK.value] for day in days)
    said = f"Receipts read, by day and verdict: {good} of {len(records)} ok"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><title>{said}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text x="{LEFT}" y="20" font-size="13">{said}</text>'
    ]
    # No line between whole numbers: half a receipt is none.
    for value in sorted({0, most // 2, most}):
        y = floor - value / most * tall
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - LEGEND}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        )
    for index, day in enumerate(days):
        x, level = LEFT + index * step, float(floor)
        for kind in kinds:
            part = counts[day, kind] / most * tall
            level -= part
            parts.append(
                f'<rect x="{x + 2:.1f}" y="{level:.1f}" width="{max(1.0, step - 4):.1f}" height="{part:.1f}" '
                f'fill="{_colour(kind)}"><title>{day} {escape(kind)}: {counts[day, kind]}</title></rect>'
            )
        texts = [(floor + 14.0, day[5:])] if index % every == 0 else []
        if every == 1:
            texts.append((level - 4, f"{100 * counts[day, Verdict.OK.value] // totals[day]} %"))
        parts += [
            f'<text x="{x + step / 2:.1f}" y="{y:.1f}" font-size="9" text-anchor="middle">{text}</text>'
            for y, text in texts
        ]
    for index, kind in enumerate(kinds):
        y = TOP + 10 + 18 * index
        parts.append(
            f'<rect x="{WIDTH - LEGEND + 10}" y="{y - 9}" width="10" height="10" fill="{_colour(kind)}"/>'
            f'<text x="{WIDTH - LEGEND + 26}" y="{y}">{escape(kind)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _colour(kind: str) -> str:
    # Okabe and Ito's colours and one of Tol's, which colour-blind people can tell apart.
    colours = (
        "#009E73",
        "#D55E00",
        "#E69F00",
        "#CC79A7",
        "#0072B2",
        "#56B4E9",
        "#F0E442",
        "#000000",
        "#999999",
        "#882255",
    )
    return dict(zip((each.value for each in Verdict), colours, strict=True))[kind]
