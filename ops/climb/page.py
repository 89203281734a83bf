"""The only place for how a climb is shown to people: on a terminal, in a pull request, on a page with a chart."""

from __future__ import annotations

import html as escaping
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ops.climb.advise import Advice
from ops.climb.plan import Plan
from ops.climb.steps import Step
from ops.climb.verdicts import Answer
from ops.talk import table

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}


def headline(plan: Plan) -> str:
    """`single-8g → single-16g, plan 3f9c…`."""
    return f"{plan.before} → {plan.after}, plan {plan.id}"


def data(plan: Plan) -> dict[str, Any]:
    """What programs read of a plan."""
    return {
        "before": plan.before,
        "after": plan.after,
        "open": plan.open,
        "away_seconds": plan.away_seconds,
        "money": {
            "before": plan.money.before[1],
            "during": plan.money.during[1],
            "after": plan.money.after[1],
        },
        "changes": [
            {"urn": each.urn, "kind": each.kind, "operation": each.operation} for each in plan.changes
        ],
        "gates": [each.as_json() for each in plan.answers],
        "steps": [{"name": each.name, "does": each.does, "undo": each.undo} for each in plan.steps],
        "approvals": plan.approvals,
        "expires_at": plan.expires_at,
    }


def plan(made: Plan) -> Group:
    """The plan on one screen."""
    rows = list(_summary(made))
    parts: list[Any] = [table((f"{made.before} → {made.after}", f"plan {made.id}"), rows), Text("")]
    if made.answers:
        gates = [(each.gate, _verdict(each), each.saw, each.asks) for each in made.answers]
        parts += [table(("gate", "", "saw", "asks"), gates), Text("")]
    steps = [(str(at), each.name, each.does, _undo(each)) for at, each in enumerate(made.steps, 1)]
    parts.append(table(("", "step", "does", "going back"), steps))
    return Group(*parts)


def _summary(made: Plan) -> Iterator[tuple[str, str]]:
    money = made.money
    yield "why", "; ".join(made.reasons)
    yield "changes", changes(made)
    known = f" ({made.evidence['away']})" if made.evidence.get("away") else ""
    yield "away", f"about {made.away_seconds:.0f} s{known}" if made.away_seconds else "0 s"
    yield "capacity", f"{made.capacity[0]} → {made.capacity[1]}; measured peak {made.peak_rps:g}/s"
    during = f"{money.during[1]} meanwhile → " if money.during != money.after else ""
    yield (
        "USD a month",
        f"{money.before[1]} → {during}{money.after[1]} ({_signed(money)}), {_range(money.after)}",
    )
    if money.budget_usd:
        share = Decimal(money.after[1]) / Decimal(money.budget_usd) * 100
        yield (
            "budget",
            f"{money.budget_usd} USD: {share:.0f} % of it" + (f", over {money.over}" if money.over else ""),
        )
    yield "way back", money.back
    yield "alarms", f"{len(made.thresholds)} follow the new size" if made.thresholds else "none changes"
    for risk in made.risks:
        yield "risk", risk
    yield "until", f"{made.expires_at[:16]}Z, asked for by {made.requested_by}"


def changes(made: Plan) -> str:
    """`~ 3   + 1   nothing replaced`."""
    counted: dict[str, int] = {}
    for each in made.changes:
        sign = next((sign for name, sign in SIGNS.items() if name in each.operation), each.operation)
        counted[sign] = counted.get(sign, 0) + 1
    told = "   ".join(f"{sign} {count}" for sign, count in sorted(counted.items()))
    names = ", ".join(f"{each.name} ({', '.join(each.why)})" for each in made.replaced)
    return f"{told or 'none'}   {'replaced: ' + names if names else 'nothing replaced'}"


