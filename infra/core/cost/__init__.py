"""What things cost a month, in USD before tax: stages of the ladder, stacks planned and standing, and what moves.

stage_cost(stage, book)              the ladder's lines, as options are compared (stage.py)
price_stack(resources, book, usage)  any set of resources: fixed, measured and assumed use, as a range (stack.py)
stage_resources(stage)               what a stage consists of, without an engine (standing.py)
"""

from infra.core.cost.money import CENT, Basis, Span, rounded, together
from infra.core.cost.resource import UNKNOWN, Resource, masked
from infra.core.cost.stack import CostLine, StackCost, price_stack
from infra.core.cost.stage import DOCUMENT_TRAFFIC_GIB, Line, Scope, StageCost, stage_cost
from infra.core.cost.standing import stage_resources
from infra.core.cost.usage import ASSUMED, DEFAULT, Usage, read_usage
from infra.core.cost.watching import watching_monthly

__all__ = [
    "ASSUMED",
    "CENT",
    "DEFAULT",
    "DOCUMENT_TRAFFIC_GIB",
    "UNKNOWN",
    "Basis",
    "CostLine",
    "Line",
    "Resource",
    "Scope",
    "Span",
    "StackCost",
    "StageCost",
    "Usage",
    "masked",
    "price_stack",
    "read_usage",
    "rounded",
    "stage_cost",
    "stage_resources",
    "together",
    "watching_monthly",
]
