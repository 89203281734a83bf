"""The only place where alarms are evaluated: all of one cloud, on a clock that the caller moves minute by minute.

Rules beside those of `rules`: a sliding window ends at the minute of the evaluation, a wall clock window at the last
boundary of its period in its zone, a week on Monday ("Alarm evaluation window"); a window of more than a day is
evaluated once an hour (verify); actions run on a change of state alone; a composite alarm with a suppressor holds its
actions back ("Composite alarm action suppression").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from embedded.alarms.definition import CompositeAlarm, MetricAlarm, MetricKey
from embedded.alarms.rules import EXTRA_POINTS, OPERATORS, State, decide, samples_needed
from embedded.alarms.series import MINUTES_AHEAD, MINUTES_BACK, Series

MINUTE = timedelta(minutes=1)
DAY_MINUTES, WEEK_MINUTES = 24 * 60, 7 * 24 * 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MONDAY = datetime(1970, 1, 5)  # noqa: DTZ001 a wall clock's, in any zone
DEEPEST = 10
"""Composite alarms upon each other are settled in so many rounds; a cycle is left there."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state, or actions that a suppressor had held back. `at` is UTC.

    `acts`: whether the actions of `new` run now; `suppressed_by` says in CloudWatch's words why not.
    """

    name: str
    old: State
    new: State
    at: datetime
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)
    acts: bool = True
    suppressed_by: str = ""


@dataclass(slots=True)
class _Standing:
    """What is remembered of one alarm."""

    alarm: MetricAlarm | CompositeAlarm
    state: State
    since: datetime
    configured_at: datetime
    warm: bool = False
    points: dict[int, float | None] = field(default_factory=dict)
    breaching: dict[int, bool | None] = field(default_factory=dict)
    samples: dict[int, float] = field(default_factory=dict)
    revisions: tuple[int, ...] = ()
    held: Transition | None = None
    held_until: datetime | None = None
    was_suppressing: bool = False
    suppressor_left: datetime | None = None

    def forget_points(self) -> None:
        """What was computed is stale."""
        self.points.clear()
        self.breaching.clear()
        self.samples.clear()


class Evaluator:
    """Metrics and alarms; `tick` evaluates them at one whole minute."""

    def __init__(self) -> None:
        self.series: dict[MetricKey, Series] = {}
        self._alarms: dict[str, _Standing] = {}
        self._unsettled = True
        """Whether something changed since composite alarms were settled."""

    # -- what it knows --------------------------------------------------------------------------------------------

    def put(
        self, alarm: MetricAlarm | CompositeAlarm, at: datetime, state: State = State.INSUFFICIENT_DATA
    ) -> None:
        """Adds an alarm, or changes the one of its name, which keeps its state; `at` starts a warm-up."""
        if (standing := self._alarms.get(alarm.name)) is None:
            self._alarms[alarm.name] = _Standing(alarm, state, at, at)
        else:
            standing.alarm, standing.configured_at, standing.warm = alarm, at, False
            standing.forget_points()
        self._unsettled = True

    def remove(self, name: str) -> None:
        """Forgets an alarm."""
        self._alarms.pop(name, None)
        self._unsettled = True

    def names(self) -> list[str]:
        """The alarms that are known."""
        return list(self._alarms)

    def state(self, name: str) -> State:
        """What an alarm is in."""
        return self._alarms[name].state

    def force(self, name: str, state: State, at: datetime) -> None:
        """What SetAlarmState does: holds until the next evaluation says otherwise."""
        standing = self._alarms[name]
        standing.state, standing.since = state, at
        self._unsettled = True

    def of(self, key: MetricKey) -> Series:
        """The data of a metric, made empty where there were none."""
        if (found := self.series.get(key)) is None:
            found = self.series[key] = Series()
        return found

    def add(self, key: MetricKey, at: datetime, value: float, count: float = 1, *, now: datetime) -> bool:
        """One datum; False where CloudWatch would not take it: no number, too old, too far ahead."""
        return _in_time(at, now) and self.of(key).add(_minute(at), value, count)

    def add_set(
        self, key: MetricKey, at: datetime, *, total: float, count: float, lowest: float, highest: float,
        now: datetime,
    ) -> bool:  # fmt: skip
        """One statistic set; False as of `add`."""
        return _in_time(at, now) and self.of(key).add_set(
            _minute(at), total=total, count=count, lowest=lowest, highest=highest
        )

    # -- evaluation -----------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> list[Transition]:
        """Everything that changes at that minute; seconds of `now` are left out of account for windows."""
        minute = _minute(now)
        changes = [
            change for each in list(self._alarms.values()) if (change := self._metric(each, minute, now))
        ]
        if changes or self._unsettled:
            self._unsettled = False
            for _ in range(DEEPEST):
                again = [
                    change for each in list(self._alarms.values()) if (change := self._composite(each, now))
                ]
                if not again:
                    break
                changes += again
        return [*changes, *self._released(now)]

    def _metric(self, standing: _Standing, minute: int, now: datetime) -> Transition | None:
        alarm = standing.alarm
        if not isinstance(alarm, MetricAlarm):
            return None
        if alarm.window_minutes > DAY_MINUTES and minute % 60 and alarm.wall_clock is None:
            return None
        ends = self._ends(alarm, minute)
        self._compute(standing, alarm, ends)
        if not self._is_warm(standing, alarm, ends, now):
            return self._change(
                standing, State.INSUFFICIENT_DATA, now, "The alarm is in its warm-up period", {}
            )
        if alarm.ignores_low_samples and self._too_few(standing, alarm, ends):
            return None
        points = [standing.breaching[end] for end in ends]
        state = decide(points, evaluated=alarm.evaluated, to_alarm=alarm.to_alarm, missing=alarm.missing)
        if state is None or state is standing.state:
            return None
        values = [standing.points[end] for end in ends]
        return self._change(
            standing, state, now, _reason(alarm, state, values, points), _data(alarm, values, now)
        )

    def _ends(self, alarm: MetricAlarm, minute: int) -> Sequence[int]:
        """The minutes at which the periods of the evaluation range end, newest first."""
        count = alarm.evaluated + EXTRA_POINTS
        if alarm.wall_clock is None:
            return range(minute, minute - count * alarm.period_minutes, -alarm.period_minutes)
        zone = ZoneInfo(alarm.wall_clock)
        local = (EPOCH + minute * MINUTE).astimezone(zone).replace(tzinfo=None)
        period = timedelta(minutes=alarm.period_minutes)
        boundary = FIRST_MONDAY + (local - FIRST_MONDAY) // period * period
        return [
            _minute((boundary - index * period).replace(tzinfo=zone).astimezone(UTC))
            for index in range(count)
        ]

    def _compute(self, standing: _Standing, alarm: MetricAlarm, ends: Sequence[int]) -> None:
        series = [self.of(query.metric) for query in alarm.queries]
        revisions = tuple([each.revision for each in series])
        if revisions != standing.revisions:
            standing.forget_points()
            standing.revisions = revisions
        elif ends[0] in standing.points:
            return
        breaches = OPERATORS[alarm.comparison]
        for end in ends:
            if end in standing.points:
                continue
            values = {
                query.id: each.statistic(query.statistic, end, alarm.period_minutes)
                for query, each in zip(alarm.queries, series, strict=True)
            }
            value = alarm.expression(values) if alarm.expression else values["m"]
            standing.points[end] = value
            standing.breaching[end] = None if value is None else breaches(value, alarm.threshold)
            if alarm.ignores_low_samples:
                standing.samples[end] = series[0].samples(end, alarm.period_minutes)
        if len(standing.points) > 4 * alarm.window_minutes + 64:
            oldest = ends[-1]
            for kept in (standing.points, standing.breaching, standing.samples):
                for end in [end for end in kept if end < oldest]:
                    del kept[end]

    def _is_warm(self, standing: _Standing, alarm: MetricAlarm, ends: Sequence[int], now: datetime) -> bool:
        if not alarm.warm_up_minutes or standing.warm:
            return True
        waited = now >= standing.configured_at + alarm.warm_up_minutes * MINUTE
        full = all(standing.points[end] is not None for end in ends[: alarm.evaluated])
        standing.warm = waited or (full and not alarm.waits_out_warm_up)
        return standing.warm

    def _too_few(self, standing: _Standing, alarm: MetricAlarm, ends: Sequence[int]) -> bool:
        statistic = alarm.queries[0].statistic
        if not statistic.startswith("p"):
            return False
        found = sum(standing.samples[end] for end in ends[: alarm.evaluated])
        return found < samples_needed(float(statistic[1:]))

    def _composite(self, standing: _Standing, now: datetime) -> Transition | None:
        alarm = standing.alarm
        if not isinstance(alarm, CompositeAlarm):
            return None
        states = {name: str(each.state) for name, each in self._alarms.items()}
        state = State.ALARM if alarm.holds(states) else State.OK
        if state is standing.state:
            return None
        named = [name for name in alarm.children if states.get(name) == State.ALARM]
        outcome = "holds" if state is State.ALARM else "does not hold"
        reason = f"The rule {outcome}; in ALARM: {', '.join(named) or 'none of its alarms'}"
        change = self._change(standing, state, now, reason, {"triggeringAlarms": named})
        if change is None or alarm.suppressor is None:
            return change
        return self._suppressed(standing, alarm, change, now)

    def _suppressed(
        self, standing: _Standing, alarm: CompositeAlarm, change: Transition, now: datetime
    ) -> Transition:
        """The change with its actions held back, where a suppressor is or may still come."""
        left = now if standing.was_suppressing else standing.suppressor_left
        extension = timedelta(seconds=alarm.extension_seconds)
        until: datetime | None
        if self._suppressing(alarm):
            by, until = "Alarm", None
        elif left is not None and now < left + extension:
            by, until = "ExtensionPeriod", left + extension
        elif alarm.wait_seconds:
            by, until = "WaitPeriod", now + timedelta(seconds=alarm.wait_seconds)
        else:
            return change
        # What was held back of an earlier change never happened for anybody: back where it was, nothing is told.
        if standing.held is not None and standing.held.old is change.new:
            standing.held = standing.held_until = None
        else:
            standing.held, standing.held_until = replace(change, acts=False), until
        return replace(change, acts=False, suppressed_by=by)

    def _released(self, now: datetime) -> Iterator[Transition]:
        """Actions whose suppression ended; and remembers suppressors that came or went."""
        for standing in self._alarms.values():
            alarm = standing.alarm
            if not isinstance(alarm, CompositeAlarm) or alarm.suppressor is None:
                continue
            if self._suppressing(alarm):
                standing.was_suppressing, standing.held_until = True, None
                continue
            if standing.was_suppressing:
                standing.was_suppressing, standing.suppressor_left = False, now
                standing.held_until = now + timedelta(seconds=alarm.extension_seconds)
            if standing.held is not None and standing.held_until is not None and now >= standing.held_until:
                held, standing.held, standing.held_until = standing.held, None, None
                yield replace(held, at=now, acts=True, reason=f"{held.reason} (held back until now)")

    def _suppressing(self, alarm: CompositeAlarm) -> bool:
        found = self._alarms.get(alarm.suppressor or "")
        return found is not None and found.state is State.ALARM

    def _change(
        self, standing: _Standing, state: State, now: datetime, reason: str, data: Mapping[str, Any]
    ) -> Transition | None:
        if state is standing.state:
            return None
        old, standing.state, standing.since = standing.state, state, now
        return Transition(standing.alarm.name, old, state, now, reason, data)


def replay(evaluator: Evaluator, start: datetime, end: datetime) -> Iterator[Transition]:
    """Every change from minute to minute, both ends included; the data may be there already."""
    now = start
    while now <= end:
        yield from evaluator.tick(now)
        now += MINUTE


def _in_time(at: datetime, now: datetime) -> bool:
    current = _minute(now)
    return current - MINUTES_BACK <= _minute(at) <= current + MINUTES_AHEAD


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _reason(
    alarm: MetricAlarm, state: State, values: Iterable[float | None], points: Iterable[bool | None]
) -> str:
    shown = ", ".join(f"{value:g}" for value in list(values)[: alarm.evaluated] if value is not None)
    if not shown:
        return f"No datapoints in {alarm.evaluated} periods; missing data is treated as {alarm.missing}"
    word = "Threshold crossed" if state is State.ALARM else "Threshold not crossed"
    breaching = sum(1 for point in list(points)[: alarm.evaluated] if point)
    return (
        f"{word}: {breaching} of the last {alarm.evaluated} datapoints [{shown}] breach {alarm.threshold:g} "
        f"({alarm.comparison}; {alarm.to_alarm} needed)"
    )


def _data(alarm: MetricAlarm, values: list[float | None], now: datetime) -> dict[str, Any]:
    return {
        "version": "1.0",
        "queryDate": now.isoformat(),
        "statistic": alarm.queries[0].statistic,
        "period": alarm.period_minutes * 60,
        "recentDatapoints": [value for value in values[: alarm.evaluated] if value is not None][::-1],
        "threshold": alarm.threshold,
    }
