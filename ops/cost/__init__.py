"""What money questions are answered with; no cloud is asked.

Amounts are USD a month before tax. A range is P10 to P90 of what use decides; a fixed line has none.
"""

from ops.cost.answer import Answer, Table
from ops.cost.choices import book, capacity, gpu, instance, ladder, options
from ops.cost.refresh import answer as refreshed
from ops.cost.refresh import refresh
from ops.cost.stack import calibrate, diff, stack, stage, stages_diff

__all__ = [
    "Answer",
    "Table",
    "book",
    "calibrate",
    "capacity",
    "diff",
    "gpu",
    "instance",
    "ladder",
    "options",
    "refresh",
    "refreshed",
    "stack",
    "stage",
    "stages_diff",
]
