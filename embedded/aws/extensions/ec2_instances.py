"""EC2 instances: what moto forgets of a launch, and what AWS refuses.

Rules: the EC2 API reference (botocore 1.44.5).
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState, MetadataOptions
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.monitoring import Monitoring

from embedded.aws.extensions import ec2_volumes
from embedded.aws.extensions.patching import Patches
from embedded.aws.hooks import HOOKS

patches = Patches()

UNLIMITED_BY_DEFAULT = ("t3.", "t3a.", "t4g.")
"""Families whose new instances spend beyond their credits; T2's do not (EC2 user guide, burstable instances)."""

MOST_USER_DATA_BYTES = 16_384

# What ModifyInstanceAttribute changes only while the instance is stopped ("Modify a stopped instance", user guide).
_STOPPED_ONLY = frozenset({"instance_type", "kernel", "ramdisk", "user_data", "ebs_optimized"})
_BOOLEANS = frozenset({"disable_api_termination", "disable_api_stop", "ebs_optimized", "source_dest_check"})


def architectures(instance_type: str) -> list[str]:
    """What an instance type can boot (``arm64``, ``x86_64``). Raises EC2's error for a type that there is not."""
    known = INSTANCE_TYPES.get(instance_type)
    if known is None:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Invalid value '{instance_type}' for InstanceType.",
        )
    return list(known["ProcessorInfo"]["SupportedArchitectures"])


def is_burstable(instance_type: str) -> bool:
    """Whether the type lives on CPU credits."""
    return bool(INSTANCE_TYPES.get(instance_type, {}).get("BurstablePerformanceSupported"))


def default_credits(instance_type: str) -> str:
    """``unlimited`` or ``standard``, as AWS gives them to a new instance that does not say."""
    return "unlimited" if instance_type.startswith(UNLIMITED_BY_DEFAULT) else "standard"


@patches.wrap(InstanceResponse)
def run_instances(original: Any, response: InstanceResponse) -> Any:
    mode = response._get_param("CreditSpecification.CpuCredits")
    instance_type = response._get_param("InstanceType", "m1.small")
    if mode is not None and mode not in ("standard", "unlimited"):
        raise EC2ClientError("InvalidParameterValue", f"Value ({mode}) for parameter cpuCredits is invalid.")
    if mode is not None and not is_burstable(instance_type):
        raise EC2ClientError(
            "InvalidParameterCombination",
            f"The instance type '{instance_type}' does not support CPU credits (CreditSpecification).",
        )
    _check_user_data(response._get_param("UserData"))
    result = original(response)
    protected = response._get_bool_param("DisableApiTermination") is True
    for instance in result.result.instances:
        instance.cpu_credits = mode or default_credits(instance_type)
        instance.disable_api_termination = protected
    return result


def _check_user_data(encoded: str | None) -> None:
    if encoded and len(encoded) * 3 // 4 - encoded.count("=") > MOST_USER_DATA_BYTES:
        raise EC2ClientError("InvalidParameterValue", f"User data is limited to {MOST_USER_DATA_BYTES} bytes")


@patches.wrap(InstanceResponse)
def _dot_value_instance_attribute_handler(original: Any, response: Any) -> bool:
    """The SDK has encoded user data, the parser has decoded it; moto then wants it encoded a second time."""
    raw = response._get_param("UserData.Value")
    if not isinstance(raw, bytes):
        return bool(original(response))
    response.error_on_dryrun()
    encoded = base64.b64encode(raw).decode()
    _check_user_data(encoded)
    response.ec2_backend.modify_instance_attribute(
        response._get_param("InstanceId"), "user_data", Base64EncodedString(encoded)
    )
    return True


@patches.wrap(InstanceResponse)
def _parse_block_device_mapping(original: Any, response: InstanceResponse) -> list[dict[str, Any]]:
    """moto drops throughput and takes "not said" of DeleteOnTermination for false; run_instances needs to know."""
    parsed: list[dict[str, Any]] = original(response)
    for mapping, said in zip(parsed, response._get_param("BlockDeviceMappings", []), strict=True):
        ebs = said.get("Ebs", {})
        mapping["Ebs"]["Throughput"] = ebs.get("Throughput")
        mapping["Ebs"]["DeleteOnTermination"] = ebs.get("DeleteOnTermination")
    return parsed


