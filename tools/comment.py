"""The only place that posts a preview's reports to a pull request.

Standard library and `gh`: the job that holds a writing token installs nothing and runs nothing of the pull request.

Reports are data that a stranger may have written: they are text of a limited length, they mention nobody, and which
pull request they belong to is asked of GitHub by branch and commit, never read from them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 65_000
"""GitHub takes 65 536 in a comment (REST API, "Create an issue comment": body is too long) (verify)."""

MOST_BYTES = 1_000_000
NAME = re.compile(r"[a-z][a-z-]{0,30}\.md")
FOLDED = "\n\n… cut here: the whole report is in the workflow's artifacts.\n"
NOTHING = "No change any more."

Gh = Callable[[Sequence[str], Any], Any]


def gh(arguments: Sequence[str], body: Any = None) -> Any:
    """Runs `gh api`; a body goes in on standard input, as JSON, through no shell."""
    given = ["--input", "-"] if body is not None else []
    done = subprocess.run(
        ["gh", "api", *arguments, *given],
        input=json.dumps(body) if body is not None else None,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout or "null")


def reports(folder: Path) -> dict[str, str]:
    """The text of each report by its name; files of another name, too long or of no text are passed over."""
    found = {}
    for path in sorted(folder.glob("*/*.md")):
        if path.is_symlink() or not NAME.fullmatch(path.name) or path.stat().st_size > MOST_BYTES:
            continue
        found[path.stem] = path.read_text(encoding="utf-8", errors="replace")
    return found


def comment(name: str, text: str) -> str:
    """The comment's body: our marker first, nobody mentioned, the top kept where it is too long."""
    said = text.replace("<!--", "<!-- ").replace("@", "@\N{ZERO WIDTH SPACE}").replace("\0", "")
    body = f"{marker(name)}\n{said.strip() or NOTHING}"
    return body if len(body) <= MOST_CHARACTERS else body[: MOST_CHARACTERS - len(FOLDED)] + FOLDED


def marker(name: str) -> str:
    """By which a comment is found again."""
    return f"<!--terrace:{name}-->"


def pull_request(ask: Gh, repository: str, head: str, sha: str) -> int | None:
    """The open pull request of that branch whose newest commit it still is; None where there is none any more."""
    found = ask(
        [f"repos/{repository}/pulls", "--method", "GET", "-f", f"head={head}", "-f", "state=open"], None
    )
    return next((int(each["number"]) for each in found or [] if each["head"]["sha"] == sha), None)


def post(ask: Gh, repository: str, number: int, name: str, text: str) -> str:
    """Updates the report's comment in place, or makes it; silent where nothing changes and nothing stands."""
    listed = ask([f"repos/{repository}/issues/{number}/comments", "--paginate"], None)
    mine = [
        each for each in listed or []
        if each["body"].startswith(marker(name)) and each["user"]["login"] == "github-actions[bot]"
    ]  # fmt: skip
    if mine:
        ask(
            [f"repos/{repository}/issues/comments/{mine[0]['id']}", "--method", "PATCH"],
            {"body": comment(name, text)},
        )
        return "updated"
    if not text.strip():
        return "silent"
    ask([f"repos/{repository}/issues/{number}/comments", "--method", "POST"], {"body": comment(name, text)})
    return "made"


def main(arguments: Sequence[str] | None = None, ask: Gh = gh) -> int:
    """Posts every report of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--head", required=True, help="OWNER:BRANCH")
    parser.add_argument("--sha", required=True, help="the commit that was previewed")
    parser.add_argument("--repository", required=True, help="OWNER/NAME")
    given = parser.parse_args(arguments)
    number = pull_request(ask, given.repository, given.head, given.sha)
    if number is None:
        print(f"no open pull request of {given.head} stands at {given.sha}: nothing posted", file=sys.stderr)
        return 0
    for name, text in reports(given.folder).items():
        print(f"#{number} {name}: {post(ask, given.repository, number, name, text)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
