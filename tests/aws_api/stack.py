"""A stack in which every service has something, and what its describing calls answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from embedded.aws.environment import ACCOUNT_ID, DEFAULT_REGION

from .support import FAKE_AMI, ZONE, Network

Aws = Callable[..., Any]

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::uploads/*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [READ]})


def build(aws: Aws, *, size: int = 1) -> dict[str, str]:
    """Build it; ``size`` copies of what there are many of. Returns names and ids that ``answers`` needs."""
    made: dict[str, str] = {}
    network = Network(aws("ec2"))
    key = aws("kms").create_key(Tags=[{"TagKey": "Team", "TagValue": "a"}])["KeyMetadata"]["Arn"]
    made["key"] = key
    aws("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    aws("kms").create_alias(AliasName="alias/stack", TargetKeyId=key)
    _identity(aws, size)
    _compute(aws, network, key, size, made)
    _storage(aws, key, size)
    _data(aws, network, size, made)
    _edge(aws, network, made)
    _watching(aws, size, made)
    _money_and_backup(aws, made)
    return made


def _identity(aws: Aws, size: int) -> None:
    iam = aws("iam")
    for number in range(4 * size):
        name = f"role-{number}"
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "Team", "Value": "a"}])
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=POLICY)
        iam.attach_role_policy(
            RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
        )
    iam.create_instance_profile(InstanceProfileName="box")
    iam.add_role_to_instance_profile(InstanceProfileName="box", RoleName="role-0")
    iam.create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"]
    )


def _compute(aws: Aws, network: Network, key: str, size: int, made: dict[str, str]) -> None:
    ec2 = aws("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    table = ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    for subnet in network.subnets:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    service = f"com.amazonaws.{DEFAULT_REGION}.s3"
    ec2.create_vpc_endpoint(VpcId=network.vpc, ServiceName=service, RouteTableIds=[table])
    ec2.authorize_security_group_ingress(
        GroupId=network.group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )
    for number in range(size):
        instance_id = ec2.run_instances(
            ImageId=FAKE_AMI,
            InstanceType="t4g.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=network.subnets[0],
            SecurityGroupIds=[network.group],
            IamInstanceProfile={"Name": "box"},
            UserData="#!/bin/sh\n" + "x" * 4000,
            MetadataOptions={"HttpTokens": "required"},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"box-{number}"}]}
            ],
        )["Instances"][0]["InstanceId"]
        volume = ec2.create_volume(
            AvailabilityZone=ZONE, Size=100, VolumeType="gp3", Encrypted=True, KmsKeyId=key
        )
        ec2.attach_volume(VolumeId=volume["VolumeId"], InstanceId=instance_id, Device="/dev/sdf")
        ec2.create_snapshot(VolumeId=volume["VolumeId"])
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.associate_address(AllocationId=address, InstanceId=instance_id)
        ec2.modify_volume(VolumeId=volume["VolumeId"], Size=120)
        made["instance"], made["volume"] = instance_id, volume["VolumeId"]
    nat = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.create_nat_gateway(SubnetId=network.subnets[1], AllocationId=nat)
    ec2.enable_ebs_encryption_by_default()


def _storage(aws: Aws, key: str, size: int) -> None:
    s3 = aws("s3")
    encryption = {
        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}]
    }
    rule = {
        "ID": "tiers",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "r/", "ObjectSizeGreaterThan": 131_072}},
        "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}],
    }
    for name in ("uploads", "backups", "artifacts", "logs")[: 1 + size]:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": DEFAULT_REGION})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encryption)
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
        for body in (b"old", b"new" * 3_000):
            s3.put_object(Bucket=name, Key="bundle/host.tar", Body=body, Metadata={"version": "1"})
        s3.put_object(Bucket=name, Key="gone", Body=b"gone")
        s3.delete_object(Bucket=name, Key="gone")
    upload = s3.create_multipart_upload(Bucket="uploads", Key="big")["UploadId"]
    part = s3.upload_part(Bucket="uploads", Key="big", UploadId=upload, PartNumber=1, Body=b"p" * 6_000_000)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="uploads", Key="big", UploadId=upload, MultipartUpload=parts)


def _data(aws: Aws, network: Network, size: int, made: dict[str, str]) -> None:
    rds, ssm = aws("rds"), aws("ssm")
    rds.create_db_subnet_group(
        DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=network.subnets
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="pg17", DBParameterGroupFamily="postgres17", Description="p"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="pg17",
        Parameters=[
            {"ParameterName": "max_connections", "ParameterValue": "80", "ApplyMethod": "pending-reboot"}
        ],
    )
    rds.create_db_instance(
        DBInstanceIdentifier="db",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="17",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        MasterUsername="owner",
        ManageMasterUserPassword=True,
        DBSubnetGroupName="db",
        DBParameterGroupName="pg17",
        VpcSecurityGroupIds=[network.group],
    )
    for number in range(10 * size):
        kind = "SecureString" if number % 2 else "String"
        ssm.put_parameter(Name=f"/app/{number}", Value=f"value {number}", Type=kind)
        ssm.put_parameter(Name=f"/app/{number}", Value=f"newer {number}", Overwrite=True)
    ssm.get_parameter(Name="/aws/service/debian/release/13/latest/arm64")
    content = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}
    ssm.create_document(Name="session", DocumentType="Session", Content=json.dumps(content))
    made["association"] = ssm.create_association(
        Name="AWS-RunShellScript",
        Parameters={"commands": ["true"]},
        Targets=[{"Key": "tag:Name", "Values": ["box-0"]}],
    )["AssociationDescription"]["AssociationId"]
    aws("secretsmanager").create_secret(Name="token", SecretString="s3cret")


def _edge(aws: Aws, network: Network, made: dict[str, str]) -> None:
    elb, zone = aws("elbv2"), aws("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    made["zone"] = zone["HostedZone"]["Id"]
    record = {"Name": "app.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    changes = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    aws("route53").change_resource_record_sets(HostedZoneId=made["zone"], ChangeBatch=changes)
    made["certificate"] = aws("acm").request_certificate(DomainName="example.com", ValidationMethod="DNS")[
        "CertificateArn"
    ]
    # It is issued a second after it was asked for; what is compared later must not depend on the clock.
    aws("acm").get_waiter("certificate_validated").wait(
        CertificateArn=made["certificate"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    balancer = elb.create_load_balancer(Name="web", Subnets=network.subnets, SecurityGroups=[network.group])
    made["balancer"] = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name="app", Protocol="HTTP", Port=80, VpcId=network.vpc)
    target = group["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=target, Targets=[{"Id": made["instance"]}])
    elb.create_listener(
        LoadBalancerArn=made["balancer"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
    )
    seen = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "web"}
    aws("wafv2").create_web_acl(
        Name="web", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=seen
    )


def _watching(aws: Aws, size: int, made: dict[str, str]) -> None:
    cloudwatch, logs, sns = aws("cloudwatch"), aws("logs"), aws("sns")
    made["topic"] = sns.create_topic(Name="alarms")["TopicArn"]
    made["queue"] = aws("sqs").create_queue(QueueName="mails")["QueueUrl"]
    sns.subscribe(
        TopicArn=made["topic"], Protocol="sqs", Endpoint=f"arn:aws:sqs:{DEFAULT_REGION}:{ACCOUNT_ID}:mails"
    )
    sns.publish(TopicArn=made["topic"], Message="hello")
    for number in range(8 * size):
        cloudwatch.put_metric_alarm(
            AlarmName=f"alarm-{number}",
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Statistic="Average",
            Period=300,
            EvaluationPeriods=3,
            Threshold=70.0,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[made["topic"]],
        )
    cloudwatch.set_alarm_state(AlarmName="alarm-0", StateValue="ALARM", StateReason="hot")
    cloudwatch.put_composite_alarm(AlarmName="review", AlarmRule="ALARM(alarm-0) OR ALARM(alarm-1)")
    cloudwatch.put_dashboard(DashboardName="box", DashboardBody='{"widgets":[]}')
    cloudwatch.put_metric_data(Namespace="app", MetricData=[{"MetricName": "dau", "Value": 7.0}])
    for number in range(2 * size):
        logs.create_log_group(logGroupName=f"/app/{number}")
    logs.put_metric_filter(
        logGroupName="/app/0",
        filterName="errors",
        filterPattern="{ $.status >= 500 }",
        metricTransformations=[{"metricName": "e", "metricNamespace": "app", "metricValue": "1"}],
    )
    logs.create_log_stream(logGroupName="/app/0", logStreamName="box")
    event = {"timestamp": 1_795_000_000_000, "message": "{}"}
    logs.put_log_events(logGroupName="/app/0", logStreamName="box", logEvents=[event])
    logs.put_query_definition(name="slow", queryString="fields rt")
    aws("events").put_rule(Name="nightly", ScheduleExpression="rate(1 day)")


def _money_and_backup(aws: Aws, made: dict[str, str]) -> None:
    budget = {
        "BudgetName": "web",
        "BudgetLimit": {"Amount": "72", "Unit": "USD"},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
    }
    warning = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
    mail = {"SubscriptionType": "EMAIL", "Address": "team@example.com"}
    both = [{"Notification": warning, "Subscribers": [mail]}]
    aws("budgets").create_budget(AccountId=ACCOUNT_ID, Budget=budget, NotificationsWithSubscribers=both)
    ce = aws("ce", "us-east-1")
    monitor = {"MonitorName": "all", "MonitorType": "DIMENSIONAL", "MonitorDimension": "SERVICE"}
    ce.create_anomaly_monitor(AnomalyMonitor=monitor)
    ce.update_cost_allocation_tags_status(
        CostAllocationTagsStatus=[{"TagKey": "Project", "Status": "Active"}]
    )
    backup = aws("backup")
    backup.create_backup_vault(BackupVaultName="vault")
    plan = {"BackupPlanName": "daily", "Rules": [{"RuleName": "daily", "TargetBackupVaultName": "vault"}]}
    made["plan"] = backup.create_backup_plan(BackupPlan=plan)["BackupPlanId"]
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/role-0"
    selection = {"SelectionName": "data", "IamRoleArn": role, "Resources": ["*"]}
    backup.create_backup_selection(BackupPlanId=made["plan"], BackupSelection=selection)
    schedule = {
        "Name": "daily",
        "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS"},
        "RetainRule": {"Count": 7},
    }
    details = {
        "ResourceTypes": ["VOLUME"],
        "TargetTags": [{"Key": "snapshots", "Value": "daily"}],
        "Schedules": [schedule],
    }
    made["policy"] = aws("dlm").create_lifecycle_policy(
        ExecutionRoleArn=role, Description="daily", State="ENABLED", PolicyDetails=details
    )["PolicyId"]
    aws("guardduty").create_detector(Enable=True)
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": ["s3:GetBucketAcl", "s3:PutObject"],
        "Resource": "*",
    }
    aws("s3").create_bucket(
        Bucket="trails", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    aws("s3").put_bucket_policy(Bucket="trails", Policy=json.dumps({"Statement": [allowed]}))
    aws("cloudtrail").create_trail(Name="trail", S3BucketName="trails")


# Service, call, arguments; a value in braces is a name that ``build`` returned.
READS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ec2", "describe_vpcs", {}),
    ("ec2", "describe_subnets", {}),
    ("ec2", "describe_instances", {}),
    ("ec2", "describe_instance_credit_specifications", {"InstanceIds": ["{instance}"]}),
    ("ec2", "describe_instance_attribute", {"InstanceId": "{instance}", "Attribute": "userData"}),
    ("ec2", "describe_volumes", {}),
    ("ec2", "describe_volumes_modifications", {}),
    ("ec2", "describe_snapshots", {}),
    ("ec2", "describe_images", {}),
    ("ec2", "describe_addresses", {}),
    ("ec2", "describe_security_groups", {}),
    ("ec2", "describe_security_group_rules", {}),
    ("ec2", "describe_route_tables", {}),
    ("ec2", "describe_internet_gateways", {}),
    ("ec2", "describe_nat_gateways", {}),
    ("ec2", "describe_vpc_endpoints", {}),
    ("ec2", "describe_network_interfaces", {}),
    ("ec2", "describe_tags", {}),
    ("ec2", "get_ebs_encryption_by_default", {}),
    ("iam", "list_roles", {}),
    ("iam", "list_attached_role_policies", {"RoleName": "role-0"}),
    ("iam", "get_role_policy", {"RoleName": "role-0", "PolicyName": "own"}),
    ("iam", "get_policy", {"PolicyArn": "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}),
    ("iam", "list_instance_profiles", {}),
    ("iam", "list_open_id_connect_providers", {}),
    ("kms", "list_keys", {}),
    ("kms", "list_aliases", {}),
    ("kms", "list_resource_tags", {"KeyId": "{key}"}),
    ("s3", "list_buckets", {}),
    ("s3", "list_object_versions", {"Bucket": "uploads"}),
    ("s3", "get_bucket_encryption", {"Bucket": "uploads"}),
    ("s3", "get_bucket_lifecycle_configuration", {"Bucket": "uploads"}),
    ("s3", "get_public_access_block", {"Bucket": "uploads"}),
    ("rds", "describe_db_instances", {}),
    ("rds", "describe_db_subnet_groups", {}),
    ("rds", "describe_db_parameters", {"DBParameterGroupName": "pg17", "Source": "user"}),
    ("ssm", "get_parameters_by_path", {"Path": "/app", "WithDecryption": True}),
    ("ssm", "get_parameter_history", {"Name": "/app/1", "WithDecryption": True}),
    ("ssm", "get_parameter", {"Name": "/aws/service/debian/release/13/latest/arm64"}),
    ("ssm", "list_documents", {}),
    ("ssm", "describe_association", {"AssociationId": "{association}"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "token"}),
    ("elbv2", "describe_load_balancers", {}),
    ("elbv2", "describe_target_groups", {}),
    ("elbv2", "describe_listeners", {"LoadBalancerArn": "{balancer}"}),
    ("route53", "list_resource_record_sets", {"HostedZoneId": "{zone}"}),
    ("acm", "describe_certificate", {"CertificateArn": "{certificate}"}),
    ("wafv2", "list_web_acls", {"Scope": "REGIONAL"}),
    ("sns", "list_subscriptions", {}),
    ("sqs", "get_queue_attributes", {"QueueUrl": "{queue}", "AttributeNames": ["All"]}),
    ("cloudwatch", "describe_alarms", {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}),
    ("cloudwatch", "describe_alarm_history", {}),
    ("cloudwatch", "list_metrics", {"Namespace": "app"}),
    ("cloudwatch", "get_dashboard", {"DashboardName": "box"}),
    ("logs", "describe_log_groups", {}),
    ("logs", "describe_metric_filters", {}),
    ("logs", "get_log_events", {"logGroupName": "/app/0", "logStreamName": "box"}),
    ("logs", "describe_query_definitions", {}),
    ("events", "list_rules", {}),
    ("budgets", "describe_budgets", {"AccountId": ACCOUNT_ID}),
    ("budgets", "describe_notifications_for_budget", {"AccountId": ACCOUNT_ID, "BudgetName": "web"}),
    ("ce", "get_anomaly_monitors", {}),
    ("ce", "list_cost_allocation_tags", {}),
    ("backup", "list_backup_vaults", {}),
    ("backup", "list_backup_plans", {}),
    ("backup", "list_backup_selections", {"BackupPlanId": "{plan}"}),
    ("dlm", "get_lifecycle_policy", {"PolicyId": "{policy}"}),
    ("guardduty", "list_detectors", {}),
    ("cloudtrail", "describe_trails", {}),
    ("resourcegroupstaggingapi", "get_resources", {}),
)
GLOBAL = {"ce": "us-east-1"}


def answers(aws: Aws, made: dict[str, str]) -> dict[str, Any]:
    """What every describing call answers, without what differs from request to request."""
    return {
        f"{service} {call}": _clean(_ask(aws, service, call, arguments, made))
        for service, call, arguments in READS
    }


def _ask(aws: Aws, service: str, call: str, arguments: dict[str, Any], made: dict[str, str]) -> Any:
    filled = {key: _fill(value, made) for key, value in arguments.items()}
    return getattr(aws(service, GLOBAL.get(service, DEFAULT_REGION)), call)(**filled)


def _fill(value: Any, made: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_fill(item, made) for item in value]
    return value.format(**made) if isinstance(value, str) else value


def _clean(answer: dict[str, Any]) -> dict[str, Any]:
    volatile = ("ResponseMetadata", "LatestRestorableTime")
    return {key: _without(value, volatile) for key, value in answer.items() if key not in volatile}


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    return [_without(item, keys) for item in value] if isinstance(value, list) else value


def services() -> Iterator[str]:
    """The services that have something in the stack."""
    yield from dict.fromkeys(service for service, _, _ in READS)
