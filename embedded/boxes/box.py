"""The only place for the life of one box: a thread that brings it to what is asked, and keeps it there.

    pending -> running -> stopping -> stopped -> pending ...          shutting-down -> terminated
                      \\-> failed (could not start, or its power was cut)

A box that powers itself off stays off, as an instance does on EC2, until it was asked to be stopped and then to run
again, or until `power_on`. Its root (an overlay over the cached tree) lasts from the first boot to termination.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from embedded.boxes import machine, seed
from embedded.boxes.cgroups import Cgroup
from embedded.boxes.disks import Disks
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import BoxesError, NotRunningError
from embedded.boxes.machine import Machine
from embedded.boxes.model import BoxSpec, Power, VolumeSpec
from embedded.boxes.status import Boot, BoxStatus, State

_log = logging.getLogger(__name__)

_BOOTING_TICK_SECONDS = 0.5
_STEADY_TICK_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 3.0
_RELEASE_SECONDS = 5.0
_FAILED_TICK_SECONDS = 2.0
_DOWN = frozenset({State.FAILED, State.STOPPED, State.SHUTTING_DOWN, State.TERMINATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a box needs from its cloud. `plug` makes its network and returns the namespace, `unplug` unmakes it."""

    enclosure: Enclosure
    disks: Disks
    tree: Path
    environment: Mapping[str, str]
    trusted: bytes
    stop_timeout_seconds: float
    group: Callable[[str], Cgroup]
    ungroup: Callable[[Cgroup], None]
    plug: Callable[[BoxSpec], Path]
    unplug: Callable[[BoxSpec], None]


