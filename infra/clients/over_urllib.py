"""The only place that carries clients' requests by the standard library alone: what a box has."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any

from infra.clients.transport import NoAnswerError, NotSentError, Reply, Request


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key elsewhere: it is handed back as the answer that it is."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class UrllibTransport:
    """One connection a request; a box asks a few times a minute."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(_NoRedirect())

    def send(self, request: Request) -> Reply:
        """See `Transport.send`."""
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        made = urllib.request.Request(  # noqa: S310 the address is the client's own or a setting
            request.url, data=request.content, headers=headers, method=request.method
        )
        try:
            with self._opener.open(made, timeout=request.timeout_seconds) as answer:
                return _reply(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error)
        except urllib.error.URLError as error:
            # The opener wraps what fails before the request is out; what fails later comes as it is.
            raise NotSentError(str(error.reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from None
        except ValueError as error:
            raise NotSentError(str(error)) from None


def _reply(answer: Any) -> Reply:
    return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
