"""The only place for what the box measures of itself besides the agent: how, how often, and when it is worth telling.

How often stands with each metric in `infra/core/metrics.py`: a custom metric is billed by the hour in which it comes.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from infra.core import burn
from infra.core import metrics as m
from infra.core.metrics import Metric
from infra.host.box.metrics import place
from infra.host.box.metrics.users import Users

SIX_HOURS, DAY, HOUR = 21_600, 86_400, 3_600
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
"""The message that systemd writes when a unit lost a process to the kernel's OOM killer (systemd's catalogue)."""

CONNECTIONS = (
    "select round(100.0 * count(*) / current_setting('max_connections')::int, 1) "
    "from pg_stat_activity where backend_type = 'client backend'"
)
DRILL_DAYS = 60

Run = Callable[[list[str]], str]


@dataclass(slots=True)
class Probes:
    """What one box can measure; each method gives None where there is nothing to tell."""

    facts: place.Facts
    users: Users
    state: Path
    run: Run
    client: Callable[[str], Any]
    now: datetime
    served: Callable[[], str] = lambda: ssl.get_server_certificate(("127.0.0.1", 443), timeout=5)
    public: Callable[[], bool] = lambda: True
    """Whether the world reaches this box itself; asked for what only such a box publishes."""

    def due(self) -> Iterator[tuple[Metric, Callable[[], float | None]]]:
        """What is to be measured now, by role and by when it was told last."""
        role = self.facts["role"]
        told = place.remembered(self.state / "told.json")
        for metric, measure in self._table():
            since = self.now.timestamp() - float(told.get(metric.key, 0))
            # The timer comes a little early or late: half a minute more or less is the same minute.
            if role not in metric.roles or since < metric.every_seconds - 30:
                continue
            if not metric.public_only or self.public():
                yield metric, measure

    def told(self, values: Mapping[Metric, float]) -> None:
        """Remembers what was published, so that it comes no sooner than the table says."""
        path = self.state / "told.json"
        stamps = {metric.key: self.now.timestamp() for metric in values}
        place.remember(path, {**place.remembered(path), **stamps})

    def _table(self) -> tuple[tuple[Metric, Callable[[], float | None]], ...]:
        gpu = bool(self.facts.get("gpu_budget_usd"))
        whole = ((m.BUDGET_USED, self.budget),) if gpu and self.facts.get("budget_usd") else ()
        return (
            (m.CONNECTIONS, self.connections),
            (m.CONCURRENT, self.at_once),
            (m.DAILY_USERS, self.daily),
            (m.MONTHLY_USERS, self.monthly),
            (m.CERTIFICATE, self.certificate),
            (m.DRILL_AGE, self.drill_age),
            (m.OOM, self.killed),
            # Without a GPU AWS Budgets sees the whole, and tells it by itself.
            *whole,
            *(
                (metric, partial(self.error_budget_left, objective))
                for objective, metric in m.BUDGET_LEFT.items()
                if gpu or objective != "model"
            ),
        )

    def connections(self) -> float | None:
        """Clients of PostgreSQL, of what it allows."""
        line = ["psql", "-XAtq", "-U", "terrace_metrics", "-d", "postgres", "-c", CONNECTIONS]
        return float(self.run(line))

    def at_once(self) -> float | None:
        """Users of the last five minutes; below a bound only the highest of six hours."""
        path = self.state / "at-once.json"
        kept = place.remembered(path)
        count = self.users.at_once()
        highest = max(count, int(kept.get("highest", 0)))
        began = float(kept.get("began", self.now.timestamp()))
        over = self.now.timestamp() - began >= SIX_HOURS
        tells = count >= m.CONCURRENT_TOLD_FROM or over
        fresh = (
            {"highest": 0, "began": self.now.timestamp()} if over else {"highest": highest, "began": began}
        )
        place.remember(path, fresh)
        return float(count if count >= m.CONCURRENT_TOLD_FROM else highest) if tells else None

    def daily(self) -> float | None:
        """Users of yesterday."""
        return _number(self.users.of_day(self._yesterday()))

    def monthly(self) -> float | None:
        """Users of the thirty days up to yesterday."""
        return _number(self.users.of_month(self._yesterday()))

    def certificate(self) -> float | None:
        """Days that the certificate is good for that Nginx serves."""
        said = self._openssl(self.served())
        ends = datetime.strptime(said.partition("=")[2].strip(), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        return (ends - self.now) / timedelta(days=1)

    def drill_age(self) -> float | None:
        """Seconds since a restore drill went well; since this began to look, where none has."""
        path = self.state / "drills.json"
        began = float(place.remembered(path).get("looked_since", self.now.timestamp()))
        place.remember(path, {"looked_since": began})
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace=self.facts["project"],
            MetricName=m.DRILL_FAILED.name,
            Dimensions=[{"Name": "Stack", "Value": self.facts["stack"]}],
            Statistics=["Minimum"],
            Period=HOUR,
            StartTime=self.now - timedelta(days=DRILL_DAYS),
            EndTime=self.now,
        )["Datapoints"]
        good = [point["Timestamp"].timestamp() for point in points if point["Minimum"] == 0]
        return self.now.timestamp() - max(good, default=began)

    def killed(self) -> float | None:
        """Processes that the kernel ended for want of memory since the last look."""
        path = self.state / "killed.json"
        since = float(place.remembered(path).get("looked_at", self.now.timestamp()))
        said = self.run(
            ["journalctl", "-q", "-o", "cat", f"--since=@{since:.0f}", f"MESSAGE_ID={OUT_OF_MEMORY}"]
        )
        place.remember(path, {"looked_at": self.now.timestamp()})
        return float(len(said.splitlines())) or None

    def budget(self) -> float | None:
        """What is spent of the month's whole budget: AWS's part by AWS Budgets, the GPU's by its controller."""
        whole, gpu = (float(self.facts[name]) for name in ("budget_usd", "gpu_budget_usd"))
        name = f"{self.facts['project']}-{self.facts['stack']}-monthly"
        described = self.client("budgets").describe_budget(
            AccountId=self.facts["account_id"], BudgetName=name
        )
        spent = float(described["Budget"]["CalculatedSpend"]["ActualSpend"]["Amount"])
        return 100 * (spent + gpu * self._gpu_percent() / 100) / whole

    def error_budget_left(self, objective: str) -> float | None:
        """What is left of thirty days' error budget; the objective's own alarm says what it counts."""
        cloudwatch = self.client("cloudwatch")
        name = f"{self.facts['project']}-{self.facts['stack']}-{burn.alarm_name(objective, burn.SLOWEST)}"
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        queries = {each["Id"]: each for alarm in found for each in alarm["Metrics"]}
        said = next(
            (burn.Burn.read(each["Expression"]) for each in queries.values() if each.get("Expression")), None
        )
        if said is None:
            raise LookupError(f"there is no alarm {name}")
        asked = [
            {"Id": id_, "MetricStat": {**queries[id_]["MetricStat"], "Period": HOUR}} for id_ in ("m1", "m2")
        ]
        page = cloudwatch.get_metric_data(
            MetricDataQueries=asked, StartTime=self.now - timedelta(days=burn.PERIOD_DAYS), EndTime=self.now
        )
        seen = {
            each["Id"]: dict(zip(each["Timestamps"], each["Values"], strict=True))
            for each in page["MetricDataResults"]
        }
        return said.left_percent(seen["m1"], seen["m2"])

    def _gpu_percent(self) -> float:
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace=self.facts["project"],
            MetricName=m.GPU_SPEND.name,
            Dimensions=[{"Name": "Stack", "Value": self.facts["stack"]}],
            Statistics=["Maximum"],
            Period=HOUR,
            StartTime=max(self.now - timedelta(hours=6), self.now.replace(day=1, hour=0, minute=0)),
            EndTime=self.now,
        )["Datapoints"]
        return float(max(points, key=lambda point: point["Timestamp"])["Maximum"]) if points else 0.0

    def _openssl(self, certificate: str) -> str:
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-enddate"],
            input=certificate, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
        return done.stdout

    def _yesterday(self) -> Any:
        return (self.now - timedelta(days=1)).date()


def collect(probes: Probes, say: Callable[[str], None]) -> dict[Metric, float]:
    """Everything that is due and can be had; one that fails is said and keeps no other back."""
    found: dict[Metric, float] = {}
    for metric, measure in probes.due():
        try:
            value = measure()
        except Exception as error:  # noqa: BLE001 said, and tried again in a minute
            say(f"{metric.name} cannot be measured: {type(error).__name__}: {str(error)[:200]}")
            continue
        if value is not None:
            found[metric] = value
    return found


def _number(count: int | None) -> float | None:
    return None if count is None else float(count)
