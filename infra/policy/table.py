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
