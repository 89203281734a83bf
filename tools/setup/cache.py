"""The one place that knows the user's cache of engines: whole engines by key, one set-up at a time filling it."""

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.setup.engine import DYNAMIC_PROVIDER, EXECUTOR, LANGUAGE_HOST, PROGRAM
from tools.setup.errors import NO_SPACE, WayClosed, explain_os
from tools.setup.files import held, publish
from tools.setup.talk import Step

NEEDED = (PROGRAM, LANGUAGE_HOST, EXECUTOR, DYNAMIC_PROVIDER)


@dataclass(frozen=True, slots=True)
class Cache:
    """`${XDG_CACHE_HOME:-~/.cache}/terrace/engine`, with one directory for each key."""

    directory: Path

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> "Cache":
        """Find it. A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification asks."""
        base = Path(environment.get("XDG_CACHE_HOME") or ".")
        if not base.is_absolute():
            base = Path(environment.get("HOME") or "~").expanduser() / ".cache"
        return cls(base / "terrace" / "engine")

    def bin(self, key: str) -> Path:
        """Where the programs of a key are, or will be."""
        return self.directory / key / "bin"

    def has(self, key: str) -> bool:
        """Whether a whole engine is there. A directory gets its name only when it is whole; files may go later."""
        return all(os.access(self.bin(key) / name, os.X_OK) for name in NEEDED)

    @contextmanager
    def locked(self, step: Step) -> Generator[None]:
        """Hold the cache. Raises SetupError when it cannot be written."""
        with ExitStack() as stack:
            with self._error_named():
                self.directory.mkdir(parents=True, exist_ok=True)
                lock = held(
                    self.directory / "lock",
                    lambda holder: step.waits_for(f"waits for another set-up ({holder}) to get the engine"),
                )
                stack.enter_context(lock)
            yield

    @contextmanager
    def staging(self) -> Generator[Path]:
        """Give an empty `bin` to fill, in a directory that is gone afterwards unless it was published."""
        for leftover in self.directory.glob("staging.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with self._error_named():
            folder = Path(tempfile.mkdtemp(prefix="staging.", dir=self.directory))
            (folder / "bin").mkdir()
        try:
            yield folder / "bin"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, staged_bin: Path, key: str) -> None:
        """Give what was staged its key. Raises WayClosed when a program is missing, SetupError when writing fails."""
        if missing := [name for name in NEEDED if not os.access(staged_bin / name, os.X_OK)]:
            raise WayClosed(
                f"what came lacks {', '.join(missing)}",
                "take another way: TERRACE_ENGINE=path, release or build",
            )
        with self._error_named():
            publish(staged_bin.parent, self.directory / key)

    @contextmanager
    def _error_named(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            named = explain_os(error, f"the engine's cache {self.directory} cannot be written")
            if error.errno not in NO_SPACE:
                named.remedy = (
                    "make it writable for you, or name another one in XDG_CACHE_HOME, then `make setup`"
                )
            raise named from error
