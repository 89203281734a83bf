"""Where boxes get Debian from: this machine's own mirror with their suite, whichever form apt has it in."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.core.packages import SUITE
from tools.debian import repositories

DEBIAN = 'ID=debian\nVERSION_CODENAME="bookworm"\n'

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.test/debian
 http://second.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main
Enabled: yes

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://other.test/postgres
Suites: bookworm-pgdg
Components: main
"""

ONE_LINE = """\
# deb http://commented.test/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.test/debian bookworm main contrib # here
deb-src http://mirror.test/debian bookworm main
deb http://mirror.test/debian bookworm-updates main
deb http://mirror.test/security bookworm-security main
deb http://vendor.test/ stable nonfree
"""


def _machine(tmp_path: Path, release: str, sources: dict[str, str]) -> tuple[Path, Path]:
    apt = tmp_path / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    for name, text in sources.items():
        (apt / name).write_text(text)
    (tmp_path / "os-release").write_text(release)
    return apt, tmp_path / "os-release"


def test_deb822_sources_are_taken_over_with_the_boxes_suite(tmp_path: Path) -> None:
    text = repositories(SUITE, *_machine(tmp_path, DEBIAN, {"sources.list.d/debian.sources": DEB822}))
    assert text.split("\n\n") == [
        "Types: deb\nURIs: http://mirror.test/debian http://second.test/debian\nSuites: trixie trixie-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg",
        "Types: deb\nURIs: http://mirror.test/security\nSuites: trixie-security\nComponents: main\n",
    ]


def test_one_line_sources_are_taken_over_with_the_boxes_suite(tmp_path: Path) -> None:
    text = repositories(SUITE, *_machine(tmp_path, DEBIAN, {"sources.list": ONE_LINE}))
    assert [line for line in text.splitlines() if line.startswith(("URIs", "Suites", "Signed"))] == [
        "URIs: http://mirror.test/debian",
        "Suites: trixie",
        "Signed-By: /usr/share/keyrings/k.gpg",
        "URIs: http://mirror.test/debian",
        "Suites: trixie-updates",
        "URIs: http://mirror.test/security",
        "Suites: trixie-security",
    ]


@pytest.mark.parametrize(
    ("release", "sources"),
    [
        (
            "ID=ubuntu\nVERSION_CODENAME=noble\n",
            {"sources.list": "deb http://archive.test/ubuntu noble main\n"},
        ),
        (DEBIAN, {}),
        (DEBIAN, {"sources.list": "deb http://vendor.test/ stable main\n"}),
        (DEBIAN, {"sources.list": "deb http://mirror.test/security bookworm-security main\n"}),
    ],
)
def test_a_machine_without_a_debian_mirror_leaves_it_to_mmdebstrap(
    tmp_path: Path, release: str, sources: dict[str, str]
) -> None:
    assert repositories(SUITE, *_machine(tmp_path, release, sources)) == ""
