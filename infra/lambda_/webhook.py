"""The only place that tells a chat of alarms: SNS and the end of quiet hours in, one message to Slack or Discord out.

Python's standard library and the boto3 that Lambda's runtime carries. CloudWatch's alarm history is the memory: what
has flapped, and what was kept back in quiet hours, is asked there. That nobody is told twice is held by one object a
message, made by a conditional write: SNS may deliver twice, and to two containers (docs/adr/0059). The chat's address
is read from its parameter at each call; it is a secret, so it stands in no log and in no error. A message that the
chat does not take is an error of the function: Lambda tries twice more, its Errors metric makes an alarm, and the
mail has come all the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

log = logging.getLogger()
log.setLevel(logging.INFO)

TIMEOUT_SECONDS = 8
REPEAT_MINUTES = 60
TOLD_IN_AN_HOUR = 2
"""Of a warning that flaps, so many alarms in an hour are told, and no more; pages always."""

PAGE, REVIEW, WARN = "PAGE", "REVIEW", "WARN"
COLOURS = {PAGE: 0xC62828, REVIEW: 0xC62828, WARN: 0xD99A00, "OK": 0x2E7D32}
CLAIM_SECONDS = 60
"""A message that was begun so long ago and not told was begun by a container that died: more than its timeout."""
TOLD = b"told"
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 answers to a conditional write that came second (S3 API reference, PutObject)."""
MOST_TEXT = 2900
"""Slack takes 3 000 characters in a block's text, Discord 4 096 in an embed's description (their API references)."""


