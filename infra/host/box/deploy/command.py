"""The only place where a deploy runs programs of the box."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import DeployError


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float = 60.0,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a program to its end; what it wrote to stdout. Its environment is ours unless given.

    Raises:
        DeployError: it failed, is missing, or took longer; the end of what it wrote is in the message.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            cwd=directory,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeployError(f"{argv[0]} is not on this box", "Run terrace-host install") from error
    except subprocess.TimeoutExpired as error:
        raise DeployError(
            f"`{' '.join(argv[:3])}` did not end within {timeout_seconds:g} s",
            "Look at the box's load, try again",
        ) from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-800:].rstrip(".")
        raise DeployError(
            f"`{' '.join(argv[:3])}` ended with {done.returncode}: {words or 'no message'}", "See above"
        )
    return done.stdout
