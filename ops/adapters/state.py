"""The state port on the engine's own command line and on a file or S3 backend's lock files."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from infra.core.errors import Fault, TerraceError
from ops.recovery import Lock, Pending
from ops.stackfile import write
from tools.process import lives


class EngineState:
    """One stack's state, by the `pulumi` of the environment that this process runs in."""

    def __init__(self, work_dir: Path, project: str, stack: str, environment: Mapping[str, str]) -> None:
        self.work_dir, self.project, self.stack = work_dir, project, stack
        self.environment = dict(environment)
        self._exported: dict[str, Any] | None = None

    def locks(self) -> Sequence[Lock]:
        """Who holds the stack; backends other than file:// and s3:// keep no lock files."""
        here = socket.gethostname()
        found = []
        for text in self._lock_files():
            raw = json.loads(text)
            pid, host = int(raw.get("pid", 0)), raw.get("hostname", "")
            alive = lives(pid) if host == here else None
            found.append(Lock(f"{raw.get('username', '?')}@{host}", pid, raw.get("timestamp", "?"), alive))
        return found

    def damage(self) -> str:
        """A state file that the kill cut off; only a file backend writes in place."""
        path = self._state_file()
        if path is None:
            return ""
        if _checkpoint(path) is not None:
            return (
                ""
                if _attributes_are_whole(path)
                else f"state {path.name} was being written when the engine died"
            )
        if _checkpoint(_copy_of(path)) is None:
            raise TerraceError(
                Fault(
                    str(path),
                    "cannot be read, nor can its copy",
                    f"Take an older one from {path.parents[2]}/backups",
                )
            )
        return f"state {path.name} was cut off while it was written"

    def mend(self) -> None:
        """Puts the engine's own copy of the last whole state back."""
        if (path := self._state_file()) is not None:
            if _checkpoint(path) is None:
                write(path, _copy_of(path).read_text(encoding="utf-8"))
            _attributes_of(path).unlink(missing_ok=True)
        self._exported = None

    def cancel(self) -> None:
        """Takes every lock of the stack away."""
        self._pulumi("cancel", "--yes", "--stack", self.stack)

    def pending(self) -> Sequence[Pending]:
        """What was under way when the engine died."""
        return [
            Pending(
                each["resource"]["urn"],
                each["resource"]["type"],
                each["type"],
                each["resource"].get("inputs") or {},
            )
            for each in self._deployment().get("pending_operations") or []
        ]

    def known_ids(self) -> frozenset[tuple[str, str]]:
        """Kind and id of everything in the state: a role and its profile may bear one name."""
        resources = self._deployment().get("resources") or []
        return frozenset((each["type"], each["id"]) for each in resources if each.get("id"))

    def settle(self, adopted: Mapping[str, str]) -> None:
        """Ends every pending operation, puts those with an id among the resources, and reads all from the cloud.

        By export and import, because `refresh --import-pending-creates` of 3.259 only marks them (tried).
        """
        whole = json.loads(self._pulumi("stack", "export", "--stack", self.stack))
        deployment = whole["deployment"]
        for each in deployment.pop("pending_operations", None) or []:
            if (identity := adopted.get(each["resource"]["urn"])) is not None:
                deployment["resources"].append({**each["resource"], "id": identity})
        self._pulumi("stack", "import", "--stack", self.stack, given=json.dumps(whole))
        self._pulumi("refresh", "--yes", "--skip-preview", "--stack", self.stack)
        self._exported = None

    def _deployment(self) -> dict[str, Any]:
        if self._exported is None and (path := self._state_file()) is not None and self.damage():
            whole = _checkpoint(path) or _checkpoint(_copy_of(path)) or {}
            self._exported = whole.get("latest") or {}
        if self._exported is None:
            exported = json.loads(self._pulumi("stack", "export", "--stack", self.stack))
            self._exported = exported.get("deployment") or {}
        return self._exported

    def _state_file(self) -> Path | None:
        backend = urlsplit(self.environment.get("PULUMI_BACKEND_URL", ""))
        path = Path(backend.path) / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"
        return path if backend.scheme == "file" and path.exists() else None

    def _lock_files(self) -> Iterator[str]:
        backend = urlsplit(self.environment.get("PULUMI_BACKEND_URL", ""))
        folder = f".pulumi/locks/organization/{self.project}/{self.stack}"
        if backend.scheme == "file":
            for path in sorted((Path(backend.path) / folder).glob("*.json")):
                yield path.read_text(encoding="utf-8")
        elif backend.scheme == "s3":
            s3: Any = boto3.client("s3")
            for each in s3.list_objects_v2(Bucket=backend.netloc, Prefix=folder).get("Contents") or []:
                yield s3.get_object(Bucket=backend.netloc, Key=each["Key"])["Body"].read().decode()

    def _pulumi(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.work_dir,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-800:]
            raise TerraceError(
                Fault(
                    f"pulumi {arguments[0]}",
                    said or f"ended with {done.returncode}",
                    "See docs/runbook.md#engine-killed",
                )
            )
        return done.stdout


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.bak")


def _attributes_of(path: Path) -> Path:
    """Where the file backend keeps a file's metadata (gocloud.dev/blob/fileblob); it reads well without."""
    return path.with_name(f"{path.name}.attrs")


def _attributes_are_whole(path: Path) -> bool:
    try:
        json.loads(_attributes_of(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def _checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint in a state file, or None where it is not whole."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found
