"""The only place where what the AWS API says stands becomes machines: view.World into boxes.World, and back.

Level-triggered: whenever something may have changed, what stands is read whole and the boxes are brought to it, so a
missed or doubled call changes nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import ClassVar

from embedded import balancers, boxes, endpoint, managed
from embedded.acme.server import AcmeServer
from embedded.aws import balancers as shown_balancers
from embedded.aws import managed as services
from embedded.aws import view
from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.extensions.ssm_associations import came_online
from embedded.aws.hooks import HOOKS, CommandRequest, CommandResult, addresses_from
from embedded.aws.server import ApiServer

_log = logging.getLogger(__name__)

MIB, GIB = 1024**2, 1024**3
LOOK_SECONDS = 1.0
"""How often the machines are looked at when nothing calls."""
CREDENTIALS_HOURS = 6


class Machines:
    """The machines of one cloud, kept as the API says."""

    _living: ClassVar[Path | None] = None

    def __init__(self, directory: Path, api: ApiServer, *, progress: Callable[[str], None]) -> None:
        """Opens the host of the boxes and lets the API answer on their link.

        Raises:
            BoxesError: boxes cannot be had; the cloud goes on without.
            RuntimeError: another cloud of this process has its machines still: moto's state is the process's, and
                each instance would boot twice.
        """
        if Machines._living is not None:
            raise RuntimeError(f"{Machines._living} keeps the machines of this process; close it first")
        self._directory = directory
        self._databases: dict[str, IPv4Address] = {}
        self._balancers: dict[str, IPv4Address] = {}
        self._told = balancers.Told(self._tell)
        self._certificates: dict[str, bytes] = {}
        self._host = boxes.Host.open(
            directory,
            environment=endpoint.ENVIRONMENT,
            trusted=endpoint.authority(directory),
            credentials=_credentials,
            resolve=self._resolve,
            progress=progress,
        )
        endpoint.serve(self._host, api, directory)
        self.acme = AcmeServer(self._host, directory)
        self._called = threading.Event()
        self._ended = threading.Event()
        self._rebooted: dict[str, int] = {}
        self._online: set[str] = set()
        self._thread = threading.Thread(target=self._keep, name="machines", daemon=True)
        HOOKS.world_changed = self._called.set
        HOOKS.public_address = addresses_from(self._host.assignable())
        HOOKS.run_command = self._run_command
        HOOKS.console_output = self._console
        HOOKS.instance_online = self._is_online
        HOOKS.machine_state = self._state
        HOOKS.document = self._document
        HOOKS.target_health = self._target_health
        Machines._living = directory
        self._called.set()
        self._thread.start()

    @property
    def host(self) -> boxes.Host:
        """The boxes themselves, for tests and faults."""
        return self._host

    @property
    def authorities(self) -> bytes:
        """Whom a browser would have to trust (PEM): who signs for boxes, and who for load balancers."""
        return self.acme.authority.certificate + b"\n" + endpoint.authority(self._directory)

    def lookup(self, name: str) -> tuple[str, int] | None:
        """Where a name leads from the world: an address, and for how many seconds that may be remembered."""
        reply = self._resolve("", name.rstrip(".").lower(), "A")
        records = reply.records if reply is not None else ()
        found = [each.value for each in records if each.type == "A"]
        return (found[0], min(each.ttl_seconds for each in records)) if found else None

    def close(self) -> None:
        """Powers every box off; their volumes and roots are kept for the next start."""
        HOOKS.clear()
        self._ended.set()
        self._called.set()
        self._thread.join()
        self.acme.close()
        self._host.close()
        Machines._living = None

    def _keep(self) -> None:
        while not self._ended.is_set():
            self._called.wait(LOOK_SECONDS)
            self._called.clear()
            if self._ended.is_set():
                return
            try:
                self._round(view.snapshot())
            except boxes.BoxesError as error:
                _log.warning("machines are not as the API says: %s", error)
            except Exception:  # noqa: BLE001 logged; the next round tries again
                _log.exception("a bug in the embedded cloud's machines")

    def _round(self, world: view.World) -> None:
        self._keep_snapshots(world)
        balanced = shown_balancers.balancers()
        self._host.apply(self._described(world, balanced))
        self._drop_volumes(world)
        self._reboot(world)
        for instance in world.instances:
            online = self._is_online(instance.id)
            if online and instance.id not in self._online:
                self._online.add(instance.id)
                came_online(instance.id, instance.region)
            elif not online:
                self._online.discard(instance.id)
        self._tell_balancers(world, balanced)

    def _described(
        self, world: view.World, balanced: tuple[shown_balancers.LoadBalancer, ...]
    ) -> boxes.World:
        names = {each.id: each.name for each in world.security_groups}
        reachable = set(self._host.assignable())
        standing = [each for each in world.instances if each.state != "terminated" and _is_placed(each)]
        roots = {each.root_volume_id for each in world.instances}
        ids = {each.id for each in standing}
        kept = set(self._host.snapshots())
        databases = services.databases()
        taken = {IPv4Address(str(each.private_ip)) for each in standing}
        self._databases = managed.places(databases, taken)
        self._balancers = balancers.public(balanced, self._host.assignable())
        inside = balancers.private(balanced, taken | set(self._databases.values()))
        return boxes.World(
            boxes=(
                *(_box(each, reachable, names) for each in standing),
                *(
                    managed.box(each, self._databases[each.address], self._certificate)
                    for each in databases
                    if each.address in self._databases
                ),
                *(
                    balancers.box(each, inside[each.dns_name], self._balancers[each.dns_name])
                    for each in balanced
                    if each.dns_name in inside and each.dns_name in self._balancers
                ),
            ),
            volumes=tuple(_volume(each, ids, kept) for each in world.volumes if each.id not in roots),
            groups=tuple(_group(each) for each in world.security_groups),
        )

    def _tell_balancers(self, world: view.World, balanced: tuple[shown_balancers.LoadBalancer, ...]) -> None:
        """Each balancer's machine learns its listeners and targets as soon as it is ready to."""
        addresses = {each.id: str(each.private_ip) for each in world.instances if each.state != "terminated"}
        names = {balancers.machine_id(each): each for each in balanced}
        self._told.forget(names)
        for machine, balancer in names.items():
            status = self._status(machine)
            if status is not None and status.booted:
                self._told.tell(machine, balancers.wanted(balancer, addresses, self._certificate))

    def _tell(self, machine: str, script: str) -> int:
        try:
            return self._host.run(machine, script, timeout_seconds=20).returncode
        except boxes.BoxesError:
            return 1

    def _document(self, host: str, path: str) -> bytes | None:
        published = (endpoint.RDS_AUTHORITIES, endpoint.RDS_AUTHORITIES_PATH)
        return endpoint.authority(self._directory) if (host, path) == published else None

    def _certificate(self, name: str) -> bytes:
        """The same for as long as this runs: a machine that stands keeps the one of its first boot."""
        if name not in self._certificates:
            self._certificates[name] = endpoint.certificate(self._directory, name)
        return self._certificates[name]

    def _resolve(self, vpc: str, name: str, kind: str) -> boxes.Reply | None:
        placed = self._databases | self._balancers
        return endpoint.resolve(vpc, name, kind) or managed.resolve(placed, name, kind)

    def _keep_snapshots(self, world: view.World) -> None:
        """A snapshot's copy is taken before its volume may go."""
        volumes, kept = set(self._host.kept_volumes()), set(self._host.snapshots())
        for snapshot in world.snapshots:
            if snapshot.id not in kept and snapshot.volume_id in volumes:
                self._host.snapshot(snapshot.volume_id, snapshot.id)
        for gone in kept - {each.id for each in world.snapshots}:
            self._host.delete_snapshot(gone)

    def _drop_volumes(self, world: view.World) -> None:
        for gone in set(self._host.kept_volumes()) - {each.id for each in world.volumes}:
            self._host.delete_volume(gone)

    def _reboot(self, world: view.World) -> None:
        for instance in world.instances:
            if instance.reboots > self._rebooted.setdefault(instance.id, instance.reboots):
                self._host.reboot(instance.id)
            self._rebooted[instance.id] = instance.reboots

    # -- what the API asks ----------------------------------------------------------------------------------------

    def _status(self, instance_id: str) -> boxes.BoxStatus | None:
        try:
            return self._host.box(instance_id)
        except boxes.UnknownError:
            return None

    def _state(self, instance_id: str) -> str | None:
        status = self._status(instance_id)
        if status is None:
            return None
        # A machine that failed still occupies its instance: EC2 shows it running, with failing status checks.
        return "running" if status.state is boxes.State.FAILED else status.state.value

    def _target_health(self, group: str, instance_id: str) -> str | None:
        for balancer in shown_balancers.balancers():
            if any(each.name == group for each in balancer.groups):
                break
        else:
            return None
        addresses = {each.id: str(each.private_ip) for each in view.snapshot().instances}
        try:
            done = self._host.run(balancers.machine_id(balancer), balancers.ASK_HEALTH, timeout_seconds=20)
        except boxes.BoxesError:
            return "initial"
        return balancers.health(done.stdout, group, addresses.get(instance_id, ""))

    def _is_online(self, instance_id: str) -> bool:
        status = self._status(instance_id)
        return status is not None and status.booted

    def _console(self, instance_id: str) -> str | None:
        try:
            return self._host.console(instance_id)
        except boxes.UnknownError:
            return None

    def _run_command(self, request: CommandRequest) -> CommandResult:
        script = request.script
        if request.working_directory:
            script = f"cd '{request.working_directory}' || exit 1\n{script}"
        try:
            done = self._host.run(request.instance_id, script, timeout_seconds=request.timeout_seconds)
        except boxes.BoxesError as error:
            return CommandResult("", str(error), 1)
        return CommandResult(done.stdout, done.stderr, done.returncode, timed_out=done.timed_out)


