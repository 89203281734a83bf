"""terrace-host follow: the only place where a box takes over, by itself, what changed in SSM under a running service.

A timer asks every five minutes. What changed is asked for again until two answers agree, so that somebody who sets
several parameters is not met half way; a database password is taken over only when it lets the application in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from infra.core.errors import Fault, TerraceError
from infra.core.naming import DATABASE_ENDPOINT, DATABASE_PASSWORD, UNSET
from infra.host.box.backup.box import program
from infra.host.box.data import application as rds
from infra.host.box.data.ends import DATABASE
from infra.host.box.deploy import lock
from infra.host.box.deploy.errors import RefusedError
from infra.host.box.deploy.main import LOCK as DEPLOYING

from . import postgresql, settings
from .system import Facts, parameter, role, say

_T = TypeVar("_T")
SETTLE_SECONDS = 20.0
LOOKS = 15


Alone = Callable[[], AbstractContextManager[None]]
"""Keeps an installation out while it lasts."""


def follow(found: Facts, alone: Alone, *, pause: Callable[[float], object] = time.sleep) -> bool:
    """Tells the services what SSM says now and restarts them; whether anything was to be told.

    Raises:
        TerraceError: SSM says what cannot be used, it goes on changing, or a deploy is under way. Server and services
            were left as they are.
    """
    if _forgotten(found):
        return at_once(found, alone)
    values = _gather(found)
    if settings.stands(values) and (role(found) != "single" or postgresql.knows(found)):
        return False
    for _ in range(LOOKS):
        pause(SETTLE_SECONDS)
        before, values = values, _gather(found)
        if values == before:
            return at_once(found, alone)
    raise TerraceError(
        Fault("parameters", f"changed at each of {LOOKS} looks", "They are read again in five minutes")
    )


def at_once(found: Facts, alone: Alone) -> bool:
    """Gives the server its password, writes what the services are told, restarts them where that is another.

    Raises:
        TerraceError: the password does not let the application in, or a deploy is under way.
    """
    _forgotten(found)
    try:
        with alone(), lock.held(DEPLOYING, by="terrace-host", reason="settings have changed", wait_seconds=0):
            if role(found) == "single":
                postgresql.provide(found)
            values = _gather(found)
            if role(found) == "backend":
                enters(found, values)
            settings.put(values)
            if changed := settings.due():
                settings.restart()
                say("settings have changed: the services were restarted")
            return changed
    except RefusedError as error:
        raise TerraceError(
            Fault("settings", f"have changed, but {error}", "They are taken over after it")
        ) from error


def enters(found: Facts, values: Mapping[str, str]) -> None:
    """Asks RDS whether the password lets the application in.

    Raises:
        TerraceError: it does not.
    """
    host, _, port = parameter(found, DATABASE_ENDPOINT).partition(":")
    environment = {
        "PGPASSWORD": values["SPRING_DATASOURCE_PASSWORD"], "PGCONNECT_TIMEOUT": "10",
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(rds.AUTHORITIES),
    }  # fmt: skip
    user = values["SPRING_DATASOURCE_USERNAME"]
    try:
        program(
            "psql", "-XAtqw", "-h", host, "-p", port, "-U", user, "-d", DATABASE, "-c", "select 1",
            environment=environment, timeout_seconds=30,
        )  # fmt: skip
    except TerraceError as error:
        raise TerraceError(
            Fault(
                "database/password",
                "does not let the application in: the services keep the one they have",
                "scripts/data.py password gives server and services the same; while rows move, it waits by itself",
            )
        ) from error


def _forgotten(found: Facts) -> bool:
    """Whether the box has to make up a password.

    Raises:
        TerraceError: there is none, and it is RDS that would have to be told of another.
    """
    if role(found) == "frontend" or _asked(lambda: parameter(found, DATABASE_PASSWORD)) not in ("", UNSET):
        return False
    if role(found) == "backend":
        raise TerraceError(
            Fault(
                "database/password",
                "holds none",
                "scripts/data.py password makes one for server and services",
            )
        )
    return True


def _gather(found: Facts) -> dict[str, str]:
    return _asked(lambda: settings.gather(found))


def _asked(what: Callable[[], _T]) -> _T:
    try:
        return what()
    except TerraceError:
        raise
    except Exception as error:
        raise TerraceError(
            Fault("settings", f"cannot be read: {type(error).__name__}", "Is SSM reachable?")
        ) from error