@patches.wrap(InstanceResponse)
def _validate_block_device_mapping(original: Any, device_mapping: dict[str, Any]) -> None:
    """AWS takes the size of the root device from the image when the mapping does not say; moto wants one."""
    ebs = device_mapping.get("Ebs", {})
    if ebs.get("VolumeSize") or ebs.get("SnapshotId") or "NoDevice" in device_mapping:
        original(device_mapping)


@patches.wrap(InstanceBackend, "run_instances")
def run_checked(original: Any, backend: Any, image_id: str, *args: Any, **kwargs: Any) -> Any:
    asked = kwargs.get("block_device_mappings")
    instance_type = kwargs["instance_type"]
    if launch_template := kwargs.get("launch_template"):
        template = backend._get_template_from_args(launch_template)
        image_id = image_id or template.image_id
        asked = template.data.get("BlockDeviceMappings") if asked is None else asked
        if kwargs["is_instance_type_default"]:
            instance_type = template.data.get("InstanceType", instance_type)
    if not image_id:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
    ami = backend.describe_images(ami_ids=[image_id])[0]
    _check_architecture(instance_type, ami.architecture, "of the specified AMI")
    devices = _with_image_devices(ami, asked or [])
    for device in devices:
        ec2_volumes.check_performance(device["Ebs"])
    # moto shows an instance without the groups that its first interface was asked for with.
    for interface in kwargs.get("nics") or []:
        if str(interface.get("DeviceIndex")) == "0" and (groups := interface.pop("Groups", None)):
            kwargs["security_group_ids"] = groups
    reservation = original(backend, image_id, *args, **{**kwargs, "block_device_mappings": devices})
    for instance in reservation.instances:
        for device in devices:
            if attached := instance.block_device_mapping.get(device["DeviceName"]):
                ec2_volumes.set_performance(backend.get_volume(attached.volume_id), device["Ebs"])
    return reservation


def _check_architecture(instance_type: str, architecture: str | None, whose: str) -> None:
    supported = architectures(instance_type)
    if architecture and architecture not in supported:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{supported[0]}' of the specified instance type does not match the architecture "
            f"'{architecture}' {whose}. Specify an instance type and an AMI that have matching architectures, and "
            "try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of "
            "the instance type or AMI.",
        )


