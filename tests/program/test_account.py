"""What an account has once, and its workflows' roles: they may do enough for every stage, and nothing to another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import pytest

from embedded.provider.table import Call, Kind
from embedded.provider.tables import KINDS
from infra.components.base import Context
from infra.components.roles import deploy_statements
from infra.core.cost import price_stack
from infra.core.naming import Naming
from infra.core.prices import load
from infra.policy.facts import facts_of
from infra.policy.judging import judge
from infra.policy.table import RULES
from infra.settings import parse
from ops import audit
from ops.adapters.recorded import ACCOUNT

from .conftest import DEV

Run = Callable[..., Any]
BY_TOKEN = {kind.token: kind for kind in KINDS}
SWITCHED: dict[str, Any] = {
    "terrace:account": {"repository": "acme/receipts", "costTags": True},
    "terrace:budget": {"monthly": "300"},
}
EVERYTHING: dict[str, Any] = {
    "terrace:domain": "app.example.com",
    "terrace:dns": {"zoneId": "Z0123456789ABCDEFGHIJ"},
    "terrace:backup": {"awsBackup": True},
    "terrace:budget": {"monthly": "300"},
    "terrace:notify": {"webhook": "slack"},
}
STAGES = ("single-8g", "private")
"""Between them they make every kind; `split` makes a part of what `private` makes."""
BASELINE = "terrace:account:AccountBaseline"
ROLE, ROLE_POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"

# Where IAM calls an action otherwise than the API does (Service Authorization Reference, actions of each service).
RENAMED = {
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:CreateNotification": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
    "budgets:DeleteNotification": "budgets:ModifyBudget",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "budgets:UpdateBudget": "budgets:ModifyBudget",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
SERVICES = {"elbv2": "elasticloadbalancing"}
BY_THE_STAND_IN_ALONE = {"iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary"}
"""Calls for inputs that no part of the program gives."""

ONCE = (
    "cloudtrail:StopLogging", "ec2:DisableEbsEncryptionByDefault", "guardduty:DeleteDetector",
    "iam:CreateOpenIDConnectProvider", "iam:CreateUser", "s3:PutAccountPublicAccessBlock",
)  # fmt: skip


def action(call: str) -> str:
    service, method = call.split(".")
    words = "".join(word[:1].upper() + word[1:] for word in method.split("_"))
    words = words.replace("Db", "DB").replace("OpenIdConnect", "OpenIDConnect")
    name = f"{SERVICES.get(service, service)}:{words}"
    return RENAMED.get(name, name)


def changing(kind: Kind) -> Iterator[str]:
    for step in (kind.create, *kind.then, *kind.delete, *(s for each in kind.updates for s in each.steps)):
        if isinstance(step, Call):
            yield action(step.action)


def statements(found: Any, role: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(found.one(ROLE_POLICY, f"workflow-{role}").inputs["policy"])[
        "Statement"
    ]
    return listed


def allowed(listed: list[dict[str, Any]], wanted: str, resource: str = "") -> bool:
    for each in listed:
        actions = each["Action"]
        resources = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        if any(fnmatchcase(wanted, pattern) for pattern in actions) and (
            not resource or any(fnmatchcase(resource, pattern) for pattern in resources)
        ):
            return True
    return False


def made_by(found: Any) -> set[str]:
    """The kinds of the stack itself, without what a person applies."""
    return {
        each.token
        for each in found.resources
        if each.custom and each.token.startswith("aws:") and BASELINE not in each.urn
    }


def test_a_stack_without_the_switch_makes_nothing_of_an_account(program: Run) -> None:
    found = program({**EVERYTHING, "terrace:stage": "single-8g"})
    assert not [each for each in found.resources if BASELINE in each.urn]
    assert "cloudtrail" not in str([each.inputs for each in found.resources])


def test_the_switch_alone_makes_trail_detection_and_defaults_and_no_role(program: Run) -> None:
    found = program({"terrace:account": {}})
    made = {each.token for each in found.resources if each.custom and BASELINE in each.urn}
    assert made == {
        "aws:cloudtrail/trail:Trail", "aws:guardduty/detector:Detector",
        "aws:ebs/encryptionByDefault:EncryptionByDefault", "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
    }  # fmt: skip
    assert found.outputs["workflow_roles"] == {}


def test_the_trail_may_write_to_the_logs_bucket_and_use_the_key_under_its_own_name_alone(
    program: Run,
) -> None:
    found = program({"terrace:account": {}})
    trail = f"arn:aws:cloudtrail:ap-northeast-2:{ACCOUNT}:trail/terrace-dev-trail"
    bucket = json.loads(found.one("aws:s3/bucketPolicy:BucketPolicy", "logs").inputs["policy"])["Statement"]
    key = json.loads(found.one("aws:kms/key:Key").inputs["policy"])["Statement"]
    mine = [each for each in (*bucket, *key) if each["Sid"].startswith("Trail")]
    assert {each["Sid"] for each in mine} == {"TrailLooks", "TrailWrites", "TrailEncrypts"}
    for each in mine:
        assert each["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert each["Condition"]["StringEquals"]["aws:SourceArn"] == trail
    (writes,) = [each for each in mine if each["Sid"] == "TrailWrites"]
    assert writes["Resource"].endswith(f"/trail/AWSLogs/{ACCOUNT}/*")
    assert found.one("aws:cloudtrail/trail:Trail").inputs["s3KeyPrefix"] == "trail"


def test_each_role_is_taken_by_its_own_environments_and_comes_out_by_their_names(program: Run) -> None:
    found = program(SWITCHED)
    subjects = {}
    for role in (each for each in found.of(ROLE) if each.name.startswith("workflow-")):
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        condition = statement["Condition"]["StringEquals"]
        assert set(statement["Condition"]) == {"StringEquals"}
        assert condition["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        subjects[role.inputs["name"]] = condition["token.actions.githubusercontent.com:sub"]
    of, main = "repo:acme/receipts:environment", "repo:acme/receipts:ref:refs/heads/main"
    assert subjects == {
        "terrace-workflow-dev-preview": [f"{of}:dev-pull-request", main],
        "terrace-workflow-dev": [f"{of}:dev"],
        "terrace-workflow-prod-preview": [f"{of}:prod-pull-request", main],
        "terrace-workflow-prod": [f"{of}:prod"],
        "terrace-workflow-dev-drill": [main],
        "terrace-workflow-prod-drill": [main],
    }
    assert set(found.outputs["workflow_roles"]) == {
        "dev", "dev-pull-request", "dev-drill", "prod", "prod-pull-request", "prod-drill",
    }  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_a_preview_role_may_read_whatever_a_refresh_reads_and_change_nothing(
    program: Run, stage: str
) -> None:
    found = program({**EVERYTHING, "terrace:stage": stage})
    looks = statements(program(SWITCHED), "dev-preview")
    kinds = [BY_TOKEN[token] for token in made_by(found)]
    reads = {action(read.action) for kind in kinds for read in kind.read}
    assert {each for each in reads if not allowed(looks, each)} == set()
    writes = {each for kind in kinds for each in changing(kind)} - reads
    assert {each for each in writes if allowed(looks, each)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_deploy_role_may_do_whatever_a_stage_with_everything_switched_on_needs(
    program: Run, stage: str
) -> None:
    found = program({**EVERYTHING, "terrace:stage": stage})
    may = statements(program(SWITCHED), "dev")
    wanted = {each for token in made_by(found) for each in changing(BY_TOKEN[token])} - BY_THE_STAND_IN_ALONE
    assert {each for each in wanted if not allowed(may, each)} == set()


def test_no_role_may_do_what_no_stage_needs(program: Run) -> None:
    """Each action of a deploy that is written out is asked by some stage, or is listed here with its reason."""
    beside = {
        # What a call asks for that is none itself (the services' own pages in the IAM documentation).
        "iam:PassRole", "iam:CreateServiceLinkedRole", "kms:CreateGrant", "kms:Encrypt",
        "secretsmanager:CreateSecret", "secretsmanager:TagResource", "s3:PutObjectTagging", "s3:GetObject",
        # Releases, by Run Command.
        "ssm:SendCommand", "ssm:GetCommandInvocation",
        # A box that is started again after its type changed in vain.
        "ec2:StartInstances",
        # What upstream calls where the stand-in needs one call less, or another name of the same.
        "ec2:CreateSnapshot", "kms:UpdateAlias",
    }  # fmt: skip
    settings = [{**EVERYTHING, "terrace:stage": stage} for stage in STAGES]
    asked = {
        each for one in settings for token in made_by(program(one)) for each in changing(BY_TOKEN[token])
    }
    looked = {each for one in statements(program(SWITCHED), "dev-preview") for each in one["Action"]}
    written = {
        each
        for one in statements(program(SWITCHED), "dev")
        for each in one["Action"]
        if "*" not in each and each not in looked
    }
    assert written - asked <= beside


SCRATCH = "drill-20261121-0515"
TOLD = {
    "source": "prod", "expires": "2026-11-21T17:15Z", "vpcId": "vpc-1", "subnetId": "subnet-1",
    "keyArn": f"arn:aws:kms:ap-northeast-2:{ACCOUNT}:key/1", "backupsBucket": "b", "uploadsBucket": "u",
    "artifactsBucket": "a", "kitKey": "host/restore-0.tar", "kitSha256": "0" * 64,
}  # fmt: skip
BESIDE_A_DRILL = {
    # What a call asks for that is none itself, and what the engine and scripts/restore.py ask of S3, KMS, SSM.
    "cloudwatch:PutMetricData", "ec2:CreateTags", "iam:PassRole", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey",
    "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "s3:DeleteObject", "s3:GetBucketLocation",
    "s3:GetObject", "s3:ListBucket", "s3:PutObject", "ssm:GetCommandInvocation", "ssm:SendCommand",
    # What upstream asks of a role that it reads or removes, and what IAM asks besides of one that is made with tags.
    "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies",
    "iam:TagInstanceProfile", "iam:TagRole",
}  # fmt: skip


@pytest.mark.parametrize("stage", ["single-8g", "single-16g-fixed"])
def test_a_drill_may_make_read_and_destroy_whatever_a_scratch_stack_is_made_of_and_nothing_more(
    program: Run, stage: str
) -> None:
    scratch = program({"terrace:drill": TOLD, "terrace:stage": stage}, stack=SCRATCH)
    may = statements(program(SWITCHED), "prod-drill")
    kinds = [BY_TOKEN[token] for token in made_by(scratch)]
    assert len(kinds) > 8
    # Nothing of a scratch stack is changed, nothing is kept of it: it is made and goes.
    steps = [step for kind in kinds for step in (kind.create, *kind.then, *kind.delete)]
    asked = {action(step.action) for step in steps if isinstance(step, Call)} - {"ec2:CreateSnapshot"}
    assert not [each for each in scratch.resources if "finalSnapshot" in each.inputs]
    asked |= {action(read.action) for kind in kinds for read in kind.read}
    assert {each for each in asked if not allowed(may, each)} == set()
    written = {each for one in may for each in one["Action"]}
    idle = {pattern for pattern in written if not any(fnmatchcase(each, pattern) for each in asked)}
    assert idle == BESIDE_A_DRILL - asked


def test_what_a_drill_may_destroy_enter_or_pass_bears_a_drills_name(program: Run) -> None:
    may = statements(program(SWITCHED), "prod-drill")
    name = f"arn:aws:iam::{ACCOUNT}:role/terrace-"
    (box,) = program({"terrace:drill": TOLD}, stack=SCRATCH).of(ROLE)
    assert allowed(may, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{box.inputs['name']}")
    for other in ("prod-app", "workflow-prod", "workflow-prod-drill"):
        for wanted in ("iam:PassRole", "iam:PutRolePolicy", "iam:DeleteRole"):
            assert not allowed(may, wanted, name + other), (wanted, other)
    tagged = {
        "ec2:TerminateInstances",
        "ec2:DeleteVolume",
        "ec2:DetachVolume",
        "ec2:ReleaseAddress",
        "ssm:SendCommand",
    }
    for wanted in tagged:
        for each in (each for each in may if wanted in each["Action"] and each["Sid"] != "Command"):
            (names,) = each["Condition"]["StringLike"].values()
            assert names == "terrace-drill-*-*"
    for each in program({"terrace:drill": TOLD}, stack=SCRATCH).resources:
        if "tags" in each.inputs:
            assert fnmatchcase(each.inputs["tags"]["Name"], "terrace-drill-*-*"), each.urn


def test_a_drill_reads_of_its_source_the_state_alone_and_writes_only_its_programs(program: Run) -> None:
    may = statements(program(SWITCHED), "prod-drill")
    state, bucket = f"arn:aws:s3:::terrace-state-{ACCOUNT}/.pulumi", "arn:aws:s3:::terrace-prod-"
    assert allowed(may, "s3:GetObject", f"{state}/stacks/terrace/prod.json")
    for wanted in ("s3:PutObject", "s3:DeleteObject", "s3:GetObject"):
        for path in (f"stacks/terrace/{SCRATCH}.json", f"locks/organization/terrace/{SCRATCH}/1.json"):
            assert allowed(may, wanted, f"{state}/{path}")
    assert allowed(may, "s3:PutObject", f"{bucket}artifacts-{ACCOUNT}/host/restore-0.tar")
    for wanted, resource in (
        ("s3:PutObject", f"{state}/stacks/terrace/prod.json"),
        ("s3:DeleteObject", f"{state}/stacks/terrace/prod.json"),
        ("s3:GetObject", f"{bucket}backups-{ACCOUNT}/database/x"),
        ("s3:GetObject", f"{bucket}uploads-{ACCOUNT}/receipt"),
        ("s3:PutObject", f"{bucket}artifacts-{ACCOUNT}/releases/1.tar"),
        ("s3:PutObject", f"{bucket}artifacts-{ACCOUNT}/host/bundle.tar"),
    ):
        assert not allowed(may, wanted, resource), (wanted, resource)
    assert not any(each.startswith("ssm:GetParameter") for one in may for each in one["Action"])
    keys = {each["Sid"]: each["Condition"] for each in may if "kms:Decrypt" in each["Action"]}
    opened = {sid: each["ForAnyValue:StringEquals"]["kms:ResourceAliases"] for sid, each in keys.items()}
    assert opened == {
        "StateKey": ["alias/terrace-state-prod"], "BucketKey": ["alias/terrace-state"],
        "StackKey": ["alias/terrace-prod"],
    }  # fmt: skip
    assert "StringEquals" in keys["StackKey"]
    for once in ONCE:
        assert not allowed(may, once), once


def test_every_thing_that_a_deploy_may_destroy_by_its_name_tag_carries_it(program: Run) -> None:
    destroyed_by_tag = (
        "aws:ec2/internetGateway:InternetGateway", "aws:ec2/natGateway:NatGateway", "aws:ec2/routeTable:RouteTable",
        "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/subnet:Subnet", "aws:ebs/volume:Volume", "aws:ec2/vpc:Vpc",
        "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/eip:Eip", "aws:ec2/instance:Instance", "aws:kms/key:Key",
    )  # fmt: skip
    for stage in STAGES:
        for each in program({**EVERYTHING, "terrace:stage": stage}).resources:
            if each.token in destroyed_by_tag:
                assert each.inputs["tags"]["Name"].startswith("terrace-dev-"), each.urn


def test_no_role_reaches_another_stack_the_roles_themselves_or_what_an_account_has_once(program: Run) -> None:
    found = program(SWITCHED)
    for stack, other in (("dev", "prod"), ("prod", "dev")):
        for role in (stack, f"{stack}-preview"):
            listed = statements(found, role)
            state = "arn:aws:s3:::terrace-state-123456789012/.pulumi/stacks/terrace"
            assert allowed(listed, "s3:GetObject", f"{state}/{stack}.json")
            climbs = "arn:aws:s3:::terrace-state-123456789012/climbs"
            assert allowed(listed, "s3:GetObject", f"{climbs}/{stack}/plans/0123456789.json")
            for wanted, resource in (
                ("s3:GetObject", f"{climbs}/{other}/plans/0123456789.json"),
                ("s3:PutObject", f"{climbs}/{stack}/plans/0123456789.json"),
                ("s3:PutObject", f"{climbs}/{stack}/approvals/0123456789.me.approval"),
                ("s3:GetObject", f"{state}/{other}.json"),
                ("s3:PutBucketPolicy", f"arn:aws:s3:::terrace-{other}-logs-123456789012"),
                (
                    "ssm:GetParameter",
                    f"arn:aws:ssm:ap-northeast-2:123456789012:parameter/terrace/{other}/app/JWT",
                ),
                ("iam:PutRolePolicy", f"arn:aws:iam::123456789012:role/terrace-workflow-{stack}"),
                ("iam:PassRole", f"arn:aws:iam::123456789012:role/terrace-workflow-{stack}"),
                (
                    "rds:DeleteDBInstance",
                    f"arn:aws:rds:ap-northeast-2:123456789012:db:terrace-{other}-database",
                ),
                ("s3:GetObject", f"arn:aws:s3:::terrace-{stack}-uploads-123456789012/receipt"),
                ("s3:GetObject", f"arn:aws:s3:::terrace-{stack}-backups-123456789012/database/x"),
            ):
                assert not allowed(listed, wanted, resource), (role, wanted, resource)
            (keys,) = [each for each in listed if each["Sid"] == "OwnKeys"]
            aliases = keys["Condition"]["ForAnyValue:StringEquals"]["kms:ResourceAliases"]
            assert aliases == [f"alias/terrace-state-{stack}", f"alias/terrace-{stack}"]
            for once in ONCE:
                assert not allowed(listed, once), once


def test_the_largest_role_fits_into_what_iam_takes() -> None:
    """All inline policies of a role together: 10 240 characters (IAM User Guide, "IAM and AWS STS quotas")."""
    context = Context(parse({**DEV, **SWITCHED}, where="test"), Naming("terrace", "prod"), ACCOUNT)
    statements = deploy_statements(context, Naming("terrace", "a" * 16))
    document = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    assert len(document) <= 10240


def test_an_account_breaks_no_rule_and_costs_what_guardduty_sees(program: Run) -> None:
    found = program(SWITCHED).judged()
    facts = facts_of(parse({**DEV, **SWITCHED}, where="test"), date(2026, 11, 21))
    assert judge(found, facts, RULES, ()) == []
    book = load()
    whole = price_stack(found, book)
    without = price_stack([each for each in found if BASELINE not in each.urn], book)
    assert whole.fixed == without.fixed
    assert whole.total.likely > without.total.likely


@pytest.mark.parametrize("stage", STAGES)
def test_checkov_is_shown_every_thing_with_its_blocks_and_what_it_refers_to(program: Run, stage: str) -> None:
    found = program({**EVERYTHING, "terrace:stage": stage})
    shown = audit.plan(found.judged())
    resources = shown["planned_values"]["root_module"]["resources"]
    ours = [each for each in found.resources if each.custom and each.token.startswith("aws:")]
    assert len({each["address"] for each in resources}) == len(resources) == len(ours)
    boxes = [each["values"] for each in resources if each["type"] == "aws_instance"]
    assert all(box["metadata_options"][0]["http_tokens"] == "required" for box in boxes)
    (versions,) = [
        each for each in shown["configuration"]["root_module"]["resources"]
        if each["address"] == "aws_s3_bucket_versioning.uploads"
    ]  # fmt: skip
    assert versions["expressions"]["bucket"]["references"] == [
        "aws_s3_bucket.uploads",
        "aws_s3_bucket.uploads.id",
    ]
