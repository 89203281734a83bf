"""The only place that runs checkov: over plans in files, offline, its word read as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from ops.audit import Failed

TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Looked:
    """What checkov found over all plans; each failed check once, however many plans show it."""

    passed: int
    failed: tuple[Failed, ...]


def look(program: Path, plans: Mapping[str, Mapping[str, Any]]) -> Looked:
    """Runs it over those plans, by name.

    Raises:
        TerraceError: there is no such program, it did not end, or did not see every plan.
    """
    if not program.exists():
        raise TerraceError(Fault(str(program), "is not there", "Run make audit, which installs it"))
    with tempfile.TemporaryDirectory(prefix="terrace-audit-") as folder:
        for name, plan in plans.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(plan), encoding="utf-8")
        # Guidelines come from its maker's servers otherwise; the checks themselves are in the package.
        arguments = ["--framework", "terraform_plan", "--skip-download", "--compact", "--output", "json"]
        environment = {**os.environ, "LOG_LEVEL": "ERROR"}
        try:
            done = subprocess.run(
                [program, "--directory", folder, *arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
                env=environment,
                cwd=folder,
            )
        except subprocess.TimeoutExpired as error:
            raise TerraceError(
                Fault("checkov", f"did not end in {TIMEOUT_SECONDS} s", "Try again")
            ) from error
    return read(done.stdout, len(plans), done.stderr)


def read(text: str, plans: int, said: str = "") -> Looked:
    """Its report.

    Raises:
        TerraceError: it is no report, or one of fewer plans: a plan that is not seen would look well.
    """
    try:
        reports = json.loads(text)
        (report,) = reports if isinstance(reports, list) else [reports]
        summary, results = report["summary"], report["results"]
        failed, passed = results["failed_checks"], results["passed_checks"]
    except (ValueError, KeyError, TypeError) as error:
        raise TerraceError(
            Fault(
                "checkov", f"gave no report: {said.strip()[-300:] or type(error).__name__}", "Run it by hand"
            )
        ) from error
    seen = {each["file_path"] for each in (*failed, *passed)}
    if summary["parsing_errors"] or len(seen) != plans:
        raise TerraceError(
            Fault(
                "checkov",
                f"saw {len(seen)} of {plans} plans",
                "Look at what ops/audit.py makes of the program",
            )
        )
    found = {(each["check_id"], each["resource"]): each["check_name"] for each in failed}
    return Looked(summary["passed"], tuple(Failed(*key, found[key]) for key in sorted(found)))
