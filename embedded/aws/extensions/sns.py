"""SNS: `$or` in filter policies that look at the body, and HTTP endpoints that confirm before they are told.

moto 5.2.5 reads `$or` as if it looked at attributes, counts every subscription as confirmed at once, asks no
endpoint, and posts under the lock with none of SNS's headers.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import Subscription
from moto.sns.responses import SNSResponse
from moto.sns.utils import FilterPolicyMatcher

from embedded.aws.extensions.patching import Patches
from embedded.aws.posts import PENDING, POSTS, PROTOCOLS, notification, request_to_confirm

patches = Patches()


@patches.wrap(FilterPolicyMatcher, "_field_match")
def field_match(original: Any, field: str, rules: Any, body: Any, *attributes_based: bool) -> bool:
    """Any of the policies in `$or`, each of them whole (SNS Developer Guide, "Subscription filter policies")."""
    if field == "$or" and isinstance(rules, list) and attributes_based == (False,):
        policies = [list(each.items()) for each in rules]
        return any(
            all(original(name, rule, body, *attributes_based) for name, rule in policy) for policy in policies
        )
    return bool(original(field, rules, body, *attributes_based))


@patches.wrap(SNSResponse)
def subscribe(original: Any, response: Any) -> Any:
    """An HTTP endpoint is asked first; until it says yes it has no ARN and gets nothing (SNS API, Subscribe)."""
    answer = original(response)
    found = _of_topic(response, response._get_param("TopicArn"))
    endpoint = response._get_param("Endpoint")
    (made,) = [each for each in found if each.endpoint == endpoint and each.protocol == _asked(response)]
    if made.protocol not in PROTOCOLS or getattr(made, "said_yes", False):
        return answer
    if not hasattr(made, "token"):
        made.token, made.own_arn, made.arn = secrets.token_hex(64), made.arn, PENDING
        made.attributes["PendingConfirmation"] = True
    made.api = f"http://{response.headers.get('Host', '')}"
    POSTS.put(request_to_confirm(made, made.token, made.api, datetime.now(UTC)), datetime.now(UTC))
    shown = str(response._get_param("ReturnSubscriptionArn")).lower() == "true"
    return ActionResult({"SubscriptionArn": made.own_arn if shown else "pending confirmation"})


@patches.add(SNSResponse)
def confirm_subscription(response: Any) -> Any:
    """By the token that the endpoint was sent; a second time changes nothing.

    Raises:
        SNSInvalidParameter: no subscription of the topic has that token.
    """
    token = response._get_param("Token")
    for each in _of_topic(response, response._get_param("TopicArn")):
        if token and getattr(each, "token", None) == token:
            each.said_yes, each.arn = True, each.own_arn
            each.attributes["PendingConfirmation"] = False
            return ActionResult({"SubscriptionArn": each.arn})
    raise SNSInvalidParameter("Invalid parameter: Token")


@patches.wrap(Subscription)
def publish(
    original: Any,
    subscription: Any,
    message: str,
    message_id: str,
    subject: str | None = None,
    message_attributes: dict[str, Any] | None = None,
    **others: Any,
) -> None:
    """To an endpoint beside the request, and once it has confirmed."""
    if subscription.protocol not in PROTOCOLS:
        original(subscription, message, message_id, subject, message_attributes, **others)
        return
    policy = subscription._filter_policy_matcher
    if subscription.arn == PENDING or (
        policy is not None and not policy.matches(message_attributes, message)
    ):
        return
    if others.get("message_structure") == "json":
        message = subscription._parse_message_structure(message, subscription.protocol)
    at = datetime.now(UTC)
    POSTS.put(notification(subscription, message, message_id, subject, at), at)


def _asked(response: Any) -> str:
    return str(response._get_param("Protocol"))


def _of_topic(response: Any, topic_arn: str) -> list[Any]:
    topic = response.backend.get_topic(topic_arn)
    return [each for each in response.backend.subscriptions.values() if each.topic is topic]


def install() -> None:
    """Install into moto."""
    patches.apply()
