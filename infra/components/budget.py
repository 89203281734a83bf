"""The only place for AWS Budgets: what the team spends with AWS in a month, and whom it tells before it is too much.

The GPU's share is not in it, because AWS never sees it: the alarms `gpu-spend` and `budget` watch that and the whole.
"""

from __future__ import annotations

import pulumi
from pulumi_aws import budgets

from infra.components.base import Component, Context

ACTUAL_PERCENT = (75, 90, 100)
FORECAST_PERCENT = 100


class MonthlyBudget(Component):
    """One budget for the stack's spend with AWS, by its project and environment, told by mail.

    Data of AWS Budgets are 8 to 12 hours late (verify).
    """

    def __init__(self, context: Context, *, parent: pulumi.Resource) -> None:
        super().__init__("money:MonthlyBudget", "budget", parent)
        settings = context.settings
        assert settings.budget is not None  # noqa: S101 the layout makes none otherwise
        levels = [("ACTUAL", percent) for percent in ACTUAL_PERCENT] + [("FORECASTED", FORECAST_PERCENT)]
        budgets.Budget(
            "monthly",
            name=context.naming.physical("monthly"),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{settings.budget.aws_usd:f}",
            limit_unit="USD",
            # The cost tags are activated by `scripts/account.py init`; before that the budget sees nothing. Values of
            # a plain cost filter are alternatives: two stacks of one account would each count both.
            filter_expression=budgets.BudgetFilterExpressionArgs(
                ands=[
                    budgets.BudgetFilterExpressionAndArgs(
                        tags=budgets.BudgetFilterExpressionAndTagsArgs(
                            key=key, values=[value], match_options=["EQUALS"]
                        )
                    )
                    for key, value in (
                        ("Project", context.naming.project),
                        ("Environment", settings.environment.value),
                    )
                ]
            ),
            # What cost types stood for by default, in the words that a filter expression wants.
            metrics="UnblendedCost",
            notifications=[
                budgets.BudgetNotificationArgs(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_email_addresses=[settings.alarm_email],
                )
                for kind, percent in levels
            ],
            tags=context.tags("monthly"),
            # Its name is unique in the account, so no second one can stand beside it.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.register_outputs({})
