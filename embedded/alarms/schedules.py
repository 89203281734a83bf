"""The only place that knows when a rule of EventBridge with a schedule is due."""

from __future__ import annotations

import logging
import re
from datetime import datetime

_log = logging.getLogger(__name__)

_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")


def due(expression: str, at: datetime) -> bool:
    """Whether a schedule is due in that minute, UTC (EventBridge User Guide, "Cron expressions").

    Numbers, lists of them, `*` and `?` are known; anything else is never due, and is logged.
    """
    found = _CRON.fullmatch(expression or "")
    if found is None:
        _log.warning("the schedule %s is not known here", expression)
        return False
    # Sunday is 1.
    values = (at.minute, at.hour, at.day, at.month, at.isoweekday() % 7 + 1, at.year)
    return all(_meets(field, value) for field, value in zip(found.groups(), values, strict=True))


def _meets(field: str, value: int) -> bool:
    if field in ("*", "?"):
        return True
    parts = field.split(",")
    if not all(part.isdigit() for part in parts):
        _log.warning("%s in a schedule is not known here", field)
        return False
    return value in map(int, parts)