class WebhookError(Exception):
    """A message was not delivered; says why without the address."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function is told by its environment. `quiet` are minutes of the UTC day, or nothing."""

    kind: str
    parameter: str
    prefix: str
    bucket: str
    folder: str
    quiet: tuple[int, int] | None

    @staticmethod
    def read(environment: Mapping[str, str]) -> Settings:
        """From the function's variables."""
        first, _, last = environment.get("QUIET_MINUTES", "").partition("-")
        return Settings(
            environment["KIND"],
            environment["PARAMETER"],
            environment["PREFIX"],
            environment["BUCKET"],
            environment["FOLDER"],
            (int(first), int(last)) if last else None,
        )

    def tells_of(self, name: str) -> bool:
        """Whether it may be an alarm of this stack, and not one that says that the chat cannot be told."""
        return name.startswith(self.prefix) and not name.startswith(f"{self.prefix}webhook-")

    def is_quiet(self, at: datetime) -> bool:
        """Whether that moment lies in quiet hours."""
        if self.quiet is None:
            return False
        first, last = self.quiet
        minute = at.hour * 60 + at.minute
        return first <= minute < last if first < last else minute >= first or minute < last

    def quiet_began(self, now: datetime) -> datetime:
        """When the quiet hours began that ended last."""
        first, last = self.quiet or (0, 0)
        ended = now.replace(hour=last // 60, minute=last % 60, second=0, microsecond=0)
        if ended > now:
            ended -= timedelta(days=1)
        return ended - timedelta(minutes=(last - first) % 1440)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people; `word` is a severity, or OK."""

    word: str
    title: str
    text: str
    link: str
    at: datetime


def handler(event: Mapping[str, Any], _context: object = None) -> dict[str, int]:
    """Lambda's entry: how many messages were sent and how many kept back.

    Raises:
        WebhookError: the chat did not take one, or the address is not set.
    """
    settings = Settings.read(os.environ)
    if "Records" not in event:
        at = _scheduled(event)
        told = _tell(settings, digest(settings, at), "digest", at.isoformat())
        return {"sent": int(told), "kept": 0}
    sent = kept = 0
    for record in event["Records"]:
        alarm = _alarm(record)
        message = worth_telling(settings, alarm) if alarm else None
        if _tell(settings, message, *_key(alarm)):
            sent += 1
        else:
            kept += 1
    return {"sent": sent, "kept": kept}


def _alarm(record: Mapping[str, Any]) -> dict[str, Any]:
    """CloudWatch's message, or nothing where SNS carried something else."""
    try:
        body = json.loads(record["Sns"]["Message"])
    except (KeyError, ValueError):
        return {}
    return body if isinstance(body, dict) and body.get("AlarmName") else {}


def worth_telling(settings: Settings, alarm: Mapping[str, Any]) -> Message | None:
    """The message for a change of state, or None: no news, quiet hours, or it flaps."""
    name, new, old = alarm["AlarmName"], alarm["NewStateValue"], alarm.get("OldStateValue", "")
    if new not in ("ALARM", "OK") or (new == "OK" and old != "ALARM"):
        return None
    if not settings.tells_of(name):
        return None  # the chat is not told that it cannot be told
    said = alarm.get("AlarmDescription") or f"{PAGE}: {name}"
    severity = severity_of(said)
    at = _time(alarm.get("StateChangeTime", ""))
    note = ""
    if severity != PAGE:
        if settings.is_quiet(at):
            log.info("%s is kept back: quiet hours", name)
            return None
        before = earlier_alarms(name, at)
        if before >= TOLD_IN_AN_HOUR:
            log.info("%s is kept back: it flaps", name)
            return None
        if before == TOLD_IN_AN_HOUR - 1 and new == "ALARM":
            note = "It comes and goes: for an hour no more is told of it here."
    lines = said.split("\n")
    title = lines[0].removeprefix(f"{severity}: ").rstrip(".")
    word = severity if new == "ALARM" else "OK"
    rest = lines[1:] if new == "ALARM" else []
    reason = str(alarm.get("NewStateReason") or "")
    text = "\n".join(each for each in (*rest, reason, f"Since {at:%Y-%m-%d %H:%M} UTC.", note) if each)
    return Message(word, title, text[:MOST_TEXT], _link(said), at)


def severity_of(description: str) -> str:
    """The first word of a description; what says nothing is a page, so that nothing unknown is kept back."""
    word = description.partition(":")[0]
    return word if word in (PAGE, REVIEW, WARN) else PAGE


def digest(settings: Settings, now: datetime) -> Message | None:
    """What quiet hours kept back, in one message; None where nothing is left of it."""
    began = settings.quiet_began(now)
    seen: dict[str, tuple[str, str]] = {}
    for name, old, new, at in _history(began, now):
        if settings.tells_of(name):
            first = seen[name][0] if name in seen else old
            if settings.is_quiet(at):
                seen[name] = (first, new)
    # Another stack's name may begin as this one's; the link of a description names its stack whole.
    own = f"/{settings.prefix.removesuffix('-')}"
    described = {name: said for name, said in _spoken(sorted(seen)).items() if _link(said).endswith(own)}
    lines = []
    for name, (first, last) in sorted(seen.items()):
        said = described.get(name, "")
        if (
            not said
            or severity_of(said) == PAGE
            or not (last == "ALARM" or (first == "ALARM" and last == "OK"))
        ):
            continue
        lines.append(f"{'now OK' if last == 'OK' else 'in ALARM'}: {said.partition(chr(10))[0]}")
    if not lines:
        return None
    link = next((_link(said) for said in described.values() if _link(said)), "")
    return Message(WARN, "While it was quiet", "\n".join(lines)[:MOST_TEXT], link, now)


def earlier_alarms(name: str, at: datetime) -> int:
    """How often that alarm went to ALARM in the hour before; 0 where the history cannot be had: then it is told."""
    try:
        return sum(
            new == "ALARM" and when < at - timedelta(seconds=1)
            for _, _, new, when in _history(at - timedelta(minutes=REPEAT_MINUTES), at, name)
        )
    except Exception:  # noqa: BLE001 whatever it is, the message matters more
        log.warning("the history of %s cannot be read", name)
        return 0


def _history(start: datetime, end: datetime, name: str = "") -> Iterator[tuple[str, str, str, datetime]]:
    """Changes of state, oldest first: alarm, old, new, when."""
    asked: dict[str, Any] = {
        "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
        **({"AlarmName": name} if name else {}),
    }
    pages = (
        _client("cloudwatch")
        .get_paginator("describe_alarm_history")
        .paginate(
            **asked,
            HistoryItemType="StateUpdate",
            StartDate=start,
            EndDate=end + timedelta(seconds=1),
            ScanBy="TimestampAscending",
        )
    )
    for page in pages:
        for item in page["AlarmHistoryItems"]:
            data = json.loads(item.get("HistoryData") or "{}")
            old, new = (data.get(key, {}).get("stateValue", "") for key in ("oldState", "newState"))
            yield item["AlarmName"], old, new, item["Timestamp"].astimezone(UTC)


def _spoken(names: list[str]) -> dict[str, str]:
    """Descriptions of those that tell anybody: with actions of their own, and held back by no deploy or climb."""
    found: dict[str, str] = {}
    for first in range(0, len(names), 100):
        answer = _client("cloudwatch").describe_alarms(
            AlarmNames=names[first : first + 100], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        for each in (*answer["MetricAlarms"], *answer["CompositeAlarms"]):
            if each.get("AlarmActions") and not each.get("ActionsSuppressedBy"):
                found[each["AlarmName"]] = each.get("AlarmDescription") or ""
    return found


def payload(kind: str, message: Message) -> dict[str, Any]:
    """The message as Slack or Discord takes it; nothing in it calls anybody by name."""
    colour = COLOURS.get(message.word, COLOURS[PAGE])
    title = f"{message.word}: {message.title}"
    if kind == "discord":
        embed: dict[str, Any] = {
            "title": title[:256],
            "description": message.text,
            "color": colour,
            "timestamp": message.at.isoformat(),
        }
        if message.link:
            embed["url"] = message.link
        return {"embeds": [embed], "allowed_mentions": {"parse": []}}
    heading = f"<{message.link}|{_escaped(title)}>" if message.link else _escaped(title)
    text = f"*{heading}*\n{_escaped(message.text)}"[:MOST_TEXT]
    block = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    return {"text": _escaped(title), "attachments": [{"color": f"#{colour:06x}", "blocks": [block]}]}


def _escaped(text: str) -> str:
    """Slack's three control characters (Slack API, "Formatting text for app surfaces")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tell(settings: Settings, message: Message | None, *key: str) -> bool:
    """Sends what nobody has sent; False where there is nothing to send, or another has sent it or is about to."""
    if message is None:
        return False
    name = settings.folder + sha256("\n".join(key).encode()).hexdigest()
    if not _claimed(settings.bucket, name):
        log.info("%s was told already", key[0])
        return False
    try:
        _send(settings, message)
    except WebhookError:
        _quietly("delete_object", Bucket=settings.bucket, Key=name)  # the next attempt may begin at once
        raise
    _quietly("put_object", Bucket=settings.bucket, Key=name, Body=TOLD)
    return True


def _claimed(bucket: str, name: str) -> bool:
    """Whether this container is the one that tells. Where that cannot be known it is: twice is better than never."""
    from botocore.exceptions import ClientError  # of Lambda's runtime

    s3 = _client("s3")
    try:
        s3.put_object(Bucket=bucket, Key=name, Body=b"", IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] not in TAKEN:
            log.warning("%s cannot be written: %s", name, error.response["Error"]["Code"])
            return True
    except Exception as error:  # noqa: BLE001 no way there: told all the same
        log.warning("%s cannot be written: %s", name, type(error).__name__)
        return True
    else:
        return True
    try:
        there = s3.get_object(Bucket=bucket, Key=name)
        age = datetime.now(UTC) - there["LastModified"]
        if there["Body"].read() == TOLD or age < timedelta(seconds=CLAIM_SECONDS):
            return False
        s3.put_object(Bucket=bucket, Key=name, Body=b"", IfMatch=there["ETag"])
    except ClientError as error:
        return error.response["Error"]["Code"] not in (*TAKEN, "NoSuchKey")
    return True


def _quietly(call: str, **given: Any) -> None:
    try:
        getattr(_client("s3"), call)(**given)
    except Exception as error:  # noqa: BLE001 the message matters more than its note
        log.warning("%s: %s failed: %s", given["Key"], call, type(error).__name__)


def _send(settings: Settings, message: Message) -> None:
    address = _address(settings.parameter)
    body = json.dumps(payload(settings.kind, message)).encode()
    request = Request(  # noqa: S310 the scheme was looked at
        address, data=body, headers={"Content-Type": "application/json", "User-Agent": "terrace"}
    )
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 the scheme was looked at
            answer.read()
    except HTTPError as error:
        error.close()
        raise WebhookError(f"the chat answered {error.code}") from None
    except (URLError, OSError, ValueError) as error:
        raise WebhookError(f"the chat cannot be reached: {type(error).__name__}") from None


def _address(parameter: str) -> str:
    try:
        found = (
            _client("ssm").get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"].strip()
        )
    except Exception as error:  # noqa: BLE001 an error of the API may hold what it was sent
        raise WebhookError(f"{parameter} cannot be read: {type(error).__name__}") from None
    parts = urlsplit(found)
    if parts.scheme != "https" and parts.hostname != "127.0.0.1":
        raise WebhookError(f"{parameter} holds no https address: scripts/watch.py webhook --set")
    return str(found)


def _client(service: str) -> Any:
    import boto3  # of Lambda's runtime
    from botocore.config import Config

    make: Any = boto3.client
    # All of it within the function's timeout, also where a service does not answer.
    return make(service, config=Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 2}))


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)


def _scheduled(event: Mapping[str, Any]) -> datetime:
    """When EventBridge meant the call to be (EventBridge User Guide, "Scheduled event")."""
    try:
        return datetime.fromisoformat(str(event["time"])).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _link(text: str) -> str:
    found = re.findall(r"https://\S+", text)
    return str(found[-1]).rstrip(".") if found else ""


def _key(alarm: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(alarm.get(each, "")) for each in ("AlarmName", "NewStateValue", "StateChangeTime"))
