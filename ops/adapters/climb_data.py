"""The rows of a climb: terrace-data on the box that has one of the two databases, asked by Run Command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.core.stages import find
from ops import data
from ops.adapters.drills import SsmShell
from ops.climb.moving import Ask, Moving, end_of
from ops.climb.plan import Plan
from ops.data import Databases, Verb

READY_SECONDS = 900.0
"""How long a box that a climb made may take until it has installed itself and its database runs."""

_INSTALLED = """\
terrace-host status --json | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)["state"] != "done")'
"""
_DATABASE = "runuser -u postgres -- psql -XAtqc 'select 1' >/dev/null\n"


def asking(outputs: Mapping[str, Any], *, parameters: str, region: str, beside: Sequence[str] = ()) -> Ask:
    """Verbs to the box that the stack's outputs name, once it is ready and those beside it have installed themselves.

    Raises:
        TerraceError: one was not within READY_SECONDS, or there is no second database.
    """
    databases = Databases.of(outputs, parameters=parameters, region=region)
    shell = SsmShell(region)
    for instance in beside:
        shell.wait_until(instance, _INSTALLED, seconds=READY_SECONDS)
    shell.wait_until(databases.instance_id, f"set -e\n{_INSTALLED}{_DATABASE}", seconds=READY_SECONDS)

    def ask(verb: Verb, *options: str) -> Mapping[str, Any]:
        return data.ask(shell, databases, verb, *options)

    return ask


def moving(ask: Ask, plan: Plan, says: Callable[[str], object]) -> Moving:
    """The move of that plan."""
    return Moving(ask, end_of(find(plan.before)), end_of(find(plan.after)), says)
