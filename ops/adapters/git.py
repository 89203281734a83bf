"""The only place that asks git: by its own commands, without a person's hooks, and without the index they work in."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from ops.climb.journal import who

STALE_SECONDS = 10.0


class Git:
    """The repository of a clone.

    Raises:
        TerraceError: from every method, where git refuses.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def head(self) -> str:
        """The commit that is checked out."""
        return self._git("rev-parse", "HEAD")

    def branch(self) -> str:
        """The branch that is checked out, or nothing."""
        return self._git("symbolic-ref", "--quiet", "--short", "HEAD", check=False)

    def changed(self) -> list[str]:
        """Files that differ from the commit, or that git does not know."""
        lines = self._git("status", "--porcelain", strip=False).splitlines()
        return [line[3:] for line in lines]

    def email(self) -> str:
        """Who commits here; user and machine where git was never told."""
        return self._git("config", "user.email", check=False) or who()

    def default_branch(self) -> str:
        """What counts as agreed on: the remote's default branch as last fetched, else main, else master."""
        remote = self._git("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", check=False)
        for name in (remote, "origin/main", "main", "master"):
            if name and self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False):
                return name
        raise TerraceError(Fault("git", "has no default branch here", "Fetch it: git fetch origin main"))

    def show(self, commit: str, path: str) -> str | None:
        """A file as it stands there; None where it does not."""
        if not self._git("ls-tree", "--name-only", commit, "--", path, check=False):
            return None
        return self._git("show", f"{commit}:{path}", strip=False)

    def differing(self, commit: str) -> list[str] | None:
        """Files that differ between that commit and what is checked out; None where it is not known here."""
        if not self._git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", check=False):
            return None
        return self._git("diff", "--name-only", "--no-renames", "-z", commit, "--").split("\0")[:-1]

    def holds(self, branch: str, commit: str) -> bool:
        """Whether the branch is there and comes after that commit."""
        return self._run("merge-base", "--is-ancestor", commit, f"refs/heads/{branch}").returncode == 0

    def tip(self, branch: str) -> str:
        """The branch's commit, or nothing."""
        return self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}", check=False)

    def commit_file(self, branch: str, base: str, path: str, content: str, message: str) -> str:
        """Commits one file's content on a branch and puts the clone on that branch; its commit.

        Nothing is done twice: the same content makes no new commit. An index of its own keeps it from a lock that a
        killed git left.
        """
        parent = self.tip(branch) or self._git("rev-parse", f"{base}^{{commit}}")
        if self.show(parent, path) != content:
            with tempfile.TemporaryDirectory() as folder:
                index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
                blob = self._git("hash-object", "-w", "--stdin", "--path", path, given=content)
                self._git("read-tree", parent, more=index)
                self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", more=index)
                tree = self._git("write-tree", more=index)
            parent = self._git("commit-tree", tree, "-p", parent, "-m", message, more=self._identity())
        self._git("update-ref", f"refs/heads/{branch}", parent)
        if self.branch() != branch:
            self._git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self._git("update-index", "--add", path)
        return parent

    def clear_lock(self) -> str:
        """Takes away an index lock that a killed git left; what was done, or nothing."""
        lock = Path(self._git("rev-parse", "--git-path", "index.lock"))
        lock = lock if lock.is_absolute() else self.root / lock
        if not lock.exists() or time.time() - lock.stat().st_mtime < STALE_SECONDS:
            return ""
        lock.unlink(missing_ok=True)
        return "an index lock that a killed git had left is gone"

    def _identity(self) -> dict[str, str]:
        if self._git("config", "user.email", check=False) and self._git("config", "user.name", check=False):
            return {}
        return {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "terrace"), ("EMAIL", who()))
        }

    def _git(
        self,
        *arguments: str,
        check: bool = True,
        strip: bool = True,
        given: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> str:
        done = self._run(*arguments, given=given, more=more)
        if done.returncode != 0:
            if not check:
                return ""
            said = (
                done.stderr.strip() or done.stdout.strip() or f"ended with {done.returncode}"
            ).splitlines()
            raise TerraceError(
                Fault(f"git {arguments[0]}", said[-1], "A climb needs a clone that git knows, with a commit")
            )
        return done.stdout.strip() if strip else done.stdout

    def _run(
        self, *arguments: str, given: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(more or {})},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
