"""The only place for a stack's state at a glance: words, thresholds, money, last climb, lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from infra.core.errors import TerraceError
from ops.climb import history


def look(site: Any, *, now: datetime) -> dict[str, Any]:
    """Everything as plain values; what cannot be read says why. At most five calls of CloudWatch, and three of S3."""
    config = site.words()
    with ThreadPoolExecutor(3) as beside:
        # The engine reads the state in a process of its own; AWS is asked meanwhile.
        standing = beside.submit(site.stands)
        reported, money = beside.submit(site.report), beside.submit(_money, site)
        stands = standing.result()
        locked = beside.submit(_lock, site)
        journal = site.journal()
        report = reported.result()
    under_way = history.open_climb(journal)
    rows = history.climbs(journal.records)
    told = None
    if under_way is not None:
        last = journal.of(under_way.climb)[-1]
        told = {"climb": under_way.climb, "step": last.step, "event": last.event.value, "at": last.at}
    same = (config.stage, config.climb_to, config.phase) == (stands.stage, stands.climb_to, stands.phase)
    return {
        "stack": site.stack,
        "at": now.isoformat(timespec="seconds"),
        "config": config.said(),
        "stands": stands.said(),
        "pending": _pending(site.stack, told, same=same),
        "under_way": told,
        "thresholds": [row.as_json() for row in report.rows] if report else None,
        "error_budget_left_percent": dict(report.budgets) if report else None,
        "money": money.result(),
        "kept": list(config.kept or ()),
        "last_climb": rows[-1] if rows else None,
        "lock": locked.result(),
    }


def _pending(stack: str, told: dict[str, Any] | None, *, same: bool) -> str:
    if told is not None:
        return f"climb {told['climb']} is at {told['step'] or 'its beginning'}: scripts/scale_up.py resume -s {stack}"
    return "" if same else f"the file and the stack differ: pulumi up -s {stack}, or put the word back"


def _money(site: Any) -> dict[str, Any] | None:
    settings = site.settings()
    if settings.budget is None:
        return None
    found = site.cloud.budget(site.account())
    if found is None:
        return {"limit": str(settings.budget.aws_usd), "spent": None, "forecast": None}
    limit, spent, forecast = found
    return {"limit": str(limit), "spent": str(spent), "forecast": None if forecast is None else str(forecast)}


def _lock(site: Any) -> dict[str, Any] | None:
    try:
        held = site.lock().holder()
    except TerraceError as error:
        return {"unknown": error.faults[0].what}
    if held is None:
        return None
    holder, dead = held
    return {"who": holder.who, "since": holder.since, "reason": holder.reason, "dead": dead}
