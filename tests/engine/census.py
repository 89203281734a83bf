"""The one place that counts what stands in the embedded cloud, by the API's own listings and without any state."""

from __future__ import annotations

from collections import Counter
from typing import Any

EC2 = {
    "vpcs": lambda ec2: [each for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]],
    "volumes": lambda ec2: ec2.describe_volumes()["Volumes"],
    "addresses": lambda ec2: ec2.describe_addresses()["Addresses"],
    "gateways": lambda ec2: [
        each for each in ec2.describe_internet_gateways()["InternetGateways"] if each.get("Tags")
    ],
    "route tables": lambda ec2: [
        each for each in ec2.describe_route_tables()["RouteTables"] if each.get("Tags")
    ],
    # moto keeps showing deleted ones, as AWS does for a while.
    "endpoints": lambda ec2: [
        each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"] if each["State"] != "deleted"
    ],
    "flow logs": lambda ec2: ec2.describe_flow_logs()["FlowLogs"],
    "subnets": lambda ec2: [each for each in ec2.describe_subnets()["Subnets"] if not each["DefaultForAz"]],
    "groups": lambda ec2: [
        each for each in ec2.describe_security_groups()["SecurityGroups"] if each["GroupName"] != "default"
    ],
    "rules": lambda ec2: [
        each for each in ec2.describe_security_group_rules()["SecurityGroupRules"] if each.get("Tags")
    ],
    "instances": lambda ec2: [
        each
        for group in ec2.describe_instances()["Reservations"]
        for each in group["Instances"]
        if each["State"]["Name"] != "terminated"
    ],
}


def census(project: Any) -> Counter[str]:
    """How many of each kind stand."""
    ec2 = project.client("ec2")
    counted = Counter({name: len(look(ec2)) for name, look in EC2.items()})
    kms = project.client("kms")
    counted.update(
        {
            "keys": sum(
                kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
                for each in kms.list_keys()["Keys"]
            ),
            "buckets": len(project.client("s3").list_buckets()["Buckets"]),
            "roles": len(project.client("iam").list_roles()["Roles"]),
            "profiles": len(project.client("iam").list_instance_profiles()["InstanceProfiles"]),
            "log groups": len(project.client("logs").describe_log_groups()["logGroups"]),
            "parameters": len(project.client("ssm").describe_parameters()["Parameters"]),
            "topics": len(project.client("sns").list_topics()["Topics"]),
            "subscriptions": len(project.client("sns").list_subscriptions()["Subscriptions"]),
            "policies": len(project.client("dlm").get_lifecycle_policies()["Policies"]),
        }
    )
    return counted