def _with_image_devices(ami: Any, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The devices of the image, each overlaid by what was asked for it, then the others that were asked for."""
    wanted = {mapping["DeviceName"]: mapping for mapping in asked}
    devices = []
    for own in ami.block_device_mappings:
        mapping = wanted.pop(own["DeviceName"], {"DeviceName": own["DeviceName"], "Ebs": {}})
        said = {key: value for key, value in mapping["Ebs"].items() if value is not None}
        devices.append({**mapping, "Ebs": {**own["Ebs"], **said}})
    for mapping in wanted.values():
        devices.append({**mapping, "Ebs": {"VolumeType": ec2_volumes.DEFAULT_TYPE, **mapping.get("Ebs", {})}})
        devices[-1]["Ebs"]["DeleteOnTermination"] = bool(mapping.get("Ebs", {}).get("DeleteOnTermination"))
    return devices


@patches.add(Instance)
def setup_defaults(instance: Instance) -> None:
    """Nothing: the root device comes from the image, not from moto's guess of 8 GiB at /dev/sda1."""


@patches.wrap(Instance)
def prep_nics(
    original: Any, instance: Any, nic_spec: list[dict[str, Any]], *args: Any, **kwargs: Any
) -> None:
    kept = {int(spec.get("DeviceIndex", 0)) for spec in nic_spec if spec.get("NetworkInterfaceId")}
    said = {int(spec.get("DeviceIndex", 0)): spec.get("DeleteOnTermination") for spec in nic_spec}
    original(instance, nic_spec, *args, **kwargs)
    for index, nic in instance.nics.items():
        # An interface that the launch makes goes with the instance unless said otherwise; a given one stays.
        nic.delete_on_termination = said[index] if said.get(index) is not None else index not in kept
    instance.generation = 1


# What is shown while a machine is on its way to what was asked of it: by what was asked, its states in which
# it is not there yet, and what the instance is then (EC2 user guide, "Instance lifecycle").
_ON_THE_WAY = {
    "running": ((None, "pending"), InstanceState("pending", 0)),
    "stopped": (("pending", "running", "stopping"), InstanceState("stopping", 64)),
    "terminated": (
        ("pending", "running", "stopping", "stopped", "shutting-down"),
        InstanceState("shutting-down", 32),
    ),
}


def shown_state(instance: Any) -> InstanceState:
    """What was asked for, or the way there where a machine behind the instance has not arrived."""
    asked: InstanceState = instance._state
    if HOOKS.machine_state is None or asked.name not in _ON_THE_WAY:
        return asked
    not_there, on_the_way = _ON_THE_WAY[asked.name]
    return on_the_way if HOOKS.machine_state(instance.id) in not_there else asked


patches.set(Instance, "instance_state", property(shown_state))
patches.set(Instance, "state", property(lambda instance: shown_state(instance).name))
patches.set(Instance, "state_code", property(lambda instance: shown_state(instance).code))


@patches.wrap(Instance)
def start(original: Any, instance: Any) -> Any:
    if shown_state(instance).name in ("terminated", "shutting-down", "stopping"):
        raise _incorrect_state(instance, "started")
    if instance._state.name != "running":
        instance.generation += 1
    return original(instance)


@patches.wrap(Instance)
def stop(original: Any, instance: Any) -> Any:
    if instance._state.name == "terminated":
        raise _incorrect_state(instance, "stopped")
    return original(instance)


@patches.wrap(Instance)
def terminate(original: Any, instance: Any) -> Any:
    backend = instance.ec2_backend
    if instance._state.name == "terminated":
        return instance._state
    interfaces = {nic.id for nic in instance.nics.values()}
    for address in backend.addresses:
        if address.instance is instance or (address.eni is not None and address.eni.id in interfaces):
            backend.disassociate_address(address=address.public_ip)
    return original(instance)


def _incorrect_state(instance: Any, verb: str) -> EC2ClientError:
    return EC2ClientError(
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be {verb}.",
    )


@patches.wrap(InstanceBackend)
def modify_instance_attribute(original: Any, backend: Any, instance_id: str, key: str, value: Any) -> Any:
    instance = backend.get_instance(instance_id)
    if key in _STOPPED_ONLY and shown_state(instance).name != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState", f"The instance '{instance_id}' is not in the 'stopped' state."
        )
    if key == "instance_type":
        _check_architecture(value, instance.architecture, "of the instance")
        if not is_burstable(value):
            instance.cpu_credits = "standard"
        elif not is_burstable(instance.instance_type):
            instance.cpu_credits = default_credits(value)
    if key in _BOOLEANS and isinstance(value, str):
        value = value.lower() == "true"
    return original(backend, instance_id, key, value)


@patches.wrap(InstanceBackend)
def modify_instance_security_groups(
    original: Any, backend: Any, instance_id: str, group_ids: list[str]
) -> Any:
    for group_id in group_ids:
        if backend.get_security_group_from_id(group_id) is None:
            raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    instance = original(backend, instance_id, group_ids)
    # moto shows an interface's own groups beside the instance's, so that the old ones would never leave.
    instance.nics[0]._group_set = list(instance.security_groups)
    return instance


@patches.wrap(InstanceBackend)
def modify_instance_metadata_options(original: Any, backend: Any, instance_id: str, **kwargs: Any) -> Any:
    """What the request does not say stays as it was; moto would forget it."""
    before: MetadataOptions = backend.get_instance(instance_id).metadata_options
    kept = {
        "http_tokens": before.http_tokens,
        "hop_limit": before.http_put_response_hop_limit,
        "http_endpoint": before.http_endpoint,
        "http_protocol": before.http_protocol_ipv6,
        "metadata_tags": before.instance_metadata_tags,
    }
    said = {key: value for key, value in kwargs.items() if value is not None}
    return original(backend, instance_id, **{**kept, **said})


