"""Alarms, metric data and subscriptions by boto3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.core.errors import Fault, TerraceError
from infra.host.box.metrics import deploying, place
from ops.watch import Recipients, Standing, Wanted

PENDING = "PendingConfirmation"
"""What ListSubscriptionsByTopic shows in place of an ARN until the link was followed (SNS API reference)."""
MOST_ALARMS = 100
"""Names in one DescribeAlarms (CloudWatch API reference)."""


class AwsWatch:
    """One account and region; counts its calls."""

    def __init__(self, region: str) -> None:
        session: Any = boto3.Session(region_name=region)
        self._cloudwatch, self._sns = session.client("cloudwatch"), session.client("sns")
        self.calls = 0

    def alarms(self, prefix: str, names: Sequence[str]) -> Mapping[str, Standing]:
        """Those of the alarms called prefix and name that stand, by name; asked by their whole names."""
        found: dict[str, Standing] = {}
        for first in range(0, len(names), MOST_ALARMS):
            page = self._ask(
                self._cloudwatch.describe_alarms,
                AlarmNames=[f"{prefix}{name}" for name in names[first : first + MOST_ALARMS]],
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                MaxRecords=MOST_ALARMS,
            )
            for each in (*page["MetricAlarms"], *page["CompositeAlarms"]):
                name = each["AlarmName"].removeprefix(prefix)
                found[name] = Standing(
                    name,
                    each["StateValue"],
                    each.get("StateTransitionedTimestamp") or each.get("StateUpdatedTimestamp"),
                    each.get("StateReason") or "",
                    each.get("Threshold"),
                    {one["Name"]: one["Value"] for one in each.get("Dimensions") or ()},
                    each.get("ActionsSuppressedBy") or "",
                )
        return found

    def series(
        self, wanted: Sequence[Wanted], start: datetime, end: datetime, period_seconds: int
    ) -> Mapping[str, list[tuple[datetime, float]]]:
        """Data by id, oldest first."""
        queries = [_query(each, period_seconds) for each in wanted]
        found: dict[str, list[tuple[datetime, float]]] = {}
        for page in self._pages(
            self._cloudwatch.get_metric_data,
            MetricDataQueries=queries,
            StartTime=start,
            EndTime=end,
            ScanBy="TimestampAscending",
        ):
            for each in page["MetricDataResults"]:
                found.setdefault(each["Id"], []).extend(zip(each["Timestamps"], each["Values"], strict=True))
        return found

    def recipients(self, topic_name: str) -> Recipients:
        """Whom the topic's mails reach; why that is not known, where it could not be asked."""
        topic = f"arn:aws:sns:{self._sns.meta.region_name}:{self._account()}:{topic_name}"
        try:
            pages = list(self._pages(self._sns.list_subscriptions_by_topic, TopicArn=topic))
        except TerraceError as error:
            return Recipients(unknown=error.faults[0].what)
        mails = [
            each for page in pages for each in page["Subscriptions"] if each["Protocol"].startswith("email")
        ]
        return Recipients(
            sum(each["SubscriptionArn"].startswith("arn:") for each in mails),
            tuple(each["Endpoint"] for each in mails if each["SubscriptionArn"] == PENDING),
        )

    def publish(self, namespace: str, data: Sequence[Mapping[str, Any]]) -> None:
        """Puts metric data."""
        self._ask(self._cloudwatch.put_metric_data, Namespace=namespace, MetricData=list(data))

    def force(self, name: str, reason: str) -> None:
        """Puts an alarm to ALARM until its next evaluation: its actions run (CloudWatch API, SetAlarmState)."""
        self._ask(self._cloudwatch.set_alarm_state, AlarmName=name, StateValue="ALARM", StateReason=reason)

    def announced(self, project: str, stack: str) -> AbstractContextManager[None]:
        """A block in which `deploying` is told each minute, so that composite alarms are held back."""
        return deploying.announced(lambda: place.CloudWatch(self._cloudwatch, project, stack, ""))

    def _account(self) -> str:
        return self._arn.split(":")[4] if self._arn else ""

    _arn = ""

    def _pages(self, call: Any, **parameters: Any) -> Iterator[Any]:
        """Every page of an answer."""
        token: dict[str, str] = {}
        while True:
            page = self._ask(call, **parameters, **token)
            yield page
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _ask(self, call: Any, **parameters: Any) -> Any:
        self.calls += 1
        try:
            answer = call(**parameters)
        except (ClientError, BotoCoreError) as error:
            raise TerraceError(
                Fault(
                    "AWS", str(error), "See whether the credentials belong to the stack's account and region"
                )
            ) from error
        for each in (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())):
            self._arn = each["AlarmArn"]
            break
        return answer


def _query(wanted: Wanted, period_seconds: int) -> dict[str, Any]:
    query: dict[str, Any] = {"Id": wanted.id, "ReturnData": wanted.returned}
    if wanted.expression:
        return {**query, "Expression": wanted.expression, "Period": period_seconds}
    dimensions = [{"Name": name, "Value": value} for name, value in wanted.dimensions.items()]
    metric = {"Namespace": wanted.namespace, "MetricName": wanted.metric, "Dimensions": dimensions}
    return {**query, "MetricStat": {"Metric": metric, "Period": period_seconds, "Stat": wanted.statistic}}