def _is_placed(instance: view.Instance) -> bool:
    """moto gives an instance that names no subnet an address from anywhere; no link could carry it."""
    placed = instance.vpc_cidr and instance.private_ip
    return bool(placed) and IPv4Address(str(instance.private_ip)) in IPv4Network(str(instance.vpc_cidr))


def _box(
    instance: view.Instance, reachable: set[IPv4Address], group_names: Mapping[str, str]
) -> boxes.BoxSpec:
    public = IPv4Address(instance.public_ip) if instance.public_ip else None
    nat = IPv4Address(instance.nat_ip) if instance.nat_ip else None
    options = instance.metadata_options
    return boxes.BoxSpec(
        instance_id=instance.id,
        power=boxes.Power.RUNNING if instance.state == "running" else boxes.Power.STOPPED,
        vpc_id=str(instance.vpc_id),
        vpc_cidr=IPv4Network(str(instance.vpc_cidr)),
        private_ip=IPv4Address(str(instance.private_ip)),
        # An address of an earlier run's block leads nowhere now; the instance keeps it and is not reached by it.
        public_ip=public if public in reachable else None,
        nat_ip=nat if nat in reachable else None,
        mac=str(instance.mac_address).lower(),
        memory_bytes=instance.memory_mib * MIB,
        vcpus=instance.vcpus,
        user_data=instance.user_data,
        security_groups=instance.security_group_ids,
        metadata=boxes.MetadataOptions(
            http_endpoint=options.is_enabled,
            http_tokens="required" if options.needs_token else "optional",
            http_put_response_hop_limit=options.hop_limit,
            instance_metadata_tags=options.shows_tags,
        ),
        identity=boxes.Identity(
            account_id=ACCOUNT_ID,
            region=instance.region,
            availability_zone=instance.zone,
            image_id=instance.image_id,
            instance_type=instance.instance_type,
            architecture=instance.architecture,
            subnet_id=str(instance.subnet_id),
            subnet_cidr=str(instance.subnet_cidr),
            instance_profile_arn=instance.profile_arn or "",
            role_name=instance.role_name or "",
            security_group_names=tuple(group_names.get(each, each) for each in instance.security_group_ids),
            launched_at=instance.launched_at,
            tags=dict(instance.tags),
        ),
    )


