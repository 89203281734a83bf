"""The only place for a report as tables for people and as data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops.cost.answer import Table, about, span_data, usd
from ops.cost.stack import diff_data
from ops.report import consequences, words
from ops.report.make import Report
from ops.report.plan import Change, Op
from ops.report.watched import Moved

SHOWN = 30
"""Rows of the table of plain changes that a terminal shows."""


def title(found: Report) -> str:
    """The report in a line."""
    judged = "" if found.plan.engine else ", by the program alone: what is replaced only a preview tells"
    blocked = " (BLOCKED)" if found.blocked else ""
    return f"{found.plan.stack}: {words.headline(found)}{blocked}{judged}"


def tables(found: Report) -> list[Table]:
    """The report's tables, what a reviewer must not miss first."""
    made = [_refused(found), _data(found), _replaced(found), _interrupted(found), _findings(found)]
    made += [_money(found), _watched(found), _changes(found)]
    return [each for each in made if each.rows or each.notes]


def _refused(found: Report) -> Table:
    rows = [(each.message,) for each in found.plan.refusals] + [(str(each),) for each in found.faults]
    return Table("refused" if found.failed else "not priced", ("why",), tuple(rows))


def _data(found: Report) -> Table:
    rows = [
        (words.PAST[each.op], _name(each), consequences.lost(each) or "nothing: it is retained")
        for each in found.touched(Op.REPLACE, Op.DELETE)
        if consequences.stateful(each)
    ]
    rows += [("unprotected", _name(each), "") for each in found.unprotected]
    return Table("data and identities", ("", "resource", "what is lost"), tuple(rows))


def _replaced(found: Report) -> Table:
    rows = tuple(
        (_name(each), words.forced(each), consequences.lost(each) or words.PLAIN)
        for each in found.touched(Op.REPLACE)
    )
    return Table("replaced", ("resource", "forced by", "lost"), rows)


def _interrupted(found: Report) -> Table:
    rows = tuple((_name(each), said) for each, said in found.interruptions)
    none = () if rows or not found.plan.proposes or not found.plan.engine else ("None is expected.",)
    return Table("expected interruption", ("resource", "what stands still"), rows, (), none)


def _findings(found: Report) -> Table:
    rows = tuple(
        ("blocks" if each.blocks else "advice", each.rule, each.urn.rpartition("::")[2], each.message)
        for each in found.findings
    )
    return Table("policy", ("", "rule", "resource", ""), rows)


def _money(found: Report) -> Table:
    if found.cost is None:
        return Table("cost", (), ())
    rows = tuple(
        (each.sign, each.line, each.before, each.after, each.delta) for each in words.money_rows(found)
    )
    total = found.cost.after.total
    notes = [f"P10 to P90 after: {usd(total.low)} to {usd(total.high)}."]
    notes += [f"budget: {words.budget(found)}"] if found.budget else []
    notes += [f"once: {each.what}: {usd(each.usd)}" for each in found.one_off]
    notes += [*found.notes, about(found.cost.after.book, found.today)]
    notes += [f"confidence {found.confidence}: {found.cost.resting_on_use} lines rest on use"]
    return Table(
        words.money(found), ("", "line", "before", "after", "difference"), rows, (2, 3, 4), tuple(notes)
    )


def _watched(found: Report) -> Table:
    moved = [*found.objectives, *found.thresholds]
    rows = words.watched_rows(moved)
    return Table("SLOs and thresholds", ("name", "what", "before", "after"), _short(rows), (), ())


def _changes(found: Report) -> Table:
    if not found.plan.proposes:
        return Table("", (), ())
    rows = [
        (words.PAST[each.op], _name(each), words.values(each))
        for op in (Op.REPLACE, Op.DELETE, Op.UPDATE, Op.CREATE)
        for each in found.touched(op)
    ]
    return Table("every change", ("", "resource", "properties"), _short(rows), (), tuple(found.plan.warnings))


def _short(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    if len(rows) <= SHOWN:
        return tuple(rows)
    more = f"{len(rows) - SHOWN} more: --output json"
    return (*rows[:SHOWN], (more, *[""] * (len(rows[0]) - 1)))


def _name(change: Change) -> str:
    return f"{change.resource.name} ({change.resource.kind})"


def data(found: Report) -> dict[str, Any]:
    """The report for programs; amounts are USD."""
    return {
        "stack": found.plan.stack,
        "source": found.plan.source,
        "engine": found.plan.engine,
        "headline": words.headline(found),
        "proposes": found.plan.proposes,
        "blocked": found.blocked,
        "over_budget": found.over_budget,
        "refusals": [{"urn": each.urn, "message": each.message} for each in found.plan.refusals],
        "warnings": list(found.plan.warnings),
        "not_priced": [str(each) for each in found.faults],
        "changes": [
            _change(each)
            for op in (Op.REPLACE, Op.DELETE, Op.UPDATE, Op.CREATE)
            for each in found.touched(op)
        ],
        "unprotected": [each.urn for each in found.unprotected],
        "cost": None if found.cost is None else {**diff_data(found.cost), "confidence": found.confidence},
        "one_off": [{"what": each.what, "usd": each.usd} for each in found.one_off],
        "budget": None
        if found.budget is None
        else {
            "usd": found.budget.budget,
            "after": found.budget.after,
            "share": found.budget.share,
            "over": found.budget.over,
        },
        "range": None if found.cost is None else span_data(found.cost.after.total),
        "findings": [
            {"rule": each.rule, "urn": each.urn, "blocks": each.blocks, "message": each.message}
            for each in found.findings
        ],
        "objectives": [_moved(each) for each in found.objectives],
        "thresholds": [_moved(each) for each in found.thresholds],
        "interruptions": [{"urn": each.urn, "what": said} for each, said in found.interruptions],
        "notes": list(found.notes),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "op": change.op,
        "urn": change.urn,
        "kind": change.resource.token,
        "properties": list(change.properties),
        "forced_by": list(change.forced_by),
        "old_first": change.old_first,
        "stateful": consequences.stateful(change),
        "lost": consequences.lost(change),
    }


def _moved(moved: Moved) -> dict[str, str]:
    return {"name": moved.name, "what": moved.what, "before": moved.before, "after": moved.after}
