"""SSM Run Command for real: scripts go through the supervisor's hook, and their state is what it is.

Without a hook, or while an instance is not online, ``SendCommand`` is refused as AWS does for an instance without an
agent. Rules: the SSM API reference (botocore 1.44.5).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import SSMException
from moto.ssm.models import SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

from embedded.aws import ssmdocuments
from embedded.aws.extensions.ec2_instances import all_instances
from embedded.aws.extensions.patching import Patches
from embedded.aws.hooks import HOOKS, CommandRequest, CommandResult
from embedded.aws.world import WORLD

patches = Patches()

MOST_OUTPUT_CHARACTERS = 24_000
MOST_ERROR_CHARACTERS = 8_000
MOST_LISTED_CHARACTERS = 2_500
COMMANDS_KEPT = 1_000
_UNFINISHED = ("Pending", "InProgress", "Cancelling")


@dataclass(slots=True)
class Plugin:
    """One step of a command on one instance."""

    script: ssmdocuments.Script
    status: str = "Pending"
    details: str = "Pending"
    exit_code: int = -1
    stdout: str = ""
    stderr: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout_url: str = ""
    stderr_url: str = ""


@dataclass(slots=True)
class Invocation:
    """A command on one instance."""

    instance_id: str
    plugins: list[Plugin]
    status: str = "Pending"
    details: str = "Pending"

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status not in _UNFINISHED


@dataclass(slots=True)
class Command:
    """What ``SendCommand`` was asked, and how far it got."""

    id: str
    document: str
    comment: str
    parameters: dict[str, list[str]]
    targets: list[dict[str, Any]]
    timeout_seconds: int
    requested_at: datetime
    bucket: str
    prefix: str
    invocations: dict[str, Invocation] = field(default_factory=dict)


# The invocations that a thread of this process works on, with the flag that cancels them. What a loaded state says is
# in progress and is not here will never end by itself.
_RUNNING: dict[tuple[str, str], threading.Event] = {}


def commands_of(backend: SimpleSystemManagerBackend) -> dict[str, Command]:
    """The commands of a region by id, oldest first."""
    commands: dict[str, Command] = backend.__dict__.setdefault("sent_commands", {})
    for command in commands.values():
        for one in command.invocations.values():
            if not one.is_finished and (command.id, one.instance_id) not in _RUNNING:
                _finish(one, "Failed", "Terminated")
    return commands


def content_of(backend: Any, name: str) -> Any:
    """The content of a document, AWS's or own. Raises SSM's ``InvalidDocument``."""
    name = name.rsplit("document/", 1)[-1]
    if name in ssmdocuments.PUBLISHED:
        return ssmdocuments.PUBLISHED[name]
    if name not in backend._documents:
        raise SSMException("InvalidDocument", f"Document with name {name} does not exist.")
    document = backend._documents[name].get_default_version()
    if document.document_type != "Command":
        raise SSMException(
            "InvalidDocument", f"Document {name} is of type {document.document_type}, not Command."
        )
    return document.content


def targeted(backend: Any, targets: Iterable[dict[str, Any]]) -> list[str]:
    """The running instances that every target names: ``InstanceIds`` (``*`` is all), ``tag:KEY`` or ``tag-key``."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    running = [instance for instance in all_instances(ec2) if instance._state.name == "running"]
    for target in targets:
        key, values = target["Key"], target.get("Values", [])
        if key.lower() == "instanceids":
            running = [one for one in running if "*" in values or one.id in values]
        elif key.startswith("tag:"):
            running = [one for one in running if _tags(one).get(key[4:]) in values]
        elif key == "tag-key":
            running = [one for one in running if _tags(one).keys() & set(values)]
        else:
            raise SSMException("InvalidTarget", f"the embedded cloud knows no target {key!r}")
    return [one.id for one in running]


def _tags(instance: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in instance.get_tags()}


def can_run(instance_id: str) -> bool:
    """Whether there is a machine behind the instance that runs commands now."""
    return HOOKS.run_command is not None and HOOKS.is_online(instance_id)


def start(backend: Any, command: Command, instance_ids: Iterable[str]) -> None:
    """Keep a command and run it on the instances, each in a thread of its own."""
    commands = commands_of(backend)
    commands[command.id] = command
    for old in list(commands)[:-COMMANDS_KEPT]:
        del commands[old]
    for instance_id in instance_ids:
        plugins = [
            Plugin(script)
            for script in ssmdocuments.scripts(content_of(backend, command.document), command.parameters)
        ]
        invocation = Invocation(instance_id, plugins)
        command.invocations[instance_id] = invocation
        cancelled = _RUNNING[command.id, instance_id] = threading.Event()
        threading.Thread(
            target=_run,
            args=(backend, command, invocation, cancelled),
            name=f"ssm-{instance_id}",
            daemon=True,
        ).start()


