"""A price book made new from AWS's price list files, and what has moved since the old one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from infra.core.prices import FOLDER, parsed, read
from infra.core.prices.offers import Move, Offer, moves, read_offer, refreshed, render, services
from ops.cost.answer import Answer, Table
from ops.stackfile import write

SURPRISING = Decimal(50)
"""Per cent of a move from which a person is asked to look: prices of AWS seldom move so far."""


class Files(Protocol):
    """Where price list files come from."""

    def lines(self, service: str, region: str) -> AbstractContextManager[Iterable[str]]:
        """The lines of one service's file."""
        ...


@dataclass(frozen=True, slots=True)
class Refresh:
    """A new book, not written yet. `left` says which prices kept their old value and date, and why."""

    name: str
    text: str
    moved: tuple[Move, ...]
    found: int
    left: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is written."""
        return FOLDER / f"{self.name}.yaml"

    @property
    def stands(self) -> bool:
        """Whether the very book stands already.

        Raises:
            TerraceError: another of that name does; a book that stacks were priced by is never changed.
        """
        if not self.path.exists():
            return False
        if self.path.read_text(encoding="utf-8") != self.text:
            raise TerraceError(
                Fault(
                    self.path.name, "is another book already, and is not changed", "Give the new one a --name"
                )
            )
        return True

    def write(self) -> None:
        """Writes it, whole or not at all."""
        write(self.path, self.text)


def refresh(
    book: str, files: Files, *, name: str = "", on_service: Callable[[str], None] = lambda _: None
) -> Refresh:
    """The book made new; `name` is by default the old one's with the month of the files.

    A service whose file cannot be read leaves its prices as they were.

    Raises:
        TerraceError: no such book, a name that is none, or no file could be read at all.
    """
    if name and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise TerraceError(
            Fault("--name", f"{name!r} is no name", "Small letters, digits and -, as seoul-2027-01")
        )
    path = FOLDER / f"{book}.yaml"
    if not path.exists():
        raise TerraceError(Fault("--book", f"{book!r} is no price book", "See infra/core/prices"))
    raw = parsed(path.read_text(encoding="utf-8"), where=path.name)
    wanted = services([*raw["prices"], *(raw.get("absent") or {})])
    offers: list[Offer] = []
    left: list[str] = []
    for service, keys in wanted.items():
        on_service(service)
        try:
            offers.append(_offer(files, service, raw["region"], keys))
        except TerraceError as error:
            left += [str(each) for each in error.faults]
    if not offers:
        raise TerraceError(
            *(Fault("price list", each, "Is there a network?") for each in left),
            summary="No price list file could be read; nothing was written.",
        )
    left += [problem for offer in offers for problem in offer.problems]
    day = min(offer.published for offer in offers)
    chosen = name or f"{book.rstrip('0123456789-')}-{day:%Y-%m}"
    made = refreshed(raw, offers, name=chosen)
    text = render(made, comment=f"Made by scripts/cost.py book refresh from {book}; USD before tax.")
    read(parsed(text, where=chosen), where=chosen)  # what cannot be read back is not written
    found = sum(len(offer.found) for offer in offers)
    return Refresh(chosen, text, tuple(moves(raw, offers)), found, tuple(left))


def _offer(files: Files, service: str, region: str, keys: Iterable[str]) -> Offer:
    with files.lines(service, region) as lines:
        return read_offer(lines, keys, where=service)


def answer(found: Refresh) -> Answer:
    """What moved, and what was left as it was."""
    rows = tuple(
        (each.key, str(each.before), str(each.after), f"{each.percent:+.1f} %", _look(each))
        for each in found.moved
    )
    moved = Table(
        f"{found.name}: {found.found} prices found, {len(found.moved)} moved",
        ("price", "before", "after", "", ""),
        rows,
        (1, 2, 3),
    )
    left = Table("left as they were, with their old dates", ("why",), tuple((each,) for each in found.left))
    data: Mapping[str, Any] = {
        "book": found.name,
        "found": found.found,
        "moved": [{"key": each.key, "before": each.before, "after": each.after} for each in found.moved],
        "left": list(found.left),
    }
    return Answer((moved, left) if left.rows else (moved,), data)


def _look(move: Move) -> str:
    return "look: that is far" if abs(move.percent) >= SURPRISING else ""
