"""The only place that knows where things of a deploy lie on the box, and what the box was told about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from infra.core.release import ROLE_PARTS

from .errors import DeployError

FACTS = Path("/etc/terrace/box.json")
RUN = Path("/run/terrace")
NGINX = Path("/etc/nginx/terrace")
DATA = Path("/data")
WITHOUT_DATA = Path("/var/lib/terrace")


@dataclass(frozen=True, slots=True)
class Place:
    """One box: its role, its bucket, its directories."""

    role: str
    region: str
    bucket: str
    releases: Path
    state: Path
    worker: bool = False

    @classmethod
    def of_box(cls, facts: Path = FACTS) -> Place:
        """What user data told the box.

        Raises:
            DeployError: it has not been told, or wrongly.
        """
        try:
            told = json.loads(facts.read_text(encoding="utf-8"))
            role = told["role"]
            if role not in ROLE_PARTS:
                raise ValueError(f"role {role!r} is none of {', '.join(ROLE_PARTS)}")
            home = DATA if role == "single" else WITHOUT_DATA
            return cls(
                role, told["region"], told["artifacts_bucket"], home / "releases", home / "state",
                worker=role != "frontend" and bool(told.get("worker")),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeployError(
                f"{facts} does not say what this box is: {error}", "Run terrace-host install"
            ) from error

    def check(self) -> None:
        """Refuses to write below a mount point on which nothing is mounted.

        Raises:
            DeployError: the data volume is not there.
        """
        if self.role == "single" and not DATA.is_mount():
            raise DeployError(
                f"nothing is mounted on {DATA}", "Run terrace-mount; without its data a box serves nothing"
            )
        self.releases.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(parents=True, exist_ok=True)