def _volume(volume: view.Volume, instances: set[str], kept_snapshots: set[str]) -> boxes.VolumeSpec:
    attached = volume.attachment if volume.attachment and volume.attachment.instance_id in instances else None
    return boxes.VolumeSpec(
        volume_id=volume.id,
        size_bytes=volume.size_gib * GIB,
        snapshot_id=volume.snapshot_id if volume.snapshot_id in kept_snapshots else None,
        attached_to=attached.instance_id if attached else None,
        device=attached.device if attached else None,
    )


def _group(group: view.SecurityGroup) -> boxes.SecurityGroup:
    return boxes.SecurityGroup(
        group_id=group.id,
        name=group.name,
        ingress=tuple(each for rule in group.rules if not rule.is_egress for each in _rules(rule)),
        egress=tuple(each for rule in group.rules if rule.is_egress for each in _rules(rule)),
    )


def _rules(rule: view.Rule) -> Iterator[boxes.Rule]:
    ports = None
    if rule.from_port is not None and rule.to_port is not None and rule.from_port >= 0:
        ports = (rule.from_port, rule.to_port)
    for cidr in rule.cidrs:
        if ":" not in cidr:
            yield boxes.Rule(protocol=rule.protocol, ports=ports, peer=IPv4Network(cidr))
    for group_id in rule.group_ids:
        yield boxes.Rule(protocol=rule.protocol, ports=ports, peer=group_id)


def _credentials(spec: boxes.BoxSpec) -> boxes.Credentials | None:
    """Keys that say whose they are; the embedded cloud enforces no permissions."""
    if not spec.identity.role_name:
        return None
    return boxes.Credentials(
        access_key_id=f"ASIAEMBEDDED{spec.instance_id[-8:].upper()}",
        secret_access_key=secrets.token_urlsafe(30),
        token=secrets.token_urlsafe(60),
        expires_at=datetime.now(UTC) + timedelta(hours=CREDENTIALS_HOURS),
    )
