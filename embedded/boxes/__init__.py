"""Boxes: EC2 instances of the embedded cloud that are real Debian 13 machines. What others use is named here.

One process (`enclosure`) holds everything that is alive; when the supervisor ends, it ends. From plain values
(`model.World`) `host.Host` brings machines (`box`, `machine`), networks (`vpc`, `firewall`, `uplink`), volumes
(`disks`, `loops`) and the services of the link (`imds`, `dns`) to what is described, as often as it is told.
"""

from embedded.boxes.addresses import ENDPOINT, METADATA, RESOLVER
from embedded.boxes.dns import Record, Reply
from embedded.boxes.errors import (
    BoxesError,
    BusyError,
    HostError,
    NotRunningError,
    RootfsError,
    SpecError,
    UnknownError,
)
from embedded.boxes.host import Host
from embedded.boxes.imds import Credentials
from embedded.boxes.model import (
    BoxSpec,
    Identity,
    MetadataOptions,
    Power,
    Rule,
    SecurityGroup,
    VolumeSpec,
    World,
)
from embedded.boxes.needs import Unavailable, available
from embedded.boxes.status import Attachment, Boot, BoxStatus, Completed, State, VolumeStatus

__all__ = [
    "ENDPOINT",
    "METADATA",
    "RESOLVER",
    "Attachment",
    "Boot",
    "BoxSpec",
    "BoxStatus",
    "BoxesError",
    "BusyError",
    "Completed",
    "Credentials",
    "Host",
    "HostError",
    "Identity",
    "MetadataOptions",
    "NotRunningError",
    "Power",
    "Record",
    "Reply",
    "RootfsError",
    "Rule",
    "SecurityGroup",
    "SpecError",
    "State",
    "Unavailable",
    "UnknownError",
    "VolumeSpec",
    "VolumeStatus",
    "World",
    "available",
]
