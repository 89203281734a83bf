"""The only place for EC2's client tokens: a request that comes again with its token is not carried out again.

SDKs make a token for each call and keep it over their own retries, so a call whose answer was lost is safe to repeat
(EC2 API reference, "Ensuring idempotency"). moto takes tokens and forgets them.
"""

from __future__ import annotations

from collections import OrderedDict
from urllib.parse import parse_qs

from embedded.aws.answers import Answer
from embedded.aws.operations import Operation

KEPT = 2_000


class ClientTokens:
    """The answers of the last ``KEPT`` requests that bore a token. Used under the world's lock."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str, str], Answer] = OrderedDict()

    def answered(self, operation: Operation, body: bytes) -> Answer | None:
        """What the same request was answered before, if it was."""
        key = _key(operation, body)
        return self._answers.get(key) if key else None

    def note(self, operation: Operation, body: bytes, answer: Answer) -> None:
        """Remember an answer; errors are not remembered, so that what failed can be tried again."""
        key = _key(operation, body)
        if key is None or answer.code >= 300:
            return
        self._answers[key] = answer
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)

    def forget(self) -> None:
        """Forget every token, as after a reset."""
        self._answers.clear()


def _key(operation: Operation, body: bytes) -> tuple[str, str, str] | None:
    if operation.service != "ec2" or b"ClientToken=" not in body:
        return None
    token = parse_qs(body.decode("utf-8", "replace")).get("ClientToken")
    return (operation.action, operation.region, token[0]) if token else None
