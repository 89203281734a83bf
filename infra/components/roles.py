"""The only place for what a workflow's role may do: looking at one stack, changing it alone, proving its backups.

A preview looks, and decrypts with its own stack's keys. A deploy writes: where AWS lets a name stand in a policy,
only that stack's names; where it does not (most of EC2 at creation), single actions in one region; what destroys
machines and networks, only what carries the stack's Name tag. A drill makes scratch stacks, `PROJECT-drill-…`, and
reads of the stack whose backups it restores no more than their names. None may change the roles themselves or what an
account has once. tests/program/test_account.py holds the lists against every call that the program's kinds make.
"""

from __future__ import annotations

from typing import Any

from infra.components.base import Context
from infra.core.naming import DRILLS, Naming
from infra.core.storage import BucketRole

WORKFLOWS = "workflow"
"""Names these roles `PROJECT-workflow-…`, outside of every stack's own prefix: a deploy cannot widen itself."""

# No action here reads an object, a parameter, a secret or a log line.
_LOOK = [
    "acm:Describe*", "acm:List*", "backup:Describe*", "backup:Get*", "backup:List*", "budgets:ListTagsForResource",
    "budgets:ViewBudget", "ce:ListCostAllocationTags", "cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:List*",
    "cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*", "dlm:Get*", "ec2:Describe*",
    "ec2:GetEbsEncryptionByDefault", "elasticloadbalancing:Describe*", "guardduty:Get*", "guardduty:List*",
    "iam:GetInstanceProfile", "iam:GetOpenIDConnectProvider", "iam:GetRole*", "iam:List*",
    "kms:DescribeKey", "kms:GetKey*", "kms:List*", "lambda:GetFunction*",
    "lambda:GetPolicy", "lambda:List*", "logs:DescribeLogGroups", "logs:DescribeMetricFilters", "logs:ListTags*",
    "rds:Describe*", "rds:ListTagsForResource", "route53:Get*", "route53:List*", "s3:GetAccountPublicAccessBlock",
    "sns:Get*", "sns:List*", "ssm:DescribeParameters", "ssm:ListTagsForResource",
]  # fmt: skip

_BUCKET_LOOK = [
    "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration", "s3:ListBucket",
]  # fmt: skip

# By single names: EC2 knows neither name nor tag of what a call is about to make or to join.
_EC2_MAKES = [
    "AllocateAddress", "AssociateAddress", "AssociateRouteTable", "AttachInternetGateway", "AttachVolume",
    "AuthorizeSecurityGroup*gress", "CreateFlowLogs", "CreateInternetGateway",
    "CreateNatGateway", "CreateRoute", "CreateRouteTable", "CreateSecurityGroup", "CreateSnapshot", "CreateSubnet",
    "CreateVolume", "CreateVpc", "CreateVpcEndpoint", "DeleteFlowLogs", "DeleteRoute",
    "DetachInternetGateway", "DetachVolume", "DisassociateAddress", "DisassociateRouteTable",
    "ModifyInstanceAttribute", "ModifyInstanceCreditSpecification", "ModifyInstanceMetadataOptions",
    "ModifySecurityGroupRules", "ModifySubnetAttribute", "ModifyVolume", "ModifyVpcAttribute", "ModifyVpcEndpoint",
    "MonitorInstances", "ReplaceIamInstanceProfileAssociation", "ReplaceRoute", "RevokeSecurityGroup*gress",
    "RunInstances", "UnmonitorInstances",
]  # fmt: skip

_EC2_BREAKS = [
    "CreateTags", "DeleteInternetGateway", "DeleteNatGateway", "DeleteRouteTable", "DeleteSecurityGroup",
    "DeleteSubnet", "DeleteTags", "DeleteVolume", "DeleteVpc", "DeleteVpcEndpoints", "ReleaseAddress",
    "StartInstances", "StopInstances", "TerminateInstances",
]  # fmt: skip

# What AWS names by ids of its own; for composite alarms it wants both actions on every resource (CloudWatch API
# reference, PutCompositeAlarm).
_BY_ID = [
    "acm:AddTagsToCertificate", "acm:DeleteCertificate", "acm:RemoveTagsFromCertificate", "acm:RequestCertificate",
    "backup:CreateBackupPlan", "backup:CreateBackupSelection", "backup:DeleteBackupPlan",
    "backup:DeleteBackupSelection", "backup:TagResource", "backup:UntagResource", "backup:UpdateBackupPlan",
    "cloudwatch:DeleteAlarms", "cloudwatch:PutCompositeAlarm",
    "dlm:CreateLifecyclePolicy", "dlm:DeleteLifecyclePolicy", "dlm:TagResource", "dlm:UntagResource",
    "dlm:UpdateLifecyclePolicy", "kms:CreateKey",
]  # fmt: skip

