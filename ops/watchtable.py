"""Every threshold as one table, as docs/alarms.md shows it."""

from __future__ import annotations

from collections.abc import Iterator

from infra.core import notice
from infra.core.alarms import Alarm, alarm_set
from infra.core.shape import shape
from infra.core.stages import Option, find
from infra.core.thresholds import Facts, Severity

COLUMNS = ("threshold", "of", "warn", "review", "page", "where")
EXAMPLES = ("single-8g", "split", "private")
"""A stage of each option; where a value depends on the stage (credits, storage), the first that has the row shows."""


def markdown() -> str:
    """The table, held by a test."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    return "\n".join(lines)


def rows() -> Iterator[tuple[str, ...]]:
    """One for each threshold, with what it wants to speak at each level."""
    found: dict[str, dict[str, Alarm]] = {}
    options: dict[str, list[str]] = {}
    for facts in _variants():
        option = facts.shape.stage.option.value
        for alarm in alarm_set(facts).alarms:
            if (row := alarm.threshold) is None:
                continue
            levels = found.setdefault(row.key, {})
            levels.setdefault(alarm.severity.value, alarm)
            where = options.setdefault(row.key, [])
            if option not in where:
                where.append(option)
    for key, levels in found.items():
        first = next(iter(levels.values()))
        said = (notice.said(levels[each.value]) if each.value in levels else "" for each in Severity)
        yield (f"`{key}`", first.title, *said, _where(key, options[key]))


def _where(key: str, options: list[str]) -> str:
    needs = [name for name, keys in _ONLY_WITH.items() if key in keys]
    shown = "" if len(options) == len(EXAMPLES) else ", ".join(options)
    return "; ".join(each for each in (shown, *needs) if each) or "everywhere"


def _variants() -> Iterator[Facts]:
    for name in EXAMPLES:
        standing = shape(find(name))
        yield Facts(standing, gpu=True, budget=True, webhook=True)
        if standing.stage.option is Option.SINGLE:
            yield Facts(standing, "standard")


def _keys(facts: Facts) -> set[str]:
    return {alarm.threshold.key for alarm in alarm_set(facts).alarms if alarm.threshold is not None}


def _only_with() -> dict[str, set[str]]:
    plain = Facts(shape(find("single-8g")))
    gpu = _keys(Facts(plain.shape, gpu=True)) - _keys(plain)
    return {
        "with a GPU": gpu,
        "with a GPU and a budget": _keys(Facts(plain.shape, gpu=True, budget=True)) - _keys(plain) - gpu,
        "with a chat": _keys(Facts(plain.shape, webhook=True)) - _keys(plain),
        "not with credits `standard`": _keys(plain) - _keys(Facts(plain.shape, "standard")),
        "with credits `standard`": _keys(Facts(plain.shape, "standard")) - _keys(plain),
    }


_ONLY_WITH = _only_with()
