"""Where a workflow reads which climb's plan it carries: its clone, the stack's bucket, OpenSSH."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ops import stackfile
from ops.adapters.climb_site import Site
from ops.adapters.sshsig import SshSigner
from ops.climb.carried import Carried


class SiteOfWorkflow(Site):
    """A clone and its stack, and how the clone differs from the one that a plan was made of."""

    def differing(self, commit: str) -> Sequence[str] | None:
        """Files whose content is another here than at that commit; None where the clone does not know it."""
        return self.git.differing(commit)

    def file_at(self, commit: str) -> dict[str, Any]:
        """The stack file as it was there, parsed; empty where there was none."""
        found: Any = yaml.safe_load(self.git.show(commit, self.file_name()) or "")
        return found if isinstance(found, dict) else {}

    def file_here(self) -> dict[str, Any]:
        """The stack file, parsed."""
        return stackfile.read(stackfile.path_of(self.work_dir, self.stack))

    def file_name(self) -> str:
        """Its name."""
        return stackfile.path_of(self.work_dir, self.stack).name


def carried(root: Path, work_dir: Path, stack: str) -> Carried:
    """The plans of the stack, by the caller's own cloud and backend."""
    mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
    return Carried(SiteOfWorkflow(root, work_dir, stack, mine), SshSigner(), lambda: datetime.now(UTC))
