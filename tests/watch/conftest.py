"""A stack that stands by its alarms alone: two weeks of data, evaluated, and asked through boto3."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from embedded.alarms.service import AlarmService
from embedded.aws.server import ApiServer
from infra.core.alarms import alarm_set
from infra.core.metrics import Metric
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops.alarmcalls import composite_call, dimensions, metric_call

from .support import WATCHED

REGION = "ap-northeast-2"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass
class Imagined:
    """The stack: its API, its evaluator, and what it is."""

    server: ApiServer
    service: AlarmService
    facts: Facts
    topic: str = ""

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.server.url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def put(self, metric: Metric, values: list[tuple[datetime, float]], subject: str = "app") -> None:
        """Data of a metric with the dimensions that it is published with."""
        dims = [
            {"Name": name, "Value": value}
            for name, value in dimensions(metric, subject, "dev", WATCHED).items()
        ]
        data = [
            {"MetricName": metric.name, "Dimensions": dims, "Value": value, "Timestamp": moment}
            for moment, value in values
        ]
        for first in range(0, len(data), 1000):
            self.client("cloudwatch").put_metric_data(
                Namespace=metric.space.named("terrace", "dev"), MetricData=data[first : first + 1000]
            )


@pytest.fixture(scope="module")
def imagined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imagined]:
    from infra.core import metrics as m

    with ApiServer() as server:
        server.reset()
        made = Imagined(
            server,
            AlarmService(tmp_path_factory.mktemp("mail"), clock=lambda: NOW),
            Facts(shape(find("single-8g"))),
        )
        cloudwatch, sns = made.client("cloudwatch"), made.client("sns")
        made.topic = sns.create_topic(Name="terrace-dev-alarms")["TopicArn"]
        sns.subscribe(TopicArn=made.topic, Protocol="email", Endpoint="ops@example.com")
        alarms = alarm_set(made.facts)
        for alarm in alarms.alarms:
            told = {"AlarmActions": [made.topic], "OKActions": [made.topic]} if alarm.notifies else {}
            cloudwatch.put_metric_alarm(**metric_call(alarm, "terrace", "dev", WATCHED) | told)
        for composite in alarms.composites:
            cloudwatch.put_composite_alarm(
                **composite_call(composite, "terrace", "dev"), AlarmActions=[made.topic]
            )
        hours = [NOW - timedelta(hours=hour) for hour in range(13 * 24, 0, -1)]
        days = [(moment, (moment - hours[0]) / timedelta(days=1)) for moment in hours]
        # Memory grows by 1.5 points a day and is above 70 % now; requests have a day and a night.
        made.put(m.MEMORY, [(moment, 55 + 1.5 * day) for moment, day in days])
        made.put(m.MEMORY, [(NOW - timedelta(minutes=minute), 76) for minute in range(59, 0, -1)])
        made.put(
            m.REQUESTS, [(moment, 900 + 600 * math.sin(day * 2 * math.pi)) for moment, day in days], "stack"
        )
        made.put(m.ERRORS_5XX, [(moment, 2) for moment, _ in days], "stack")
        made.put(m.CPU, [(moment, 40 if moment < NOW - timedelta(days=3) else 80) for moment, _ in days])
        made.put(m.DISK, [(moment, 30) for moment, _ in days])
        for minute in range(-30, 1):
            made.service.evaluate(NOW + timedelta(minutes=minute))
        yield made