def _run(backend: Any, command: Command, invocation: Invocation, cancelled: threading.Event) -> None:
    ends = ("Success", "Success")
    for plugin in invocation.plugins:
        with WORLD:
            invocation.status = invocation.details = plugin.status = plugin.details = "InProgress"
            plugin.started_at = datetime.now(UTC)
        result = _ask_machine(command, invocation, plugin, cancelled)
        with WORLD:
            ends = _note_result(backend, command, invocation, plugin, result, is_cancelled=cancelled.is_set())
        if ends[0] != "Success":
            break
    with WORLD:
        _finish(invocation, *ends)
        _RUNNING.pop((command.id, invocation.instance_id), None)
        WORLD.note_change()


def _ask_machine(
    command: Command, invocation: Invocation, plugin: Plugin, cancelled: threading.Event
) -> CommandResult:
    run = HOOKS.run_command
    if run is None:
        return CommandResult("", "the machine went away", 255)
    request = CommandRequest(
        command_id=command.id,
        instance_id=invocation.instance_id,
        document=command.document,
        parameters=command.parameters,
        script=plugin.script.text,
        working_directory=plugin.script.working_directory,
        timeout_seconds=plugin.script.timeout_seconds,
        cancelled=cancelled,
    )
    try:
        return run(request)
    except Exception as error:  # noqa: BLE001 whatever the hook raises is how the command ended
        return CommandResult("", f"the embedded cloud could not run it: {type(error).__name__}: {error}", 255)


def _note_result(
    backend: Any,
    command: Command,
    invocation: Invocation,
    plugin: Plugin,
    result: CommandResult,
    *,
    is_cancelled: bool,
) -> tuple[str, str]:
    if result.cancelled or is_cancelled:
        ends = ("Cancelled", "Cancelled")
    elif result.timed_out:
        ends = ("TimedOut", "Execution Timed Out")
    else:
        ends = ("Success", "Success") if result.exit_code == 0 else ("Failed", "Failed")
    plugin.status, plugin.details = ends
    plugin.exit_code = result.exit_code
    plugin.ended_at = datetime.now(UTC)
    plugin.stdout = result.stdout[:MOST_OUTPUT_CHARACTERS]
    plugin.stderr = result.stderr[:MOST_ERROR_CHARACTERS]
    if command.bucket:
        place = (
            f"{command.prefix}/{command.id}/{invocation.instance_id}/awsrunShellScript/0.awsrunShellScript"
        )
        plugin.stdout_url = _to_bucket(backend, command.bucket, f"{place}/stdout".lstrip("/"), result.stdout)
        plugin.stderr_url = _to_bucket(backend, command.bucket, f"{place}/stderr".lstrip("/"), result.stderr)
    return ends


def _to_bucket(backend: Any, bucket: str, key: str, text: str) -> str:
    from moto.s3.models import s3_backends

    buckets = s3_backends[backend.account_id][backend.partition]
    if not text or bucket not in buckets.buckets:
        return ""
    buckets.put_object(bucket, key, text.encode())
    return f"https://s3.{backend.region_name}.amazonaws.com/{bucket}/{key}"


def _finish(invocation: Invocation, status: str, details: str) -> None:
    invocation.status, invocation.details = status, details
    for plugin in invocation.plugins:
        if plugin.status in _UNFINISHED:
            plugin.status, plugin.details = status, details


@patches.add(SimpleSystemManagerResponse)
def send_command(response: Any) -> ActionResult:
    backend, asked = response.ssm_backend, response._get_param
    document, parameters = asked("DocumentName"), asked("Parameters", {})
    try:
        ssmdocuments.scripts(content_of(backend, document), parameters)
    except ssmdocuments.DocumentError as error:
        raise SSMException("InvalidParameters", f"{document}: {error}") from None
    named, targets = asked("InstanceIds", []), asked("Targets", [])
    away = [instance_id for instance_id in named if not can_run(instance_id)]
    if away:
        raise SSMException(
            "InvalidInstanceId",
            f"Instances [[{', '.join(away)}]] not in a valid state for account {backend.account_id}",
        )
    found = [one for one in targeted(backend, targets) if can_run(one)] if targets else []
    command = Command(
        id=str(uuid.uuid4()),
        document=document,
        comment=asked("Comment", ""),
        parameters=parameters,
        targets=targets,
        timeout_seconds=asked("TimeoutSeconds", 3600),
        requested_at=datetime.now(UTC),
        bucket=asked("OutputS3BucketName", ""),
        prefix=asked("OutputS3KeyPrefix", ""),
    )
    start(backend, command, dict.fromkeys([*named, *found]))
    return ActionResult({"Command": _shown(command)})


@patches.add(SimpleSystemManagerResponse)
def cancel_command(response: Any) -> EmptyResult:
    command = _found(response)
    wanted = response._get_param("InstanceIds", []) or list(command.invocations)
    for instance_id in wanted:
        if cancelled := _RUNNING.get((command.id, instance_id)):
            cancelled.set()
            command.invocations[instance_id].status = command.invocations[instance_id].details = "Cancelling"
    return EmptyResult()


@patches.add(SimpleSystemManagerResponse)
def list_commands(response: Any) -> ActionResult:
    commands = list(commands_of(response.ssm_backend).values())
    wanted_id, instance_id = response._get_param("CommandId"), response._get_param("InstanceId")
    if wanted_id:
        commands = [_found(response)]
    shown = [_shown(each) for each in commands if instance_id is None or instance_id in each.invocations]
    return ActionResult({"Commands": shown[::-1]})


