"""Route 53: hosted zone ids begin with a Z, as all that AWS gives do (Route 53 API reference, CreateHostedZone)."""

from __future__ import annotations

from typing import Any

from moto.route53.models import HostedZoneIdentifier

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(HostedZoneIdentifier)
def generate(original: Any, identifier: Any, existing_ids: Any = None, tags: Any = None) -> str:
    return f"Z{original(identifier, existing_ids, tags)}"[:21]


def install() -> None:
    """Install into moto."""
    patches.apply()
