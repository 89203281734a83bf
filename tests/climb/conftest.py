"""A clone of its own for each test: a project directory that git knows, in the embedded cloud, with climbs in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.core.stages import find
from ops.climb.moving import end_of
from tests.climb.rows import Rows
from tests.engine.conftest import ROOT, Project, bare, cloud, shared_by_workers, stand

__all__ = ["bare", "cloud"]

GATES = "stacks: {dev: {}}\n"
SECONDS = 600


@dataclass
class Clone:
    """A clone and its stack. `scale` runs scripts/scale_up.py as a person does."""

    project: Project
    directory: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The person's shell."""
        rows = {"TERRACE_ROWS": str(self.rows)} if self.rows.exists() else {}
        return {**self.project.environment, "TERRACE_WORK_DIR": str(self.directory), **rows, **self.more}

    @property
    def rows(self) -> Path:
        """The databases of a stack without boxes, where a test has some; every clone of the stack has the same."""
        return self.project.directory.parent / "rows.json"

    def scale(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs it; another exit code than expected shows what it printed."""
        program = [str(ROOT / "scripts" / "scale_up.py")]
        if self.rows.exists():
            program = [str(ROOT / "tests" / "climb" / "child.py"), "never"]
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        if code is not None and done.returncode != code:
            pytest.fail(f"scale_up {arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def killed(self, point: str, *arguments: str) -> None:
        """Runs it until it dies at that point of tests/climb/child.py."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "climb" / "child.py"), point, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            start_new_session=True,
        )
        if done.returncode != -signal.SIGKILL:
            pytest.fail(
                f"{point} was not reached ({done.returncode})\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
            )

    def plan(self, to: str, *arguments: str, code: int = 10) -> dict[str, Any]:
        """A plan; what it printed as JSON."""
        done = self.scale("plan", "--to", to, "--output", "json", *arguments, code=code)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def climb(self, to: str) -> dict[str, Any]:
        """Plans and applies; the plan."""
        made = self.plan(to)
        self.scale("apply", made["id"], "--yes")
        return made

    def git(self, *arguments: str) -> str:
        """Runs git."""
        return subprocess.run(
            ["git", *arguments], cwd=self.directory, capture_output=True, text=True, check=True
        ).stdout.strip()

    def commit(self, why: str = "test") -> None:
        """Commits everything that git does not ignore."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", why)

    def write(self, name: str, text: str) -> None:
        """A file of the clone, committed."""
        (self.directory / name).write_text(text, encoding="utf-8")
        self.commit(name)

    def words(self) -> str:
        """What the stack file says."""
        for line in (self.directory / "Pulumi.dev.yaml").read_text(encoding="utf-8").splitlines():
            if "terrace:stage:" in line:
                return line.split()[-1]
        return ""

    def journal(self) -> list[dict[str, Any]]:
        """The journal's records."""
        path = self.directory / ".local" / "climbs" / "dev.jsonl"
        return (
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if path.exists()
            else []
        )

    def box(self) -> dict[str, Any]:
        """The box as EC2 shows it."""
        instances = self.project.client("ec2").describe_instances(
            InstanceIds=[self.project.outputs()["instance_id"]]
        )
        return dict(instances["Reservations"][0]["Instances"][0])

    def another(self, name: str) -> Clone:
        """A second clone of the same project, as on another machine: nothing but what git and the bucket hold."""
        made = self.directory.parent / name
        subprocess.run(["git", "clone", "-q", str(self.directory), str(made)], check=True)
        for key, value in IDENTITY.items():
            subprocess.run(["git", "config", key, value], cwd=made, check=True)
        (made / ".venv").symlink_to(ROOT / ".venv")
        return Clone(self.project, made, self.more)


IDENTITY = {"user.email": "requester@example.com", "user.name": "Requester"}


def known_to_git(project: Project) -> Clone:
    """Makes the project's directory a repository with a commit on main."""
    clone = Clone(project, project.directory)
    shutil.copy(ROOT / ".gitignore", project.directory / ".gitignore")
    ignored = "\n/.venv\n/state/\n/pulumi-home/\n/home/\n"
    with (project.directory / ".gitignore").open("a", encoding="utf-8") as file:
        file.write(ignored)
    (project.directory / "gates.yaml").write_text(GATES, encoding="utf-8")
    (project.directory / "allowed_signers").write_text("", encoding="utf-8")
    clone.git("init", "-q", "-b", "main")
    for key, value in IDENTITY.items():
        clone.git("config", key, value)
    clone.commit("the project")
    return clone


def planned(
    project: Project, factory: pytest.TempPathFactory, before: str, after: str, *, named: bool = False
) -> tuple[Clone, dict[str, Any]]:
    """A clone at rest at `before` and a plan to `after`; made once for all test processes, then copied.

    `named`: with a name in Route 53, and rows where the stage has them.
    """
    kept = shared_by_workers(factory) / "planned" / f"{before}-{after}-{named}"
    kept.mkdir(parents=True, exist_ok=True)
    plan, directory = kept / "plan.json", project.directory
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not plan.exists():
            if named:
                _name(project)
            clone = known_to_git(stand(project, factory, stage=before))
            made = clone.plan(after)
            project.cloud.api.save(kept / "cloud")
            left_out = shutil.ignore_patterns("pulumi-home")
            shutil.copytree(directory, kept / "project", symlinks=True, ignore=left_out, dirs_exist_ok=True)
            plan.write_text(json.dumps(made), encoding="utf-8")
    project.cloud.api.load(kept / "cloud")
    shutil.rmtree(directory)
    shutil.copytree(kept / "project", directory, symlinks=True)
    project.settings = yaml.safe_load((directory / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]
    project.pulumi("stack", "select", project.stack)
    clone = Clone(project, directory)
    if named:
        rows = Rows.at(end_of(find(before)))
        rows.follows = True  # the box can be; RDS cannot, and is copied behind a fence
        rows.save(clone.rows)
    found: dict[str, Any] = json.loads(plan.read_text(encoding="utf-8"))
    return clone, found


def _name(project: Project) -> None:
    made = project.client("route53").create_hosted_zone(Name="example.com", CallerReference="climb")
    zone = made["HostedZone"]["Id"].rpartition("/")[2]
    project.settings |= {"terrace:domain": "app.example.com", "terrace:dns": {"zoneId": zone}}


@pytest.fixture
def clone(bare: Project, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose stack stands at single-8g."""
    return known_to_git(stand(bare, tmp_path_factory))


@pytest.fixture(autouse=True)
def no_git_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person told git on this machine has no say."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
