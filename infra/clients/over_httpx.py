"""The only place that carries clients' requests by httpx; tests hand in a `httpx.MockTransport`."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from infra.clients.transport import NoAnswerError, NotSentError, Reply, Request

CONNECT_SECONDS = 10.0

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpxTransport:
    """Requests over one pool of connections; redirects are not followed, for they would carry the key elsewhere."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(transport=transport, follow_redirects=False, trust_env=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def send(self, request: Request) -> Reply:
        """See `Transport.send`."""
        timeout = httpx.Timeout(request.timeout_seconds, connect=CONNECT_SECONDS)
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self._client.request(
                request.method, request.url, headers=headers, content=request.content, timeout=timeout
            )
        except _NOT_SENT as error:
            raise NotSentError(str(error) or type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from None
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
