"""The only place that tells of a change of state: SNS subscriptions, e-mail as files, EventBridge, EC2.

Every way is tried on its own: a webhook that is down or a queue that is gone keeps no e-mail back.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from pathlib import Path
from typing import Any

from embedded.alarms.evaluator import Transition
from embedded.alarms.lambdas import Functions
from embedded.alarms.rules import State
from embedded.alarms.schedules import due
from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.posts import PENDING, POSTS, PROTOCOLS, notification
from embedded.aws.world import WORLD

_log = logging.getLogger(__name__)

SENDER = "no-reply@sns.amazonaws.com"
_SUBJECT_CHARACTERS = 100
_ACTIONS = {
    State.ALARM: "AlarmActions",
    State.OK: "OKActions",
    State.INSUFFICIENT_DATA: "InsufficientDataActions",
}


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Carries the actions of a change out. `mail` is the directory that e-mails are written to."""

    region: str
    mail: Path
    functions: Functions

    def tell(self, change: Transition, alarm: Mapping[str, Any]) -> None:
        """The event, and the actions of the new state where they are to run; `alarm` as DescribeAlarms shows it."""
        self._safely("EventBridge", self._event, change, alarm)
        if not change.acts or not alarm.get("ActionsEnabled", True):
            return
        for action in alarm.get(_ACTIONS[change.new]) or ():
            if ":automate:" in action:
                self._safely(action, self._instance, action.rsplit(":", 1)[-1], alarm)
            elif ":sns:" in action:
                self._safely(action, self._publish, action, change, alarm)

    def _safely(self, where: str, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001 one way that is down keeps no other back
            _log.warning("an alarm could not be told to %s", where, exc_info=True)

    def _publish(self, topic_arn: str, change: Transition, alarm: Mapping[str, Any]) -> None:
        from moto.sns.models import sns_backends

        subject = f'{change.new}: "{change.name}" in {self.region}'[:_SUBJECT_CHARACTERS]
        message = json.dumps(_message(change, alarm, self.region))
        with WORLD:
            backend = sns_backends[ACCOUNT_ID][self.region]
            topic = backend.get_topic(topic_arn)
            subscriptions = [each for each in backend.subscriptions.values() if each.topic is topic]
            message_id = topic.publish(message, subject) if not subscriptions else str(uuid.uuid4())
        for each in subscriptions:
            policy = each._filter_policy_matcher
            if policy is not None and not policy.matches(None, message):
                continue
            if each.protocol in ("email", "email-json"):
                text = message if each.protocol == "email-json" else _text(change, alarm, self.region)
                self._safely(each.endpoint, self._mail, each.endpoint, subject, text, change.at)
            elif each.protocol == "lambda":
                event = _sns_event(each, topic_arn, message, message_id or "", subject, change.at)
                self._safely(
                    each.endpoint,
                    partial(self.functions.call, region=self.region, at=change.at),
                    each.endpoint,
                    event,
                )
            elif each.protocol in PROTOCOLS:
                if each.arn != PENDING:
                    POSTS.put(notification(each, message, message_id or "", subject, change.at), change.at)
            else:
                with WORLD:
                    self._safely(each.endpoint, each.publish, message, message_id, subject)
                    WORLD.note_change()

    def _mail(self, to: str, subject: str, message: str, at: datetime) -> None:
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = SENDER, to, subject
        mail["Date"] = at
        mail.set_content(message)
        self.mail.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in self.mail.glob("*.eml"))
        (self.mail / f"{at:%Y%m%dT%H%M%SZ}-{number:04d}.eml").write_bytes(mail.as_bytes())

    def schedules(self, at: datetime) -> None:
        """Calls the functions of EventBridge's rules that are due in that minute."""
        from moto.events.models import events_backends

        with WORLD:
            rules = list(events_backends[ACCOUNT_ID][self.region].event_buses["default"].rules.values())
            targets = [
                (str(target["Arn"]), str(target.get("Input") or _scheduled_event(rule, at)))
                for rule in rules
                if rule.scheduled_expression
                and rule.state == "ENABLED"
                and due(rule.scheduled_expression, at)
                for target in rule.targets
            ]
        for arn, given in targets:
            if ":lambda:" in arn:
                call = partial(self.functions.call, region=self.region, at=at)
                self._safely(arn, call, arn, json.loads(given))

    def _event(self, change: Transition, alarm: Mapping[str, Any]) -> None:
        from moto.events.models import events_backends

        state = _state(change.new, change)
        if change.suppressed_by:
            state["actionsSuppressedBy"] = change.suppressed_by
        detail = {
            "alarmName": change.name,
            "state": state,
            "previousState": {"value": change.old},
            "configuration": {"description": alarm.get("AlarmDescription", "")},
        }
        with WORLD:
            events_backends[ACCOUNT_ID][self.region].put_events(
                [
                    {
                        "Source": "aws.cloudwatch",
                        "DetailType": "CloudWatch Alarm State Change",
                        "Resources": [alarm["AlarmArn"]],
                        "Detail": json.dumps(detail),
                    }
                ]
            )

    def _instance(self, action: str, alarm: Mapping[str, Any]) -> None:
        """Recover and reboot: both start the machine anew, with its address and volumes."""
        from moto.ec2.models import ec2_backends

        (instance_id,) = (each["Value"] for each in alarm["Dimensions"] if each["Name"] == "InstanceId")
        if action not in ("recover", "reboot"):
            _log.warning("the EC2 action %s is not carried out here", action)
            return
        with WORLD:
            instance: Any = ec2_backends[ACCOUNT_ID][self.region].get_instance(instance_id)
            if instance._state.name == "running":
                instance.reboots = getattr(instance, "reboots", 0) + 1
                WORLD.note_change()


