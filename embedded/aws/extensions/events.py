"""EventBridge: a rule with a schedule and no pattern takes no event, which moto 5.2.5 sends it all the same."""

from __future__ import annotations

from typing import Any

from moto.events.models import Rule

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(Rule)
def send_to_targets(original: Any, rule: Any, *arguments: Any, **more: Any) -> None:
    """Only where a pattern let the event through (EventBridge User Guide, "Rules that run on a schedule")."""
    if rule.scheduled_expression and not rule.event_pattern.get_pattern():
        return
    original(rule, *arguments, **more)


def install() -> None:
    """Install into moto."""
    patches.apply()
