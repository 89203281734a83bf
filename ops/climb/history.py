"""The only place that reads a journal back: one row for each climb."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from ops.climb.journal import Event, Record


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
                "away_seconds": None, "requests_lost": None, "resumed": 0, "failed": [], "steps": [],
                "ended": "under way", "ended_at": "",
            }  # fmt: skip
        row = rows.get(record.climb)
        if row is not None:
            _add(row, record)
    return list(rows.values())


def usual_away(records: Sequence[Record]) -> float | None:
    """The median of the measured interruptions of climbs that took the box away; None where none was measured."""
    known = [
        row["away_seconds"]
        for row in climbs(records)
        if row["away_seconds"] and row["ended"] == "done" and row["forecast_away_seconds"]
    ]
    return float(median(known)) if known else None


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
        case _:
            return
