"""The only place for how RunPod is asked: what is tried again and how long, and what each refusal means.

RunPodError (a TerraceError)   every one says what was asked, what came, and the remedy; none holds a key or a body
├── UnauthorizedError          401: no key, a revoked key
├── ForbiddenError             403: a key without that right
├── NotFoundError              404
├── RetiredError               410: an address of REST v1
├── RejectedError              400, 422 and other refusals of what was sent
├── LimitedError               429 for longer than our patience; `retry_after_seconds` is what was asked for last
├── UnavailableError           5xx or no connection, for longer than our patience
├── LostAnswerError            what must not be sent twice may have been carried out
└── BadReplyError              an answer that is not what the API promises
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.clients.transport import Key, NoAnswerError, NotSentError, Reply, Request, Transport
from infra.core.errors import Fault, TerraceError

KEY_REMEDY = "Give a valid key: scripts/gpu.py key set"


class RunPodError(TerraceError):
    """RunPod did not do what was asked."""

    def __init__(self, what: str, said: str, remedy: str) -> None:
        super().__init__(Fault(what, said, remedy))


class UnauthorizedError(RunPodError):
    """The key is missing, wrong, or revoked."""


class ForbiddenError(RunPodError):
    """The key lacks the right."""


class NotFoundError(RunPodError):
    """There is no such thing."""


class RetiredError(RunPodError):
    """The address belongs to REST v1."""


class RejectedError(RunPodError):
    """What was sent breaks a rule."""


class LimitedError(RunPodError):
    """The rate limit held for longer than our patience."""

    def __init__(self, what: str, said: str, remedy: str, retry_after_seconds: float) -> None:
        super().__init__(what, said, remedy)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(RunPodError):
    """No answer, or a server's failure, for longer than our patience."""


class LostAnswerError(RunPodError):
    """What must not be sent twice may have been carried out."""


class BadReplyError(RunPodError):
    """An answer that is not what the API promises."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call goes on: attempts after failures, and seconds of waiting over all of them."""

    attempts: int = 5
    seconds: float = 120.0
    first_wait_seconds: float = 1.0


ONCE = Patience(attempts=1, seconds=0)
"""No second try: for a controller, whose next look is the retry."""


@dataclass(slots=True)
class Caller:
    """Sends requests with the key, waits where asked to, and turns refusals into errors.

    `sleep`, `chance` are there to be replaced by simulations.
    """

    transport: Transport
    key: Key | None = field(repr=False)
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def call(
        self, method: str, url: str, body: Any = None, *, repeatable: bool, timeout_seconds: float = 30.0
    ) -> Reply:
        """The answer of a call that succeeded; `repeatable` says whether carrying it out twice does no harm.

        Raises:
            RunPodError: see the tree above.
        """
        what = f"RunPod {method} {url.split('?')[0]}"
        if self.key is None or not self.key.reveal().strip():
            raise UnauthorizedError(what, "there is no key", KEY_REMEDY)
        headers = {"Authorization": f"Bearer {self.key.reveal().strip()}", "Accept": "application/json"}
        request = Request(method, url, headers, body, timeout_seconds)
        waited = 0.0
        for attempt in range(1, self.patience.attempts + 1):
            failure, wait = self._attempt(request, what, repeatable=repeatable, attempt=attempt)
            if isinstance(failure, Reply):
                return failure
            if attempt == self.patience.attempts or waited + wait > self.patience.seconds:
                raise failure
            self.sleep(wait)
            waited += wait
        raise AssertionError("an attempt either answers, raises or waits")

    def _attempt(
        self, request: Request, what: str, *, repeatable: bool, attempt: int
    ) -> tuple[Reply | RunPodError, float]:
        """The answer, or what went wrong and how long to wait before the next attempt."""
        backoff = self.patience.first_wait_seconds * 2 ** (attempt - 1) * (0.5 + self.chance())
        try:
            reply = self.transport.send(request)
        except NotSentError as error:
            return UnavailableError(
                what, f"cannot be reached: {error}", "Look at network and address"
            ), backoff
        except NoAnswerError as error:
            if not repeatable:
                raise _lost(what, f"gave no answer: {error}") from None
            return UnavailableError(what, f"gave no answer: {error}", "Try again later"), backoff
        if reply.status == 429:
            asked = _seconds(reply.headers.get("retry-after"), backoff)
            said = f"429: {_detail(reply)}; it asks for {asked:.0f} s"
            return LimitedError(what, said, "Ask less often, or try again then", asked), asked
        if reply.status >= 500:
            if not repeatable:
                raise _lost(what, f"answered {reply.status}: {_detail(reply)}")
            return UnavailableError(
                what, f"answered {reply.status}: {_detail(reply)}", "Try again later"
            ), backoff
        if reply.status >= 300:
            raise _refusal(reply, what)
        return reply, 0.0


def parsed(reply: Reply, what: str) -> Any:
    """The answer's JSON.

    Raises:
        BadReplyError: it is none.
    """
    try:
        return reply.json()
    except ValueError:
        raise BadReplyError(
            f"RunPod {what}", f"answered {reply.status} with something that is no JSON", "Look at the address"
        ) from None


def _lost(what: str, said: str) -> LostAnswerError:
    return LostAnswerError(what, said, "It may have been carried out: run the same again, which looks first")


def _refusal(reply: Reply, what: str) -> RunPodError:
    said = f"{reply.status}: {_detail(reply)}"
    if reply.status == 401:
        return UnauthorizedError(what, f"the key was not accepted ({said})", KEY_REMEDY)
    if reply.status == 403:
        return ForbiddenError(
            what, f"the key lacks this right ({said})", "Give a key with read and write access"
        )
    if reply.status == 404:
        return NotFoundError(what, said, "Look at the id; it may have been deleted in the console")
    if reply.status == 410:
        return RetiredError(
            what,
            f"{said}: REST v1 was retired in November 2026",
            "Take RUNPOD_API_URL away, or set it to an address of REST v2",
        )
    if reply.status < 400:
        return RejectedError(
            what, f"{said}: a redirect, which is not followed with a key", "Look at the address"
        )
    return RejectedError(what, said, "The definition breaks a rule that is not checked here: report it")


def _detail(reply: Reply) -> str:
    """What the problem document says. Where a field is missing, all others are called "not allowed" too: only the
    missing one is told."""
    try:
        problem = reply.json()
    except ValueError:
        return reply.content[:200].decode(errors="replace").strip() or "no explanation"
    if not isinstance(problem, dict):
        return "no explanation"
    errors = [str(each) for each in problem.get("errors") or []]
    errors = [each for each in errors if "missing propert" in each] or errors
    detail = str(problem.get("detail") or problem.get("title") or problem.get("error") or "no explanation")
    return f"{detail} {'; '.join(errors)}".strip()


def _seconds(header: str | None, fallback: float) -> float:
    try:
        return max(0.0, float(header)) if header is not None else fallback
    except ValueError:
        return fallback