def markdown(made: Plan) -> str:
    """The plan for a pull request."""
    money = made.money
    lines = [
        f"### climb · {made.stack} · {made.before} → {made.after}",
        "",
        f"{money.before[1]} → {money.after[1]} USD a month ({_signed(money)}) · away "
        f"{'about ' if made.away_seconds else ''}{made.away_seconds:.0f} s · {changes(made)} · gates "
        f"{'open' if made.open else '**shut**'}",
        "",
        *_rows(("", ""), [(name, text) for name, text in _summary(made)]),
        "",
        *_rows(("gate", "", "saw", "asks"), [(a.gate, _verdict(a), a.saw, a.asks) for a in made.answers]),
        "",
        *_rows(("", "step", "does", "going back"),
               [(str(at), s.name, s.does, _undo(s)) for at, s in enumerate(made.steps, 1)]),
        "",
        "<details><summary>changes and thresholds</summary>",
        "",
        *(f"- `{each.operation}` {each.kind} {each.name}" for each in made.changes),
        *(f"- alarm {each}" for each in made.thresholds),
        "",
        "</details>",
        "",
        f"Plan `{made.id}`, SHA-256 `{made.sha256}`, at commit `{made.bound.commit[:12]}`, until {made.expires_at}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def html(made: Plan) -> str:
    """The same as a page, with a chart of what a month costs before, meanwhile and after."""
    money = made.money
    bars = [("before", money.before), ("meanwhile", money.during), ("after", money.after)]
    most = max(Decimal(amount[2]) for _, amount in bars) or Decimal(1)
    drawn = []
    for at, (name, amount) in enumerate(bars):
        width = Decimal(amount[1]) / most * 480
        low, high = (Decimal(amount[end]) / most * 480 for end in (0, 2))
        y = at * 34 + 6
        drawn.append(
            f'<text x="0" y="{y + 16}">{name}</text><rect x="90" y="{y}" width="{width:.0f}" height="22" '
            f'fill="#4a7ab5"/><line x1="{90 + low:.0f}" x2="{90 + high:.0f}" y1="{y + 11}" y2="{y + 11}" '
            f'stroke="#222"/><text x="{98 + high:.0f}" y="{y + 16}">{amount[1]} USD</text>'
        )
    chart = f'<svg width="680" height="112" role="img" aria-label="USD a month">{"".join(drawn)}</svg>'
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>climb "
        f"{escaping.escape(headline(made))}</title><style>body{{font:15px/1.5 system-ui;max-width:60rem;margin:2rem "
        "auto}td,th{padding:.2rem .8rem;text-align:left;vertical-align:top}svg text{font-size:13px}</style>"
        f"<h1>{escaping.escape(headline(made))}</h1>{chart}"
        f"{_html_table(('', ''), list(_summary(made)))}"
        f"{_html_table(('gate', '', 'saw', 'asks'), [(a.gate, _verdict(a), a.saw, a.asks) for a in made.answers])}"
        f"{_html_table(('step', 'does', 'going back'), [(s.name, s.does, _undo(s)) for s in made.steps])}"
        f"<p>SHA-256 <code>{made.sha256}</code></html>\n"
    )


def drilled(found: Mapping[str, Any]) -> Group:
    """What a drill took, step by step."""
    shown = [(each["step"], each["event"], f"{each['seconds']:.1f} s") for each in found["steps"]]
    away = "not measured" if found["away_seconds"] is None else f"{found['away_seconds']:.0f} s"
    rows = [
        ("climb", f"{found['before']} → {found['after']}, {'machines' if found['machines'] else 'no machines'}"),
        ("away", f"forecast {found['forecast_away_seconds']:.0f} s, measured {away}"),
        ("lost", f"{_number(found['requests_lost'])} requests"),
        ("killed", f"behind {found['killed_behind']}, resumed" if found["killed_behind"] else "not"),
        ("rows", ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in (found["rows"] or {}).items())
         or "none moved"),
        *((f"load {way}", _load(each)) for way, each in (found["load"] or {}).items()),
        ("way back", f"{found['way_back']}; {_number(found['back']['requests_lost'])} requests lost"),
    ]  # fmt: skip
    return Group(table(("step", "", "took"), shown, right=(2,)), Text(""), table(("", ""), rows))


def _load(found: Mapping[str, Any]) -> str:
    return f"{found['sent']} sent in {found['seconds']:.0f} s, {found['failed']} failed, p95 {found['p95_ms']} ms"


def advice(found: Advice) -> Group:
    """The advice with its reasons."""
    rows = [("why", each) for each in found.reasons]
    rows += [("not", each) for each in found.refused]
    rows += [("crossed", f"{title} on {day}, at this rate") for title, day in sorted(found.crossings.items())]
    if found.unknown:
        rows.append(("not seen", ", ".join(found.unknown)))
    return Group(table((f"{found.stage}:", found.headline), rows))


def status(found: Mapping[str, Any]) -> Group:
    """One screen."""
    agree = "config = stack" if found["config"] == found["stands"] else f"stack: {found['stands']}"
    rows = [(f"{found['stack']} · {found['config']}", agree)]
    if found["pending"]:
        rows.append(("pending", str(found["pending"])))
    parts: list[Any] = [table(("", ""), rows)]
    if found["thresholds"] is None:
        parts.append(Text("thresholds  alarms cannot be read"))
    else:
        parts.append(_thresholds(found["thresholds"]))
    left = found["error_budget_left_percent"] or {}
    money = found["money"]
    last = found["last_climb"]
    lock = found["lock"]
    rows = [
        (
            "error budget",
            ", ".join(f"{name} {value:.0f} % left" for name, value in left.items()) or "nothing measured",
        ),
        ("money", _spent(money)),
        ("kept", ", ".join(found["kept"]) or "nothing"),
        ("last climb", _climbed(last) if last else "none"),
        ("lock", _locked(lock)),
    ]
    parts.append(table(("", ""), rows))
    return Group(*parts)


