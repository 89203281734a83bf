"""What the workflows may do: few permissions, no code of a stranger beside a secret, actions that are listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
WORKFLOWS: dict[str, Any] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))
}
ACTIONS = {
    "actions/cache@v4",
    "actions/checkout@v4",
    "actions/download-artifact@v4",
    "actions/setup-java@v4",
    "actions/setup-node@v4",
    "actions/setup-python@v5",
    "actions/upload-artifact@v4",
    "aws-actions/configure-aws-credentials@v4",
    "docker/build-push-action@v6",
    "docker/login-action@v3",
    "docker/setup-buildx-action@v3",
}
"""Every action that is used, by tag: what has to be read, and pinned, when it moves."""


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKFLOWS[name]["jobs"]
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job["steps"]]


def test_every_action_that_is_used_is_on_the_list_and_the_other_way_round() -> None:
    assert {step["uses"] for name in WORKFLOWS for step in steps(name) if "uses" in step} == ACTIONS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_names_its_permissions_keeps_no_token_and_ends(name: str) -> None:
    assert "permissions" in WORKFLOWS[name]
    assert "write-all" not in str(WORKFLOWS[name])
    assert "pull_request_target" not in WORKFLOWS[name][True]  # YAML reads the key `on` as true
    for step in steps(name):
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert all("timeout-minutes" in job for job in jobs(name).values())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_that_somebody_wrote_stands_in_a_script(name: str) -> None:
    for step in steps(name):
        assert "${{" not in step.get("run", ""), step


def test_a_fork_gets_no_cloud_no_secret_and_no_token_that_writes() -> None:
    preview = jobs("preview")
    recorded = preview["recorded"]
    assert "permissions" not in recorded
    assert WORKFLOWS["preview"]["permissions"] == {"contents": "read"}
    assert "environment" not in recorded
    assert "secrets." not in str(preview)
    assert "head.repo.full_name == github.repository" in preview["preview"]["if"]


def test_a_preview_of_prod_by_changed_code_waits_for_a_person() -> None:
    assert "prod-preview-reviewed" in jobs("preview")["preview"]["environment"]
    sensitive = next(step for step in steps("preview") if step.get("id") == "sensitive")["run"]
    for path in ("infra", "ops", "scripts", "tools", "requirements", "pyproject.toml", ".github"):
        assert path in sensitive.split()


def test_the_job_that_posts_checks_out_no_code_of_the_pull_request() -> None:
    for step in steps("preview-comment"):
        assert "ref" not in step.get("with", {})
        assert "repository" not in step.get("with", {})
        assert "pip" not in step.get("run", "")


def test_prod_is_applied_from_the_saved_plan_behind_its_environment_and_one_at_a_time() -> None:
    up = jobs("up-prod")
    assert up["up"]["environment"] == "prod"
    assert up["up"]["needs"] == "preview"
    (applied,) = [step["run"] for step in up["up"]["steps"] if "ci.py" in step.get("run", "")]
    assert applied.startswith(".venv/bin/python scripts/ci.py apply plan --stack prod")
    assert WORKFLOWS["up-prod"]["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("name", ["up-dev", "up-prod"])
def test_every_up_is_refused_where_the_stack_would_move_on_the_ladder(name: str) -> None:
    runs = " ".join(step.get("run", "") for step in steps(name))
    assert "scripts/ci.py save" in runs
    assert "pulumi up" not in runs
