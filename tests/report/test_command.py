"""scripts/preview.py: what it ends with, what it writes, and what it refuses in words."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.adapters.preview import preview as engine_preview
from ops.climb.steps import Words
from tests.report.support import BOX, INSTANCE, VOLUME, preview, same, state, step, update

ROOT = Path(__file__).parents[2]
DATA = same(VOLUME, "data", {"type": "gp3", "size": 100})
CLIMB = preview(update(INSTANCE, "app", BOX, {**BOX, "instanceType": "t4g.xlarge"}), DATA)
REFUSED = preview(
    diagnostics=[
        {
            "urn": "urn:pulumi:dev::terrace::pulumi-python:dynamic/guard:Guard::guard",
            "message": "error: a volume never shrinks. Keep 100\n",
            "severity": "error",
        }
    ]
)
FAILED = preview(diagnostics=[{"message": "error: Program failed\n", "severity": "error"}])
UNPRICED = preview(step("create", None, state("aws:sagemaker/model:Model", "m")))
FINDING = dict.fromkeys(("rule", "control", "severity", "urn", "message", "remedy"), "x")
BLOCKING = json.dumps([{**FINDING, "enforcement": "mandatory"}])


def script(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    ambient = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "preview.py"), *arguments],
        capture_output=True, text=True, check=False, timeout=120, env={**ambient, **(environment or {})},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "findings", "code"),
    [
        (preview(DATA), "", 0),
        (CLIMB, "", 10),
        (
            CLIMB.replace(
                '"terrace:stage"', '"terrace:budget": "{\\"monthly\\": \\"100\\"}", "terrace:stage"'
            ),
            "",
            3,
        ),
        (CLIMB, BLOCKING, 4),
        (REFUSED, "", 4),
        (UNPRICED, "", 4),
        (FAILED, "", 1),
        (CLIMB[:-30], "", 1),
    ],
    ids=["same", "change", "budget", "policy", "guard", "unpriced", "failed", "cut"],
)
def test_it_ends_with_what_the_report_says_and_writes_the_comment(
    tmp_path: Path, text: str, findings: str, code: int
) -> None:
    (tmp_path / "preview.json").write_text(text)
    (tmp_path / "findings.json").write_text(findings or "[]")
    done = script(
        "report", str(tmp_path / "preview.json"), "--findings", str(tmp_path / "findings.json"),
        "--comment", str(tmp_path / "comment.md"), "--output", "json",
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "cut off" not in done.stderr:
        assert json.loads(done.stdout)["proposes"] is (code not in (0, 1) and text is not REFUSED)
        comment = (tmp_path / "comment.md").read_text()
        assert comment.startswith("## Preview of ") or (code == 0 and comment == "")


def test_a_terminal_gets_tables_of_a_hundred_columns_with_the_headline_first(tmp_path: Path) -> None:
    (tmp_path / "preview.json").write_text(CLIMB)
    shown = script("report", str(tmp_path / "preview.json")).stdout.splitlines()
    assert shown[0] == "dev: 1 changed"
    assert max(map(len, shown)) <= 100
    assert any("machine t4g.xlarge" in line and "+60.74" in line for line in shown)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("report", "nowhere.json"), 1, "nowhere.json cannot be read"),
        (("run", "--stack", "nobody"), 1, "has no file Pulumi.nobody.yaml"),
        (("compare", "no-such-revision"), 1, "'no-such-revision' is no revision here"),
        (("report", "pyproject.toml", "--output", "pdf"), 2, "'pdf' is not one of"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_words(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    here = tuple(str(ROOT / each) if each == "pyproject.toml" else each for each in arguments)
    done = script(*here)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_without_a_cloud_a_preview_says_where_to_find_one(tmp_path: Path) -> None:
    done = script("run", environment={"PULUMI_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert 'eval "$(scripts/local.py env)"' in done.stderr


def test_a_recording_compared_with_itself_is_silent_and_holds_no_secret(tmp_path: Path) -> None:
    recorded = tmp_path / "base.json"
    assert script("record", "--to", str(recorded)).returncode == 0
    done = script("compare", str(recorded), str(recorded), "--output", "markdown")
    assert (done.returncode, done.stdout) == (0, "")
    inputs = [each["inputs"] for each in json.loads(recorded.read_text())["resources"]]
    secure = [each["valueWo"] for each in inputs if each.get("type") == "SecureString"]
    assert len(secure) >= 2
    assert set(secure) == {"[secret]"}


def test_a_policy_pack_is_handed_over_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine starts it from infra/, so a path as a person types it in the clone would not be found."""
    engine = tmp_path / "pulumi"
    engine.write_text("#!/bin/sh\nprintf '{%s}' \"$*\"\n", encoding="utf-8")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    said = engine_preview(
        tmp_path, "dev", {"PATH": f"{tmp_path}:/usr/bin:/bin"}, policy_packs=["infra/policy/pack"]
    )
    assert f"--policy-pack {tmp_path}/infra/policy/pack" in said.text


def test_rules_are_judged_over_the_preview_where_nobody_brings_findings(tmp_path: Path) -> None:
    path = tmp_path / "preview.json"
    path.write_text(preview(step("create", None, state(VOLUME, "spare", {"type": "gp3", "size": 10}))))
    said = json.loads(script("report", str(path), "--output", "json").stdout)
    found = {each["rule"]: each for each in said["findings"]}
    assert found["ebs-encrypted"]["urn"].endswith("::spare")
    assert not found["ebs-encrypted"]["blocks"]
    none = tmp_path / "findings.json"
    none.write_text("[]")
    brought = script("report", str(path), "--findings", str(none), "--output", "json")
    assert json.loads(brought.stdout)["findings"] == []


def test_a_branch_that_makes_no_step_reads_no_climbs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Plans:
        def refusals(self, *given: object) -> list[object]:
            return [*asked, *given]

    def carried(*given: object) -> Plans:
        asked.extend(given)
        return Plans()

    monkeypatch.setitem(sys.modules, "ops.adapters.carried", SimpleNamespace(carried=carried))
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("preview")
    monkeypatch.delitem(sys.modules, "preview")
    climbs = module._Climbs("dev")
    assert asked == []
    before, wanted = Words("single-8g"), Words("split")
    assert climbs.refusals("climb/0123456789", before, wanted) == [
        module.ROOT, module.ROOT, "dev", "climb/0123456789", before, wanted,
    ]  # fmt: skip
