"""The one place that makes the lock files under `requirements/`: hashes for every file, no address, no path."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.setup.errors import explain
from tools.setup.files import write_whole
from tools.setup.packages import INDEX, Packages
from tools.setup.process import run
from tools.setup.talk import Talk

FLAGS = (
    "--generate-hashes",
    "--universal",
    "--python-version=3.11",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-header",
)
HEADER = "# Made by `make lock` from {source}: change that, not this.\n"


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file and what it is made from."""

    path: str
    source: str
    more: tuple[str, ...] = ()


# runtime comes last and keeps to dev's versions, so that the two never disagree.
LOCKS = (
    Lock("requirements/uv.txt", "requirements/uv.in"),
    Lock("requirements/audit.txt", "requirements/audit.in"),
    Lock("requirements/dev.txt", "pyproject.toml", ("--extra", "dev")),
    Lock(
        "requirements/runtime.txt",
        "pyproject.toml",
        ("--constraints", "requirements/dev.txt", "--no-annotate"),
    ),
)


def make_locks(root: Path, environment: Mapping[str, str], talk: Talk, *, upgrade: bool) -> None:
    """Make every lock file again. What is locked stays where it is, unless `upgrade`. Raises SetupError."""
    packages = Packages(root, environment)
    if not packages.current():
        packages.bring_uv(talk)
    for lock in LOCKS:
        with talk.step("lock") as step:
            target = root / lock.path
            draft = root / ".local" / "lock" / target.name
            write_whole(draft, target.read_text(encoding="utf-8") if target.exists() else "")
            newer = ["--upgrade"] if upgrade else []
            finished = run(
                [
                    packages.uv,
                    "pip",
                    "compile",
                    lock.source,
                    *lock.more,
                    *FLAGS,
                    *newer,
                    "--quiet",
                    "--output-file",
                    draft,
                ],
                cwd=root,
                environment={
                    **environment,
                    "PATH": os.pathsep.join([str(packages.uv.parent), environment.get("PATH", "")]),
                },
                on_tick=lambda path=lock.path: step.waits_for(f"resolves {path}"),  # type: ignore[misc]
            )
            if finished.code != 0:
                raise explain("uv", INDEX, finished.code, finished.output)
            text = HEADER.format(source=lock.source) + draft.read_text(encoding="utf-8")
            draft.unlink()
            unchanged = target.exists() and target.read_text(encoding="utf-8") == text
            if not unchanged:
                write_whole(target, text)
            step.done(f"{lock.path} {'as it was' if unchanged else 'written'}")