def _scheduled_event(rule: Any, at: datetime) -> str:
    """What a target without an input of its own gets (EventBridge User Guide, "Scheduled event")."""
    return json.dumps(
        {
            "version": "0",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": rule.region_name,
            "resources": [rule.arn],
            "detail": {},
        }
    )


def _sns_event(
    subscription: Any, topic_arn: str, message: str, message_id: str, subject: str, at: datetime
) -> dict[str, Any]:
    """What SNS hands to a function (Lambda Developer Guide, "Invoking Lambda functions with Amazon SNS")."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription.arn,
                "Sns": {
                    "Type": "Notification",
                    "MessageId": message_id,
                    "TopicArn": topic_arn,
                    "Subject": subject,
                    "Message": message,
                    "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                    "MessageAttributes": {},
                },
            }
        ]
    }


def _state(state: State, change: Transition) -> dict[str, Any]:
    return {
        "value": state,
        "reason": change.reason,
        "reasonData": json.dumps(change.data),
        "timestamp": change.at.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
    }


def _text(change: Transition, alarm: Mapping[str, Any], region: str) -> str:
    """The mail of an e-mail subscription: what AWS's says, in its order. Its wording is nowhere documented."""
    link = f"https://{region}.console.aws.amazon.com/cloudwatch/deeplink.js?region={region}#alarmsV2:alarm/"
    lines = [
        f'Your Amazon CloudWatch Alarm "{change.name}" in the {region} region has entered the {change.new} state,',
        f'because "{change.reason}" at "{change.at:%A %d %B, %Y %H:%M:%S} UTC".',
        "",
        f"View this alarm in the AWS Management Console: {link}{change.name}",
        "",
        "Alarm Details:",
        f"- Name: {change.name}",
        f"- Description: {alarm.get('AlarmDescription') or ''}",
        f"- State Change: {change.old} -> {change.new}",
        f"- Reason for State Change: {change.reason}",
        f"- Timestamp: {change.at:%A %d %B, %Y %H:%M:%S} UTC",
        f"- AWS Account: {ACCOUNT_ID}",
        f"- Alarm Arn: {alarm['AlarmArn']}",
    ]
    if alarm.get("Threshold") is not None:
        held = f"at least {alarm.get('DatapointsToAlarm') or alarm['EvaluationPeriods']} of the last "
        lines += [
            "",
            "Threshold:",
            f"- The alarm is in the ALARM state when the metric is {alarm['ComparisonOperator']} "
            f"{alarm['Threshold']} for {held}{alarm['EvaluationPeriods']} period(s).",
        ]
    return "\n".join(lines) + "\n"


_TRIGGER = (
    "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Unit", "Dimensions", "Period", "EvaluationPeriods",
    "DatapointsToAlarm", "ComparisonOperator", "Threshold", "TreatMissingData", "EvaluateLowSampleCountPercentile",
    "Metrics", "AlarmRule",
)  # fmt: skip


def _message(change: Transition, alarm: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The body that CloudWatch publishes (CloudWatch User Guide, "Notify users on alarm changes")."""

    def actions(name: str) -> Sequence[str]:
        return list(alarm.get(name) or ())

    return {
        "AlarmName": change.name,
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT_ID,
        "NewStateValue": change.new,
        "NewStateReason": change.reason,
        "StateChangeTime": change.at.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Region": region,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": change.old,
        "OKActions": actions("OKActions"),
        "AlarmActions": actions("AlarmActions"),
        "InsufficientDataActions": actions("InsufficientDataActions"),
        "Trigger": {name: alarm[name] for name in _TRIGGER if alarm.get(name) not in (None, [])},
    }
