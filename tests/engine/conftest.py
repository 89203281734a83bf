"""The real engine on the embedded cloud: a cloud for each test process, a project directory for each test."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from embedded.cloud import Cloud
from infra.core.naming import FAKE_AMI
from tools.setup.engine import engine_environment

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
TIMEOUT_SECONDS = 120

DEV: dict[str, Any] = {
    "aws:region": "ap-northeast-2",
    "terrace:stage": "single-8g",
    "terrace:environment": "dev",
    "terrace:zones": ["ap-northeast-2a", "ap-northeast-2c"],
    "terrace:ami": FAKE_AMI,
    "terrace:alarmEmail": "ops@example.com",
    "terrace:tags": {"team": "engineering", "costCenter": "RnD", "owner": "ops@example.com"},
    "terrace:app": {"settings": {"LOG_LEVEL": "info"}, "secrets": ["JWT_SECRET"]},
}


@dataclass
class Project:
    """A directory with the program in it, a state of its own, and a stack file that a test may change."""

    directory: Path
    cloud: Cloud
    stack: str = "dev"
    settings: dict[str, Any] = field(default_factory=lambda: dict(DEV))

    @property
    def state(self) -> Path:
        """Pulumi's state."""
        return self.directory / "state"

    @property
    def environment(self) -> dict[str, str]:
        """What `eval "$(scripts/local.py env)"` gives a person, for this project."""
        ambient = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PULUMI_"))}
        return {
            **engine_environment(ROOT, ambient),
            **self.cloud.variables(),
            "PULUMI_HOME": str(self.directory / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": "",
        }

    def write(self, **changes: Any) -> None:
        """Writes the stack file with those changes (`stage="single-16g"`); None takes a key away."""
        for key, value in changes.items():
            name = key if ":" in key else f"terrace:{key}"
            self.settings[name] = value
            if value is None:
                del self.settings[name]
        path = self.directory / f"Pulumi.{self.stack}.yaml"
        kept = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump({**kept, "config": self.settings}), encoding="utf-8")

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `pulumi`; a failure that was not expected shows what it printed."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        if check and done.returncode != 0:
            pytest.fail(f"pulumi {' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
        return done

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pulumi up` without the preview before it."""
        return self.pulumi("up", "--yes", "--skip-preview", *arguments, check=check)

    def preview(self, *arguments: str) -> dict[str, Any]:
        """The preview as JSON."""
        found: dict[str, Any] = json.loads(self.pulumi("preview", "--json", *arguments).stdout)
        return found

    def steps(self, *arguments: str) -> dict[str, str]:
        """What a preview would do, by logical name and type, without what stays the same."""
        return {
            "::".join(step["urn"].split("::")[2:]).rpartition("$")[2]: step["op"]
            for step in self.preview(*arguments)["steps"]
            if step["op"] not in ("same", "read")
        }

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json").stdout)
        return found

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, as its file has them: `pulumi stack export` would be a start of the engine."""
        path = self.state / ".pulumi" / "stacks" / "terrace" / f"{self.stack}.json"
        latest = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]["latest"] or {}
        found: list[dict[str, Any]] = latest.get("resources") or []
        return found

    def urns(self, *tokens: str) -> dict[str, str]:
        """The id of each resource of those tokens, by URN."""
        return {each["urn"]: each["id"] for each in self.resources() if each["type"] in tokens}

    def client(self, service: str) -> Any:
        """A boto3 client in the same cloud."""
        variables = self.cloud.variables()
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded cloud of a room's tests, without boxes. It ends with them: moto's state is the process's, and at
    each whole minute this cloud would judge the alarms of whoever comes after."""
    with Cloud(tmp_path_factory.mktemp("cloud"), cache=CACHE) as started:
        yield started


@pytest.fixture
def project(bare: Project) -> Project:
    """A project in an empty cloud, its stack made and nothing in it."""
    bare.pulumi("stack", "init", bare.stack)
    return bare


@pytest.fixture
def bare(cloud: Cloud, tmp_path: Path) -> Iterator[Project]:
    """A project in an empty cloud, its stack not made yet."""
    cloud.api.reset()
    made = Project(tmp_path / "project", cloud)
    lay_out(made.directory)
    made.write()
    yield made
    cloud.api.faults.clear()
    cloud.engine_faults.clear()


@pytest.fixture
def named(bare: Project) -> Project:
    """A project with a name in Route 53, whose stack is not made yet."""
    zone = bare.client("route53").create_hosted_zone(Name="example.com", CallerReference="walk")
    zone_id = zone["HostedZone"]["Id"].rpartition("/")[2]
    bare.write(domain="app.example.com", dns={"zoneId": zone_id})
    bare.pulumi("stack", "init", bare.stack)
    return bare


@pytest.fixture
def standing(bare: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose stack stands at `single-8g`; made once for all test processes, then loaded."""
    return stand(bare, tmp_path_factory)


def stand(project: Project, factory: pytest.TempPathFactory, **changes: Any) -> Project:
    """Brings the project to a stage by loading what an earlier run of the same settings and program saved."""
    project.write(**changes)
    prepared = shared_by_workers(factory) / "prepared" / _digest(project.settings)
    prepared.parent.mkdir(exist_ok=True)
    with prepared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (prepared / "state").exists():
            project.pulumi("stack", "init", project.stack)
            project.up()
            prepared.mkdir(exist_ok=True)
            project.cloud.api.save(prepared / "cloud")
            shutil.copy(project.directory / "Pulumi.dev.yaml", prepared / "Pulumi.dev.yaml")
            shutil.copytree(project.state, prepared / "state")
            return project
    project.cloud.api.load(prepared / "cloud")
    shutil.rmtree(project.state)
    shutil.copytree(prepared / "state", project.state)
    shutil.copy(prepared / "Pulumi.dev.yaml", project.directory / "Pulumi.dev.yaml")
    project.pulumi("stack", "select", project.stack)
    return project


def shared_by_workers(factory: pytest.TempPathFactory) -> Path:
    """A directory of this run that every one of its test processes sees."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def lay_out(directory: Path) -> None:
    """The program as a clone has it: the same files, by link."""
    directory.mkdir(parents=True)
    (directory / "state").mkdir()
    shutil.copy(ROOT / "Pulumi.yaml", directory / "Pulumi.yaml")
    for name in ("infra", ".venv"):
        (directory / name).symlink_to(ROOT / name)


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
