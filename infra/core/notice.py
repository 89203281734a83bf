"""The only place for what a person reads when an alarm speaks: what, for how long, meaning, what to do, price, link.

An alarm's description is the one text of ours that CloudWatch carries into every message: mails show it as it is, and
`infra/lambda_/webhook.py` takes it apart again, by its first word, its lines and its link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.core.alarms import Alarm, Composite
from infra.core.thresholds import Severity

MOST_CHARACTERS = 1024
"""Of an alarm's description (CloudWatch API reference, PutMetricAlarm)."""

ABOVE = {
    "single-8g": "single-16g",
    "single-8g-fixed": "single-16g",
    "single-16g": "single-16g-fixed",
    "single-16g-fixed": "split",
    "split": "private",
}
"""The founding document's path; `scripts/scale_up.py advise` looks at the whole ladder."""

_SPANS = ((86_400, "day"), (3_600, "h"), (60, "min"))


class Webhook(StrEnum):
    """The chats that are told besides the mail."""

    NONE = "none"
    SLACK = "slack"
    DISCORD = "discord"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the day in which the chat is told of pages alone; minutes of the UTC day."""

    first: int
    last: int

    @staticmethod
    def parse(text: str) -> QuietHours:
        """Of `22:00-08:00+09:00`: from, until, and how far that clock is ahead of UTC.

        Raises:
            ValueError: it is written otherwise, or begins when it ends.
        """
        found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)([+-])(\d\d):(\d\d)", text)
        if found is None:
            raise ValueError(f"{text!r} is no span of hours with its offset from UTC")
        hours, minutes = [int(found[n]) for n in (1, 3, 6)], [int(found[n]) for n in (2, 4, 7)]
        if max(hours) > 23 or max(minutes) > 59:
            raise ValueError(f"{text!r} names an hour beyond 23 or a minute beyond 59")
        begin, end, ahead = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
        ahead = ahead if found[5] == "+" else -ahead
        if begin == end:
            raise ValueError(f"{text!r} begins when it ends")
        return QuietHours((begin - ahead) % 1440, (end - ahead) % 1440)

    @property
    def cron_of_end(self) -> str:
        """When they are over, as EventBridge writes it (EventBridge User Guide, "Cron expressions"), UTC."""
        return f"cron({self.last % 60} {self.last // 60} * * ? *)"


@dataclass(frozen=True, slots=True)
class About:
    """What a message says besides the alarm itself. `next_stage` is a sentence without its full stop, or nothing."""

    region: str
    dashboard: str
    next_stage: str = ""

    @property
    def link(self) -> str:
        """The stack's dashboard in the console."""
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home"
            f"?region={self.region}#dashboards/dashboard/{self.dashboard}"
        )


def next_stage(name: str, usd: Decimal, more: Decimal) -> str:
    """The sentence of what comes next on the ladder; `more` than now, USD a month before tax."""
    sign = "more" if more >= 0 else "less"
    return f"Next stage: {name}, {usd:.2f} USD a month, {abs(more):.2f} {sign} than now"


def of_alarm(alarm: Alarm, about: About) -> str:
    """The description of a metric alarm."""
    return _text(_of_alarm(alarm, about), alarm.name, about)


def of_composite(composite: Composite, alarms: Iterable[Alarm], about: About) -> str:
    """The description of a composite alarm, with the meaning and threshold of each of its members, as far as fits.

    Which of them speak CloudWatch says in the message, by their names.
    """
    lines = [
        f"{composite.severity.value.upper()}: {composite.title}.",
        composite.means,
        f"Do: {composite.do}",
    ]
    if composite.severity is Severity.REVIEW and about.next_stage:
        lines.append(f"{about.next_stage}.")
    lines.append(f"One of: {'; '.join(members(composite, alarms))}.")
    return _text(iter(lines), composite.name, about)


def members(composite: Composite, alarms: Iterable[Alarm]) -> list[str]:
    """What a composite is over, in words: each threshold once, windows that speak together as one."""
    made = {alarm.name: alarm for alarm in alarms}
    groups = (
        " and ".join(f"{made[name].title} {said(made[name])}" for name in group) for group in composite.any_of
    )
    return list(dict.fromkeys(groups))


def _of_alarm(alarm: Alarm, about: About) -> Iterator[str]:
    yield f"{alarm.severity.value.upper()}: {alarm.title} {said(alarm)}."
    yield alarm.means
    yield f"Do: {alarm.do}"
    if alarm.severity is Severity.REVIEW and about.next_stage:
        yield f"{about.next_stage}."


def said(alarm: Alarm) -> str:
    """When it speaks, in words: `above 80 % in 6 of 6 × 5 min`."""
    side = "above" if "Greater" in alarm.comparison else "below"
    row = alarm.threshold
    value = alarm.value * row.scale if row else alarm.value
    shown = f"{float(round(value, 3)):,g}"
    unit = f" {row.unit}" if row and row.unit else ""
    held = span(alarm.period_seconds)
    held = held if alarm.periods == 1 else f"{alarm.datapoints} of {alarm.periods} × {held}"
    return f"{side} {shown}{unit} in {held}"


def span(seconds: int) -> str:
    """A period as a person writes it: `5 min`, `7 days`."""
    length, word = next((each for each in _SPANS if seconds % each[0] == 0), (1, "s"))
    count = seconds // length
    return f"{count} {word}{'s' if word == 'day' and count > 1 else ''}"


def _text(lines: Iterator[str], name: str, about: About) -> str:
    last = f"More: scripts/watch.py explain {name}; {about.link}"
    text = "\n".join(lines)
    return f"{text[: MOST_CHARACTERS - len(last) - 1]}\n{last}"
