"""What status and a plan take: the one against its bound, the other against the preview in it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.projects import ROOT, Project, option_a
from embedded.cloud import Cloud

ROUNDS = 3
CHANGE = 10
"""The exit code of a plan that proposes a change."""


def figures(directory: Path, *, cache: Path) -> Iterator[Figure]:
    """Option A standing; a plan of its resize, and the same preview by `pulumi` alone, in turn."""
    with Cloud(directory / "cloud", cache=cache) as cloud:
        project = option_a(directory / "a", cloud)
        wanted = project.directory / "Pulumi.dev.yaml"
        project.stand()
        text = wanted.read_text(encoding="utf-8")
        _known_to_git(project.directory)
        status = statistics.median(_scale(project, "status") for _ in range(ROUNDS))
        yield Figure("status", f"{status:.2f} s", "", "", "≤ 2 s")
        plans, previews = [], []
        for _ in range(ROUNDS):
            plans.append(_scale(project, "plan", "--to", "single-16g", code=CHANGE))
            wanted.write_text(text.replace("single-8g", "single-16g"), encoding="utf-8")
            try:
                previews.append(project.pulumi("preview"))
            finally:
                wanted.write_text(text, encoding="utf-8")
        plan, preview = statistics.median(plans), statistics.median(previews)
        ratios = [one / other for one, other in zip(plans, previews, strict=True)]
        yield Figure(
            "plan of a resize, its preview", f"{plan:.1f} s", f"{preview:.1f} s",
            f"{statistics.median(ratios):.2f}", "≤ 1.5 × preview",
        )  # fmt: skip


def _scale(project: Project, *arguments: str, code: int = 0) -> float:
    """How long a command of scripts/scale_up.py takes, with Python's own start in it.

    Raises:
        RuntimeError: it ended with another code.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "scale_up.py"), *arguments, "--stack", "dev"],
        env={**project.environment, "TERRACE_WORK_DIR": str(project.directory)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != code:
        raise RuntimeError(f"scale_up {arguments} ended with {done.returncode}: {done.stderr[-1500:]}")
    return time.perf_counter() - began


def _known_to_git(directory: Path) -> None:
    (directory / ".gitignore").write_text(
        "/.venv\n/state/\n/pulumi-home/\n/plans/\n/.local/\n", encoding="utf-8"
    )
    (directory / "gates.yaml").write_text("stacks: {dev: {}}\n", encoding="utf-8")
    (directory / "allowed_signers").write_text("", encoding="utf-8")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for words in (
        ("init", "-q", "-b", "main"),
        ("config", "user.email", "bench@example.com"),
        ("add", "-A"),
        (*identity, "commit", "-q", "-m", "bench"),
    ):
        subprocess.run(["git", *words], cwd=directory, env=environment, check=True)
