"""The only place that stands a box up for deploys, for tests and figures alike: it serves the sample, under load.

The box is made by `pulumi up` and its own user data, as in production.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.projects import Project, option_a
from embedded import sample
from embedded.cloud import Cloud
from embedded.environment import speaking
from embedded.load import Load, Target
from embedded.sample import Fault
from ops import deploy, release
from ops.adapters.aws_deploy import S3Artifacts

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
INSTALL_SECONDS = 240
REGION = "ap-northeast-2"


@dataclass
class Served:
    """Option A on the embedded cloud, its box prepared for deploys."""

    directory: Path
    cloud: Cloud
    project: Project
    outputs: dict[str, Any]
    peak_mib: float = 0.0
    loads: int = 0
    published: set[str] = field(default_factory=set)

    @property
    def box(self) -> deploy.Box:
        """The box, as deploys name it."""
        return deploy.Box("single", self.outputs["instance_id"])

    @property
    def target(self) -> Target:
        """Where its Nginx answers."""
        return Target(f"https://{self.outputs['eip']}", ca=str(self.certificate))

    def sh(self, script: str, *, timeout_seconds: float = 300.0) -> str:
        """What a script in the box writes to stdout.

        Raises:
            AssertionError: it failed.
        """
        code, said = self.tried(script, timeout_seconds=timeout_seconds)
        assert code == 0, f"{script!r} ended with {code}: {said}"
        return said

    def tried(self, script: str, *, timeout_seconds: float = 300.0) -> tuple[int, str]:
        """How a script in the box ended, and what it said."""
        machines = self.cloud.machines
        assert machines is not None
        done = machines.host.run(self.box.instance_id, script, timeout_seconds=timeout_seconds)
        return done.returncode, f"{done.stdout}{done.stderr}".strip()

    def power_cut(self) -> None:
        """Takes the power away and gives it back; returns when the machine has booted."""
        machines = self.cloud.machines
        assert machines is not None
        boots = machines.host.box(self.box.instance_id).boots
        machines.host.power_cut(self.box.instance_id)
        machines.host.power_on(self.box.instance_id)
        machines.host.wait(
            self.box.instance_id, lambda box: box.booted and box.boots > boots, timeout_seconds=120
        )

    def prepare(self) -> None:
        """Waits until the host's own installer is through, and notes the certificate that it made.

        Raises:
            AssertionError: it is not through in time.
        """
        deadline = time.monotonic() + INSTALL_SECONDS
        while (
            json.loads(self.tried("terrace-host status --json 2>/dev/null")[1] or "{}").get("state") != "done"
        ):
            assert time.monotonic() < deadline, self.tried(
                "journalctl -u terrace-host --no-pager | tail -20"
            )[1]
            time.sleep(1)
        self.directory.mkdir(exist_ok=True)
        self.certificate.write_text(self.sh("cat /etc/terrace/tls/fullchain.pem") + "\n", encoding="utf-8")

    @property
    def certificate(self) -> Path:
        """What the box vouches for itself with."""
        return self.directory / "box.pem"

    def lay_out(self, version: str, *, fault: Fault | None = None, migrations: int = 3) -> Path:
        """A directory as a person has it before it is published."""
        directory = self.directory / "releases" / version
        return sample.lay_out(directory, version, cache=CACHE, fault=fault, migrations=migrations)

    def publish(self, version: str, *, fault: Fault | None = None, migrations: int = 3) -> str:
        """Publishes the sample under that version; nothing where it is published."""
        if version not in self.published:
            directory = self.lay_out(version, fault=fault, migrations=migrations)
            packed = release.pack(directory, directory.with_suffix(".tar.gz"))
            deploy.publish(self.artifacts(), packed)
            self.published.add(version)
        return version

    def artifacts(self) -> S3Artifacts:
        """The stack's bucket."""
        return S3Artifacts(self.outputs["buckets"]["artifacts"], REGION)

    def release(self, version: str, *words: str) -> tuple[int, dict[str, Any]]:
        """Lets the box take up a published version; how it ended."""
        code, said = self.tried(f"terrace-deploy release {version} --json {' '.join(words)} 2>/dev/null")
        return code, json.loads(said) if said.startswith("{") else {}

    def status(self) -> dict[str, Any]:
        """What the box says of itself."""
        found: dict[str, Any] = json.loads(self.sh("terrace-deploy status --json"))
        return found

    def serves(self) -> set[str]:
        """The versions that serve, all of them healthy; each on one port, and nothing on the other."""
        parts = self.status()["parts"]
        assert all(each["healthy"] and each["runs"] == each["version"] for each in parts.values()), parts
        units = self.sh(
            "systemctl list-units --plain --no-legend --state=active 'terrace-*@*' | cut -d' ' -f1 | sort"
        )
        wanted = sorted(f"terrace-{name}@{each['port']}.service" for name, each in parts.items())
        assert units.split() == wanted
        return {each["version"] for each in parts.values()}

    @contextmanager
    def under_load(self, *, rate: float = 50.0, sockets: int = 20) -> Generator[Load]:
        """A load on the box while the block lasts, and its memory watched."""
        ended = threading.Event()
        watching = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        self.peak_mib = 0.0
        watching.start()
        try:
            self.loads += 1
            log = self.directory / f"load-{self.loads}.log"
            with Load(self.target, log, rate=rate, sockets=sockets) as load:
                load.until(int(rate))
                yield load
        finally:
            ended.set()
            watching.join()

    def _watch(self, ended: threading.Event) -> None:
        machines = self.cloud.machines
        while machines is not None and not ended.wait(0.25):
            used = machines.host.box(self.box.instance_id).memory_used_bytes or 0
            self.peak_mib = max(self.peak_mib, used / 1024**2)


@contextmanager
def served(directory: Path, stage: str = "single-8g", **settings: Any) -> Generator[Served]:
    """Option A standing with those settings, its box prepared, v1 serving."""
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        if cloud.without_boxes:
            raise RuntimeError(f"no boxes: {cloud.without_boxes}")
        with environment(cloud):
            project = option_a(directory / "project", cloud, stage, **settings)
            project.stand()
            made = Served(directory, cloud, project, project.outputs())
            assert cloud.machines is not None
            cloud.machines.host.wait(made.box.instance_id, lambda box: box.booted, timeout_seconds=120)
            made.prepare()
            code, said = made.release(made.publish("v1", migrations=2), "--soak-seconds", "2")
            assert code == 0, said
            yield made


@contextmanager
def environment(cloud: Cloud) -> Generator[None]:
    """What deploys ask AWS with, as a person has it after `eval "$(scripts/local.py env)"`."""
    with speaking(cloud.variables()):
        yield