@patches.add(SimpleSystemManagerResponse)
def get_command_invocation(response: Any) -> ActionResult:
    command = _found(response)
    invocation = command.invocations.get(response._get_param("InstanceId"))
    if invocation is None:
        raise SSMException(
            "InvocationDoesNotExist",
            "The command ID and instance ID you specified did not match any invocations.",
        )
    wanted = response._get_param("PluginName")
    plugins = [plugin for plugin in invocation.plugins if wanted in (None, plugin.script.plugin)]
    if not plugins:
        raise SSMException("InvalidPluginName", f"The plugin {wanted} is no step of {command.document}.")
    first, last = plugins[0], plugins[-1]
    whole = wanted is None and len(plugins) > 1
    return ActionResult(
        {
            "CommandId": command.id,
            "InstanceId": invocation.instance_id,
            "Comment": command.comment,
            "DocumentName": command.document,
            "DocumentVersion": "$DEFAULT",
            "PluginName": "" if whole else first.script.plugin,
            "ResponseCode": last.exit_code if not whole else _last_code(plugins),
            "ExecutionStartDateTime": _iso(first.started_at),
            "ExecutionElapsedTime": _elapsed(first.started_at, last.ended_at),
            "ExecutionEndDateTime": _iso(last.ended_at),
            "Status": invocation.status if wanted is None else first.status,
            "StatusDetails": invocation.details if wanted is None else first.details,
            "StandardOutputContent": "".join(plugin.stdout for plugin in plugins)[:MOST_OUTPUT_CHARACTERS],
            "StandardOutputUrl": first.stdout_url,
            "StandardErrorContent": "".join(plugin.stderr for plugin in plugins)[:MOST_ERROR_CHARACTERS],
            "StandardErrorUrl": first.stderr_url,
        }
    )


def _last_code(plugins: list[Plugin]) -> int:
    return next((plugin.exit_code for plugin in reversed(plugins) if plugin.ended_at), -1)


@patches.add(SimpleSystemManagerResponse)
def list_command_invocations(response: Any) -> ActionResult:
    commands = commands_of(response.ssm_backend)
    wanted_id, instance_id = response._get_param("CommandId"), response._get_param("InstanceId")
    details = response._get_param("Details")
    shown = [
        _listed(command, invocation, with_plugins=bool(details))
        for command in reversed(list(commands.values()))
        if wanted_id in (None, command.id)
        for invocation in command.invocations.values()
        if instance_id in (None, invocation.instance_id)
    ]
    return ActionResult({"CommandInvocations": shown})


def _listed(command: Command, invocation: Invocation, *, with_plugins: bool) -> dict[str, Any]:
    plugins = [
        {
            "Name": plugin.script.plugin,
            "Status": plugin.status,
            "StatusDetails": plugin.details,
            "ResponseCode": plugin.exit_code,
            "ResponseStartDateTime": plugin.started_at,
            "ResponseFinishDateTime": plugin.ended_at,
            "Output": (plugin.stdout + plugin.stderr)[:MOST_LISTED_CHARACTERS],
            "StandardOutputUrl": plugin.stdout_url,
            "StandardErrorUrl": plugin.stderr_url,
        }
        for plugin in invocation.plugins
    ]
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "RequestedDateTime": command.requested_at,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": plugins if with_plugins else [],
    }


def _found(response: Any) -> Command:
    command = commands_of(response.ssm_backend).get(response._get_param("CommandId"))
    if command is None:
        raise SSMException("InvalidCommandId", "The specified command ID isn't valid.")
    return command


def _shown(command: Command) -> dict[str, Any]:
    invocations = command.invocations.values()
    status = status_of(command)
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        "Comment": command.comment,
        "ExpiresAfter": command.requested_at + timedelta(seconds=command.timeout_seconds),
        "Parameters": command.parameters,
        "InstanceIds": list(command.invocations) if not command.targets else [],
        "Targets": command.targets,
        "RequestedDateTime": command.requested_at,
        "Status": status,
        "StatusDetails": "NoInstancesInTag" if command.targets and not invocations else status,
        "OutputS3BucketName": command.bucket,
        "OutputS3KeyPrefix": command.prefix,
        "TargetCount": len(invocations),
        "CompletedCount": sum(one.is_finished for one in invocations),
        "ErrorCount": sum(one.status in ("Failed", "TimedOut") for one in invocations),
        "TimeoutSeconds": command.timeout_seconds,
    }


def status_of(command: Command) -> str:
    """The state of a command: of those that its invocations are in, the one that matters most."""
    states = {one.status for one in command.invocations.values()}
    order = ("Cancelling", "InProgress", "Pending", "Failed", "TimedOut", "Cancelled")
    return next((state for state in order if state in states), "Success")


def _iso(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if moment else ""


def _elapsed(start: datetime | None, end: datetime | None) -> str:
    return f"PT{(end - start).total_seconds():.3f}S" if start and end else ""


def install() -> None:
    """Install into moto."""
    patches.apply()