def _thresholds(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = [
        (
            row["title"], _number(row["value"], row["unit"]), _number(row["warn"]), _number(row["review"]),
            row["state"].replace("INSUFFICIENT_DATA", "no data"), str(row["since"] or "")[:16],
            row["crosses_on"] or "–",
        )
        for row in rows
        if row["review"] is not None or row["state"] == "ALARM"
    ]  # fmt: skip
    columns = ("threshold", "now", "warn", "review", "state", "since", "crossed at this rate")
    return table(columns, shown, right=(1, 2, 3))


def _spent(money: Mapping[str, Any] | None) -> str:
    if money is None:
        return "no budget is set (terrace:budget)"
    spent = "nothing known yet" if money["spent"] is None else f"{Decimal(money['spent']):.2f} spent"
    ahead = "" if money["forecast"] is None else f", forecast {Decimal(money['forecast']):.2f}"
    return f"{spent} of {Decimal(money['limit']):.2f} USD this month{ahead}"


def _locked(lock: Mapping[str, Any] | None) -> str:
    if lock is None:
        return "none"
    if "unknown" in lock:
        return f"cannot be read: {lock['unknown']}"
    dead = f"; dead: {lock['dead']}" if lock["dead"] else ""
    return f"{lock['who']} since {lock['since'][:19]}Z: {lock['reason']}{dead}"


def history(rows: Sequence[Mapping[str, Any]]) -> Group:
    """Every climb in a row."""
    shown = [
        (
            row["at"][:16], row["plan"], f"{row['before']} → {row['after']}", row["by"],
            f"{row['forecast_away_seconds']:.0f} / {_number(row['away_seconds'])} s",
            _number(row["requests_lost"]), row["ended"],
        )
        for row in rows
    ]  # fmt: skip
    columns = ("at (UTC)", "plan", "climb", "by", "away: forecast / measured", "lost", "ended")
    parts: list[Any] = [table(columns, shown)]
    for row in rows:
        parts += [
            Text(f"{row['plan']}: gate {gate} overridden: {why}", style="red")
            for gate, why in row["overridden"].items()
        ]
    return Group(*parts) if rows else Group(Text("No climb yet."))


def ended(row: Mapping[str, Any]) -> str:
    """The last line of a climb."""
    measured = (
        "not measured: nothing answered before"
        if row["away_seconds"] is None
        else f"{row['away_seconds']:.0f} s"
    )
    lost = "" if row["requests_lost"] is None else f", {row['requests_lost']} requests lost"
    forecast = f"forecast {row['forecast_away_seconds']:.0f} s away, measured {measured}{lost}"
    return f"{row['ended']:<11} {row['before']} → {row['after']}, {forecast}"


def after_climb(made: Plan, *, back: bool) -> str:
    """What a person does next."""
    if back:
        return f"the words are on branch climb/{made.id}; nothing is to be merged: git switch -"
    return f"git push origin climb/{made.id}, and merge it: the default branch has to say {made.after} too"


def way_back(made: Plan) -> Iterator[str]:
    """What a rollback does and what it cannot, beforehand."""
    for step in reversed(made.steps):
        if step.irreversible:
            yield f"{step.name}: cannot be undone ({step.does})"
        elif step.undo:
            yield f"{step.name}: {step.undo}"
    yield "a volume that grew stays as large; CPU credits that were spent are gone; restore points stay"


class Lines:
    """A line for each step of a climb, with how long it took."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()

    def moment(self, step: Step, what: str) -> None:
        """Hears the moments of `run.Climb`."""
        if what in ("before", "before-undo"):
            self._began = time.monotonic()
            if not self._console.is_terminal:
                return
            self._console.print(
                f"  {step.name:<11} {step.does if what == 'before' else step.undo} …", markup=False
            )
        if what in ("recorded", "recorded-undo"):
            said = step.does if what == "recorded" else f"taken back: {step.undo}"
            took = time.monotonic() - self._began
            self._console.print(f"  {step.name:<11} {said:<70}{took:>8.1f} s", markup=False)


def _climbed(row: Mapping[str, Any]) -> str:
    return f"{row['before']} → {row['after']}, {row['ended']}, {row['at'][:16]}Z by {row['by']}"


def _verdict(answer: Answer) -> str:
    return f"OVERRIDDEN ({answer.overridden})" if answer.overridden else answer.verdict.value


def _undo(step: Step) -> str:
    return "POINT OF NO RETURN" if step.irreversible else step.undo or "–"


def _signed(money: Any) -> str:
    return f"{Decimal(money.after[1]) - Decimal(money.before[1]):+.2f}"


def _range(amount: Sequence[str]) -> str:
    return f"{amount[0]} to {amount[2]}"


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.3g} {unit}".rstrip()


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in listed:
        yield "| " + " | ".join(each.replace("|", "\\|") for each in row) + " |"


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escaping.escape(each)}" for each in columns)
    body = "".join("<tr>" + "".join(f"<td>{escaping.escape(each)}" for each in row) for row in rows)
    return f"<table><tr>{head}{body}</table>"
