"""The only place for which rules there are."""

from infra.policy import compute, data, identity, network, stack
from infra.policy.judging import AnyRule

RULES: tuple[AnyRule, ...] = (
    *compute.RULES,
    *network.RULES,
    *data.RULES,
    *identity.RULES,
    *stack.RULES,
)

NAME = "terrace"
"""The policy pack's own name, in the engine's events too."""
