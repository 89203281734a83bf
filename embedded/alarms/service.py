"""The only place where the evaluator meets the embedded cloud: moto's alarms and metrics in, states and messages out.

The clock is the computer's, or runs ahead of it when somebody asks for it (`advance`): then every minute between is
evaluated, one after the other, and a week passes in seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from embedded.alarms.certificates import Certificates
from embedded.alarms.definition import composite_alarm, metric_alarm, metric_key
from embedded.alarms.delivery import Deliverer
from embedded.alarms.evaluator import MINUTE, Evaluator, Transition
from embedded.alarms.lambdas import Functions
from embedded.alarms.rules import State
from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.posts import POSTS
from embedded.aws.world import WORLD

_log = logging.getLogger(__name__)


class AlarmService:
    """Evaluates the alarms of every region once a minute, until it is stopped."""

    def __init__(
        self,
        mail: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        endpoint: Callable[[], str] = str,
    ) -> None:
        """`endpoint` gives the API's address, for the functions that alarms call."""
        self._mail, self._clock = mail, clock
        self._functions = Functions(endpoint)
        self._ahead = timedelta()
        self._regions: dict[str, _Region] = {}
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._evaluated: datetime | None = None
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Begins to evaluate, at every whole minute."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def now(self) -> datetime:
        """The time that alarms are evaluated by."""
        return self._clock() + self._ahead

    def advance(self, to: datetime) -> list[Transition]:
        """Evaluates every minute up to `to`, and stays ahead of the computer's clock by as much; the changes.

        Raises:
            ValueError: `to` lies before the time that alarms are evaluated by.
        """
        if to < self.now - MINUTE:
            raise ValueError(
                f"{to.isoformat()} lies before {self.now.isoformat()}, and time does not run backwards"
            )
        changes: list[Transition] = []
        minute = (self._evaluated or self.now.replace(second=0, microsecond=0)) + MINUTE
        while minute <= to and not self._stopping.is_set():
            changes += self.evaluate(minute)
            minute += MINUTE
        self._ahead = max(self._ahead, to - self._clock())
        self.settle()
        return changes

    def settle(self) -> None:
        """Waits until the functions that were called have ended, and what was sent to HTTP endpoints."""
        self._functions.settle()
        POSTS.settle()

    def evaluate(self, at: datetime) -> list[Transition]:
        """Every region at one minute."""
        from moto.cloudwatch.models import cloudwatch_backends

        with self._turn:
            if self._evaluated is not None and at < self._evaluated:
                return []  # the clock was made to run ahead meanwhile
            with WORLD:
                backends = dict(cloudwatch_backends[ACCOUNT_ID].items())
            changes: list[Transition] = []
            for name, backend in backends.items():
                region = self._regions.get(name)
                if region is None or not region.is_of(backend):
                    region = self._regions[name] = _Region(
                        backend, Deliverer(name, self._mail, self._functions)
                    )
                changes += region.evaluate(at)
            POSTS.again(at)
            self._evaluated = at
            return changes

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = self.now
            if self._stopping.wait(60 - now.second - now.microsecond / 1e6):
                return
            try:
                self.evaluate(self.now.replace(second=0, microsecond=0))
            except Exception:  # noqa: BLE001 logged; the next minute tries again
                _log.exception("a bug in the embedded cloud's alarm evaluator")


class _Region:
    """The evaluator of one region beside the backend that it mirrors."""

    def __init__(self, backend: Any, deliverer: Deliverer) -> None:
        self._backend, self._deliverer = backend, deliverer
        self._metric_data = backend.metric_data
        self._certificates = Certificates(deliverer.region)
        self._read = 0
        self._known: dict[str, Any] = {}
        self._evaluator = Evaluator()

    def is_of(self, backend: Any) -> bool:
        """Whether this mirrors that backend still: a reset or a load makes another one, or empties it."""
        return (
            backend is self._backend
            and backend.metric_data is self._metric_data
            and len(self._metric_data) >= self._read
        )

    def evaluate(self, at: datetime) -> list[Transition]:
        with WORLD:
            self._certificates.tell(self._backend, at)
            self._take_over_metrics(at)
            changes = [*self._take_over_alarms(at), *self._evaluator.tick(at)]
            shown = {change.name: self._record(change) for change in changes}
        for change in changes:
            self._deliverer.tell(change, shown[change.name])
        self._deliverer.schedules(at)
        return changes

    def _take_over_metrics(self, now: datetime) -> None:
        for datum in self._metric_data[self._read :]:
            key = metric_key(
                datum.namespace, datum.name, {each.name: each.value for each in datum.dimensions}
            )
            at = datum.timestamp if datum.timestamp.tzinfo else datum.timestamp.replace(tzinfo=UTC)
            if hasattr(datum, "value"):
                self._evaluator.add(key, at, datum.value, now=now)
            else:
                self._evaluator.add_set(
                    key,
                    at,
                    total=datum.sum,
                    count=datum.sample_count,
                    lowest=datum.min,
                    highest=datum.max,
                    now=now,
                )
        self._read = len(self._metric_data)

    def _take_over_alarms(self, now: datetime) -> list[Transition]:
        """What was put, changed and deleted; a state that SetAlarmState set runs its actions, as on AWS."""
        alarms, forced = self._backend.alarms, []
        for name in self._evaluator.names():
            if name not in alarms:
                self._evaluator.remove(name)
                self._known.pop(name, None)
        for name, alarm in alarms.items():
            asked: Mapping[str, Any] = getattr(alarm, "asked", {})
            if not asked or asked.get("EvaluationCriteria"):
                continue
            if self._known.get(name) is not asked:
                made = metric_alarm(asked) if alarm.rule is None else composite_alarm(asked)
                configured = alarm.configuration_updated_timestamp.replace(tzinfo=UTC)
                self._evaluator.put(
                    made,
                    max(configured, now) if name in self._known else configured,
                    State(alarm.state_value),
                )
                self._known[name] = asked
            if self._evaluator.state(name) != alarm.state_value:
                old, new = self._evaluator.state(name), State(alarm.state_value)
                self._evaluator.force(name, new, now)
                forced.append(Transition(name, old, new, now, alarm.state_reason))
        return forced

    def _record(self, change: Transition) -> dict[str, Any]:
        """Writes a change into the alarm and its history, as SetAlarmState does; what DescribeAlarms shows then."""
        from embedded.aws.extensions import cloudwatch

        alarm = self._backend.alarms[change.name]
        cloudwatch.evaluated(self._backend, alarm, change)
        WORLD.note_change()
        return cloudwatch.shown(alarm)
