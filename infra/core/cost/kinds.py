"""The only place for which kinds of resources cost something, and which nothing; one on neither list is an error."""

from __future__ import annotations

from collections.abc import Mapping

from infra.core.cost import kinds_compute, kinds_data, kinds_gpu, kinds_network, kinds_watch
from infra.core.cost.component import Priced

PRICED: Mapping[str, Priced] = {
    **kinds_compute.PRICED,
    **kinds_network.PRICED,
    **kinds_data.PRICED,
    **kinds_watch.PRICED,
    **kinds_gpu.PRICED,
}

_PART = "a part of what is priced beside it"
_NETWORK = "no charge of its own (VPC pricing)"
_IAM = "IAM is free of charge"
_MANAGER = "no charge for EC2 instances (Systems Manager pricing)"
_CARRIED = "carried and stored by what is priced beside it"

FREE: Mapping[str, str] = {
    "pulumi-python:dynamic/guard:Guard": "stands in the state alone",
    **dict.fromkeys(
        (
            "aws:ec2/vpc:Vpc",
            "aws:ec2/subnet:Subnet",
            "aws:ec2/routeTable:RouteTable",
            "aws:ec2/route:Route",
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation",
            "aws:ec2/internetGateway:InternetGateway",
            "aws:ec2/securityGroup:SecurityGroup",
            "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
            "aws:ec2/securityGroupRule:SecurityGroupRule",
            "aws:ec2/networkAcl:NetworkAcl",
            "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl",
            "aws:ec2/defaultRouteTable:DefaultRouteTable",
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
            "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
        ),
        _NETWORK,
    ),
    **dict.fromkeys(
        (
            "aws:ec2/eipAssociation:EipAssociation",
            "aws:ec2/volumeAttachment:VolumeAttachment",
            "aws:ec2/launchTemplate:LaunchTemplate",
            "aws:lb/listener:Listener",
            "aws:lb/listenerRule:ListenerRule",
            "aws:lb/listenerCertificate:ListenerCertificate",
            "aws:lb/targetGroup:TargetGroup",
            "aws:lb/targetGroupAttachment:TargetGroupAttachment",
            "aws:rds/subnetGroup:SubnetGroup",
            "aws:rds/parameterGroup:ParameterGroup",
            "aws:kms/alias:Alias",
            "aws:kms/keyPolicy:KeyPolicy",
            "aws:kms/grant:Grant",
            "aws:secretsmanager/secretVersion:SecretVersion",
            "aws:secretsmanager/secretPolicy:SecretPolicy",
            "aws:secretsmanager/secretRotation:SecretRotation",
            "aws:backup/plan:Plan",
            "aws:backup/selection:Selection",
            "aws:backup/vaultPolicy:VaultPolicy",
            "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
            "aws:wafv2/webAclAssociation:WebAclAssociation",
            "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
            "aws:wafv2/ipSet:IpSet",
            "aws:lambda/permission:Permission",
            "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
            "aws:route53/record:Record",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
            "aws:s3/bucketPolicy:BucketPolicy",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "aws:s3/bucketVersioning:BucketVersioning",
            "aws:s3/bucketLogging:BucketLogging",
            "aws:s3/bucketNotification:BucketNotification",
            "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
            "aws:s3/bucketObjectv2:BucketObjectv2",
            "aws:s3/bucketObject:BucketObject",
            "aws:sns/topicPolicy:TopicPolicy",
            "aws:sns/topicSubscription:TopicSubscription",
        ),
        _PART,
    ),
    **dict.fromkeys(
        (
            "aws:iam/role:Role",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "aws:iam/rolePoliciesExclusive:RolePoliciesExclusive",
            "aws:iam/policy:Policy",
            "aws:iam/instanceProfile:InstanceProfile",
            "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
            "aws:iam/serviceLinkedRole:ServiceLinkedRole",
            "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
            "aws:accessanalyzer/analyzer:Analyzer",
        ),
        _IAM,
    ),
    **dict.fromkeys(
        (
            "aws:ssm/association:Association",
            "aws:ssm/document:Document",
            "aws:ssm/maintenanceWindow:MaintenanceWindow",
            "aws:ssm/maintenanceWindowTarget:MaintenanceWindowTarget",
            "aws:ssm/maintenanceWindowTask:MaintenanceWindowTask",
            "aws:ssm/patchBaseline:PatchBaseline",
            "aws:ssm/patchGroup:PatchGroup",
            "aws:ssm/defaultPatchBaseline:DefaultPatchBaseline",
            "aws:ssm/serviceSetting:ServiceSetting",
        ),
        _MANAGER,
    ),
    **dict.fromkeys(
        (
            "aws:cloudwatch/logResourcePolicy:LogResourcePolicy",
            "aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter",
            "aws:cloudwatch/queryDefinition:QueryDefinition",
            "aws:cloudwatch/logStream:LogStream",
            "aws:cloudtrail/trail:Trail",
        ),
        _CARRIED,
    ),
    "aws:cloudwatch/eventRule:EventRule": "events of AWS services are free (EventBridge pricing)",
    "aws:cloudwatch/eventTarget:EventTarget": "events of AWS services are free (EventBridge pricing)",
    "aws:acm/certificate:Certificate": "public certificates for AWS services are free (ACM pricing)",
    "aws:acm/certificateValidation:CertificateValidation": "waits for a certificate",
    "aws:budgets/budget:Budget": "alerts are free (AWS Budgets pricing)",
    "aws:costexplorer/anomalyMonitor:AnomalyMonitor": "anomaly detection is free (Cost Management pricing)",
    "aws:costexplorer/anomalySubscription:AnomalySubscription": "anomaly detection is free",
    "aws:costexplorer/costAllocationTag:CostAllocationTag": "a setting of the account",
    "aws:ebs/encryptionByDefault:EncryptionByDefault": "a setting of the account",
    "aws:ebs/defaultKmsKey:DefaultKmsKey": "a setting of the account",
    "aws:ebs/snapshotBlockPublicAccess:SnapshotBlockPublicAccess": "a setting of the account",
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock": "a setting of the account",
    "aws:ec2/instanceMetadataDefaults:InstanceMetadataDefaults": "a setting of the account",
}
"""Kinds that nothing is billed for, each with the reason. A trail's first copy of management events is free."""


def is_free(token: str) -> bool:
    """Whether nothing is billed for that kind; providers and components are nothing in the cloud."""
    return token in FREE or token.startswith("pulumi:")
