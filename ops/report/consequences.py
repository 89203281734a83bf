"""The only place for what is lost or interrupted when a kind of resource is deleted, replaced or changed.

What the table says follows from AWS's user guides, named by service; minutes are not promised, because nobody has
measured them on a real account. A kind that is not in it loses nothing that the next `up` does not make again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.report.plan import Change, Op


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a kind means to those who use it.

    `lost` goes with the resource for good; `interrupted` stands still until its replacement answers, or until it is
    made again; `changing` says the same for properties that are changed in place. `stateful` kinds hold data or an
    identity that nobody can make again.
    """

    lost: str = ""
    interrupted: str = ""
    stateful: bool = False
    changing: Mapping[str, str] = field(default_factory=dict)


_RESTARTS = "the box stops and starts: nothing on it answers meanwhile"
_DATABASE_RESTARTS = "the database restarts: connections are cut, writes fail meanwhile"
_UNREACHED = "requests that come through it"

TABLE: Mapping[str, Consequence] = {
    # EC2: an instance's type changes while it is stopped; its root volume goes with it.
    "aws:ec2/instance:Instance": Consequence(
        "its root volume, and CPU credits",
        "everything on the box, until a new one has booted and taken volume and address",
        changing={
            "instanceType": _RESTARTS,
            "userData": f"{_RESTARTS}; the new user data runs only on a new box",
            "ebsOptimized": _RESTARTS,
        },
    ),
    "aws:ebs/volume:Volume": Consequence(
        "everything on it that no snapshot holds", "what reads and writes it", stateful=True
    ),
    "aws:rds/instance:Instance": Consequence(
        "the database, but for its snapshots",
        "the application, until its data are restored and its address is known",
        stateful=True,
        changing={
            "instanceClass": _DATABASE_RESTARTS,
            "engineVersion": _DATABASE_RESTARTS,
            "dbSubnetGroupName": _DATABASE_RESTARTS,
            "caCertIdentifier": _DATABASE_RESTARTS,
        },
    ),
    "aws:ec2/eip:Eip": Consequence(
        "the address: names and allow lists that hold it", "who comes by that address", stateful=True
    ),
    "aws:cloudtrail/trail:Trail": Consequence(
        "what happens in the account until a trail stands again; records in the bucket stay"
    ),
    "aws:guardduty/detector:Detector": Consequence("its findings of the last 90 days"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Consequence(
        interrupted="every workflow that takes a role of this account"
    ),
    "aws:kms/key:Key": Consequence(
        "everything encrypted under it, when its waiting period ends",
        "what reads encrypted data",
        stateful=True,
    ),
    "aws:s3/bucket:Bucket": Consequence("every object in it", "what reads and writes it", stateful=True),
    "aws:backup/vault:Vault": Consequence("its recovery points", stateful=True),
    "aws:secretsmanager/secret:Secret": Consequence("the value that was filled in", stateful=True),
    "aws:ssm/parameter:Parameter": Consequence("the value that was filled in"),
    "aws:cloudwatch/logGroup:LogGroup": Consequence("its lines"),
    "aws:dlm/lifecyclePolicy:LifecyclePolicy": Consequence(
        "nothing: its snapshots stay, and nobody takes old ones away"
    ),
    "aws:ec2/eipAssociation:EipAssociation": Consequence(
        interrupted="requests, until the address is at the box again"
    ),
    "aws:ec2/volumeAttachment:VolumeAttachment": Consequence(
        interrupted="what reads and writes the volume: it is taken off and put on again"
    ),
    "aws:ec2/natGateway:NatGateway": Consequence(
        interrupted="what private boxes fetch from outside; open connections are cut"
    ),
    "aws:ec2/vpc:Vpc": Consequence(interrupted="everything in it, for it is made anew with it"),
    "aws:ec2/subnet:Subnet": Consequence(interrupted="everything in it, for it is made anew with it"),
    "aws:ec2/internetGateway:InternetGateway": Consequence(interrupted=_UNREACHED),
    "aws:ec2/route:Route": Consequence(interrupted=_UNREACHED),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Consequence(interrupted="calls that go through it, for moments"),
    "aws:lb/loadBalancer:LoadBalancer": Consequence("its DNS name", _UNREACHED),
    "aws:lb/listener:Listener": Consequence(interrupted=_UNREACHED),
    "aws:lb/targetGroup:TargetGroup": Consequence(
        interrupted="requests, until targets are healthy in the new one"
    ),
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": Consequence(
        interrupted="that target, until it is healthy again"
    ),
    "aws:wafv2/webAcl:WebAcl": Consequence("the requests that it sampled"),
    "aws:wafv2/webAclAssociation:WebAclAssociation": Consequence(
        interrupted="no request; for moments nothing stands before the load balancer"
    ),
    "aws:route53/record:Record": Consequence(interrupted="who asks for the name, until caches have expired"),
    "aws:acm/certificate:Certificate": Consequence(interrupted="HTTPS, until the new one is validated"),
    "aws:iam/role:Role": Consequence(interrupted="what acts under it, for moments"),
    "aws:iam/instanceProfile:InstanceProfile": Consequence(
        interrupted="what acts on the box by its role, for moments"
    ),
    "aws:sns/topic:Topic": Consequence(
        "its subscriptions: somebody has to confirm the e-mail again", "alarms, until then"
    ),
    "aws:sns/topicSubscription:TopicSubscription": Consequence(
        "its confirmation: somebody has to confirm the e-mail again", "alarms, until then"
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Consequence("its history"),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": Consequence("its history"),
    "pulumi-python:dynamic/gpu:Endpoint": Consequence(
        "its address, its workers and what they are reading",
        "receipts, until a worker of the new one is warm",
    ),
}

NONE = Consequence()


def consequence(token: str) -> Consequence:
    """What that kind means."""
    return TABLE.get(token, NONE)


def stateful(change: Change) -> bool:
    """Whether the resource holds what nobody can make again."""
    return consequence(change.resource.token).stateful


def lost(change: Change) -> str:
    """What goes for good; empty where nothing does."""
    if change.op not in (Op.DELETE, Op.REPLACE):
        return ""
    if change.op is Op.DELETE and change.before is not None and change.before.retain:
        return ""  # AWS keeps it: the state alone forgets it.
    return consequence(change.resource.token).lost


def interrupted(change: Change) -> str:
    """What stands still; empty where nothing does."""
    found = consequence(change.resource.token)
    if change.op in (Op.DELETE, Op.REPLACE):
        return found.interrupted
    if change.op is Op.UPDATE:
        said = [found.changing[name] for name in sorted(change.inputs) if name in found.changing]
        return "; ".join(dict.fromkeys(said))
    return ""
