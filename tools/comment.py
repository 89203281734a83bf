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

MOST_CHARACTERS = 65_536
"""The longest body of a comment that GitHub takes (its API's own refusal says so) (verify)."""

MOST_BYTES = 1_000_000
ROOM = 200
"""Characters kept for the line that says what was left out, and for what is closed before it."""

NAME = re.compile(r"[a-z][a-z-]{0,30}\.md")
NOTHING = "No change any more."
FAILED = "**The preview failed before it said anything,** or nobody let it run: see the run."
EXPECTED = {"preview": ("recorded-dev", "recorded-prod", "dev"), "preview prod": ("prod",)}
"""The reports of each workflow: whose comment stands and who made none this time has failed."""
OF_FORKS = "recorded-"
"""How the reports begin that a fork's run makes: a real preview by its name would be one that the fork wrote."""

Gh = Callable[[Sequence[str], Any], Any]


def gh(arguments: Sequence[str], body: Any = None) -> Any:
    """Runs `gh api`; a body goes in on standard input, as JSON, through no shell."""
    given = ["--input", "-"] if body is not None else []
    done = subprocess.run(
        ["gh", "api", *arguments, *given],
        input=json.dumps(body) if body is not None else None,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return pages(done.stdout)


def pages(text: str) -> Any:
    """One JSON value; of several one after the other, as `--paginate` may print arrays, their items in one list."""
    found, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return [item for page in found for item in page] if len(found) > 1 else found[0] if found else None


def reports(folder: Path) -> dict[str, str]:
    """The text of each report by its name, its first megabyte; files of another name and links are passed over."""
    found = {}
    for path in sorted(folder.glob("*/*.md")):
        if path.is_symlink() or not NAME.fullmatch(path.name):
            continue
        with path.open("rb") as file:
            found[path.stem] = file.read(MOST_BYTES).decode("utf-8", errors="replace")
    return found


def comment(name: str, text: str, sha: str, run: str) -> str:
    """The comment's body: our marker and the commit first, nobody mentioned, the top kept where it is too long."""
    said = (
        text.replace("<!--terrace:", "<!-- terrace:").replace("@", "@\N{ZERO WIDTH SPACE}").replace("\0", "")
    )
    about = f"Commit {sha[:12]}" + (f" · [the run]({run})" if run else "")
    return folded(f"{marker(name)}\n{about}\n\n{said.strip() or NOTHING}\n")


def folded(text: str) -> str:
    """The text, cut at the end of a line where GitHub would refuse it; what is open is closed again."""
    if len(text) <= MOST_CHARACTERS:
        return text
    lines = text.splitlines()
    kept: list[str] = []
    length, inside = 0, False
    for line in lines:
        if length + len(line) + 1 > MOST_CHARACTERS - ROOM:
            break
        kept.append(line)
        length += len(line) + 1
        inside = (inside or line.startswith("<details>")) and line != "</details>"
    closing = ["", "</details>", ""] if inside else [""]
    left = f"**{len(lines) - len(kept):,} more lines** do not fit here: they are in the run's artifacts."
    return "\n".join([*kept, *closing, left]) + "\n"


def marker(name: str) -> str:
    """By which a comment is found again."""
    return f"<!--terrace:{name}-->"


def pull_request(ask: Gh, repository: str, head: str, sha: str) -> int | None:
    """The open pull request of that branch whose newest commit it still is; None where there is none any more."""
    found = ask(
        [f"repos/{repository}/pulls", "--method", "GET", "-f", f"head={head}", "-f", "state=open"], None
    )
    return next((int(each["number"]) for each in found or [] if each["head"]["sha"] == sha), None)


def post(ask: Gh, repository: str, number: int, name: str, body: str, *, first: bool) -> str:
    """Updates the report's comment in place; makes a first one only where `first` says so."""
    listed = ask([f"repos/{repository}/issues/{number}/comments", "--paginate"], None)
    mine = next(
        (each for each in listed or []
         if each["body"].startswith(marker(name)) and each["user"]["login"] == "github-actions[bot]"),
        None,
    )  # fmt: skip
    if mine is not None:
        ask([f"repos/{repository}/issues/comments/{mine['id']}", "--method", "PATCH"], {"body": body})
        return "updated"
    if not first:
        return "silent"
    ask([f"repos/{repository}/issues/{number}/comments", "--method", "POST"], {"body": body})
    return "made"


def main(arguments: Sequence[str] | None = None, ask: Gh = gh) -> int:
    """Posts every report of a folder, and says of a comment that stands without one that its preview failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--head", required=True, help="OWNER:BRANCH")
    parser.add_argument("--sha", required=True, help="the commit that was previewed")
    parser.add_argument("--repository", required=True, help="OWNER/NAME")
    parser.add_argument("--workflow", default="", help="whose run it was: its reports are expected")
    parser.add_argument("--run", default="", help="the run's address")
    given = parser.parse_args(arguments)
    number = pull_request(ask, given.repository, given.head, given.sha)
    if number is None:
        print(f"no open pull request of {given.head} stands at {given.sha}: nothing posted", file=sys.stderr)
        return 0
    # A name that this workflow does not make would be another one's comment, written by whoever wrote the artifact.
    expected = EXPECTED.get(given.workflow, ())
    if given.head.partition(":")[0].casefold() != given.repository.partition("/")[0].casefold():
        expected = tuple(each for each in expected if each.startswith(OF_FORKS))
    found = {name: text for name, text in reports(given.folder).items() if name in expected}
    for name in expected:
        text = found.get(name, FAILED)
        first = name in found and bool(text.strip())
        body = comment(name, text, given.sha, given.run)
        print(
            f"#{number} {name}: {post(ask, given.repository, number, name, body, first=first)}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
