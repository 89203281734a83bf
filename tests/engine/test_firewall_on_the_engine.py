"""AWS WAF before the load balancer, on the real engine: switched on, turned from counting to blocking, off again."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Project

pytestmark = [pytest.mark.drill, pytest.mark.matrix]


def test_the_firewall_is_switched_on_turned_and_off_and_nothing_else_changes(named: Project) -> None:
    named.write(stage="private")
    named.up()
    wafv2 = named.client("wafv2")
    for mode, action in (("count", "Count"), ("block", "None")):
        named.write(edge={"firewall": mode})
        steps = named.steps()
        assert "aws:wafv2/webAcl:WebAcl::firewall" in steps
        assert set(steps) <= {
            "aws:wafv2/webAcl:WebAcl::firewall",
            "aws:wafv2/webAclAssociation:WebAclAssociation::firewall",
            "terrace:firewall:Firewall::firewall",
            "pulumi:pulumi:Stack::terrace-dev",
        }
        named.up()
        (summary,) = wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"]
        acl = wafv2.get_web_acl(Name=summary["Name"], Id=summary["Id"], Scope="REGIONAL")["WebACL"]
        assert [list(each["OverrideAction"]) for each in acl["Rules"]] == [[action]] * 3
        balancer = named.client("elbv2").describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
        assert wafv2.get_web_acl_for_resource(ResourceArn=balancer)["WebACL"]["ARN"] == acl["ARN"]
        named.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes")
    named.write(edge=None)
    named.up()
    assert wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"] == []
