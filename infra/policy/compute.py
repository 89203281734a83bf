"""The only place for the rules of machines and their volumes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from infra.core.cost.resource import Resource, dig
from infra.core.instances import INSTANCE_TYPES, Architecture
from infra.core.naming import FAKE_AMI, Environment
from infra.policy.judging import Facts, Rule, Severity

INSTANCE = "aws:ec2/instance:Instance"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
VOLUME = "aws:ebs/volume:Volume"
MOST_HOPS = 2
"""Two, where containers ask for credentials (EC2 User Guide, "Configure the instance metadata options")."""

SECRETS = re.compile(
    r"(?P<aws>\b(AKIA|ASIA)[0-9A-Z]{16}\b)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)"
    r"|(?P<word>(?i:password|passwd|secret|token|api_?key)['\"]?\s*[=:]\s*['\"]?(?![$/{<])[^\s'\"$<{]{8,})"
)
"""What looks like a secret with its value: a key id, a private key, a word with something after it."""


def _imdsv2(resource: Resource, _facts: Facts) -> Iterator[str]:
    if (tokens := resource.value("metadataOptions.httpTokens")) != "required":
        yield f"metadataOptions.httpTokens is {tokens!r}, not 'required'"
    hops = resource.value("metadataOptions.httpPutResponseHopLimit", default=1)
    if hops > MOST_HOPS:
        yield f"metadata answers travel {hops:g} hops, at most {MOST_HOPS}"


def _root_encrypted(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("rootBlockDevice.encrypted") is not True:
        yield "the root volume is not encrypted"


def _encrypted(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("encrypted") is not True:
        yield "the volume is not encrypted"


def _no_key_pair(resource: Resource, _facts: Facts) -> Iterator[str]:
    if name := resource.value("keyName"):
        yield f"has the key pair {name!r}"


def _image(resource: Resource, facts: Facts) -> Iterator[str]:
    image = resource.value("ami")
    if not isinstance(image, str) or not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", image):
        yield f"the image is {image!r}, not an id"
    elif image == FAKE_AMI and facts.environment is not Environment.DEV:
        yield f"{image} is the embedded cloud's stand-in, in {facts.environment}"


def _type(resource: Resource, _facts: Facts) -> Iterator[str]:
    name = resource.value("instanceType")
    known = [each.name for each in INSTANCE_TYPES.values() if each.architecture is Architecture.ARM64]
    if name not in known:
        yield f"{name!r} is not among {', '.join(known)}"


def _user_data(resource: Resource, _facts: Facts) -> Iterator[str]:
    text = resource.value("userData", default="") or ""
    if encoded := resource.value("userDataBase64", default=""):
        text += base64.b64decode(encoded).decode(errors="replace")
    for found in SECRETS.finditer(text):
        kind = {"aws": "an AWS key id", "pem": "a private key"}.get(str(found.lastgroup), "a secret's value")
        line = text.count("\n", 0, found.start()) + 1
        yield f"line {line} of the user data looks like {kind}"


def _no_bare_volumes(resource: Resource, _facts: Facts) -> Iterator[str]:
    for index, device in enumerate(resource.value("ebsBlockDevices", default=()) or ()):
        if dig(device, "encrypted") is not True:
            yield f"block device {index} is not encrypted"


RULES = (
    Rule(
        "ec2-imdsv2", "EC2.8", Severity.HIGH, "Instances answer metadata to session tokens only",
        'Set metadata_options: http_tokens="required", http_put_response_hop_limit=1', (INSTANCE, TEMPLATE), _imdsv2,
    ),
    Rule(
        "ec2-root-encrypted", "EC2.7", Severity.HIGH, "Root volumes are encrypted",
        "Set root_block_device: encrypted=True with the stack's key", (INSTANCE,), _root_encrypted,
    ),
    Rule(
        "ec2-devices-encrypted", "EC2.3", Severity.HIGH, "Volumes made with an instance are encrypted",
        "Make volumes of their own (components/data.py), encrypted", (INSTANCE,), _no_bare_volumes,
    ),
    Rule(
        "ebs-encrypted", "EC2.3", Severity.HIGH, "Volumes are encrypted",
        "Set encrypted=True and the stack's key; changing it later replaces the volume", (VOLUME,), _encrypted,
    ),
    Rule(
        "ec2-no-key-pair", "terrace", Severity.HIGH, "No machine has an SSH key pair",
        "Leave key_name out; use Session Manager", (INSTANCE, TEMPLATE), _no_key_pair,
    ),
    Rule(
        "ec2-image-pinned", "terrace", Severity.HIGH, "Images are pinned by id, stand-ins stay out of prod",
        "Fill terrace:ami with scripts/account.py ami", (INSTANCE,), _image,
    ),
    Rule(
        "ec2-type-allowed", "terrace", Severity.MEDIUM, "Machines are of the types that the project knows and prices",
        "Use a type of infra/core/instances.py, or add it there with its price", (INSTANCE,), _type,
    ),
    Rule(
        "ec2-user-data-no-secret", "terrace", Severity.CRITICAL, "User data holds no secret",
        "Put the value into SSM (scripts/account.py set NAME), its name into the user data", (INSTANCE,), _user_data,
    ),
)  # fmt: skip
