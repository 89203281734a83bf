"""The only place where a supervisor tells the API what is behind it: machines, addresses, consoles.

Without hooks the API is honest about it: no instance is online, ``SendCommand`` is refused as AWS refuses it for an
instance without an agent, and addresses are moto's own.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """One script to run on one instance, as ``SendCommand`` or an association asks for it.

    ``script`` is what the document says, its lines joined and its parameters filled in, for ``/bin/sh``;
    ``document`` and ``parameters`` are what it was made from. ``timeout_seconds`` counts from the start of the
    script (the agent's executionTimeout). When ``cancelled`` is set, whoever runs it should end it soon.
    """

    command_id: str
    instance_id: str
    document: str
    parameters: Mapping[str, Sequence[str]]
    script: str
    working_directory: str | None
    timeout_seconds: int
    cancelled: threading.Event


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a script ended. ``exit_code`` 0 is success; ``timed_out`` and ``cancelled`` say why it was ended."""

    stdout: str
    stderr: str
    exit_code: int
    timed_out: bool = False
    cancelled: bool = False


class RunCommand(Protocol):
    """Runs a script on a machine and returns when it has ended. Called in a thread of its own."""

    def __call__(self, request: CommandRequest, /) -> CommandResult: ...


@dataclass(slots=True)
class Hooks:
    """What the supervisor fills in. Every callable may be called from any thread.

    * ``world_changed()``: a mutating request succeeded that may concern machines, addresses or names (EC2, RDS, ELB,
      Route 53, IAM, or a load or reset). Called without the lock, before the client has its answer: set a flag and
      return.
    * ``run_command(request)``: see ``RunCommand``; may take as long as the script does.
    * ``public_address(taken)``: a free public IPv4 address, given those in use; ``None`` when there is none left.
    * ``console_output(instance_id)``: what the machine wrote to its console; ``None`` when there is no machine.
    * ``instance_online(instance_id)``: whether the machine is up far enough to run commands.
    * ``fault(values)``: lets a fault stand that strikes something else than the API; what it did, or ``None`` for a
      kind that it does not know.
    * ``machine_state(instance_id)``: the machine's own state in EC2's words, ``None`` where there is none; so that an
      instance is ``stopping`` for as long as its machine is.
    * ``document(host, path)``: a file that AWS publishes outside of its APIs; ``None`` where it is no such name.
    * ``target_health(group, instance_id)``: how a load balancer's machine finds that target of that target group, in
      ELB's words; ``None`` where no machine asks it.
    * ``advance_alarms(by)``: lets the alarms' clock run ahead by that much; the changes of state on the way.
    """

    world_changed: Callable[[], None] | None = None
    run_command: RunCommand | None = None
    public_address: Callable[[frozenset[str]], str | None] | None = None
    console_output: Callable[[str], str | None] | None = None
    instance_online: Callable[[str], bool] | None = None
    fault: Callable[[Mapping[str, Any]], str | None] | None = None
    machine_state: Callable[[str], str | None] | None = None
    advance_alarms: Callable[[timedelta], Sequence[Any]] | None = None
    document: Callable[[str, str], bytes | None] | None = None
    target_health: Callable[[str, str], str | None] | None = None

    def clear(self) -> None:
        """Take every hook away."""
        for each in fields(self):
            setattr(self, each.name, None)

    def tell_world(self) -> str | None:
        """Call ``world_changed``, if there is one. Returns the stack of what it raised: a client is not to blame."""
        if self.world_changed is None:
            return None
        try:
            self.world_changed()
        except Exception:  # noqa: BLE001 the supervisor's failure is noted beside the request
            return traceback.format_exc(limit=-12)
        return None

    def is_online(self, instance_id: str) -> bool:
        """Whether commands can be run on the instance; false without a hook."""
        return self.instance_online is not None and self.instance_online(instance_id)


HOOKS = Hooks()


def addresses_from(pool: Iterable[object]) -> Callable[[frozenset[str]], str | None]:
    """A ``public_address`` hook that hands out the addresses of a pool, lowest first, and again after release."""
    addresses = tuple(str(address) for address in pool)

    def next_free(taken: frozenset[str]) -> str | None:
        return next((address for address in addresses if address not in taken), None)

    return next_free
