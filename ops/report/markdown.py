"""The only place for a report as Markdown; tools/comment.py puts it under a pull request, folded where it is long.

What stands in a preview is data from a branch that nobody has reviewed: every cell is escaped, so that no name of a
resource makes a link, an image, a mention or a table row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ops.cost.answer import about, usd
from ops.report import consequences, words
from ops.report.make import Report
from ops.report.plan import Change, Op

LISTED = 12
"""Rows beyond which a table is folded."""


def markdown(found: Report) -> str:
    """The report's text; empty where there is nothing to say."""
    if found.silent:
        return ""
    lines = [*_top(found)]
    for section in _SECTIONS:
        lines += section(found)
    return "\n".join(lines).rstrip() + "\n"


def _top(found: Report) -> Iterator[str]:
    yield f"## Preview of {_code(found.plan.stack or '?')}: {words.headline(found)}"
    yield ""
    if found.cost is not None:
        total = found.cost.after.total
        yield (
            f"**{words.money(found)}** · P10 to P90: {usd(total.low)} to {usd(total.high)} · "
            f"confidence {found.confidence}"
        )
        yield ""
    if line := words.budget(found):
        yield f"**Budget:** {_text(line)}"
        yield ""
    if found.blocked:
        yield "**Blocked.** Nothing may be applied while what follows stands."
        yield ""
    if not found.plan.engine:
        yield (
            "From the recorded program, without an engine or a cloud: what differs and what it costs. "
            "What would be replaced, only a preview tells."
        )
        yield ""


def _refusals(found: Report) -> Iterator[str]:
    if found.plan.refusals:
        yield "### Refused"
        for each in found.plan.refusals:
            yield f"- {_text(each.message)}"
        yield ""
    if found.faults:
        yield "### Not priced"
        for fault in found.faults:
            yield f"- {_text(str(fault))}"
        yield ""


def _findings(found: Report) -> Iterator[str]:
    if not found.findings:
        return
    yield "### Policy"
    rows = [
        (
            "**blocks**" if each.blocks else "advice",
            _code(each.rule),
            _text(each.control),
            _text(each.severity),
            _code(each.urn.rpartition("::")[2]) if each.urn else "the stack",
            _text(f"{each.message}. {each.remedy}"),
        )
        for each in found.findings
    ]
    yield from _table(("", "rule", "control", "severity", "resource", "what, and what to do"), rows)


def _data(found: Report) -> Iterator[str]:
    """What holds data and is replaced, deleted, or loses its protection: on top of everything else."""
    touched = [each for each in found.touched(Op.REPLACE, Op.DELETE) if consequences.stateful(each)]
    rows = [
        (f"**{words.PAST[each.op]}**", _resource(each), _text(_kept(each) or consequences.lost(each)))
        for each in touched
    ]
    rows += [("**unprotected**", _resource(each), "`protect` is taken away") for each in found.unprotected]
    if rows:
        yield "### Data and identities"
        yield from _table(("", "resource", "what is lost"), rows)


def _kept(change: Change) -> str:
    gone = change.op is Op.DELETE and change.before is not None and change.before.retain
    return "nothing: it is retained in the cloud, and billed on" if gone else ""


def _replaced(found: Report) -> Iterator[str]:
    rows = [
        (
            _resource(each),
            _text(words.forced(each)),
            _text(consequences.lost(each) or words.PLAIN),
            _text(consequences.interrupted(each) or words.PLAIN),
            {True: "old first", False: "new first", None: words.PLAIN}[each.old_first],
        )
        for each in found.touched(Op.REPLACE)
    ]
    if rows:
        yield "### Replaced"
        yield from _table(("resource", "forced by", "lost", "interrupted", "order"), rows)


def _interrupted(found: Report) -> Iterator[str]:
    if not found.plan.proposes:
        return
    yield "### Expected interruption"
    listed = found.interruptions
    if not listed:
        yield (
            "None that the table of consequences knows of." if found.plan.engine else "Only a preview tells."
        )
        yield ""
        return
    for change, said in listed:
        yield f"- {_resource(change)} {words.PAST[change.op]}: {_text(said)}"
    yield ""


def _money(found: Report) -> Iterator[str]:
    if found.cost is None:
        return
    rows = [
        (each.sign, _text(each.line), each.before, each.after, each.delta, _text(each.price), each.basis)
        for each in words.money_rows(found)
    ]
    yield "### Cost a month"
    if rows:
        yield from _table(("", "line", "before", "after", "difference", "price", "rests on"), rows)
    else:
        yield "No line changes by a cent."
        yield ""
    if found.one_off:
        yield "Once: " + "; ".join(f"{_text(each.what)}, {usd(each.usd)} USD" for each in found.one_off) + "."
        yield ""
    for note in found.notes:
        yield f"- {_text(note)}"
    yield f"{_text(about(found.cost.after.book, found.today))}; {found.cost.resting_on_use} lines rest on use."
    yield ""


def _watched(found: Report) -> Iterator[str]:
    for title, moved in (("SLOs", found.objectives), ("Thresholds", found.thresholds)):
        if moved:
            yield f"### {title}"
            yield from _table(("name", "what", "before", "after"), _cells(words.watched_rows(moved)))


def _cells(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    return [tuple(_text(cell) for cell in row) for row in rows]


def _all(found: Report) -> Iterator[str]:
    rows = [
        (words.PAST[each.op], _resource(each), _text(words.values(each)) or words.PLAIN)
        for op in (Op.REPLACE, Op.DELETE, Op.UPDATE, Op.CREATE)
        for each in found.touched(op)
    ]
    if rows:
        yield "### Every change"
        yield from _table(("", "resource", "properties"), rows, fold="all")
    if found.plan.warnings:
        yield "### The engine's warnings"
        for each in found.plan.warnings:
            yield f"- {_text(each)}"
        yield ""


_SECTIONS: tuple[Callable[[Report], Iterator[str]], ...] = (
    _refusals, _data, _replaced, _interrupted, _findings, _money, _watched, _all,
)  # fmt: skip
"""In the order of what a reviewer must not miss: a comment that is too long loses its end."""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, fold: str = "") -> Iterator[str]:
    folded = fold or len(rows) > LISTED
    if folded:
        yield f"<details><summary>{fold or 'show'} {len(rows)}</summary>"
        yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
    if folded:
        yield "</details>"
        yield ""


def _resource(change: Change) -> str:
    return f"{_code(change.resource.name)} ({_text(change.resource.kind)})"


def _code(text: str) -> str:
    """As code; a backquote would end it, a line break or a bar would end the cell."""
    return "`" + re.sub(r"[`\s|]+", " ", text).strip() + "`"


def _text(text: str) -> str:
    """As plain words: no HTML, link, image, mention, emphasis or table row is made by it."""
    flat = re.sub(r"\s+", " ", text).strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~!])", r"\\\1", flat).replace("@", "@<!-- -->").replace("://", ":<!-- -->//")
