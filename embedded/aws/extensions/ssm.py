"""SSM: which instances are managed, and secrets that are not readable without decryption."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter
from moto.ssm.responses import SimpleSystemManagerResponse

from embedded.aws.extensions.ec2_instances import all_instances
from embedded.aws.extensions.patching import Patches
from embedded.aws.hooks import HOOKS

patches = Patches()


@patches.add(SimpleSystemManagerResponse)
def describe_instance_information(response: Any) -> ActionResult:
    backend = response.ssm_backend
    running = [
        instance
        for instance in all_instances(ec2_backends[backend.account_id][backend.region_name])
        if instance._state.name == "running" and HOOKS.is_online(instance.id)
    ]
    filters = [(each["Key"], each["Values"]) for each in response._get_param("Filters", [])]
    filters += [
        (each["key"], each["valueSet"]) for each in response._get_param("InstanceInformationFilterList", [])
    ]
    for key, values in filters:
        running = [instance for instance in running if _fits(instance, key, values)]
    return ActionResult({"InstanceInformationList": [_information(instance) for instance in running]})


def _fits(instance: Any, key: str, values: list[str]) -> bool:
    if key.startswith("tag:"):
        return any(tag["value"] in values for tag in instance.get_tags() if tag["key"] == key[4:])
    facts = {
        "InstanceIds": instance.id,
        "PingStatus": "Online",
        "PlatformTypes": "Linux",
        "ResourceType": "EC2Instance",
    }
    return facts.get(key) in values


def _information(instance: Any) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": datetime.now(UTC),
        # No agent runs in the machines of the embedded cloud: the supervisor stands in for it.
        "AgentVersion": "0.0.0",
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Debian GNU/Linux",
        "PlatformVersion": "13",
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": instance.private_dns_name,
        "RegistrationDate": instance.launch_time,
    }


@patches.wrap(Parameter)
def response_object(original: Any, parameter: Any, decrypt: Any = None, region: Any = None) -> dict[str, Any]:
    """A SecureString that nobody decrypts is a ciphertext; moto shows its plain text behind the key's name."""
    shown: dict[str, Any] = original(parameter, bool(decrypt), region)
    if parameter.parameter_type == "SecureString" and not decrypt:
        seed = f"{parameter.name}:{parameter.version}:{parameter.keyid}".encode()
        shown["Value"] = base64.b64encode(b"embedded" + hashlib.sha512(seed).digest()).decode()
    return shown


def install() -> None:
    """Install into moto."""
    patches.apply()
