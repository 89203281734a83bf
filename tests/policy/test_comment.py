"""A comment is posted to the pull request that was previewed, once for each report, and takes the report as data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ops.report import markdown, read_preview
from ops.report import report as reported
from tests.report.support import BOX, INSTANCE, preview, state, step, update
from tools import comment

REPOSITORY = "acme/terrace"


class GitHub:
    """Pull requests and comments, as the API answers."""

    def __init__(self, *pulls: tuple[int, str]) -> None:
        self.pulls: list[dict[str, Any]] = [{"number": number, "head": {"sha": sha}} for number, sha in pulls]
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


def run(
    github: GitHub, folder: Path, sha: str = "abc", workflow: str = "preview", owner: str = "acme"
) -> None:
    comment.main(
        [
            str(folder), "--repository", REPOSITORY, "--head", f"{owner}:branch", "--sha", sha,
            "--workflow", workflow, "--run", "https://example.com/run",
        ],
        github,
    )  # fmt: skip


def body(text: str, sha: str = "abc") -> str:
    return f"<!--terrace:dev-->\nCommit {sha} · [the run](https://example.com/run)\n\n{text}\n"


def report(folder: Path, text: str, name: str = "dev.md") -> Path:
    path = folder / f"report-{name.removesuffix('.md')}" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_a_comment_is_updated_in_place_and_says_when_nothing_changes_any_more(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, "first"))
    run(github, report(tmp_path, "second"))
    assert github.comments[7] == {1: body("second")}
    run(github, report(tmp_path, ""))
    assert github.comments[7] == {1: body("No change any more.")}


def test_a_fork_can_write_no_comment_that_looks_like_a_real_preview(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    report(tmp_path, "costs nothing, by my word")
    report(tmp_path, "recorded", "recorded-dev.md")
    report(tmp_path, "costs nothing", "prod.md")
    for workflow in comment.EXPECTED:
        run(github, tmp_path, workflow=workflow, owner="stranger")
    (said,) = github.comments[7].values()
    assert said.startswith("<!--terrace:recorded-dev-->")
    run(github, tmp_path, owner="ACME")
    assert any(each.startswith("<!--terrace:dev-->") for each in github.comments[7].values())


def test_without_a_change_nothing_is_said(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, ""))
    assert github.comments[7] == {}


def test_of_two_pull_requests_at_once_each_gets_its_own(tmp_path: Path) -> None:
    github = GitHub((7, "abc"), (8, "def"))
    run(github, report(tmp_path, "of eight"), sha="def")
    assert github.comments == {7: {}, 8: {1: body("of eight", "def")}}


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
    assert github.comments[7][2] == body("report")


def test_a_preview_that_failed_before_it_wrote_anything_leaves_no_old_report_standing(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, tmp_path)
    assert github.comments[7] == {}
    run(github, report(tmp_path, "costs 1 USD"))
    github.pulls = [{"number": 7, "head": {"sha": "def"}}]
    run(github, tmp_path / "nothing", sha="def", workflow="preview prod")
    assert github.comments[7] == {1: body("costs 1 USD")}
    run(github, tmp_path / "nothing", sha="def")
    (said,) = github.comments[7].values()
    assert said.startswith("<!--terrace:dev-->\nCommit def")
    assert "failed before it said anything" in said
    assert "costs" not in said


def test_an_artifact_with_the_name_of_another_workflows_report_is_not_posted(tmp_path: Path) -> None:
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, "all is well in prod", name="prod.md"))
    assert github.comments[7] == {}


def test_comments_beyond_the_first_page_are_read() -> None:
    assert comment.pages('[{"id": 1}]\n[{"id": 2}]') == [{"id": 1}, {"id": 2}]
    assert comment.pages('[{"id": 1}]') == [{"id": 1}]
    assert comment.pages("") is None


def test_a_report_that_is_too_long_comes_out_folded_once_with_its_top_kept(tmp_path: Path) -> None:
    many = [step("create", None, state("aws:iam/role:Role", f"role@{n:04}-{'x' * 60}")) for n in range(3000)]
    dearer = {**BOX, "instanceType": "t4g.xlarge"}
    proposed = read_preview(preview(update(INSTANCE, "app", BOX, dearer), *many), where="preview")
    whole = markdown(reported(proposed, today=date(2026, 11, 21)))
    assert len(whole) > 4 * comment.MOST_CHARACTERS
    github = GitHub((7, "abc"))
    run(github, report(tmp_path, whole))
    (said,) = github.comments[7].values()
    assert 60_000 < len(said) <= 65_536
    assert "60.74" in said[:600]
    assert said.count("<details>") == said.count("</details>") > 0
    assert "more lines** do not fit here" in said.splitlines()[-1]


def test_a_report_of_exactly_the_most_that_github_takes_is_whole() -> None:
    empty = len(comment.comment("dev", "x", "abc", "")) - 1
    whole = comment.comment("dev", "x" * (comment.MOST_CHARACTERS - empty), "abc", "")
    assert len(whole) == comment.MOST_CHARACTERS
    assert "do not fit" not in whole


def test_an_artifact_with_links_or_odd_names_is_passed_over(tmp_path: Path) -> None:
    report(tmp_path, "odd", name="..odd$(id).md")
    (tmp_path / "report-dev").mkdir()
    (tmp_path / "report-dev" / "dev.md").symlink_to("/etc/hostname")
    assert comment.reports(tmp_path) == {}


def test_of_an_artifact_without_an_end_the_first_megabyte_is_read(tmp_path: Path) -> None:
    report(tmp_path, "x" * (comment.MOST_BYTES + 1))
    assert len(comment.reports(tmp_path)["dev"]) == comment.MOST_BYTES
