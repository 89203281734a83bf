"""The only place for how SNS speaks to an HTTP endpoint: the request to confirm, notifications, headers, retries.

As the SNS Developer Guide has it ("HTTP/HTTPS subscription confirmation JSON format", "HTTP/HTTPS headers", "Message
delivery retries"), with one exception that every message says itself: the signature is not AWS's, and its
certificate's address (`.invalid`, RFC 2606) leads nowhere, so that a receiver that verifies refuses it at once.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

_log = logging.getLogger(__name__)

PENDING = "PendingConfirmation"
"""What stands in the place of a subscription's ARN until it is confirmed."""
PROTOCOLS = ("http", "https")
RETRIES = 3
RETRY_AFTER = timedelta(seconds=20)
"""SNS's own policy for HTTP endpoints, where none is set (SNS Developer Guide, "Message delivery retries")."""
TIMEOUT_SECONDS = 5.0
TOO_MANY, SERVER_ERROR = 429, 500
SIGNATURE = base64.b64encode(b"of terrace's embedded cloud, not of AWS").decode()
SIGNED_AT = "https://embedded.invalid/not-signed-by-aws.pem"


@dataclass(frozen=True, slots=True)
class Post:
    """One message to one endpoint; a message that is sent again keeps its id."""

    endpoint: str
    headers: Mapping[str, str]
    body: str


class Posts:
    """Sends beside everything else, so that an endpoint that hangs or fails holds back nobody."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(4, "sns-http")
        self._lock = threading.Lock()
        self._running: list[Future[None]] = []
        self._failed: list[tuple[Post, int, datetime]] = []
        """With how many attempts were made, and when the next is due."""

    def put(self, post: Post, at: datetime, *, attempts: int = 0) -> None:
        """Sends without waiting; what fails is sent again by `again`."""
        with self._lock:
            self._running = [each for each in self._running if not each.done()]
            self._running.append(self._pool.submit(self._attempt, post, at, attempts + 1))

    def again(self, at: datetime) -> None:
        """Sends what failed and is due at that time."""
        with self._lock:
            due = [each for each in self._failed if each[2] <= at]
            self._failed = [each for each in self._failed if each[2] > at]
        for post, attempts, _ in due:
            self.put(post, at, attempts=attempts)

    def settle(self) -> None:
        """Waits until every attempt has ended."""
        with self._lock:
            running = list(self._running)
        for each in running:
            each.result()

    def forget(self) -> None:
        """Nothing is sent again: the state that it was of is gone."""
        with self._lock:
            self._failed = []

    def _attempt(self, post: Post, at: datetime, attempts: int) -> None:
        import httpx

        try:
            answer = httpx.post(
                post.endpoint, content=post.body, headers=dict(post.headers), timeout=TIMEOUT_SECONDS
            )
            if answer.is_success:
                return
            # Any other refusal is the endpoint's last word.
            trouble = f"answered {answer.status_code}"
            lost = answer.status_code < SERVER_ERROR and answer.status_code != TOO_MANY
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            trouble, lost = f"{type(error).__name__}: {error}", False
        if lost or attempts > RETRIES:
            _log.warning("%s %s; after %d attempts the message is lost", post.endpoint, trouble, attempts)
            return
        with self._lock:
            self._failed.append((post, attempts, at + RETRY_AFTER))


POSTS = Posts()


def notification(subscription: Any, message: str, message_id: str, subject: str | None, at: datetime) -> Post:
    """A message for a confirmed subscription of moto's; with raw delivery the message alone."""
    arn, topic_arn = str(subscription.arn), str(subscription.topic.arn)
    headers = _headers("Notification", message_id, topic_arn) | {"x-amz-sns-subscription-arn": arn}
    if str(subscription.attributes.get("RawMessageDelivery")).lower() == "true":
        return Post(subscription.endpoint, headers | {"x-amz-sns-rawdelivery": "true"}, message)
    leave = urlencode({"Action": "Unsubscribe", "SubscriptionArn": arn})
    body = {
        "Type": "Notification", "MessageId": message_id, "TopicArn": topic_arn,
        **({"Subject": subject} if subject else {}),
        "Message": message, **_signed(at), "UnsubscribeURL": f"{getattr(subscription, 'api', '')}/?{leave}",
    }  # fmt: skip
    return Post(subscription.endpoint, headers, json.dumps(body))


def request_to_confirm(subscription: Any, token: str, api: str, at: datetime) -> Post:
    """What an endpoint gets when it is subscribed; `api` is this cloud's address, as who subscribed knows it."""
    topic_arn, message_id = str(subscription.topic.arn), str(uuid.uuid4())
    link = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic_arn, "Token": token})
    body = {
        "Type": "SubscriptionConfirmation", "MessageId": message_id, "Token": token, "TopicArn": topic_arn,
        "Message": f"You have chosen to subscribe to the topic {topic_arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": f"{api}/?{link}", **_signed(at),
    }  # fmt: skip
    headers = _headers("SubscriptionConfirmation", message_id, topic_arn)
    return Post(subscription.endpoint, headers, json.dumps(body))


def _headers(kind: str, message_id: str, topic_arn: str) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": kind,
        "x-amz-sns-message-id": message_id,
        "x-amz-sns-topic-arn": topic_arn,
    }


def _signed(at: datetime) -> dict[str, str]:
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        "Timestamp": moment,
        "SignatureVersion": "1",
        "Signature": SIGNATURE,
        "SigningCertURL": SIGNED_AT,
    }
