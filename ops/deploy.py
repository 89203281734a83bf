"""Releases and who serves them, from a person's side: publish, plan, release, roll back, look.

The work is done on the boxes, by `terrace-deploy`; here it is asked for, box by box, followed, and taken back where a
later box fails. A deploy that was begun goes on without us: the same command again waits for it, and finds it done.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from infra.core.release import (
    CURRENT_KEY,
    ROLE_PARTS,
    Published,
    ReleaseError,
    Strategy,
    about_key,
    archive_key,
    check_version,
)
from ops.release import Packed

PROGRAM = "terrace-deploy"
WAIT_SECONDS = 600
"""How long a box waits for another deploy on it; a rolling one under load takes about two minutes."""

FOLLOW_SECONDS = 5
REFUSED_CODE = 4
INTERRUPTED_CODE = 5


class RefusedError(TerraceError):
    """Nothing was begun."""


@dataclass(frozen=True, slots=True)
class Box:
    """A machine that runs parts of a release."""

    role: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command on a box ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a box waits, where it should not wait as long as it does by itself."""

    health_seconds: float | None = None
    soak_seconds: float | None = None
    drain_seconds: float | None = None

    def words(self) -> list[str]:
        """As arguments of the program on the box."""
        given = (
            ("--health-seconds", self.health_seconds),
            ("--soak-seconds", self.soak_seconds),
            ("--drain-seconds", self.drain_seconds),
        )
        return [word for name, value in given if value is not None for word in (name, f"{value:g}")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the boxes: `version` empty is a rollback. `by` and `reason` stand in their history.

    `or_interrupt`: a box without room for a second service stops the old one first. `planned` is by which strategy
    each box was planned, by its id; the others take `strategy`.
    """

    version: str
    strategy: Strategy
    by: str
    reason: str
    patience: Patience = Patience()
    or_interrupt: bool = False
    planned: Mapping[str, Strategy] = field(default_factory=dict)

    def by_plan(self, plans: Sequence[Mapping[str, Any]]) -> Asked:
        """The same, each box by the strategy of its plan."""
        return replace(self, planned={each["box"]: Strategy(each["strategy"]) for each in plans})

    def words(self, box: Box, run: str) -> list[str]:
        """As a command on a box."""
        verb = ["release", self.version] if self.version else ["rollback"]
        strategy = self.planned.get(box.instance_id, self.strategy)
        return [
            PROGRAM, *verb, "--strategy", strategy.value, *self.patience.words(), "--by", self.by,
            "--reason", self.reason, "--wait", str(WAIT_SECONDS), "--run", run, "--json",
        ]  # fmt: skip


class Artifacts(Protocol):
    """The artifacts bucket."""

    def read(self, key: str) -> bytes | None:
        """A small object; None where there is none."""

    def write(self, key: str, content: bytes) -> None:
        """Writes a small object."""

    def upload(self, key: str, archive: Packed) -> None:
        """Writes an archive; it arrives whole or not at all."""


class Boxes(Protocol):
    """Commands on machines."""

    def begin(self, box: Box, argv: Sequence[str]) -> str:
        """Starts a command; what to ask for it by. Raises TerraceError where the box takes none."""

    def ended(self, box: Box, command: str) -> Ended | None:
        """How it ended; None while it goes on. Raises TerraceError where that cannot be known any more."""

    def run(self, box: Box, argv: Sequence[str]) -> Ended:
        """Starts a command and waits for its end."""


OnEvent = Callable[[Box, Mapping[str, Any]], None]


def boxes_of(outputs: Mapping[str, Any]) -> tuple[Box, ...]:
    """The boxes of a stack, those that run the backend first: what changes the database goes before what reads it.

    Raises:
        TerraceError: the stack has none, and so does not stand.
    """
    named: Mapping[str, str] = outputs.get("boxes") or {}
    if not named and outputs.get("instance_id"):
        named = {"single": str(outputs["instance_id"])}
    found = tuple(Box(role, named[role]) for role in ROLE_PARTS if role in named)
    if not found:
        raise TerraceError(Fault("stack", "has no box that runs releases", "Bring it up first: pulumi up"))
    return found


def publish(artifacts: Artifacts, packed: Packed) -> bool:
    """Puts a release into the bucket; whether it was not there. What is published is never changed.

    Raises:
        RefusedError: the version is published with another content.
    """
    version = packed.published.version
    known = artifacts.read(about_key(version))
    if known is not None:
        if Published.parse(known).sha256 == packed.published.sha256:
            return False
        raise RefusedError(
            Fault(
                version,
                f"is published with another content ({Published.parse(known).sha256[:12]})",
                "Give the release a new version; what boxes may run is never changed under its name",
            )
        )
    artifacts.upload(archive_key(version), packed)
    artifacts.write(about_key(version), _json(packed.published.to_json()))
    return True


def published(artifacts: Artifacts, version: str) -> Published:
    """What is published of a version.

    Raises:
        RefusedError: nothing is, or the version cannot name a release.
    """
    try:
        text = artifacts.read(about_key(check_version(version)))
        if text is None:
            raise RefusedError(Fault(version, "is not published", "Publish it: scripts/deploy.py publish"))
        return Published.parse(text)
    except ReleaseError as error:
        raise RefusedError(Fault(version, error.what, error.remedy)) from error


def plan(boxes: Boxes, among: Sequence[Box], asked: Asked) -> list[dict[str, Any]]:
    """What each box would do, in its own words. Nothing changes.

    Where a box has no room for what is asked and an interruption is allowed, its plan is the one with it.

    Raises:
        TerraceError: a box does not answer, or does not know the release.
    """
    plans = []
    for box in among:
        found = _plan(boxes, box, asked, asked.strategy)
        if found["refused"] and asked.or_interrupt:
            found = _plan(boxes, box, asked, Strategy.BIG_BANG)
        plans.append({"box": box.instance_id, **found})
    return plans


def _plan(boxes: Boxes, box: Box, asked: Asked, strategy: Strategy) -> dict[str, Any]:
    words = [*([asked.version] if asked.version else []), "--strategy", strategy.value]
    ended = boxes.run(box, [PROGRAM, "plan", *words, *asked.patience.words(), "--json"])
    if ended.code not in (0, REFUSED_CODE) or not ended.stdout.strip():
        raise _failed(box, ended)
    found: dict[str, Any] = _parsed(box, ended)
    return found


def refuse(plans: Sequence[Mapping[str, Any]]) -> None:
    """Raises RefusedError where a box says that it would not begin."""
    faults = [Fault(f"{each['role']} {each['box']}", each["refused"], "Nothing was begun") for each in plans]
    if faults := [fault for fault in faults if fault.what]:
        raise RefusedError(*faults)


def deploy(
    boxes: Boxes, artifacts: Artifacts, among: Sequence[Box], asked: Asked, on_event: OnEvent
) -> list[dict[str, Any]]:
    """Lets each box do it, one after the other; how each ended. Where one fails, those before it go back.

    Raises:
        RefusedError: the first box refused; nothing was begun.
        TerraceError: a box failed; what served before serves on all of them, or the fault says where it does not.
    """
    outcomes: list[dict[str, Any]] = []
    done: list[Box] = []
    for box in among:
        try:
            outcome = _one(boxes, box, asked, on_event)
        except TerraceError as error:
            faults = [*error.faults, *_take_back(boxes, done, asked, on_event)]
            kind = RefusedError if isinstance(error, RefusedError) and not done else TerraceError
            raise kind(*faults) from error
        outcomes.append({"box": box.instance_id, "role": box.role, **outcome})
        if outcome["changed"]:
            done.append(box)
    # What a box without a disk of its own starts at its first boot.
    artifacts.write(CURRENT_KEY, _json({"version": outcomes[0]["version"]}))
    return outcomes


def status(boxes: Boxes, among: Sequence[Box]) -> list[dict[str, Any]]:
    """What serves on each box, and what is under way."""
    return [
        {"box": box.instance_id, **_parsed(box, _well(box, boxes.run(box, [PROGRAM, "status", "--json"])))}
        for box in among
    ]


def history(boxes: Boxes, among: Sequence[Box], limit: int) -> list[dict[str, Any]]:
    """What was done on each box, the newest first."""
    found: list[dict[str, Any]] = []
    for box in among:
        ended = _well(box, boxes.run(box, [PROGRAM, "history", "--limit", str(limit), "--json"]))
        found += [{"role": box.role, **each} for each in _parsed(box, ended)]
    return sorted(found, key=lambda each: str(each["started_at"]), reverse=True)[:limit]


def _one(boxes: Boxes, box: Box, asked: Asked, on_event: OnEvent) -> dict[str, Any]:
    run = secrets.token_hex(6)
    command = boxes.begin(box, asked.words(box, run))
    heard = 0
    while (ended := boxes.ended(box, command)) is None:
        heard = _listen(boxes, box, run, heard, FOLLOW_SECONDS, on_event)
    _listen(boxes, box, run, heard, 0, on_event)
    if ended.code == REFUSED_CODE:
        raise RefusedError(Fault(f"{box.role} {box.instance_id}", _said(ended), "Nothing was begun"))
    if not ended.stdout.strip():
        raise _failed(box, ended)
    outcome: dict[str, Any] = _parsed(box, ended)
    if ended.code:
        what = f"{outcome['version']} was {outcome['result']}: {outcome['reason']}"
        raise TerraceError(
            Fault(
                f"{box.role} {box.instance_id}",
                what.rstrip("."),
                f"{outcome['previous'] or 'Nothing'} serves there",
            )
        )
    return outcome


def _listen(boxes: Boxes, box: Box, run: str, after: int, wait_seconds: int, on_event: OnEvent) -> int:
    """Passes on what the box has said since line `after`; the last line's number. Progress is no reason to fail."""
    words = ["events", "--run", run, "--after", str(after), "--wait", str(wait_seconds)]
    ended = boxes.run(box, [PROGRAM, *words])
    for line in ended.stdout.splitlines() if ended.code == 0 else ():
        event = json.loads(line)
        after = int(event["number"])
        on_event(box, event)
    return after


def _take_back(boxes: Boxes, done: Sequence[Box], asked: Asked, on_event: OnEvent) -> list[Fault]:
    """A release serves on all boxes or on none; what could not be taken back is a fault of its own."""
    faults = []
    for box in reversed(done):
        name = f"{box.role} {box.instance_id}"
        if not asked.version:
            faults.append(Fault(name, "has gone back already", "Release the newer version on it again"))
            continue
        back = replace(asked, version="", reason=f"{asked.version} failed on another box")
        try:
            outcome = _one(boxes, box, back, on_event)
            faults.append(Fault(name, f"went back to {outcome['version']}", "It had taken the release"))
        except TerraceError as error:
            faults += error.faults
    return faults


def _well(box: Box, ended: Ended) -> Ended:
    if ended.code:
        raise _failed(box, ended)
    return ended


def _parsed(box: Box, ended: Ended) -> Any:
    try:
        return json.loads(ended.stdout)
    except ValueError as error:
        raise _failed(box, ended) from error


def _failed(box: Box, ended: Ended) -> TerraceError:
    remedy = (
        "The same command goes on"
        if ended.code == INTERRUPTED_CODE
        else "What serves: scripts/deploy.py status"
    )
    return TerraceError(Fault(f"{box.role} {box.instance_id}", _said(ended), remedy))


def _said(ended: Ended) -> str:
    """The end of what was said, without the lines of progress."""
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip() and not line.startswith("  ")]
    words = " ".join(lines[-3:]) or ended.stdout.strip()[-300:] or f"`{PROGRAM}` ended with {ended.code}"
    return words.rstrip(".")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
