"""What the workflows may do: few permissions, no code of a stranger beside a secret, actions that are listed."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tools import comment

ROOT = Path(__file__).parents[2]
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


def runs(name: str) -> list[str]:
    """The lines that a workflow's scripts run, a continued one as one."""
    scripts = (str(step.get("run", "")).replace("\\\n", " ") for step in steps(name))
    return [line for script in scripts for line in script.splitlines()]


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


def test_a_stack_of_another_region_is_reached_by_every_workflow_that_reaches_the_cloud() -> None:
    regions = {
        (name, each["with"]["aws-region"])
        for name in WORKFLOWS
        for each in steps(name)
        if "configure-aws-credentials" in each.get("uses", "")
    }
    assert {name for name, _ in regions} >= {"preview", "release", "up-prod"}
    assert {region for _, region in regions} == {"${{ vars.AWS_REGION || 'ap-northeast-2' }}"}, regions


def test_a_fork_gets_no_cloud_no_secret_and_no_token_that_writes() -> None:
    preview = jobs("preview")
    recorded = preview["recorded"]
    assert "permissions" not in recorded
    assert WORKFLOWS["preview"]["permissions"] == {"contents": "read"}
    assert "environment" not in recorded
    assert "secrets." not in str(preview)
    for real in (preview["preview"], jobs("preview-prod")["preview"]):
        assert "head.repo.full_name == github.repository" in real["if"]


PULL_REQUESTS = "dev-pull-request", "prod-pull-request"
HARMLESS = {"docs/**", "tests/**", "bench/**", "*.md"}
"""What no preview runs: all else in a pull request is looked at by a person before it runs with prod's read role."""


def test_a_pull_request_gets_prods_read_role_by_the_reviewed_environment_alone() -> None:
    """Its own copy of any workflow may name any environment: what AWS and GitHub trust may not depend on the file."""
    for name, workflow in WORKFLOWS.items():
        asked = {job.get("environment") for job in jobs(name).values()} & set(PULL_REQUESTS)
        if "pull_request" in workflow[True]:
            for job in jobs(name).values():
                assert "id-token" not in job.get("permissions", {}) or job["environment"] in PULL_REQUESTS
        else:
            assert not asked
    assert jobs("preview")["preview"]["environment"] == "dev-pull-request"
    assert jobs("preview-prod")["preview"]["environment"] == "prod-pull-request"
    assert "AWS_PREVIEW_ROLE_PROD" not in str(WORKFLOWS["preview"])


def test_whether_a_person_is_asked_is_decided_before_any_code_runs_and_by_what_is_harmless() -> None:
    asked = WORKFLOWS["preview-prod"][True]["pull_request"]
    assert set(asked) == {"paths-ignore"}
    assert set(asked["paths-ignore"]) == HARMLESS
    assert "if" in jobs("preview-prod")["preview"]


@pytest.mark.parametrize(("name", "job"), [("up-prod", "preview"), ("drift", "look")])
def test_what_looks_at_prod_on_main_names_no_environment_so_that_its_branch_is_its_subject(
    name: str, job: str
) -> None:
    assert "environment" not in jobs(name)[job]
    assert jobs(name)[job]["permissions"]["id-token"] == "write"


def test_the_job_that_posts_checks_out_no_code_of_the_pull_request() -> None:
    for step in steps("preview-comment"):
        assert "ref" not in step.get("with", {})
        assert "repository" not in step.get("with", {})
        assert "pip" not in step.get("run", "")


def test_the_reports_that_a_workflow_makes_are_those_that_the_posting_job_expects_of_it() -> None:
    assert WORKFLOWS["preview-comment"][True]["workflow_run"]["workflows"] == list(comment.EXPECTED)
    for workflow, expected in comment.EXPECTED.items():
        name = next(each for each, parsed in WORKFLOWS.items() if parsed["name"] == workflow)
        written = re.findall(r"--comment \"?report/([a-z$-]+)\.md", "\n".join(runs(name)))
        stacks = [each.replace("$stack", stack) for each in written for stack in ("dev", "prod")]
        assert set(stacks) == set(expected)


def test_forks_too_see_prod_by_the_recorded_program_and_by_the_rules() -> None:
    recorded = "\n".join(str(step.get("run", "")) for step in jobs("preview")["recorded"]["steps"])
    loop = recorded.partition("for stack in dev prod; do")[2].partition("done")[0]
    assert 'scripts/preview.py compare "$BASE" --stack "$stack"' in loop
    assert 'scripts/policy.py check --stack "$stack"' in loop


def test_prod_is_applied_from_the_saved_plan_behind_its_environment_and_one_at_a_time() -> None:
    up = jobs("up-prod")
    assert up["up"]["environment"] == "prod"
    assert up["up"]["needs"] == "preview"
    (applied,) = [step["run"] for step in up["up"]["steps"] if "ci.py" in step.get("run", "")]
    assert applied.startswith(".venv/bin/python scripts/ci.py apply plan --stack prod")
    assert up["up"]["concurrency"] == {"group": "stack-prod", "cancel-in-progress": False}


def test_while_prod_waits_for_its_approval_the_next_merge_is_previewed() -> None:
    assert "concurrency" not in WORKFLOWS["up-prod"]
    assert "concurrency" not in jobs("up-prod")["preview"]


def test_nobody_is_asked_to_approve_that_nothing_changes_in_prod() -> None:
    up = jobs("up-prod")
    assert up["up"]["if"] == "needs.preview.outputs.code == '10'"
    (told,) = [step for step in up["preview"]["steps"] if "preview.py run" in step.get("run", "")]
    assert up["preview"]["outputs"] == {"code": f"${{{{ steps.{told['id']}.outputs.code }}}}"}
    assert 'echo "code=$code" >> "$GITHUB_OUTPUT"' in told["run"]


