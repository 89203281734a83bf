"""The one place that chooses the way to the engine: PATH, what is cached already, the release, a build."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from tools.setup import from_path, from_source
from tools.setup.cache import Cache
from tools.setup.engine import Engine, Way, pulumi_home, read_engine, write_engine
from tools.setup.errors import SetupError, WayClosed, explain_os
from tools.setup.pins import Pins, read_pins, this_platform
from tools.setup.talk import Step

VARIABLE = "TERRACE_ENGINE"
OTHER_WAY = f"take another way: {VARIABLE}=path, release or build"


class Chooser:
    """Chooses an engine for one clone. `forced` is the only way that may be taken, or None for all in their order."""

    def __init__(self, root: Path, environment: Mapping[str, str], forced: Way | None) -> None:
        self._root = root
        self._environment = environment
        self._forced = forced
        self._cache = Cache.of_user(environment)
        self._ways = [forced] if forced else list(Way)
        self._pins = read_pins(root)
        self._candidate = (
            from_path.find(
                environment.get("PATH", os.defpath), not_below=[self._cache.directory, root / ".local"]
            )
            if Way.PATH in self._ways
            else None
        )

    @property
    def choice_key(self) -> str:
        """Changes when the choice could turn out differently; kept with the engine that was chosen."""
        seen = self._candidate.key if self._candidate else "none"
        return f"{self._forced or 'any'} {_digest(self._pins)} {seen}"

    def current(self) -> Engine | None:
        """The engine that was chosen before, if it still is there and nothing speaks for another."""
        try:
            engine = read_engine(self._root)
        except SetupError:
            return None
        return engine if engine.key == self.choice_key else None

    def choose(self, step: Step) -> Engine:
        """Take the first way that is open, and keep the choice. Raises SetupError when none is."""
        try:
            home = pulumi_home(self._root)
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            engine = self._first_open(step)
            write_engine(self._root, engine)
        except OSError as error:
            raise explain_os(error, "the engine cannot be put in place") from error
        return engine

    def _first_open(self, step: Step) -> Engine:
        closed: list[tuple[Way, WayClosed]] = []
        if Way.PATH in self._ways:
            try:
                return self._keyed(from_path.use(self._candidate, self._root, self._environment, step))
            except WayClosed as reason:
                closed.append((Way.PATH, reason))
                if self._candidate is not None and len(self._ways) > 1:
                    step.note(f"not by path: {reason.cause}")
        if engine := self._in_cache():
            return engine
        for way in self._ways_to_fill:
            with self._cache.locked(step):
                if engine := self._in_cache():  # another set-up has filled it while this one waited
                    return engine
                try:
                    return self._fill(way, step)
                except WayClosed as reason:
                    closed.append((way, reason))
                    if way is not self._ways[-1]:
                        step.note(f"not by {way}: {reason.cause}")
        raise _all_closed(closed)

    @property
    def _ways_to_fill(self) -> list[Way]:
        return [way for way in self._ways if way is not Way.PATH]

    def _in_cache(self) -> Engine | None:
        for way in self._ways_to_fill:
            if self._cache.has(self._cache_key(way)):
                return self._cached(way)
        return None

    def _fill(self, way: Way, step: Step) -> Engine:
        machine = this_platform()
        with self._cache.staging() as staged:
            try:
                if way is Way.RELEASE:
                    from tools.setup import from_release  # 60 ms of TLS and tar that few runs need

                    from_release.fetch(self._pins.engine, machine.archive, staged, step)
                else:
                    architecture = machine.go_architecture
                    from_source.build(self._pins, architecture, self._root, staged, self._environment, step)
            except OSError as error:
                raise explain_os(error, f"the engine's cache {staged.parent} cannot be filled") from error
            version = from_path.version_of(staged / "pulumi", self._root, self._environment, step)
            if version != self._pins.engine:
                raise WayClosed(f"what came is v{version}, not v{self._pins.engine}", OTHER_WAY)
            self._cache.keep(staged, self._cache_key(way))
        return self._cached(way)

    def _cached(self, way: Way) -> Engine:
        host = self._pins.language_host if way is Way.BUILD else self._pins.engine
        return self._keyed(Engine(way, self._pins.engine, self._cache.bin(self._cache_key(way)), host, ""))

    def _keyed(self, engine: Engine) -> Engine:
        return Engine(engine.way, engine.version, engine.bin, engine.language_host_version, self.choice_key)

    def _cache_key(self, way: Way) -> str:
        try:
            archive = this_platform().archive
        except WayClosed:
            archive = "other"
        tail = f"-{_digest(self._pins)}" if way is Way.BUILD else ""
        return f"v{self._pins.engine}-{way}-{archive}{tail}"


def forced_way(environment: Mapping[str, str]) -> Way | None:
    """Read TERRACE_ENGINE. Raises ValueError with a message for the person who set it."""
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    try:
        return Way(value)
    except ValueError:
        raise ValueError(
            f"{VARIABLE}={value} is no way to the engine; it takes {', '.join(Way)}, or nothing"
        ) from None


def _digest(pins: Pins) -> str:
    return hashlib.sha256(f"{pins.digest}\0{from_source.RECIPE}".encode()).hexdigest()[:12]


def _all_closed(closed: list[tuple[Way, WayClosed]]) -> SetupError:
    if len(closed) == 1:
        return closed[0][1]
    return SetupError(
        "\n".join(
            [
                "no way to the Pulumi engine is open here",
                *(f"{way}: {reason.cause}" for way, reason in closed),
            ]
        ),
        "\n".join(["open one of them:", *(f"{way}: {reason.remedy}" for way, reason in closed)]),
    )
