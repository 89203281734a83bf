"""The end of `make demo`: memory grows until an alarm speaks, and the stack climbs by scripts/scale_up.py.

It works in a clone of its own, `.local/climb`, so that the words of the project's own files stay as they are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import MEMORY
from ops import stackfile
from ops.talk import Exit, err, step

STACK = "dev"
SHORT_PERCENT = 83.0
COPIED = ("Pulumi.yaml", f"Pulumi.{STACK}.yaml", "gates.yaml", "allowed_signers", ".gitignore")
LINKED = ("infra", ".venv")
IDENTITY = {"user.name": "terrace demo", "user.email": "demo@example.com"}

Ask = Callable[[str, str, dict[str, Any]], Any]


def standing_directory(root: Path) -> Path:
    """Where the demo's stack file is: the climb's own clone once there is one, else the project."""
    made = root / ".local" / "climb"
    return made if (made / ".git").exists() else root


def climb(
    root: Path, variables: Mapping[str, str], outputs: Mapping[str, Any], ask: Ask
) -> dict[str, Any] | None:
    """Load, alarm, advice, plan with its price, climb; the climb's row of the history, None where it stands there.

    `ask` is the embedded cloud's admin surface, which runs the alarms' clock ahead.

    Raises:
        TerraceError: a command of scale_up failed; what it said is in the fault.
    """
    directory = _clone(root)
    scale = _Scale(root, directory, variables)
    stage = stackfile.config(directory / f"Pulumi.{STACK}.yaml")["terrace:stage"]
    if stage != "single-8g":
        err.print(
            f"  climb       stands at {stage} already; back: scripts/scale_up.py rollback", markup=False
        )
        return None
    with step("load", "memory grows; alarms are evaluated") as line:
        _grow(variables, str(outputs["instance_id"]))
        changes = ask("POST", "alarms", {"by_seconds": 120})
        told = sorted(
            each["alarm"] for each in changes if each["to"] == "ALARM" and "memory" in each["alarm"]
        )
        line.says(f"memory {SHORT_PERCENT:.0f} % for 40 min: {', '.join(told) or 'no alarm'}")
    with step("advise", "asking the alarms") as line:
        advice = json.loads(scale.run("advise", "--output", "json"))
        line.says(f"{advice['headline']}: {advice['reasons'][0]}")
    with step("plan", "previewing on a copy") as line:
        made = json.loads(scale.run("plan", "--to", "single-16g", "--output", "json", code=Exit.CHANGE))
        money = made["money"]
        price = f"{money['before']} → {money['after']} USD a month"
        line.says(f"{made['id']}: {price}, about {made['away_seconds']:.0f} s away")
    with step("climb", "restore point, resize, checks") as line:
        scale.run("apply", made["id"], "--yes")
        row: dict[str, Any] = json.loads(scale.run("history", "--output", "json"))[-1]
        away = "not: nothing answered" if row["away_seconds"] is None else f"{row['away_seconds']:.0f} s"
        forecast = f"forecast {row['forecast_away_seconds']:.0f} s away, measured {away}"
        line.says(f"{row['before']} → {row['after']}, {row['ended']}; {forecast}")
    return row


class _Scale:
    """scripts/scale_up.py on the demo's clone."""

    def __init__(self, root: Path, directory: Path, variables: Mapping[str, str]) -> None:
        self._root, self._directory, self._variables = root, directory, variables

    def run(self, *arguments: str, code: int = Exit.DONE) -> str:
        """What it printed."""
        done = subprocess.run(
            [sys.executable, str(self._root / "scripts" / "scale_up.py"), *arguments, "--stack", STACK],
            env={**os.environ, **self._variables, "TERRACE_WORK_DIR": str(self._directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != code:
            said = done.stderr.strip() or done.stdout.strip()
            raise TerraceError(
                Fault(
                    f"scale_up {arguments[0]}",
                    f"ended with {done.returncode}: {said[-800:]}",
                    "Run the demo again",
                )
            )
        return done.stdout


def _clone(root: Path) -> Path:
    directory = root / ".local" / "climb"
    if (directory / ".git").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in COPIED:
        shutil.copy(root / name, directory / name)
    with (directory / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("\n/.venv\n")
    for name in LINKED:
        (directory / name).symlink_to(root / name)
    _git(directory, "init", "-q", "-b", "main")
    for key, value in IDENTITY.items():
        _git(directory, "config", key, value)
    _git(directory, "add", "-A")
    _git(directory, "commit", "-q", "-m", "The demo's own clone")
    return directory


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=directory, check=True)


def _grow(variables: Mapping[str, str], instance_id: str) -> None:
    """What the box's agent would publish."""
    session: Any = boto3.Session(
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    now = datetime.now(UTC)
    session.client("cloudwatch", endpoint_url=variables["AWS_ENDPOINT_URL"]).put_metric_data(
        Namespace=MEMORY.space.value,
        MetricData=[
            {
                "MetricName": MEMORY.name,
                "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
                "Value": SHORT_PERCENT,
                "Unit": MEMORY.unit.value,
                "Timestamp": now - timedelta(minutes=40 - minute),
            }
            for minute in range(43)
        ],
    )
