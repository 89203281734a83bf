"""The ladder with its prices, as the README, the demo and a person's terminal show it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from infra.core.cost import stage_cost
from infra.core.prices import PriceBook, load
from infra.core.stages import LADDER, Option, Stage

BOOKS = ("document", "us-east-1", "seoul-2026-10")

COLUMNS = ("stage", "option", "machines", "document", "us-east-1", "Seoul", "all fixed lines, Seoul")
"""The last is what is billed whether used or not: with root disks, the key, alarms and custom metrics."""


def rows(books: Sequence[str] = BOOKS) -> list[tuple[str, ...]]:
    """One row for each stage that has prices, in USD a month before tax."""
    loaded = [load(name) for name in books]
    return [
        (
            stage.name,
            stage.option.value,
            _machines(stage),
            *(_usd(stage_cost(stage, book).compared, book) for book in loaded),
            f"{stage_cost(stage, loaded[-1]).fixed:.2f}",
        )
        for stage in LADDER
        if stage.option is not Option.ELASTIC
    ]


def markdown() -> str:
    """The table of the README, held by a test."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join((f"`{row[0]}`", *row[1:])) + " |" for row in rows()]
    return "\n".join(lines)


CLIMB_COLUMNS = ("climb to", "requests/s", "what it replaces", "interruption", "way back")
_CLIMBS = {
    Option.SINGLE: (
        "nothing; the instance changes its type in place",
        "while the machine restarts",
        "the word back, and one more restart; volumes never shrink",
    ),
    Option.SPLIT: (
        "the box, by two and RDS; its volume is kept",
        "rows are followed, then requests wait for seconds: hardly any is lost; what cannot be followed is copied "
        "behind a fence, as long as the rehearsal says",
        "climb back; `data.py` takes the rows along, by a copy behind a fence",
    ),
    Option.PRIVATE: (
        "both boxes, by private ones behind a load balancer",
        "none is planned: old and new serve side by side while the name turns",
        "climb back; the address was kept",
    ),
}


def climbs() -> str:
    """The README's table of what each climb does, held by a test; interruptions are not those of a real account."""
    lines = ["| " + " | ".join(CLIMB_COLUMNS) + " |", "|---|---|---|---|---|"]
    for stage in LADDER:
        if said := _CLIMBS.get(stage.option):
            capacity = "–".join(map(str, stage.capacity_rps)) if stage.capacity_rps else "nobody has said"
            lines.append("| " + " | ".join((f"`{stage.name}`", capacity, *said)) + " |")
    return "\n".join(lines)


def _machines(stage: Stage) -> str:
    boxes = list(stage.boxes.values())
    said = f"{len(boxes)} × {boxes[0]}" if len(set(boxes)) == 1 else " + ".join(boxes)
    return f"{said} + {stage.database_class}" if stage.database_class else said


def _usd(amount: Decimal, book: PriceBook) -> str:
    """The document's own sums are rounded ones, and shown as such."""
    return f"~{amount:.0f}" if book.name == "document" else f"{amount:.2f}"
