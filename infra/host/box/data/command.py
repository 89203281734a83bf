"""The only place for the command line of terrace-data: arguments into ends, results into text or JSON.

Exit codes: 0 done, 1 failed, 2 usage, 4 refused (nothing was changed), 5 an earlier command is under way,
10 `plan` found something to do.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.box import DATA, program
from infra.host.box.data.application import authorities
from infra.host.box.data.ends import End
from infra.host.box.data.listener import BoxListener
from infra.host.box.data.record import BOX, RDS, Record, Writer
from infra.host.box.data.requests import of_this_box
from infra.host.box.data.work import DifferentError, Move
from infra.host.box.system import BOX_JSON, Facts, facts

LOCK = Path("/run/terrace/data.lock")
OK, FAILED, REFUSED, BUSY, PROPOSED = 0, 1, 4, 5, 10
CHANGING = ("copy", "follow", "switch", "back", "provide", "password")


class _BusyError(DifferentError):
    """Another command holds the lock of this box."""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; its exit code."""
    given = _parser().parse_args(argv)

    def step(said: str) -> None:
        sys.stderr.write(f"{said}\n")
        sys.stderr.flush()

    try:
        with _locked(given.verb in CHANGING), _signals():
            result = _verb(_move(given, step), given, step)
    except TerraceError as error:
        for fault in error.faults:
            step(f"{fault.path}: {fault.what}. {fault.remedy}")
        if isinstance(error, _BusyError):
            return BUSY
        return REFUSED if isinstance(error, DifferentError) else FAILED
    except KeyboardInterrupt:
        step("Interrupted. What comes next: terrace-data plan; the same command goes on")
        return FAILED
    sys.stdout.write(json.dumps(result) + "\n")
    if given.verb == "verify" and result["differences"]:
        return REFUSED
    if given.verb == "plan":
        return REFUSED if result["refused"] else PROPOSED
    return OK


def _verb(move: Move, given: argparse.Namespace, step: Callable[[str], None]) -> dict[str, Any]:
    match given.verb:
        case "plan":
            return move.plan()
        case "copy":
            return move.copy(step, rehearse=given.rehearse)
        case "verify":
            return move.verify()
        case "follow":
            return move.follow(step)
        case "switch":
            return move.switch(step)
        case "provide":
            return move.provide(step)
        case "password":
            done = move.password(step)
            program("/usr/local/sbin/terrace-host", "follow", "--now", timeout_seconds=300)
            return done
        case _:
            return move.back(step)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="terrace-data", description="Moves the rows between box and RDS.")
    parser.add_argument(
        "verb", choices=("plan", "copy", "follow", "verify", "switch", "back", "provide", "password")
    )
    parser.add_argument("--region", required=True)
    parser.add_argument("--parameters", required=True, help="path of the stack's parameters, as /terrace/dev")
    parser.add_argument("--endpoint", required=True, help="HOST:PORT of the RDS instance")
    parser.add_argument("--master-secret", required=True, help="ARN of the secret that RDS manages")
    parser.add_argument("--storage-gib", type=int, required=True, help="storage of the RDS instance")
    parser.add_argument("--rehearse", action="store_true", help="copy, and fence nothing")
    return parser


def _move(given: argparse.Namespace, step: Callable[[str], None]) -> Move:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _found(given, boto3, step)
    except (BotoCoreError, ClientError) as error:
        raise TerraceError(
            Fault("AWS", f"answers {error}", "Look at the role of this box: it may be changed by pulumi up")
        ) from error


def _told() -> Facts:
    """What the box knows of itself; nothing on one that has not been told."""
    try:
        return facts()
    except TerraceError:
        return {}


def _found(given: argparse.Namespace, boto3: Any, step: Callable[[str], None]) -> Move:
    told = _told()
    host, _, port = given.endpoint.partition(":")
    clients = {name: boto3.client(name, region_name=given.region) for name in ("ssm", "secretsmanager")}
    login = json.loads(
        clients["secretsmanager"].get_secret_value(SecretId=given.master_secret)["SecretString"]
    )
    rds = End(
        RDS,
        ("-h", host, "-p", port, "-U", login["username"]),
        {
            "PGPASSWORD": login["password"],
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(authorities()),
        },
    )
    scratch = DATA if DATA.is_mount() else Path("/var/lib/terrace")
    return Move(
        {BOX: End(BOX, ("-p", "5432"), is_ours=True), RDS: rds},
        {BOX: Writer(0, BOX), RDS: Writer(0, RDS, host, int(port))},
        Record(clients["ssm"], given.parameters, key_arn=str(told.get("key_arn", ""))),
        scratch / "copy",
        {
            RDS: given.storage_gib * 1024**3,
            BOX: shutil.disk_usage(DATA if DATA.exists() else Path("/")).free,
        },
        BoxListener(),
        of_this_box(told, BOX_JSON, step),
    )


@contextmanager
def _signals() -> Generator[None]:
    """The first signal that asks us to end interrupts, so that a switch takes its fence back; later ones wait."""
    heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def interrupt(*_: object) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _locked:  # noqa: N801 read as a word of the language
    """One move at a time on a box; verbs that only read do not wait."""

    def __init__(self, wanted: bool) -> None:  # noqa: FBT001
        self._wanted = wanted
        self._file: Any = None

    def __enter__(self) -> None:
        if not self._wanted:
            return
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _BusyError(
                Fault("data", "another move is under way on this box", "Wait for its end")
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
