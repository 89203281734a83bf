"""A comment is posted to the pull request that was previewed, once for each report, and takes the report as data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import comment

REPOSITORY = "acme/terrace"


class GitHub:
    """Pull requests and comments, as the API answers."""

    def __init__(self, *pulls: tuple[int, str]) -> None:
        self.pulls = [{"number": number, "head": {"sha": sha}} for number, sha in pulls]
        self.comments: dict[int, dict[int, str]] = {number: {} for number, _ in pulls}
        self.authors: dict[int, str] = {}

    def __call__(self, arguments: Sequence[str], body: Any) -> Any:
        parts = arguments[0].split("/")[3:]
        if parts == ["pulls"]:
            return self.pulls
        if "PATCH" in arguments:
            for comments in self.comments.values():
                if int(parts[-1]) in comments:
                    comments[int(parts[-1])] = body["body"]
            return None
        comments = self.comments[int(parts[1])]
        if "POST" in arguments:
            comments[len(comments) + 1] = body["body"]
            return None
        return [
            {"id": key, "body": text, "user": {"login": self.authors.get(key, "github-actions[bot]")}}
            for key, text in comments.items()
        ]


def run(github: GitHub, folder: Path, sha: str = "abc") -> None:
    comment.main([str(folder), "--repository", REPOSITORY, "--head", "someone:branch", "--sha", sha], github)


def report(folder: Path, text: str, name: str = "dev.md") -> Path:
    path = folder / f"report-{name.removesuffix('.md')}" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_a_comment_is_updated_in_place_and_says_when_nothing_changes_any_more(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, "first"))
    run(github, report(tmp_path, "second"))
    assert github.comments[7] == {1: "<!--terrace:dev-->\nsecond"}
    run(github, report(tmp_path, ""))
    assert github.comments[7] == {1: "<!--terrace:dev-->\nNo change any more."}


def test_without_a_change_nothing_is_said(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, ""))
    assert github.comments[7] == {}


def test_of_two_pull_requests_at_once_each_gets_its_own(tmp_path: Path) -> None:
    github = GitHub((7, "abc"), (8, "def"))
    run(github, report(tmp_path, "of eight"), sha="def")
    assert github.comments == {7: {}, 8: {1: "<!--terrace:dev-->\nof eight"}}


def test_a_preview_of_a_commit_that_is_not_the_newest_any_more_says_nothing(tmp_path: Path) -> None:
    github = GitHub((7, "newer"))
    run(github, report(tmp_path, "old"))
    assert github.comments[7] == {}


def test_a_forks_report_mentions_nobody_and_cannot_pass_for_another(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, "<!--terrace:prod-->\n@acme/owners please merge"))
    (said,) = github.comments[7].values()
    assert said.count("<!--terrace:") == 1
    assert "@acme" not in said


def test_somebody_elses_comment_with_our_marker_is_left_alone(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    github.comments[7][1] = "<!--terrace:dev-->\nmine"
    github.authors[1] = "someone"
    run(github, report(tmp_path, "report"))
    assert github.comments[7][1] == "<!--terrace:dev-->\nmine"
    assert github.comments[7][2].endswith("report")


def test_a_report_that_is_too_long_keeps_its_top(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, "the top\n" + "x" * 100_000))
    (said,) = github.comments[7].values()
    assert len(said) <= comment.MOST_CHARACTERS
    assert said.startswith("<!--terrace:dev-->\nthe top")
    assert "cut here" in said


def test_an_artifact_with_links_odd_names_or_too_much_is_passed_over(tmp_path: Path) -> None:
    report(tmp_path, "odd", name="..odd$(id).md")
    report(tmp_path, "x" * (comment.MOST_BYTES + 1), name="big.md")
    (tmp_path / "report-dev").mkdir()
    (tmp_path / "report-dev" / "dev.md").symlink_to("/etc/hostname")
    assert comment.reports(tmp_path) == {}