# An action reaches only its own service's resources, so one list for all of them says the same as one for each.
_BY_NAME = [
    "backup:CreateBackupVault", "backup:DeleteBackupVault",
    "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource",
    "cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource",
    "cloudwatch:UntagResource",
    "elasticloadbalancing:AddTags", "elasticloadbalancing:Create*", "elasticloadbalancing:Delete*",
    "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:Modify*", "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RemoveTags", "elasticloadbalancing:Set*",
    "iam:AddRoleToInstanceProfile", "iam:AttachRolePolicy", "iam:CreateInstanceProfile", "iam:CreateRole",
    "iam:DeleteInstanceProfile", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
    "iam:PutRolePolicy", "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile", "iam:TagRole",
    "iam:UntagInstanceProfile", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
    "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias",
    "lambda:AddPermission", "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:RemovePermission",
    "lambda:TagResource", "lambda:UntagResource", "lambda:UpdateFunction*",
    "logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteMetricFilter",
    "logs:DeleteRetentionPolicy", "logs:DisassociateKmsKey", "logs:PutMetricFilter", "logs:PutRetentionPolicy",
    "logs:Tag*", "logs:Untag*",
    "rds:AddTagsToResource", "rds:CreateDB*", "rds:DeleteDB*", "rds:ModifyDB*", "rds:RemoveTagsFromResource",
    "rds:ResetDBParameterGroup",
    "route53:ChangeResourceRecordSets",
    "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucket*", "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "secretsmanager:CreateSecret", "secretsmanager:TagResource",
    "sns:CreateTopic", "sns:DeleteTopic", "sns:Set*Attributes", "sns:Subscribe", "sns:TagResource", "sns:Unsubscribe",
    "sns:UntagResource",
    "ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:PutParameter", "ssm:RemoveTagsFromResource",
]  # fmt: skip

_KEY = [
    "kms:CreateAlias", "kms:CreateGrant", "kms:DeleteAlias", "kms:DisableKey", "kms:DisableKeyRotation",
    "kms:EnableKeyRotation", "kms:Encrypt", "kms:GenerateDataKey*", "kms:PutKeyPolicy", "kms:ReEncrypt*",
    "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
]  # fmt: skip


# -- a restore drill: what a scratch stack is made of, and what pulumi-aws reads of it --
_DRILL_LOOK = [
    "ec2:Describe*", "iam:GetInstanceProfile", "iam:GetRole*", "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies",
]  # fmt: skip

_DRILL_MAKES = ["ec2:AllocateAddress", "ec2:CreateSecurityGroup", "ec2:CreateVolume", "ec2:RunInstances"]

_DRILL_OWN = [
    "AssociateAddress", "AttachVolume", "AuthorizeSecurityGroup*gress", "DeleteSecurityGroup", "DeleteVolume",
    "DetachVolume", "DisassociateAddress", "ReleaseAddress", "RevokeSecurityGroup*gress", "StopInstances",
    "TerminateInstances",
]  # fmt: skip

_DRILL_BY_NAME = [
    "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateRole", "iam:DeleteInstanceProfile",
    "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy", "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile", "iam:TagRole",
]  # fmt: skip


def preview_statements(context: Context, naming: Naming) -> list[dict[str, Any]]:
    """What a preview of that stack may do: look at everything, read the stack's own state and parameters.

    Parameters are read because a refresh compares them; so a preview can see the application's secrets, and
    prod's previews of changed code wait for a reviewer (docs/workflows.md).
    """
    region, account = context.settings.region, context.account_id
    state = f"arn:aws:s3:::{naming.state_bucket(account)}"
    return [
        _allow("Look", _LOOK, "*"),
        _allow("Buckets", _BUCKET_LOOK, f"arn:aws:s3:::{naming.prefix}-*"),
        _allow(
            "HostBundle",
            ["s3:GetObject", "s3:GetObjectTagging"],
            f"arn:aws:s3:::{naming.bucket(BucketRole.ARTIFACTS.value, account)}/host/*",
        ),
        _allow("StateList", ["s3:ListBucket", "s3:GetBucketLocation"], state),
        _allow(
            "State",
            ["s3:GetObject"],
            # The climbs beside it: a workflow reads the plan that it carries, and writes none.
            [
                f"{state}/{path}"
                for path in (".pulumi/meta.yaml", *_state_of(naming), f"climbs/{naming.stack}/*")
            ],
        ),
        _allow(
            "Parameters",
            ["ssm:GetParameter", "ssm:GetParameters"],
            f"arn:aws:ssm:{region}:{account}:parameter{naming.parameter('*')}",
        ),
        _keys("OwnKeys", ["kms:Decrypt"], context, naming.state_key, f"alias/{naming.prefix}"),
        # The bucket's key is one for the project; through S3 it opens only the objects that `State` names.
        _keys("BucketKey", ["kms:Decrypt"], context, f"alias/{naming.project}-state", through=("s3",)),
    ]


