"""What the documents state that the code knows better: tables, addresses, links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ops import ladder, watchtable

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PAGES = [ROOT / name for name in TRACKED if name.endswith(".md") and (ROOT / name).is_file()]


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readmes_ladder_is_what_the_price_books_say() -> None:
    said = re.search(r"<!-- ladder -->\n(.*?)\n<!-- /ladder -->", (ROOT / "README.md").read_text(), re.DOTALL)
    assert said is not None
    assert said[1] == ladder.markdown()


def test_the_readmes_climbs_are_what_the_ladder_says() -> None:
    said = re.search(r"<!-- climbs -->\n(.*?)\n<!-- /climbs -->", (ROOT / "README.md").read_text(), re.DOTALL)
    assert said is not None
    assert said[1] == ladder.climbs()


def test_the_table_of_thresholds_is_what_the_alarms_are_made_of() -> None:
    page = (ROOT / "docs" / "alarms.md").read_text()
    said = re.search(r"<!-- thresholds -->\n(.*?)\n<!-- /thresholds -->", page, re.DOTALL)
    assert said is not None
    assert said[1] == watchtable.markdown()
    assert "docs/alarms.md#the-thresholds" in (ROOT / "README.md").read_text()


def test_every_page_that_a_message_names_is_there_with_its_heading() -> None:
    missing = set()
    for name in TRACKED:
        path = ROOT / name
        if path.suffix not in (".py", ".yaml", ".toml") or not path.is_file() or name.startswith("tests/"):
            continue
        for page, anchor in re.findall(
            r"(?<![\w/.])(docs/[\w/.-]+\.md)(?:#([\w-]+))?", path.read_text("utf-8")
        ):
            target = ROOT / page
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                missing.add(f"{name}: {page}#{anchor}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken
