"""The only place for what rules are told of a stack's settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from infra.core.shape import Part
from infra.policy.compute import VOLUME
from infra.policy.data import DATABASE, EIP
from infra.policy.judging import Facts
from infra.settings import Settings, parse

TOKENS: Mapping[Part, str] = {Part.BOX_DATA: VOLUME, Part.DATABASE: DATABASE, Part.EIP: EIP}
"""What a part that can be given up by name is."""


def facts_of(settings: Settings, today: date) -> Facts:
    """What the settings say."""
    return Facts(
        environment=settings.environment,
        today=today,
        budget_usd=settings.budget.usd if settings.budget else None,
        price_book=settings.price_book,
        released=frozenset(TOKENS[part] for part in settings.released),
    )


def facts_from(config: Mapping[str, Any], stack: str, today: date) -> Facts:
    """What the configuration says that the engine hands over.

    Raises:
        TerraceError: the configuration has faults; the program refuses it too, with the same words.
    """
    return facts_of(parse(config, where=f"Pulumi.{stack}.yaml"), today)
