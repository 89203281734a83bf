"""The only place for the web ACL before the load balancer: rule groups that AWS keeps, counting or blocking."""

from __future__ import annotations

import pulumi

from infra.components.base import Component, Context
from infra.core.shape import Firewall as Mode

GROUPS = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)
"""In the order in which they are asked (AWS WAF Developer Guide, "AWS Managed Rules rule groups list"). The second
stops bodies over 8 KB; receipts go to their bucket by presigned URLs and do not come by here."""


class Firewall(Component):
    """A web ACL of AWS WAF and its place before a load balancer. What no rule stops goes through."""

    def __init__(
        self, context: Context, mode: Mode, *, balancer_arn: pulumi.Input[str], parent: pulumi.Resource
    ) -> None:
        super().__init__("firewall:Firewall", "firewall", parent)
        # Read where it is wanted alone: its module takes as long as the rest of the program.
        from pulumi_aws import wafv2

        name = context.naming.physical("firewall")

        override = (
            wafv2.WebAclRuleOverrideActionArgs(none=wafv2.WebAclRuleOverrideActionNoneArgs())
            if mode is Mode.BLOCK
            else wafv2.WebAclRuleOverrideActionArgs(count=wafv2.WebAclRuleOverrideActionCountArgs())
        )
        acl = wafv2.WebAcl(
            "firewall",
            name=name,
            description="What reaches the load balancer",
            scope="REGIONAL",
            default_action=wafv2.WebAclDefaultActionArgs(allow=wafv2.WebAclDefaultActionAllowArgs()),
            rules=[
                wafv2.WebAclRuleArgs(
                    name=group,
                    priority=number,
                    override_action=override,
                    statement=wafv2.WebAclRuleStatementArgs(
                        managed_rule_group_statement=wafv2.WebAclRuleStatementManagedRuleGroupStatementArgs(
                            name=group, vendor_name="AWS"
                        )
                    ),
                    visibility_config=wafv2.WebAclRuleVisibilityConfigArgs(
                        cloudwatch_metrics_enabled=True, metric_name=group, sampled_requests_enabled=True
                    ),
                )
                for number, group in enumerate(GROUPS)
            ],
            # Samples hold paths and headers of requests; who may read the web ACL sees them.
            visibility_config=wafv2.WebAclVisibilityConfigArgs(
                cloudwatch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
            ),
            tags=context.tags("firewall"),
            opts=self.child,
        )
        wafv2.WebAclAssociation("firewall", resource_arn=balancer_arn, web_acl_arn=acl.arn, opts=self.child)
        self.register_outputs({})
