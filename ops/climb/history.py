"""The only place that reads a journal back: which climb is under way, one row for each, what the next may take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from ops.climb.journal import Event, Journal, Record
from ops.climb.moving import LED
from ops.climb.plan import Plan
from ops.climb.steps import SHIFT, Kind

HELD_SECONDS = 30.0
"""How far a measured interruption may be from its forecast."""


def climbs(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Every climb, the oldest first: who, from, to, forecast and measured, and how it ended."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.event is Event.BEGAN:
            rows[record.climb] = {
                "plan": record.climb, "at": record.at, "by": record.who, "before": record.data.get("before"),
                "after": record.data.get("after"), "commit": record.data.get("commit"),
                "asked_by": record.data.get("requested_by"), "versions": record.data.get("versions"),
                "forecast_away_seconds": record.data.get("forecast_away_seconds"),
                "monthly_usd": record.data.get("money"), "overridden": record.data.get("overridden") or {},
                "away_seconds": None, "forecast_held": None, "requests_lost": None, "resumed": 0, "failed": [],
                "steps": [], "ended": "under way", "ended_at": "",
            }  # fmt: skip
        row = rows.get(record.climb)
        if row is not None:
            _add(row, record)
    return list(rows.values())


def usual_away(records: Sequence[Record], *, moves_rows: bool) -> float | None:
    """The median of the measured interruptions of climbs of that kind; None where none was measured.

    A resize takes the box away, a climb between box and RDS the database: what one took tells nothing of the other.
    """
    moved = {each.climb for each in records if each.step == Kind.COPY}
    known = [
        row["away_seconds"]
        for row in climbs(records)
        if row["away_seconds"] and row["ended"] == "done" and row["forecast_away_seconds"]
        and (row["plan"] in moved) is moves_rows
    ]  # fmt: skip
    return float(median(known)) if known else None


def fenced_seconds(plan: Plan, records: Sequence[Record]) -> float | None:
    """How long the application was without its database: from each fence until requests reached an open one.

    A writer that was followed says itself how long nobody wrote. None for a climb that moves no rows.
    By the clocks of the machines that climbed; a killed climb's pause counts.
    """
    spans = _fenced(plan, records)
    if spans is None:
        return None
    return round(sum((end - begin).total_seconds() for begin, end in spans if end is not None), 2)


def fenced_now(plan: Plan, records: Sequence[Record]) -> bool:
    """Whether the application is without its database, by what was recorded last."""
    spans = _fenced(plan, records)
    return spans is not None and bool(spans) and spans[-1][1] is None


def _fenced(plan: Plan, records: Sequence[Record]) -> list[tuple[datetime, datetime | None]] | None:
    copy, switch = (
        next((each.name for each in plan.steps if each.kind is kind), None)
        for kind in (Kind.COPY, Kind.SWITCH)
    )
    if copy is None:
        return None
    follows = any((each.data.get("result") or {}).get("follows") for each in records)
    begins = {(switch if follows else copy, Event.BEFORE), (SHIFT, Event.BEFORE_UNDO)}
    ends = {(SHIFT, Event.AFTER), (copy, Event.UNDONE)}
    spans: list[tuple[datetime, datetime | None]] = []
    for record in records:
        at, what = datetime.fromisoformat(record.at), (record.step, record.event)
        open_ = bool(spans) and spans[-1][1] is None
        if what in begins and not open_:
            spans.append((at, None))
        elif what in ends and open_:
            spans[-1] = (spans[-1][0], at)
        elif what == (switch, Event.AFTER) and open_:
            told = record.data.get("result") or {}
            began = at - timedelta(seconds=told["pause_seconds"]) if "pause_seconds" in told else spans[-1][0]
            # Where the old side sends requests on, nobody waits for the shift.
            spans[-1] = (began, at if told.get(LED) else None)
    return spans


def open_climb(journal: Journal) -> Record | None:
    """The record that began the climb that has not ended, if there is one."""
    for record in reversed(journal.records):
        if record.event in (Event.ENDED, Event.ROLLED_BACK):
            return None
        if record.event is Event.BEGAN:
            return record
    return None


def last_climb(journal: Journal) -> Record | None:
    """The record that began the last climb that was ended and not taken back."""
    for record in reversed(journal.records):
        if record.event is Event.ROLLED_BACK:
            return None
        if record.event is Event.BEGAN:
            return record
    return None


def going_back(records: Sequence[Record]) -> bool:
    """Whether a climb is on its way back."""
    last = [
        each.event for each in records if each.event in (Event.BEGAN, Event.GOING_BACK, Event.ROLLED_BACK)
    ]
    return bool(last) and last[-1] is Event.GOING_BACK


_ENDS = {Event.ENDED: "done", Event.ROLLED_BACK: "taken back"}


def _add(row: dict[str, Any], record: Record) -> None:
    match record.event:
        case Event.RESUMED:
            row["resumed"] += 1
        case Event.FAILED:
            row["failed"].append({"step": record.step, "why": record.data.get("why")})
        case Event.AFTER | Event.UNDONE:
            seconds = record.data.get("seconds", 0)
            row["steps"].append({"step": record.step, "event": record.event.value, "seconds": seconds})
        case Event.GOING_BACK:
            row["ended"] = "on its way back"
        case Event.ENDED | Event.ROLLED_BACK:
            row["ended"], row["ended_at"] = _ENDS[record.event], record.at
            row["away_seconds"] = record.data.get("away_seconds")
            row["requests_lost"] = record.data.get("requests_lost")
            row["forecast_away_seconds"] = record.data.get(
                "forecast_away_seconds", row["forecast_away_seconds"]
            )
            if row["away_seconds"] is not None and record.event is Event.ENDED:
                row["forecast_held"] = abs(row["away_seconds"] - row["forecast_away_seconds"]) <= HELD_SECONDS
        case _:
            return
