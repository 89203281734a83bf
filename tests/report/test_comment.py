"""The comment under a pull request, posted to a double of GitHub's two calls."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.core.errors import TerraceError
from ops.adapters.github import PullRequestComments
from ops.report.sticky import GONE, Did, place

BOT = "github-actions[bot]"
MARKER = "<!-- terrace-preview: dev -->"
REPORT = f"{MARKER}\n## Preview of `dev`: 1 changed\n"
TOKEN = "sentinel-0c41"


@dataclass
class GitHub:
    """Comments of each pull request, and who asked with which token."""

    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    status: int = 0

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """What GitHub says."""
        if self.status:
            return self.status, {"message": "Resource not accessible by integration"}
        if found := re.fullmatch(r"/repos/o/r/issues/comments/(\d+)", path.partition("?")[0]):
            (one,) = [each for many in self.comments.values() for each in many if each["id"] == int(found[1])]
            one["body"] = body["body"]
            return 200, one
        found = re.fullmatch(r"/repos/o/r/issues/(\d+)/comments", path.partition("?")[0])
        assert found
        listed = self.comments.setdefault(int(found[1]), [])
        if method == "POST":
            made = {"id": int(found[1]) * 1000 + len(listed), "user": {"login": BOT}, "body": body["body"]}
            listed.append(made)
            return 201, made
        page = int(path.rpartition("page=")[2])
        return 200, listed[(page - 1) * 100 : page * 100]


@contextmanager
def serving(github: GitHub) -> Generator[str]:
    """GitHub on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            github.tokens.add(self.headers["Authorization"])
            length = int(self.headers.get("Content-Length") or 0)
            status, body = github.answer(
                self.command, self.path, json.loads(self.rfile.read(length) or b"{}")
            )
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _any  # noqa: N815 names of http.server

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put(github: GitHub, text: str, *, number: int = 7, stack: str = "dev") -> Did:
    with serving(github) as address:
        comments = PullRequestComments("o/r", number, {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": address})
        with closing(comments):
            return place(text, stack, comments, author=BOT)


def test_one_comment_is_written_then_changed_in_place_and_left_alone_when_it_says_the_same() -> None:
    github = GitHub()
    assert put(github, "") is Did.NOTHING
    assert put(github, REPORT) is Did.WRITTEN
    assert put(github, REPORT) is Did.STANDS
    assert put(github, REPORT.replace("1 changed", "2 changed")) is Did.CHANGED
    assert put(github, "") is Did.CHANGED
    assert [each["body"] for each in github.comments[7]] == [f"{MARKER}\n{GONE}\n"]
    assert github.tokens == {f"Bearer {TOKEN}"}


def test_two_pull_requests_and_two_stacks_have_comments_of_their_own() -> None:
    github = GitHub()
    for number in (7, 8):
        put(github, REPORT, number=number)
    put(github, REPORT.replace("preview: dev", "preview: prod"), stack="prod")
    assert {number: len(each) for number, each in github.comments.items()} == {7: 2, 8: 1}


def test_somebody_elses_comment_with_our_marker_is_not_taken_for_ours_even_on_the_second_page() -> None:
    others = [{"id": n, "user": {"login": "mallory"}, "body": REPORT} for n in range(120)]
    github = GitHub({7: others})
    assert put(github, REPORT) is Did.WRITTEN
    assert put(github, REPORT.replace("1 changed", "3 changed")) is Did.CHANGED
    assert all(each["body"] == REPORT for each in github.comments[7][:120])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "begins with 'hello'"),
        (REPORT.replace("dev", "prod"), "not with <!-- terrace-preview: dev -->"),
        (REPORT + "x" * 65_536, "65,536 are the most"),
    ],
)
def test_what_is_no_report_of_that_stack_is_not_posted(text: str, said: str) -> None:
    github = GitHub()
    with pytest.raises(TerraceError, match=said):
        put(github, text)
    assert github.comments == {}


def test_a_refusal_is_said_with_its_status_and_without_the_token() -> None:
    with pytest.raises(TerraceError, match=r"answered 403: .*Resource not accessible") as refused:
        put(GitHub(status=403), REPORT)
    assert TOKEN not in str(refused.value)
    with pytest.raises(TerraceError, match="GITHUB_TOKEN"):
        PullRequestComments("o/r", 7, {})
    with pytest.raises(TerraceError, match="is no repository"):
        PullRequestComments("o/r/../x", 7, {"GITHUB_TOKEN": TOKEN})
