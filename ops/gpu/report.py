"""The only place for what a validation week says: quality, failures, waits, tokens, money; as text and a chart."""

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


def chart(records: Sequence[Record]) -> str:
    """An SVG: requests of each day by verdict, stacked."""
    days = sorted({each.at[:10] for each in records})
    kinds = [each.value for each in Verdict if any(r.verdict is each for r in records)]
    counts = Counter((each.at[:10], each.verdict.value) for each in records)
    most = max((sum(counts[day, kind] for kind in kinds) for day in days), default=1)
    width, height, left, bottom = 640, 320, 50, 40
    step = (width - left - 160) / max(1, len(days))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><title>Receipts read, by day and verdict</title>'
        f'<rect width="{width}" height="{height}" fill="white"/>'
    ]
    for index, day in enumerate(days):
        level = float(height - bottom)
        for kind in kinds:
            tall = counts[day, kind] / most * (height - bottom - 20)
            level -= tall
            parts.append(
                f'<rect x="{left + index * step + 2:.1f}" y="{level:.1f}" width="{max(1, step - 4):.1f}" '
                f'height="{tall:.1f}" fill="{_colour(kind)}"><title>{day} {escape(kind)}: {counts[day, kind]}'
                "</title></rect>"
            )
        parts.append(
            f'<text x="{left + index * step + step / 2:.1f}" y="{height - bottom + 14}" text-anchor="middle">'
            f"{day[5:]}</text>"
        )
    for index, kind in enumerate(kinds):
        y = 30 + 18 * index
        parts.append(
            f'<rect x="{width - 150}" y="{y - 9}" width="10" height="10" fill="{_colour(kind)}"/>'
            f'<text x="{width - 134}" y="{y}">{escape(kind)}</text>'
        )
    parts.append(f'<text x="8" y="24">{most}</text><text x="8" y="{height - bottom}">0</text></svg>')
    return "".join(parts)


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
