"""The only place for what is measured on the engine: Option A, and the floor under it, on one embedded cloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from embedded.cloud import Cloud
from infra.core.naming import FAKE_AMI
from tools.setup.engine import engine_environment

ROOT = Path(__file__).resolve().parents[1]

FLOOR_PROGRAM = f"""\
import pulumi_aws as aws

aws.ec2.Instance("floor", ami="{FAKE_AMI}", instance_type="t4g.large")
"""


@dataclass(frozen=True)
class Project:
    """A project directory on a cloud."""

    directory: Path
    cloud: Cloud

    @property
    def environment(self) -> dict[str, str]:
        """What `eval "$(scripts/local.py env)"` gives a person, for this project."""
        ambient = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PULUMI_"))}
        return {
            **engine_environment(ROOT, ambient),
            **self.cloud.variables(),
            "PULUMI_HOME": str(self.directory / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
        }

    def pulumi(self, *arguments: str) -> float:
        """Runs `pulumi`; how many seconds it took.

        Raises:
            RuntimeError: it failed; what it printed is in the message.
        """
        started = time.perf_counter()
        self._run(*arguments)
        return time.perf_counter() - started

    def output(self, *arguments: str) -> str:
        """What `pulumi` prints.

        Raises:
            RuntimeError: it failed.
        """
        return self._run(*arguments)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        found: dict[str, Any] = json.loads(self._run("stack", "output", "--json"))
        return found

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds."""
        exported = json.loads(self._run("stack", "export"))
        found: list[dict[str, Any]] = exported["deployment"]["resources"]
        return found

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pulumi {' '.join(arguments)}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def stand(self) -> float:
        """Makes the stack and brings it up; seconds of the up."""
        self.pulumi("stack", "init", "dev")
        return self.pulumi("up", "--yes", "--skip-preview")


def private(directory: Path, cloud: Cloud, **settings: Any) -> Project:
    """The program at its largest stage that is built, with a name in Route 53."""
    variables = cloud.variables()
    route53: Any = boto3.client(
        "route53",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106 the embedded cloud asks for no secret
    )
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="bench")["HostedZone"]["Id"]
    return option_a(
        directory, cloud, "private",
        domain="app.example.com", dns={"zoneId": zone.rpartition("/")[2]}, **settings,
    )  # fmt: skip


def option_a(directory: Path, cloud: Cloud, stage: str = "single-8g", **settings: Any) -> Project:
    """The program as it is, at that stage, with those settings."""
    _empty(directory)
    shutil.copy(ROOT / "Pulumi.yaml", directory)
    for name in ("infra", ".venv"):
        (directory / name).symlink_to(ROOT / name)
    content: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    content["config"] |= {f"terrace:{name}": value for name, value in {"stage": stage, **settings}.items()}
    (directory / "Pulumi.dev.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Project(directory, cloud)


def floor(directory: Path, cloud: Cloud) -> Project:
    """The least that a Pulumi program in Python with pulumi-aws can be: one instance."""
    _empty(directory)
    (directory / "infra").mkdir()
    for link in (directory / ".venv", directory / "infra" / ".venv"):
        link.symlink_to(ROOT / ".venv")
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    (directory / "Pulumi.yaml").write_text(json.dumps({**project, "name": "floor"}), encoding="utf-8")
    (directory / "infra" / "__main__.py").write_text(FLOOR_PROGRAM, encoding="utf-8")
    (directory / "Pulumi.dev.yaml").write_text("config:\n  aws:region: ap-northeast-2\n", encoding="utf-8")
    return Project(directory, cloud)


def _empty(directory: Path) -> None:
    (directory / "state").mkdir(parents=True)
