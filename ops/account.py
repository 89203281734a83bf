"""What is done once for an account: state bucket, key, image id, values of secrets. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from infra.core import external_ai
from infra.core.errors import Fault, TerraceError
from infra.core.naming import MANDATORY_TAGS, Naming
from ops import stackfile

DEBIAN_ACCOUNT = "136693071363"
"""The account that publishes Debian's images (Debian wiki, Cloud/AmazonEC2Image) (verify)."""

DEBIAN_PARAMETER = "/aws/service/debian/release/13/latest/arm64"
"""The public parameter that names the newest image of Debian 13 (verify)."""

STATE_KEY_ALIAS = "alias/{project}-state"


@dataclass(frozen=True, slots=True)
class Image:
    """A machine image as its publisher describes it."""

    id: str
    name: str
    owner: str
    architecture: str
    created: datetime


class AccountPort(Protocol):
    """What the use cases need of an account. Every `ensure_…` says whether it had to change something."""

    def account_id(self) -> str:
        """Whose credentials these are."""

    def ensure_key(self, alias: str, description: str) -> bool:
        """A key with rotation under that alias."""

    def ensure_state_bucket(self, name: str, key_alias: str) -> bool:
        """A versioned, encrypted, private bucket that takes TLS only."""

    def activate_tags(self, keys: Sequence[str]) -> Sequence[str]:
        """Activates cost-allocation tags; returns those that billing has not seen yet."""

    def image(self, parameter: str, owner: str) -> Image | None:
        """The image that the parameter names, or the owner's newest Debian 13 arm64 one."""

    def parameter_version(self, name: str) -> int | None:
        """How often a parameter was written (1: only made), or None where there is none."""

    def put_secret(self, name: str, value: str) -> None:
        """Writes a secret into a parameter that exists, under the key that it has."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` came to: each line of what was done or stood already, and what a person does next."""

    done: tuple[str, ...]
    next: tuple[str, ...]


def prepare(port: AccountPort, root: Path, stack: str, project: str, region: str) -> Prepared:
    """Makes the account ready for a stack: key, state bucket, tags, and the secrets provider in its file.

    Raises:
        TerraceError: no credentials, or no file of that stack.
    """
    path = stackfile.path_of(root, stack)
    account = port.account_id()
    naming = Naming(project, stack)
    alias, bucket = STATE_KEY_ALIAS.format(project=project), naming.state_bucket(account)
    done = [
        _line(port.ensure_key(alias, f"The Pulumi state of {project}"), f"key {alias}"),
        _line(port.ensure_state_bucket(bucket, alias), f"bucket {bucket}"),
        # A key for each stack: whoever may preview dev cannot open prod's secrets (components/roles.py).
        _line(
            port.ensure_key(naming.state_key, f"Secrets in {naming.prefix}'s state"),
            f"key {naming.state_key}",
        ),
    ]
    provider = f"awskms://{naming.state_key}?region={region}"
    changed = stackfile.set_value(path, "secretsprovider", provider, top_level=True)
    done.append(_line(changed, f"secrets provider in {path.name}"))
    unseen = port.activate_tags(MANDATORY_TAGS)
    seen = [tag for tag in MANDATORY_TAGS if tag not in unseen]
    if seen:
        done.append(f"cost-allocation tags active: {', '.join(seen)}")
    then = [
        f"pulumi login 's3://{bucket}?region={region}'",
        f"pulumi stack init {stack} --secrets-provider '{provider}'",
    ]
    if unseen:
        then.append(
            f"run this again a day after the first `up`: billing has not seen {', '.join(unseen)} yet"
        )
    return Prepared(tuple(done), tuple(then))


def pin_image(port: AccountPort, root: Path, stack: str) -> tuple[Image, bool]:
    """Writes the publisher's newest image into the stack's file; the image, and whether it was another before.

    Raises:
        TerraceError: the publisher has none, or what was found is not the publisher's or not for arm64.
    """
    path = stackfile.path_of(root, stack)
    image = port.image(DEBIAN_PARAMETER, DEBIAN_ACCOUNT)
    if image is None:
        raise TerraceError(
            Fault(
                "terrace:ami",
                f"account {DEBIAN_ACCOUNT} shows no Debian 13 image here",
                "Look at the region's name",
            )
        )
    faults = [
        Fault("terrace:ami", f"{image.id} {what}", "Nothing was written; find out who published it")
        for wrong, what in (
            (image.owner != DEBIAN_ACCOUNT, f"belongs to {image.owner}, not to {DEBIAN_ACCOUNT}"),
            (image.architecture != "arm64", f"is for {image.architecture}, not for arm64"),
        )
        if wrong
    ]
    if faults:
        raise TerraceError(*faults)
    changed = stackfile.set_value(
        path, "terrace:ami", image.id, comment=f"{image.name}, {image.created.date().isoformat()}"
    )
    return image, changed


def fill_secret(port: AccountPort, root: Path, stack: str, project: str, name: str, value: str) -> str:
    """Writes the value of one of the application's secrets; the parameter's name.

    Raises:
        TerraceError: the stack names no such secret, it has not been made yet, or the value is empty. No fault
            holds the value.
    """
    known = _secrets(root, stack)
    if name not in known:
        raise TerraceError(
            Fault(
                name,
                f"is no secret of stack {stack}",
                f"Secrets: {', '.join(known) or 'none'} (terrace:app.secrets)",
            )
        )
    if not value.strip():
        raise TerraceError(Fault(name, "got an empty value", "Give it on standard input"))
    parameter = Naming(project, stack).parameter("app", name)
    if port.parameter_version(parameter) is None:
        raise TerraceError(
            Fault(
                parameter,
                "is not there",
                f"Make it first: pulumi up -s {stack}; or these are another account's keys",
            )
        )
    port.put_secret(parameter, value)
    return parameter


def unfilled(port: AccountPort, root: Path, stack: str, project: str) -> dict[str, str]:
    """Each secret of the stack with its state: `set`, `unset` (made, never filled) or `missing` (not made)."""
    found = {}
    for name in _secrets(root, stack):
        version = port.parameter_version(Naming(project, stack).parameter("app", name))
        found[name] = "missing" if version is None else "unset" if version == 1 else "set"
    return found


def _line(changed: bool, what: str) -> str:  # noqa: FBT001
    return f"{what}: {'made' if changed else 'stood already'}"


def _secrets(root: Path, stack: str) -> list[str]:
    config = stackfile.config(stackfile.path_of(root, stack))
    named = list((config.get("terrace:app") or {}).get("secrets") or [])
    return [*named, *([external_ai.KEY_VARIABLE] if config.get("terrace:externalAi") else [])]
