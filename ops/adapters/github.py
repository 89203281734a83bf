"""The only place that calls GitHub: the comments of one pull request (REST API 2022-11-28, "Issue comments").

The token comes from the environment and goes into one header; it stands in no argument, message or log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from infra.core.errors import Fault, TerraceError
from ops.report.sticky import Comment

ADDRESS = "https://api.github.com"
VERSION = "2022-11-28"
TIMEOUT_SECONDS = 20.0
A_PAGE = 100
"""The most that a page of comments holds."""


class PullRequestComments:
    """The comments of `OWNER/NAME#number`; `environment` holds GITHUB_TOKEN and, in a workflow, GITHUB_API_URL."""

    def __init__(self, repository: str, number: int, environment: Mapping[str, str]) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
            raise TerraceError(Fault("--repository", f"{repository!r} is no repository", "As OWNER/NAME"))
        if not (token := environment.get("GITHUB_TOKEN")):
            raise TerraceError(
                Fault("GITHUB_TOKEN", "is not set", "A token that may write pull requests' comments")
            )
        self._issues = f"/repos/{repository}/issues"
        self._path = f"{self._issues}/{number}/comments"
        self._client = httpx.Client(
            base_url=environment.get("GITHUB_API_URL") or ADDRESS,
            timeout=TIMEOUT_SECONDS,
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": VERSION,
            },
        )

    def all(self) -> Sequence[Comment]:
        """Every comment, the oldest first."""
        found: list[Comment] = []
        page = 1
        while True:
            answer = self._call("GET", self._path, params={"per_page": A_PAGE, "page": page})
            found += [
                Comment(each["id"], (each.get("user") or {}).get("login", ""), each["body"])
                for each in answer
            ]
            if len(answer) < A_PAGE:
                return found
            page += 1

    def write(self, body: str) -> None:
        """A new comment."""
        self._call("POST", self._path, json={"body": body})

    def change(self, identity: int, body: str) -> None:
        """Another text in a comment."""
        self._call("PATCH", f"{self._issues}/comments/{identity}", json={"body": body})

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise TerraceError(
                Fault("GitHub", f"does not answer: {error or type(error).__name__}", "Try again")
            ) from error
        if answer.is_error:
            said = answer.text[:200]
            raise TerraceError(
                Fault(
                    "GitHub",
                    f"{method} {path} answered {answer.status_code}: {said}",
                    "Look at the token's rights",
                )
            )
        return answer.json()
