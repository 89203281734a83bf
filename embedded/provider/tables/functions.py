"""The functions (invokes) that programs ask for."""

from __future__ import annotations

from embedded.provider.table import Expression, Function, Read, found, given

FUNCTIONS = (
    Function(
        "aws:index/getCallerIdentity:getCallerIdentity",
        Read("sts.get_caller_identity", {}),
        {
            "accountId": found("Account"),
            "arn": found("Arn"),
            "userId": found("UserId"),
            "id": found("Account"),
        },
    ),
    Function(
        "aws:index/getRegion:getRegion",
        Read("sts.get_caller_identity", {}),
        {
            "id": Expression(lambda scope: scope.region),
            "region": Expression(lambda scope: scope.region),
            "name": Expression(lambda scope: scope.region),
        },
    ),
    Function(
        "aws:index/getAvailabilityZones:getAvailabilityZones",
        Read("ec2.describe_availability_zones", {}),
        {
            "id": Expression(lambda scope: scope.region),
            "names": found("AvailabilityZones[].ZoneName"),
            "zoneIds": found("AvailabilityZones[].ZoneId"),
        },
    ),
    Function(
        "aws:ssm/getParameter:getParameter",
        Read("ssm.get_parameter", {"Name": given("name"), "WithDecryption": True}, at="Parameter"),
        {
            "id": found("Name"),
            "name": found("Name"),
            "arn": found("ARN"),
            "type": found("Type"),
            "value": found("Value"),
            "version": found("Version"),
        },
    ),
)
