"""The only place that knows the steps of a deploy and the way back from each.

`current.json` names only what has passed its soak, and it is written in one rename. So a fault, a signal, a kill or a
power cut at any step needs one remedy: bring the box to what is written (`settle`), as often as one likes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from infra.core.release import ROLE_PARTS, Part, Strategy, released_in, stamp

from .errors import DeployError, Interrupted, RefusedError, UnhealthyError
from .journal import Journal, interrupted
from .model import PORTS, Instance, Intent, Outcome, Patience, Result, Serving, State, Unpacked, Verb
from .ports import Box, Say
from .room import check_room

HEALTHY_IN_A_ROW = 2
AILING_IN_A_ROW = 3
"""One slow answer under load is no fault; three half seconds apart are."""


class Engine:
    """Deploys on one box; only one may be at work at a time (`lock`)."""

    def __init__(self, box: Box, journal: Journal, patience: Patience, say: Say) -> None:
        self._box, self._journal, self._patience, self._say = box, journal, patience, say
        self._dark_since: float | None = None
        self._downtime_seconds = 0.0

    def release(self, version: str, strategy: Strategy, *, by: str, reason: str) -> Outcome:
        """Takes up a published release; goes back by itself where it fails.

        Raises:
            RefusedError: it does not fit, or lacks a part; nothing was begun.
            DeployError, ReleaseError: it cannot be fetched, or is not what it says; nothing was begun.
            Interrupted: a signal ended it; the box is as before.
        """
        return self._deploy(Verb.RELEASE, version, strategy, by, reason)

    def rollback(self, strategy: Strategy, *, by: str, reason: str) -> Outcome:
        """Takes up the release that served before; the database stays as it is. Raises as `release` does."""
        target = self._journal.state().way_back
        if not target:
            raise RefusedError(
                "there is no earlier release to go back to", "Release one: terrace-deploy release"
            )
        return self._deploy(Verb.ROLLBACK, target, strategy, by, reason)

    def settle(self) -> None:
        """Brings the box to what is written down, and writes down a deploy that was cut short. Idempotent.

        Raises:
            DeployError: Nginx does not take its configuration, or a service does not stop.
        """
        intent = self._journal.intent()
        self._bring(force=intent is not None)
        if intent is not None:
            self._cut_short(intent, "was cut short; the box was brought back to what served")

    def boot(self) -> None:
        """Lets what served before the power went serve again; waits for nothing.

        Raises:
            DeployError: a release is gone from the disk and cannot be fetched; the other part was started.
        """
        box, state = self._box, self._journal.state()
        parts = ROLE_PARTS[box.role]
        if not state.parts and (wanted := box.releases.wanted()):
            box.releases.take(wanted)
            serving = {part: Serving(wanted, PORTS[part][0]) for part in parts}
            state = State(serving, (wanted,))
            self._journal.save(state)
        box.proxy.prepare({part: _targets(state, part) for part in parts})
        faults: list[DeployError] = []
        for part in parts:
            instance, serves = state.instance(part), state.parts.get(part)
            if instance is None or serves is None or box.units.running(instance) == serves.version:
                continue
            try:
                box.units.start(instance, box.releases.take(serves.version), wait=False)
                self._say(part.value, f"{serves.version} is started on {instance.port}")
            except DeployError as error:
                faults.append(error)
        if (serves := state.parts.get(Part.BACKEND)) is not None and Part.BACKEND in parts:
            self._follow(lambda: box.releases.take(serves.version), wait=False)
        if (intent := self._journal.intent()) is not None:
            self._cut_short(intent, "the box went down during it; what served before serves again")
        if faults:
            raise faults[0]

    # -- one deploy -----------------------------------------------------------------------------------------------

    def _deploy(self, verb: Verb, version: str, strategy: Strategy, by: str, reason: str) -> Outcome:
        box, clock = self._box, self._box.clock
        began = clock.monotonic()
        self.settle()
        release = box.releases.take(version)
        parts = released_in(box.role, release.manifest.parts, version)
        before = self._journal.state()
        changing = tuple(part for part in parts if _version(before, part) != version)
        back = verb is Verb.ROLLBACK
        if not changing:
            if before.current != version:
                self._journal.save(before.arrived(version, back=back))
            return Outcome(Result.RELEASED, version, before.current, 0.0, changed=False)
        migrates = verb is Verb.RELEASE and Part.BACKEND in parts and release.manifest.migrations is not None
        check_room(box.memory, strategy, changing, before, version, migrates=migrates)
        intent = Intent(
            id=secrets.token_hex(6),
            verb=verb,
            version=version,
            previous=before.current,
            strategy=strategy,
            by=by,
            reason=reason,
            started_at=clock.now(),
        )
        self._journal.begin(intent)
        try:
            if migrates:
                self._say("migrate", f"the database for {version}")
                self._say("migrate", box.database.migrate(release) or "nothing to change")
            self._strategies()[strategy](release, changing)
            self._journal.save(self._journal.state().arrived(version, back=back))
            outcome = self._outcome(Result.RELEASED, intent, began)
        except DeployError as error:
            outcome = self._back(intent, before, error, began)
        except Interrupted:
            self._say("interrupted", "bringing the box back")
            self._bring(force=True)
            self._cut_short(intent, "interrupted by a signal")
            raise
        self._journal.end(intent, outcome)
        if outcome.result is Result.RELEASED:
            self._prune()
        return outcome

    def _strategies(self) -> dict[Strategy, Callable[[Unpacked, tuple[Part, ...]], None]]:
        return {
            Strategy.ROLLING: self._one_by_one,
            Strategy.BLUE_GREEN: self._beside,
            Strategy.BIG_BANG: self._instead,
        }

    def _one_by_one(self, release: Unpacked, parts: tuple[Part, ...]) -> None:
        for part in parts:
            self._beside(release, (part,))

    def _beside(self, release: Unpacked, parts: tuple[Part, ...]) -> None:
        """New services beside the old; then traffic; then, when they have shown themselves, the end of the old."""
        box, state = self._box, self._journal.state()
        new = {part: state.spare(part) for part in parts}
        for instance in new.values():
            box.units.start(instance, release)
        for part, instance in new.items():
            self._await_healthy(part.value, release.version, instance)
        # Where the new one refuses a connection, Nginx asks the old one: dying in the soak loses nothing.
        box.proxy.switch({part: (each.port, *_port(state, part)) for part, each in new.items()})
        for part, instance in new.items():
            self._say(part.value, f"{release.version} serves on {instance.port}")
        self._soak(release.version, tuple(new.values()))
        self._commit(release, new)
        box.proxy.switch({part: (each.port,) for part, each in new.items()})
        for part in parts:
            if (old := state.instance(part)) is not None:
                self._end(old)

    def _instead(self, release: Unpacked, parts: tuple[Part, ...]) -> None:
        """The old services end before the new ones begin, on the same ports; nothing serves in between."""
        box, state = self._box, self._journal.state()
        ports = {part: state.instance(part) or state.spare(part) for part in parts}
        for part in reversed(parts):
            if (old := state.instance(part)) is not None:
                self._goes_dark()
                self._end(old, drain=False)
        for instance in ports.values():
            box.units.start(instance, release)
        for part, instance in ports.items():
            self._await_healthy(part.value, release.version, instance)
        targets = {part: (each.port,) for part, each in ports.items()}
        if any(box.proxy.targets(part) != wanted for part, wanted in targets.items()):
            box.proxy.switch(targets)
        self._is_light()
        self._soak(release.version, tuple(ports.values()))
        self._commit(release, ports)

    def _commit(self, release: Unpacked, instances: dict[Part, Instance]) -> None:
        state = self._journal.state()
        for part, instance in instances.items():
            state = state.serving(part, release.version, instance.port)
        self._journal.save(state)
        if Part.BACKEND in instances:
            self._follow(lambda: release)

    def _follow(self, taken: Callable[[], Unpacked], *, wait: bool = True) -> None:
        try:
            self._box.units.follow(taken(), wait=wait)
        except DeployError as error:
            self._say("worker", f"does not follow, what serves does: {error}")

    def _back(self, intent: Intent, before: State, error: DeployError, began: float) -> Outcome:
        """What served whole before, on every part: also on those that an earlier, killed run had switched."""
        self._say("back", f"{intent.version} failed: {error}")
        try:
            self._journal.save(self._journal.state().only(before.parts))
            self._bring(force=True)
            for part in reversed(ROLE_PARTS[self._box.role]):
                was = _version(before, part)
                whole = before.current if was and before.current != intent.version else ""
                if (wanted := whole or was) and _version(self._journal.state(), part) != wanted:
                    self._beside(self._box.releases.take(wanted), (part,))
        except DeployError as again:
            reason = f"{error} On the way back: {again}"
            return self._outcome(Result.FAILED, intent, began, reason)
        serves = before.current or "nothing"
        self._say("back", f"{serves} serves as before")
        return self._outcome(Result.ROLLED_BACK, intent, began, str(error))

    # -- its parts ------------------------------------------------------------------------------------------------

    def _bring(self, *, force: bool) -> None:
        """Services, upstreams and nothing else as `current.json` has them; `force` makes Nginx read its files."""
        box, state = self._box, self._journal.state()
        parts = ROLE_PARTS[box.role]
        for part in parts:
            self._revive(state, part)
        targets = {part: _targets(state, part) for part in parts}
        if force or any(box.proxy.targets(part) != wanted for part, wanted in targets.items()):
            box.proxy.switch(targets)
        for part in parts:
            for port in PORTS[part]:
                other = Instance(part, port)
                if other != state.instance(part):
                    self._end(other)

    def _revive(self, state: State, part: Part) -> None:
        """Starts what should serve and does not run. What runs and ails is left: it may be better than nothing."""
        box, instance, serves = self._box, state.instance(part), state.parts.get(part)
        if instance is None or serves is None or box.units.running(instance) == serves.version:
            return
        self._say(part.value, f"{serves.version} does not run on {instance.port}; starting it")
        try:
            box.units.stop(instance)
            box.units.start(instance, box.releases.take(serves.version))
            self._await_healthy(part.value, serves.version, instance)
            self._is_light()
        except UnhealthyError as error:
            self._say(part.value, f"still not well: {error}")

    def _await_healthy(self, step: str, version: str, instance: Instance) -> None:
        box, patience = self._box, self._patience
        self._say(step, f"waits until {version} on {instance.port} is healthy")
        began, good = box.clock.monotonic(), 0
        while True:
            if why := box.units.fault(instance):
                raise UnhealthyError(f"{version}: {instance} {why}", _LOOK.format(log=instance.log))
            why = box.health.ailment(instance)
            good = 0 if why else good + 1
            took = box.clock.monotonic() - began
            if good >= HEALTHY_IN_A_ROW:
                self._say(step, f"{version} on {instance.port} is healthy after {took:.1f} s")
                return
            if took >= patience.healthy_seconds:
                raise UnhealthyError(
                    f"{version}: {instance} was not healthy within {patience.healthy_seconds:g} s: {why}",
                    _LOOK.format(log=instance.log),
                )
            box.clock.sleep(patience.poll_seconds)

    def _soak(self, version: str, instances: tuple[Instance, ...]) -> None:
        box, patience = self._box, self._patience
        self._say("soak", f"{version} under traffic for {patience.soak_seconds:g} s")
        first = {each: box.units.process(each) for each in instances}
        ailing = dict.fromkeys(instances, 0)
        end = box.clock.monotonic() + patience.soak_seconds
        while box.clock.monotonic() < end:
            box.clock.sleep(patience.poll_seconds)
            for each in instances:
                why = box.units.fault(each)
                if not why and box.units.process(each) != first[each]:
                    why = "ended or was started anew after it had been healthy"
                if not why:
                    ailment = box.health.ailment(each)
                    ailing[each] = ailing[each] + 1 if ailment else 0
                    why = ailment if ailing[each] >= AILING_IN_A_ROW else ""
                if why:
                    raise UnhealthyError(f"{version}: {each} {why}", _LOOK.format(log=each.log))

    def _end(self, instance: Instance, *, drain: bool = True) -> None:
        """Lets connections end by themselves for a while, then asks the service to end the others, and itself."""
        box, patience = self._box, self._patience
        end = box.clock.monotonic() + (patience.drain_seconds if drain else 0.0)
        while (open_ := box.health.connections(instance)) and box.clock.monotonic() < end:
            box.clock.sleep(patience.poll_seconds)
        if open_ and drain:
            self._say(instance.part.value, f"asks {open_} connections on {instance.port} to end")
        box.units.stop(instance)

    def _prune(self) -> None:
        """A disk that cannot be tidied is no reason to call a deploy failed."""
        state = self._journal.state()
        keep = frozenset({*state.line, *(each.version for each in state.parts.values())})
        try:
            if gone := self._box.releases.prune(keep):
                self._say("prune", ", ".join(gone))
        except DeployError as error:
            self._say("prune", str(error))

    def _cut_short(self, intent: Intent, reason: str) -> None:
        seconds = max((self._box.clock.now() - intent.started_at).total_seconds(), 0.0)
        self._journal.end(intent, interrupted(intent, seconds, reason))
        self._say("before", f"{intent.verb} {intent.version} of {stamp(intent.started_at)} {reason}")

    def _outcome(self, result: Result, intent: Intent, began: float, reason: str = "") -> Outcome:
        now = self._box.clock.monotonic()
        dark = self._downtime_seconds + (now - self._dark_since if self._dark_since is not None else 0.0)
        return Outcome(result, intent.version, intent.previous, now - began, dark, reason)

    def _goes_dark(self) -> None:
        if self._dark_since is None:
            self._dark_since = self._box.clock.monotonic()

    def _is_light(self) -> None:
        if self._dark_since is not None:
            self._downtime_seconds += self._box.clock.monotonic() - self._dark_since
            self._dark_since = None


_LOOK = "Its log, and the other port's: tail -n 100 {log}"


def _version(state: State, part: Part) -> str:
    serves = state.parts.get(part)
    return serves.version if serves else ""


def _port(state: State, part: Part) -> tuple[int, ...]:
    instance = state.instance(part)
    return (instance.port,) if instance else ()


def _targets(state: State, part: Part) -> tuple[int, ...]:
    return _port(state, part) or (PORTS[part][0],)