@patches.add(InstanceResponse)
def describe_instance_credit_specifications(response: Any) -> ActionResult:
    wanted = response._get_param("InstanceIds", [])
    instances = (
        response.ec2_backend.get_multi_instances_by_id(wanted)
        if wanted
        else response.ec2_backend.all_instances()
    )
    shown = [
        one
        for one in instances
        if wanted or (_credits(one) == "unlimited" and one._state.name != "terminated")
    ]
    return ActionResult(
        {
            "InstanceCreditSpecifications": [
                {"InstanceId": one.id, "CpuCredits": _credits(one)} for one in shown
            ]
        }
    )


@patches.add(InstanceResponse)
def modify_instance_credit_specification(response: Any) -> ActionResult:
    done, failed = [], []
    for change in response._get_param("InstanceCreditSpecifications", []):
        instance = response.ec2_backend.get_instance(change["InstanceId"])
        if not is_burstable(instance.instance_type):
            code, message = (
                "InstanceCreditSpecification.NotSupported",
                f"The instance '{instance.id}' is of type {instance.instance_type}, which has no CPU credits",
            )
            failed.append({"InstanceId": instance.id, "Error": {"Code": code, "Message": message}})
            continue
        instance.cpu_credits = change["CpuCredits"]
        done.append({"InstanceId": instance.id})
    return ActionResult(
        {
            "SuccessfulInstanceCreditSpecifications": done,
            "UnsuccessfulInstanceCreditSpecifications": failed,
        }
    )


def _credits(instance: Any) -> str:
    return str(getattr(instance, "cpu_credits", default_credits(instance.instance_type)))


@patches.add(Monitoring)
def monitor_instances(response: Any) -> ActionResult:
    return _set_monitoring(response, "enabled")


@patches.add(Monitoring)
def unmonitor_instances(response: Any) -> ActionResult:
    return _set_monitoring(response, "disabled")


def _set_monitoring(response: Any, state: str) -> ActionResult:
    response.error_on_dryrun()
    instances = response.ec2_backend.get_multi_instances_by_id(response._get_param("InstanceIds", []))
    for instance in instances:
        instance.monitoring_state = state
    return ActionResult(
        {"InstanceMonitorings": [{"InstanceId": one.id, "Monitoring": {"State": state}} for one in instances]}
    )


@patches.add(General)
def get_console_output(response: Any) -> ActionResult:
    instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
    text = HOOKS.console_output(instance.id) if HOOKS.console_output else None
    output = Base64EncodedString.from_raw_string(text) if text else None
    return ActionResult({"InstanceId": instance.id, "Timestamp": instance.launch_time, "Output": output})


@patches.add(InstanceResponse)
def reboot_instances(response: Any) -> EmptyResult:
    response.error_on_dryrun()
    instances = response.ec2_backend.get_multi_instances_by_id(response._get_param("InstanceIds", []))
    for instance in instances:
        if instance._state.name == "terminated":
            raise _incorrect_state(instance, "rebooted")
    for instance in instances:
        if instance._state.name == "running":
            instance.reboots = getattr(instance, "reboots", 0) + 1
    return EmptyResult()


def _reachability(instance: Any) -> dict[str, Any]:
    """``ok`` once the machine answers; without machines behind the API, as soon as it runs."""
    if instance.state_code != 16:
        return {"Status": "not-applicable"}
    reached = HOOKS.instance_online is None or HOOKS.instance_online(instance.id)
    detail = {"Name": "reachability", "Status": "passed" if reached else "initializing"}
    return {"Details": [detail], "Status": "ok" if reached else "initializing"}


patches.set(Instance, "instance_status", property(_reachability))


def install() -> None:
    """Install into moto."""
    patches.apply()


def all_instances(backend: Any) -> list[Any]:
    """Every instance that a region's backend knows, terminated ones too."""
    return list(itertools.chain.from_iterable(each.instances for each in backend.reservations.values()))
