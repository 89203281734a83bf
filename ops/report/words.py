"""The only place for a report's words: headline, what changed in a resource, money, told alike everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.core.cost import UNKNOWN, rounded
from infra.core.cost.money import NOTHING
from infra.core.cost.resource import SECRET_TEXT
from ops.cost.answer import usd
from ops.report.make import Report
from ops.report.plan import Change, Op
from ops.report.watched import Moved

LONGEST = 40
"""Characters of a value that is shown; a longer one is only named."""

PAST: Mapping[Op, str] = {
    Op.CREATE: "added",
    Op.UPDATE: "changed",
    Op.REPLACE: "replaced",
    Op.DELETE: "deleted",
}

PLAIN = "—"

LISTED = 12
"""Lines of money, and alarms that come or go, beyond which small ones are said together."""

SMALL_USD = Decimal("0.5")
ALARM = "alarm"


def headline(found: Report) -> str:
    """How many resources are added, changed, replaced, deleted."""
    counts = {said: len(found.plan.of(op)) for op, said in PAST.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if found.failed:
        return "refused before anything changed"
    return said or ("protection is taken away" if found.unprotected else "no change")


def money(found: Report) -> str:
    """What the month costs before and after."""
    if found.cost is None:
        return "no price"
    before, after = found.cost.before.total, found.cost.after.total
    share = f", {found.cost.percent:+.0f} %" if found.cost.percent is not None else ""
    return f"{usd(before.likely)} → {usd(after.likely)} USD a month ({found.cost.delta:+,.2f}{share})"


def budget(found: Report) -> str:
    """The month's budget against what will stand."""
    line = found.budget
    if line is None:
        return ""
    verdict = "OVER BUDGET" if line.over else f"{usd(line.budget - line.after)} USD left"
    return f"{line.share * 100:.0f} % of {usd(line.budget)} USD ({line.said}): {verdict}"


def values(change: Change) -> str:
    """The properties that differ, with their values where these are short and no secret."""
    return ", ".join(_value(change, name) for name in change.properties)


@dataclass(frozen=True, slots=True)
class MoneyRow:
    """One line of the table of money, as text; `basis` and `price` are empty where it stands for several."""

    sign: str
    line: str
    before: str
    after: str
    delta: str
    price: str = ""
    basis: str = ""


def money_rows(found: Report) -> list[MoneyRow]:
    """The lines that change by a cent or more, the dearest first; small ones together."""
    if found.cost is None:
        return []
    changed = [each for each in found.cost.changed if rounded(each.delta)]
    small = [each for each in changed if abs(each.delta) < SMALL_USD] if len(changed) > LISTED else []
    rows = [
        MoneyRow(
            each.sign,
            each.name if each.resource == each.urn else f"{each.resource}: {each.name}",
            usd(each.before.monthly.likely) if each.before else "",
            usd(each.after.monthly.likely) if each.after else "",
            f"{rounded(each.delta):+,}",
            f"{each.price.usd} / {each.price.unit}",
            str(each.any_line.basis),
        )
        for each in changed
        if each not in small
    ]
    if small:
        before = sum((each.before.monthly.likely for each in small if each.before), NOTHING)
        after = sum((each.after.monthly.likely for each in small if each.after), NOTHING)
        said = f"{len(small)} smaller lines"
        rows.append(MoneyRow("~", said, usd(before), usd(after), f"{rounded(after - before):+,}"))
    return rows


def watched_rows(moved: Sequence[Moved]) -> list[tuple[str, str, str, str]]:
    """Name, what, before and after of each; where many alarms come or go, they are counted."""
    rows = []
    for said in ("new", "gone"):
        whole = [each for each in moved if each.what == ALARM and said in (each.before, each.after)]
        if len(whole) > LISTED:
            rows.append((f"{len(whole)} alarms", ALARM, whole[0].before or PLAIN, said))
            moved = [each for each in moved if each not in whole]
    return rows + [(each.name, each.what, each.before or PLAIN, each.after or PLAIN) for each in moved]


def forced(change: Change) -> str:
    """The properties that make a replacement of it."""
    said = ", ".join(_value(change, path) for path in change.forced_by)
    return said or "not said; preview with --show-replacement-steps"


def _value(change: Change, path: str) -> str:
    before, after = (_at(each.inputs if each else {}, path) for each in (change.before, change.after))
    if before == after:
        return path
    shown = [_shown(each) for each in (before, after)]
    return path if None in shown else f"{path} {shown[0]} → {shown[1]}"


def _at(inputs: Any, path: str) -> Any:
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(inputs, Mapping):
            inputs = inputs.get(part)
        elif isinstance(inputs, list) and part.isdigit() and int(part) < len(inputs):
            inputs = inputs[int(part)]
        else:
            return None
    return inputs


def _shown(value: object) -> str | None:
    """A short value as text; None for one that is too long or has parts."""
    if value is None:
        return "(none)"
    if value == UNKNOWN:
        return "(known after the update)"
    if value == SECRET_TEXT:
        return SECRET_TEXT
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    short = not isinstance(value, (dict, list)) and len(text) <= LONGEST and "\n" not in text
    return text if short and UNKNOWN not in text else None
