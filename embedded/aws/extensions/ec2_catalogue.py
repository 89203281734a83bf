"""The only place for what EC2 offers here: images (with their SSM names) and where instance types are sold."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from moto.utilities import utils as moto_utils

from embedded.aws.extensions.patching import Patches

DEBIAN_OWNER = "136693071363"
"""The account that publishes Debian's images; to be verified on the first real account."""

FAKE_IMAGE_ID = "ami-00000000000000000"
"""Debian 13 arm64 that exists only here: what a stack file names until ``account.py ami`` fills in a real one."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that EC2 has here. The ids are visibly made up: AWS gives out no such ones."""

    id: str
    name: str
    architecture: str
    description: str


_PUBLISHED_AT = datetime(2026, 10, 5, 6, 0, tzinfo=UTC)

IMAGES = (
    Image(FAKE_IMAGE_ID, "debian-13-arm64-embedded", "arm64", "Debian 13 (embedded cloud only)"),
    Image(
        "ami-0deb13a6400000000", "debian-13-arm64-20261005-0000", "arm64", "Debian 13 (embedded cloud only)"
    ),
    Image(
        "ami-0deb13ad640000000", "debian-13-amd64-20261005-0000", "x86_64", "Debian 13 (embedded cloud only)"
    ),
)

PUBLIC_PARAMETERS = {
    "/aws/service/debian/release/13/latest/arm64": "ami-0deb13a6400000000",
    "/aws/service/debian/release/13/latest/amd64": "ami-0deb13ad640000000",
}

ROOT_DEVICE = "/dev/xvda"
ROOT_SIZE_GIB = 8

patches = Patches()


class _Offerings(dict[str, Any]):
    """The types that each region sells, read when a region is first asked for (all of them: 50 MB)."""

    def __init__(self, location_type: str) -> None:
        super().__init__()
        self._location_type = location_type

    def __missing__(self, region: str) -> list[dict[str, Any]]:
        path = f"ec2/resources/instance_type_offerings/{self._location_type}/{region}.json"
        try:
            offerings: list[dict[str, Any]] = moto_utils.load_resource(path)
        except FileNotFoundError:
            offerings = []
        made = [{**offering, "LocationType": self._location_type} for offering in offerings]
        self[region] = made
        return made

    def get(self, key: Any, default: Any = None, /) -> Any:  # noqa: ARG002
        """As ``[]``: a region without offerings has an empty list."""
        return self[key]


def _without_offerings(original: Callable[[str], Any]) -> Callable[[str], Any]:
    def load(resource: str) -> Any:
        return [] if "instance_type_offerings" in resource else original(resource)

    return load


def prepare() -> None:
    """Keep moto from reading every region's offerings; to be called before its EC2 is imported, harmless after."""
    module_name = "moto.ec2.models.instance_types"
    if module_name not in sys.modules:
        original = moto_utils.load_resource
        with patch.object(moto_utils, "load_resource", _without_offerings(original)):
            module = importlib.import_module(module_name)
        vars(module)["load_resource"] = original
    offerings = sys.modules[module_name].INSTANCE_TYPE_OFFERINGS
    for location_type, known in list(offerings.items()):
        if not isinstance(known, _Offerings):
            offerings[location_type] = _Offerings(location_type)


def _load_amis(backend: Any) -> None:
    """The images above and Amazon's newest Linux ones. moto's other 1 250 are for ECS and tests of its own."""
    from moto.ec2.models.amis import Ami

    for image in IMAGES:
        backend.amis[image.id] = Ami(
            backend,
            image.id,
            name=image.name,
            description=image.description,
            architecture=image.architecture,
            owner_id=DEBIAN_OWNER,
            public=True,
            creation_date=_PUBLISHED_AT,
            virtualization_type="hvm",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=ROOT_DEVICE,
            image_location=f"{DEBIAN_OWNER}/{image.name}",
            region_name=f"{backend.region_name}a",
        )
    try:
        amazons = moto_utils.load_resource(f"ec2/resources/latest_amis/{backend.region_name}.json")
    except FileNotFoundError:
        amazons = []
    for ami in amazons:
        backend.amis[ami["ami_id"]] = Ami(backend, **{**ami, "creation_date": None, "owner_alias": "amazon"})
    for ami in backend.amis.values():
        ami.ebs_snapshot.size_gib = ROOT_SIZE_GIB


def create_image(original: Any, backend: Any, instance_id: str, *args: Any, **kwargs: Any) -> Any:
    """An image of an instance is as big as the instance's root volume; moto's are all 15 GiB."""
    ami = original(backend, instance_id, *args, **kwargs)
    instance = backend.get_instance(instance_id)
    ami.root_device_name = instance.root_device_name
    if root := instance.block_device_mapping.get(instance.root_device_name):
        volume = backend.get_volume(root.volume_id)
        ami.ebs_snapshot.size_gib = volume.size
        ami.ebs_snapshot.encrypted, ami.ebs_snapshot.kms_key_id = volume.encrypted, volume.kms_key_id
    return ami


def block_device_mappings(ami: Any) -> list[dict[str, Any]]:
    """moto says 15 GiB of "standard" for every image, which stay when their instance goes."""
    ebs = {
        "SnapshotId": ami.ebs_snapshot.id,
        "VolumeSize": ami.ebs_snapshot.volume_size,
        "DeleteOnTermination": True,
        "VolumeType": "gp3",
        "Encrypted": ami.ebs_snapshot.encrypted,
    }
    return [{"DeviceName": ami.root_device_name, "Ebs": ebs}]


def _check_loading_status(original: Any, parameters: Any, key: str) -> None:
    from moto.ssm import models

    # moto's class has abstract methods that Python never asks for, as it is no ABC.
    parameter_class: Any = models.Parameter
    original(parameters, key)
    if not str(key or "").startswith("/aws/service/debian") or getattr(parameters, "debian_loaded", False):
        return
    parameters.debian_loaded = True
    for name, image_id in PUBLIC_PARAMETERS.items():
        dict.setdefault(
            parameters,
            name,
            [
                parameter_class(
                    account_id=parameters.account_id,
                    name=name,
                    value=image_id,
                    parameter_type="String",
                    description=None,
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=_PUBLISHED_AT.replace(tzinfo=None),
                    version=1,
                    data_type="aws:ec2:image",
                )
            ],
        )


def install() -> None:
    """Install into moto."""
    prepare()
    if patches.is_applied:
        return
    from moto.ec2.models.amis import Ami, AmiBackend
    from moto.ssm.models import ParameterDict

    patches.add(AmiBackend)(_load_amis)
    patches.wrap(AmiBackend)(create_image)
    patches.add_property(Ami)(block_device_mappings)
    patches.wrap(ParameterDict)(_check_loading_status)
    patches.apply()