def deploy_statements(context: Context, naming: Naming) -> list[dict[str, Any]]:
    """What an update of that stack, and a release to it, may do besides what its preview may."""
    region, account, prefix = context.settings.region, context.account_id, naming.prefix

    def here(service: str, resource: str) -> str:
        return f"arn:aws:{service}:{region}:{account}:{resource}"

    state = f"arn:aws:s3:::{naming.state_bucket(account)}"
    roles = f"arn:aws:iam::{account}:role/{prefix}-*"
    return [
        *(each for each in preview_statements(context, naming) if each["Sid"] != "HostBundle"),
        {
            **_allow("Region", [*(f"ec2:{each}" for each in _EC2_MAKES), *_BY_ID], "*"),
            "Condition": {"StringEquals": {"aws:RequestedRegion": region}},
        },
        {
            **_allow("Breaks", [f"ec2:{each}" for each in _EC2_BREAKS], "*"),
            "Condition": {"StringLike": {"aws:ResourceTag/Name": f"{prefix}-*"}},
        },
        # A first name, and of this stack: whoever could rename another stack's things could destroy them.
        {
            **_allow("FirstName", ["ec2:CreateTags", "kms:TagResource"], "*"),
            "Condition": {
                "Null": {"aws:ResourceTag/Name": "true"},
                "StringLike": {"aws:RequestTag/Name": f"{prefix}-*"},
            },
        },
        _allow(
            "ByName",
            _BY_NAME,
            [
                here("backup", f"backup-vault:{prefix}-*"),
                f"arn:aws:budgets::{account}:budget/{prefix}-*",
                here("cloudwatch", f"alarm:{prefix}-*"),
                f"arn:aws:cloudwatch::{account}:dashboard/{prefix}*",
                here("elasticloadbalancing", f"*/{prefix}-*"),
                roles,
                f"arn:aws:iam::{account}:instance-profile/{prefix}-*",
                here("kms", f"alias/{prefix}"),
                here("lambda", f"function:{prefix}-*"),
                here("logs", f"log-group:{naming.log_group('*')}"),
                here("rds", f"*:{prefix}-*"),
                # The record's zone is one of the stack's settings, and may be another account's.
                "arn:aws:route53:::hostedzone/*",
                f"arn:aws:s3:::{prefix}-*",
                # RDS makes the master's secret in the caller's name (RDS User Guide, "Password management").
                here("secretsmanager", "secret:rds!*"),
                here("sns", f"{prefix}-*"),
                here("ssm", f"parameter{naming.parameter('*')}"),
            ],
        ),
        _allow(
            "Objects",
            ["s3:DeleteObject", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging"],
            [
                f"arn:aws:s3:::{naming.bucket(BucketRole.ARTIFACTS.value, account)}/*",
                *(f"{state}/{each}" for each in _state_of(naming)),
            ],
        ),
        {
            **_allow("PassRole", ["iam:PassRole"], roles),
            "Condition": {
                "StringEquals": {"iam:PassedToService": _services("ec2", "backup", "dlm", "lambda")}
            },
        },
        {
            **_allow(
                "ServiceRoles",
                ["iam:CreateServiceLinkedRole"],
                f"arn:aws:iam::{account}:role/aws-service-role/*",
            ),
            "Condition": {
                "StringEquals": {"iam:AWSServiceName": _services("elasticloadbalancing", "rds", "backup")}
            },
        },
        # By tag, for the key has no alias while it is made.
        {
            **_allow("Key", _KEY, here("kms", "key/*")),
            "Condition": {"StringEquals": {"aws:ResourceTag/Name": naming.physical("key")}},
        },
        _keys("StateKey", ["kms:Encrypt", "kms:GenerateDataKey*"], context, naming.state_key),
        _keys(
            "BucketKeyWrites",
            ["kms:GenerateDataKey*"],
            context,
            f"alias/{naming.project}-state",
            through=("s3",),
        ),
        # Releases: the box's own program by Run Command, on this stack's boxes.
        {
            **_allow("Boxes", ["ssm:SendCommand"], f"arn:aws:ec2:{region}:{account}:instance/*"),
            "Condition": {"StringLike": {"ssm:resourceTag/Name": f"{prefix}-*"}},
        },
        _allow("Command", ["ssm:SendCommand"], f"arn:aws:ssm:{region}::document/AWS-RunShellScript"),
        _allow("Answer", ["ssm:GetCommandInvocation"], "*"),
    ]


def drill_statements(context: Context, naming: Naming) -> list[dict[str, Any]]:
    """What a restore drill of that stack may do: make, ask and destroy scratch stacks beside it.

    It reads every stack's checkpoint, for the engine does so when it lists stacks (pulumi 3.259,
    backend/diy/backend.go, ListStacks); secrets in them stay shut, but for this stack's. Rows, parameters and the
    pass phrase of the backups are read by the scratch box, in its own role.
    """
    region, account = context.settings.region, context.account_id
    scratch = Naming(naming.project, f"{DRILLS}*")
    state = f"arn:aws:s3:::{naming.state_bucket(account)}"
    roles = f"arn:aws:iam::{account}:role/{scratch.prefix}"

    def ec2(*kinds: str) -> list[str]:
        return [f"arn:aws:ec2:{region}:{account}:{kind}/*" for kind in kinds]

    return [
        _allow("Look", _DRILL_LOOK, "*"),
        _allow("StateList", ["s3:ListBucket", "s3:GetBucketLocation"], state),
        _allow(
            "State",
            ["s3:GetObject"],
            [f"{state}/.pulumi/meta.yaml", f"{state}/.pulumi/stacks/{naming.project}/*"],
        ),
        _allow(
            "ScratchState",
            ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            [f"{state}/{each}" for each in _state_of(scratch)],
        ),
        _allow(
            "Programs",
            ["s3:PutObject"],
            f"arn:aws:s3:::{naming.bucket(BucketRole.ARTIFACTS.value, account)}/host/restore-*",
        ),
        # The scratch stack's file is a copy of this stack's, its secrets provider with it.
        _keys("StateKey", ["kms:Decrypt", "kms:Encrypt"], context, naming.state_key),
        _keys(
            "BucketKey",
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            context,
            f"alias/{naming.project}-state",
            through=("s3",),
        ),
        # The programs' object and the scratch box's disks; what else it opens is not this role's.
        _keys(
            "StackKey",
            ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            context,
            f"alias/{naming.prefix}",
            through=("ec2", "s3"),
        ),
        {
            **_allow("Makes", _DRILL_MAKES, "*"),
            "Condition": {"StringEquals": {"aws:RequestedRegion": region}},
        },
        {
            **_allow(
                "Own",
                [f"ec2:{each}" for each in _DRILL_OWN],
                ec2("elastic-ip", "instance", "security-group", "volume"),
            ),
            "Condition": {"StringLike": {"aws:ResourceTag/Name": scratch.physical("*")}},
        },
        # What these name besides the thing itself, and nobody tagged (Service Authorization Reference, Amazon EC2).
        _allow("Rules", ["ec2:AuthorizeSecurityGroup*gress"], ec2("security-group-rule")),
        _allow("Links", ["ec2:AssociateAddress", "ec2:DisassociateAddress"], ec2("network-interface")),
        {
            **_allow("FirstName", ["ec2:CreateTags"], "*"),
            "Condition": {
                "Null": {"aws:ResourceTag/Name": "true"},
                "StringLike": {"aws:RequestTag/Name": scratch.physical("*")},
            },
        },
        _allow(
            "ByName",
            _DRILL_BY_NAME,
            [roles, f"arn:aws:iam::{account}:instance-profile/{scratch.prefix}"],
        ),
        {
            **_allow("PassRole", ["iam:PassRole"], roles),
            "Condition": {"StringEquals": {"iam:PassedToService": _services("ec2")}},
        },
        {
            **_allow("Boxes", ["ssm:SendCommand"], ec2("instance")),
            "Condition": {"StringLike": {"ssm:resourceTag/Name": scratch.physical("*")}},
        },
        _allow("Command", ["ssm:SendCommand"], f"arn:aws:ssm:{region}::document/AWS-RunShellScript"),
        _allow("Answer", ["ssm:GetCommandInvocation"], "*"),
        {
            **_allow("Results", ["cloudwatch:PutMetricData"], "*"),
            "Condition": {"StringEquals": {"cloudwatch:namespace": naming.project}},
        },
    ]


def _services(*names: str) -> list[str]:
    return [f"{name}.amazonaws.com" for name in names]


def _state_of(naming: Naming) -> list[str]:
    """Where the engine keeps that stack in a bucket: checkpoint, backups, history, lock."""
    own = f".pulumi/*/{naming.project}/{naming.stack}"
    return [f"{own}.*", f"{own}/*"]


def _keys(
    sid: str, actions: list[str], context: Context, *aliases: str, through: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Use of the keys under those aliases, whatever their ids; `through` names the services that have to ask."""
    condition: dict[str, Any] = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": list(aliases)}}
    if through:
        asking = [f"{each}.{context.settings.region}.amazonaws.com" for each in through]
        condition["StringEquals"] = {"kms:ViaService": asking}
    keys = f"arn:aws:kms:{context.settings.region}:{context.account_id}:key/*"
    return {**_allow(sid, actions, keys), "Condition": condition}


def _allow(sid: str, actions: list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