@pytest.mark.parametrize("name", ["up-dev", "up-prod"])
def test_every_up_is_refused_where_the_stack_would_move_on_the_ladder(name: str) -> None:
    runs = " ".join(step.get("run", "") for step in steps(name))
    assert "scripts/ci.py save" in runs
    assert "pulumi up" not in runs


def test_every_workflow_that_previews_or_looks_for_drift_refuses_a_step_on_the_ladder() -> None:
    previews = [line for name in WORKFLOWS for line in runs(name) if "preview.py run" in line]
    assert len(previews) == 3
    assert all("--refuse-step" in line for line in previews)
    (look,) = [step["run"] for step in steps("drift") if step.get("id") == "look"]
    assert "scripts/ci.py drift" in look
    assert '"$code" = 4' in look
    assert '[ "$CODE" != 4 ] || exit 4' in steps("drift")[-1]["run"]


ASKS = re.compile(r"scripts/ci\.py (standing|save|apply|drift)\b|scripts/preview\.py run\b.* --refuse-step\b")
OF_ITS_OWN = {"restore-drill"}
"""What acts on a scratch stack that it made itself, which is at no other place than it was just put."""


def test_whoever_holds_a_role_asks_whether_the_stack_stands_where_its_file_says_before_anything_else() -> (
    None
):
    asked = set()
    for name in WORKFLOWS:
        for job in jobs(name).values():
            uses = [str(step.get("uses", "")).partition("@")[0] for step in job["steps"]]
            if "aws-actions/configure-aws-credentials" not in uses or name in OF_ITS_OWN:
                continue
            asked.add(name)
            with_role = job["steps"][uses.index("aws-actions/configure-aws-credentials") + 1 :]
            scripts = " ".join(str(step.get("run", "")).replace("\\\n", " ") for step in with_role)
            first = re.search(r"scripts/\w+\.py[^\n]*", scripts)
            assert first is not None, name
            assert ASKS.match(first[0]), f"{name}: {first[0]}"
    assert asked == {"drift", "preview", "preview-prod", "release", "up-dev", "up-prod"}


BRANCH = "${{ github.head_ref }}"
MERGED = "${{ steps.merged.outputs.branch }}"
CARRIED = {
    "preview": BRANCH,
    "preview-prod": BRANCH,
    "up-dev": MERGED,
    "up-prod": "${{ inputs.carries || steps.merged.outputs.branch }}",
}
"""By workflow: whose plan it carries. The night's look carries none: nothing is to be made there."""


@pytest.mark.parametrize("name", CARRIED)
def test_the_branch_of_a_climb_names_its_plan_to_the_workflow_by_itself(name: str) -> None:
    asking = ("preview.py run", "ci.py save")
    found = [step for step in steps(name) if any(each in step.get("run", "") for each in asking)]
    assert found
    for step in found:
        (variable,) = re.findall(r'--carries "\$(\w+)"', step["run"])
        assert step["env"][variable] == CARRIED[name]
    if MERGED[4:-3] in CARRIED[name]:
        (merged,) = [step for step in steps(name) if step.get("id") == "merged"]
        assert "commits/$GITHUB_SHA/pulls" in merged["run"]
        (job,) = [job for job in jobs(name).values() if merged in job["steps"]]
        assert job["permissions"]["pull-requests"] == "read"


def test_whoever_may_carry_a_plan_has_the_history_that_the_plan_was_made_of() -> None:
    for name in CARRIED:
        for job in jobs(name).values():
            text = " ".join(str(step.get("run", "")) for step in job["steps"])
            if "preview.py run" in text or "ci.py" in text:
                (checkout,) = [step for step in job["steps"] if "checkout" in str(step.get("uses", ""))]
                assert checkout["with"]["fetch-depth"] == 0, name


VALUES = {"STRATEGY": "rolling", "STACK": "dev", "stack": "dev"}
"""What a variable holds that has to be of a closed list; any other is a word."""


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every program of this project that a workflow runs, with its arguments as the shell would give them."""
    for name in WORKFLOWS:
        for step in steps(name):
            for line in str(step.get("run", "")).replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for index, word in enumerate(words):
                    if re.fullmatch(r"scripts/\w+\.py|tools\.\w+", word) and index < 3:
                        given = []
                        for each in words[index + 1 :]:
                            if each[:1] in ("|", ">", "&"):
                                break
                            shown = re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", each)
                            given.append(
                                re.sub(r"\$\{?(\w+)\}?", lambda found: VALUES.get(found[1], "word"), shown)
                            )
                        yield word, given


@pytest.mark.parametrize("call", list(calls()), ids=lambda call: " ".join([call[0], *call[1][:2]]))
def test_every_call_of_a_workflow_is_one_that_the_program_takes(
    call: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, given = call
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "word.tar.gz").touch()
    if path == "tools.comment":
        assert comment.main(given, lambda *_: []) == 0
        return
    if path == "tools.setup":
        assert (ROOT / "tools" / "setup" / "__main__.py").is_file()
        return
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    group: Any = typer.main.get_command(module.app)
    context = group.make_context(path, [*given], resilient_parsing=False)
    name, command, rest = group.resolve_command(context, given)
    command.make_context(name, rest, parent=context)


def test_a_workflow_calls_every_program_that_its_page_names() -> None:
    called = {path for path, _ in calls()}
    assert {"scripts/ci.py", "scripts/policy.py", "scripts/preview.py", "tools.comment"} <= called


def test_every_target_of_make_that_a_workflow_runs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    run = {
        found
        for name in WORKFLOWS
        for step in steps(name)
        for found in re.findall(r"\bmake ([a-z-]+)", str(step.get("run", "")))
    }
    assert run <= targets
    assert "setup" in run