class Box:
    """One box. Every method may be called from any thread and returns at once, except `join`."""

    def __init__(
        self, around: Surroundings, directory: Path, spec: BoxSpec, volumes: tuple[VolumeSpec, ...]
    ) -> None:
        self.directory = directory
        self._around = around
        self._changed = threading.Condition(threading.RLock())
        self._spec = spec
        self._volumes = volumes
        self._wanted: Power | None = spec.power
        self._state = State.PENDING if spec.power is Power.RUNNING else State.STOPPED
        self._since = datetime.now(UTC)
        self._reason = ""
        self._held = False
        self._boots = 0
        self._boot = Boot.OFF
        self._cloud_init = "not started"
        self._failed_units: tuple[str, ...] = ()
        self._why = ""
        self._news = False
        self._patience_seconds = float("inf")
        self._machine: Machine | None = None
        self._cgroup: Cgroup | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._keep, name=f"boxes-{spec.instance_id}", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> BoxSpec:
        """What it is asked to be."""
        return self._spec

    def want(self, spec: BoxSpec, volumes: tuple[VolumeSpec, ...]) -> None:
        """Ask for a description; memory and processors count from the next start on, as on EC2."""
        with self._changed:
            if spec.power is Power.STOPPED:
                self._held = False
            if (spec, volumes, spec.power) != (self._spec, self._volumes, self._wanted):
                self._spec, self._volumes, self._wanted = spec, volumes, spec.power
                self._tell()

    def terminate(self) -> None:
        """Ask for its end; its root is deleted, its volumes stay."""
        with self._changed:
            self._wanted, self._volumes = None, ()
            self._tell()

    def reboot(self) -> None:
        """Ask its systemd to reboot. Raises NotRunningError while it is not up."""
        self._up().ask(machine.REBOOT)

    def cut_power(self) -> None:
        """Kill it at once, with what it had not yet written; it stays down until `power_on`. Returns when it is
        down. Raises NotRunningError while it is not up."""
        with self._changed:
            up = self._up()
            self._hold()
            self._why = "its power was cut"
        up.cut(self._around.disks.attached(self._spec.instance_id))
        with self._changed:
            self._tell()
            self._changed.wait_for(lambda: self._state in _DOWN, _RELEASE_SECONDS)

    def power_on(self) -> None:
        """Let it start again after a power cut, a failure, or its own power-off."""
        with self._changed:
            self._held = False
            self._tell()

    def leader(self) -> tuple[int, Cgroup]:
        """Its process 1 and its control group. Raises NotRunningError while it is not up."""
        with self._changed:
            up = self._up()
            return up.leader, up.cgroup

    def machine(self) -> Machine | None:
        """The running boot, if there is one."""
        return self._machine

    def status(self) -> BoxStatus:
        """What is known of it; `boot` and `cloud_init` are at most half a second old while it boots."""
        with self._changed:
            up = self._machine is not None
            return BoxStatus(
                instance_id=self._spec.instance_id,
                state=self._state,
                boot=self._boot if up else Boot.OFF,
                cloud_init=self._cloud_init,
                since=self._since,
                boots=self._boots,
                reason=self._reason,
                failed_units=self._failed_units if up else (),
                memory_used_bytes=self._cgroup.memory_used_bytes() if up and self._cgroup else None,
                cpu_used_seconds=self._cgroup.cpu_used_seconds() if up and self._cgroup else None,
            )

    def console(self, last_bytes: int) -> str:
        """The last of what it wrote to its console, over all its boots."""
        return machine.read_console(self.directory / "console.log", last_bytes)

    def power_off(self, *, deadline_seconds: float) -> None:
        """Stop for good, root and all kept. Returns when it is down, killed at the deadline."""
        with self._changed:
            self._ended = True
            self._patience_seconds = deadline_seconds
            self._tell()
        self._thread.join(deadline_seconds)
        if not self._thread.is_alive():
            self._go_down(deadline_seconds)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end of a terminated box; returns whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _keep(self) -> None:
        while True:
            try:
                if self._step():
                    return
            except (BoxesError, OSError) as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - not swallowed: it is the status of the box
                # A fault of ours must show on the box, not leave it standing as it was for ever.
                _log.exception("the keeper of %s failed", self._spec.instance_id)
                self._fail(f"unexpected: {error!r}")

    def _step(self) -> bool:
        """One round of looking and acting; returns whether the thread is through."""
        with self._changed:
            if self._ended:
                return True
            self._news = False
            wanted, held, up = self._wanted, self._held, self._machine
        if up is not None and up.returncode is not None:
            self._came_down(up, up.returncode)
        elif up is not None and wanted is not Power.RUNNING:
            self._enter(State.STOPPING if wanted else State.SHUTTING_DOWN)
            self._go_down(self._around.stop_timeout_seconds)
            self._enter(State.STOPPED if wanted else State.SHUTTING_DOWN)
        elif up is None and wanted is Power.RUNNING and not held:
            self._start()
        elif wanted is None:
            self._delete()
            return True
        else:
            if up is None and wanted is Power.STOPPED and self._state is not State.STOPPED:
                self._enter(State.STOPPED)
            self._look(up)
        return False

    def _look(self, up: Machine | None) -> None:
        if up is not None:
            self._observe(up)
            self._plug_volumes(up)
        with self._changed:
            tick = _BOOTING_TICK_SECONDS if self._unsettled(up) else _STEADY_TICK_SECONDS
            self._changed.wait_for(lambda: self._news, tick)

    def _unsettled(self, up: Machine | None) -> bool:
        if up is None:
            return False
        attached = self._around.disks.attached(self._spec.instance_id)
        differs = attached.keys() != {volume.volume_id for volume in self._volumes}
        return differs or self._boot is Boot.STARTING or self._cloud_init == "running"

    def _start(self) -> None:
        spec, around = self._spec, self._around
        self._enter(State.PENDING)
        upper, work, root = (self.directory / name for name in ("upper", "work", "root"))
        for path in (upper, work, root):
            path.mkdir(parents=True, exist_ok=True)
        upper.chmod(0o755)  # it becomes the box's own /
        self._clean()
        # What the box's own root added to its authorities later stays.
        first = not (upper / seed.AUTHORITIES).is_file()
        seed.write(
            upper,
            seed.files(
                spec,
                around.environment,
                trusted=around.trusted if first else b"",
                authorities=(around.tree / seed.AUTHORITIES).read_bytes()
                if first and around.trusted
                else b"",
            ),
        )
        # Relative to the box's directory, so that only the tree's path has to be free of the option's separators.
        options = f"lowerdir={_escaped(around.tree)},upperdir=upper,workdir=work,nodev"
        around.enclosure.run(
            "/bin/sh", "-c", 'cd "$1" && exec mount -t overlay overlay -o "$2" root', "sh",
            str(self.directory), options,
        )  # fmt: skip
        network = around.plug(spec)
        cgroup = around.group(spec.instance_id)
        self._cgroup = cgroup
        missing = cgroup.make(memory_bytes=spec.memory_bytes, vcpus=spec.vcpus)
        # What another box still has, or a copy is still filling, is plugged in later.
        devices = {
            volume.volume_id: (volume.device or "", around.disks.attach(volume.volume_id, spec.instance_id))
            for volume in self._volumes
            if around.disks.free_for(volume.volume_id, spec.instance_id)
        }
        up = Machine(
            around.enclosure,
            cgroup,
            name=spec.instance_id,
            hostname=spec.hostname,
            uuid=seed.machine_id(spec),
            root=root,
            network=network,
            console=self.directory / "console.log",
            devices=devices,
            ended=self._tell,
        )
        with self._changed:
            self._machine, self._boot, self._cloud_init, self._why = up, Boot.STARTING, "not started", ""
            self._boots += 1
        self._enter(State.RUNNING, "; ".join(f"no limit on {what}" for what in missing))

    def _observe(self, up: Machine) -> None:
        boot, cloud_init = up.boot(), up.cloud_init()
        failed = up.failed_units() if boot is Boot.DEGRADED else ()
        with self._changed:
            self._boot, self._cloud_init, self._failed_units = boot, cloud_init, failed
            self._changed.notify_all()

    def _plug_volumes(self, up: Machine) -> None:
        disks, me = self._around.disks, self._spec.instance_id
        with self._changed:
            wanted = {volume.volume_id: volume for volume in self._volumes}
        try:
            for volume_id, loop in disks.attached(me).items():
                if volume_id not in wanted and disks.detach(volume_id, me):
                    up.hide(volume_id, loop)
            for volume_id, volume in wanted.items():
                if volume_id not in up.shown() and disks.free_for(volume_id, me):
                    up.show(volume_id, volume.device or "", disks.attach(volume_id, me))
        except (BoxesError, OSError) as error:
            # No reason to end a box that runs; the next round tries again.
            with self._changed:
                self._reason = str(error)

    def _go_down(self, deadline_seconds: float) -> None:
        up = self._machine
        if up is not None:
            began = time.monotonic()
            while up.returncode is None:
                left = began + min(deadline_seconds, self._patience_seconds) - time.monotonic()
                if left <= 0:
                    up.kill()
                    break
                # Asked again: a systemd that has only just started does not listen yet.
                up.ask(machine.POWEROFF)
                with self._changed:
                    self._news = False
                    self._changed.wait_for(lambda: self._news, min(_ASK_AGAIN_SECONDS, left))
            self._forget(up)
        self._clean()

    def _came_down(self, up: Machine, code: int) -> None:
        with self._changed:
            why, self._why = self._why, ""
        self._forget(up)
        self._clean()
        if why:
            self._enter(State.FAILED, why)
        elif code == machine.REBOOTED:
            return  # the next round starts it
        elif code == 0:
            self._hold()
            self._enter(State.STOPPED, "it powered itself off")
        else:
            self._hold()
            self._enter(State.FAILED, f"it ended with {code}")

    def _forget(self, up: Machine) -> None:
        up.join()
        with self._changed:
            self._machine = None
            up.close()
            self._changed.notify_all()

    def _hold(self) -> None:
        """Do not start it again by oneself, although the world says that it runs."""
        with self._changed:
            self._held = self._wanted is Power.RUNNING

    def _clean(self) -> None:
        """Unmake what one boot needed. Idempotent."""
        around, me = self._around, self._spec.instance_id
        root = self.directory / "root"
        while around.enclosure.mounted(root):
            around.enclosure.run("umount", "--lazy", str(root))
        around.unplug(self._spec)
        if self._cgroup is not None:
            self._cgroup.kill()
            around.ungroup(self._cgroup)
            self._cgroup = None
        until = time.monotonic() + _RELEASE_SECONDS
        for volume_id in around.disks.attached(me):
            while not around.disks.detach(volume_id, me) and time.monotonic() < until:
                time.sleep(0.05)

    def _delete(self) -> None:
        self._clean()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._enter(State.TERMINATED)

    def _fail(self, reason: str) -> None:
        with self._changed:
            up, self._machine = self._machine, None
            self._hold()
        try:
            if up is not None:
                up.kill()
                up.close()
            self._clean()
        except (BoxesError, OSError) as error:
            reason += f"; and then: {error}"
        self._enter(State.FAILED, reason)
        with self._changed:
            self._changed.wait_for(lambda: self._news, _FAILED_TICK_SECONDS)

    def _enter(self, state: State, reason: str = "") -> None:
        with self._changed:
            if state is not self._state:
                self._since = datetime.now(UTC)
            self._state, self._reason = state, reason
            self._changed.notify_all()

    def _up(self) -> Machine:
        if self._machine is None:
            raise NotRunningError(
                f"{self._spec.instance_id} is {self._state}", "Start it, or wait until it is up."
            )
        return self._machine

    def _tell(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
