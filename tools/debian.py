"""The only place that reads where this machine gets Debian from, for whatever of another suite is fetched here.

Read at run time and never written into the project: a mirror near this machine is asked, with the suite changed. Both
forms of apt are read (sources.list(5)): deb822 and one line each.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
_SUITE_ENDINGS = ("", "-updates", "-security")


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of this machine: where, which suites and components, signed by whom (a path, or empty)."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def repositories(suite: str, apt: Path = APT, os_release: Path = OS_RELEASE) -> str:
    """deb822 text: this machine's Debian repositories with that suite; empty when it has none (another distribution,
    or no sources)."""
    codename = _codename(os_release)
    if codename is None:
        return ""
    stanzas: list[str] = []
    for source in _sources(apt):
        suites = [suite + ending for ending in _SUITE_ENDINGS if codename + ending in source.suites]
        if suites and "main" in source.components:
            lines = [
                "Types: deb",
                f"URIs: {' '.join(source.uris)}",
                f"Suites: {' '.join(suites)}",
                "Components: main",
            ]
            if source.signed_by:
                lines.append(f"Signed-By: {source.signed_by}")
            stanzas.append("\n".join(lines) + "\n")
    has_base = any(re.search(rf"^Suites: .*\b{suite}(\s|$)", stanza, re.MULTILINE) for stanza in stanzas)
    return "\n".join(dict.fromkeys(stanzas)) if has_base else ""


def _codename(os_release: Path) -> str | None:
    values: dict[str, str] = {}
    if os_release.exists():
        for line in os_release.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals:
                values[name] = "".join(shlex.split(value))
    return values.get("VERSION_CODENAME") if values.get("ID") == "debian" else None


def _sources(apt: Path) -> Iterator[Source]:
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    for path in lists:
        if path.is_file():
            yield from _one_line_each(path.read_text())
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        yield from _deb822(path.read_text())


def _one_line_each(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.fullmatch(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+?)\s*(?:#.*)?", line)
        if match is None:
            continue
        options = dict(option.partition("=")[::2] for option in (match[1] or "").split())
        yield Source((match[2],), (match[3],), tuple(match[4].split()), options.get("signed-by", ""))


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        signed_by = fields.get("signed-by", "")
        yield Source(
            tuple(fields.get("uris", "").split()),
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            # A key may stand in the file itself; the path form is what can be handed on.
            signed_by if signed_by.startswith("/") else "",
        )
