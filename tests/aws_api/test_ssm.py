"""Run Command runs what it is told on the machine behind the instance, and says how that ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.aws import ssmdocuments
from embedded.aws.environment import DEFAULT_REGION
from embedded.aws.extensions.ssm_associations import came_online
from embedded.aws.hooks import HOOKS, CommandRequest, CommandResult
from embedded.aws.server import ApiServer

Aws = Callable[..., Any]
Launch = Callable[..., str]
Refused = Callable[..., str]


class Machines:
    """Stands in for the supervisor: notes what it is asked to run, and answers as told."""

    def __init__(self) -> None:
        self.asked: list[CommandRequest] = []
        self.answer = CommandResult("out\n", "", 0)
        self.gate = threading.Event()
        self.gate.set()
        self.online = True

    def run(self, request: CommandRequest) -> CommandResult:
        self.asked.append(request)
        while not self.gate.wait(0.01):
            if request.cancelled.is_set():
                return CommandResult("half", "", 143, cancelled=True)
        return self.answer


@pytest.fixture
def machines(api: ApiServer) -> Machines:
    machines = Machines()
    HOOKS.run_command = machines.run
    HOOKS.instance_online = lambda _: machines.online
    return machines


def send(aws: Aws, *instance_ids: str, **more: Any) -> str:
    arguments: dict[str, Any] = {
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["set -e", "echo out"]},
        "InstanceIds": list(instance_ids),
    }
    return str(aws("ssm").send_command(**arguments | more)["Command"]["CommandId"])


def ended(aws: Aws, command_id: str, instance_id: str, **more: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while True:
        found = aws("ssm").get_command_invocation(CommandId=command_id, InstanceId=instance_id, **more)
        if found["Status"] not in ("Pending", "InProgress", "Cancelling"):
            ended: dict[str, Any] = found
            return ended
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def test_without_a_machine_a_command_is_refused(aws: Aws, launch: Launch, refused: Refused) -> None:
    refused("InvalidInstanceId", send, aws=aws, InstanceIds=[launch()])


def test_without_a_machine_nothing_is_managed(aws: Aws, launch: Launch) -> None:
    launch()
    assert aws("ssm").describe_instance_information()["InstanceInformationList"] == []


def test_an_instance_is_managed_once_its_machine_is_online(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    ssm, instance_id = aws("ssm"), launch(TagSpecifications=[tagged("app")])
    by_tag = {"Filters": [{"Key": "tag:role", "Values": ["app"]}]}
    found = ssm.describe_instance_information(**by_tag)["InstanceInformationList"]
    assert [(each["InstanceId"], each["PingStatus"], each["PlatformVersion"]) for each in found] == [
        (instance_id, "Online", "13")
    ]
    other = {"Filters": [{"Key": "tag:role", "Values": ["database"]}]}
    assert ssm.describe_instance_information(**other)["InstanceInformationList"] == []
    machines.online = False
    assert ssm.describe_instance_information()["InstanceInformationList"] == []


def tagged(role: str) -> dict[str, Any]:
    return {"ResourceType": "instance", "Tags": [{"Key": "role", "Value": role}]}


def test_a_command_runs_in_the_background_and_its_output_is_read(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    instance_id = launch()
    machines.gate.clear()
    parameters = {"commands": ["cd x", "ls"], "workingDirectory": ["/srv"], "executionTimeout": ["30"]}
    command_id = send(aws, instance_id, Parameters=parameters)
    ssm = aws("ssm")
    running = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
    assert (running["Status"] in ("Pending", "InProgress"), running["ResponseCode"]) == (True, -1)
    machines.gate.set()
    found = ended(aws, command_id, instance_id)
    assert (found["Status"], found["ResponseCode"], found["StandardOutputContent"]) == ("Success", 0, "out\n")
    request = machines.asked[0]
    assert (request.script, request.working_directory, request.timeout_seconds) == ("cd x\nls", "/srv", 30)
    listed = ssm.list_commands(CommandId=command_id)["Commands"][0]
    assert (listed["Status"], listed["TargetCount"], listed["CompletedCount"]) == ("Success", 1, 1)


@pytest.mark.parametrize(
    ("answer", "status", "details"),
    [
        (CommandResult("", "no such file", 2), "Failed", "Failed"),
        (CommandResult("", "", 137, timed_out=True), "TimedOut", "Execution Timed Out"),
    ],
)
def test_a_command_that_does_not_succeed_says_how(
    aws: Aws, launch: Launch, machines: Machines, answer: CommandResult, status: str, details: str
) -> None:
    instance_id, machines.answer = launch(), answer
    found = ended(aws, send(aws, instance_id), instance_id)
    assert (found["Status"], found["StatusDetails"], found["ResponseCode"]) == (
        status,
        details,
        answer.exit_code,
    )
    assert found["StandardErrorContent"] == answer.stderr


def test_a_hook_that_raises_fails_the_command_and_nothing_else(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    instance_id = launch()

    def broken(_: CommandRequest) -> CommandResult:
        raise OSError("the box is gone")

    HOOKS.run_command = broken
    found = ended(aws, send(aws, instance_id), instance_id)
    assert found["Status"] == "Failed"
    assert "the box is gone" in found["StandardErrorContent"]


def test_output_is_cut_where_aws_cuts_it_and_whole_in_the_bucket(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    s3, instance_id = aws("s3"), launch()
    s3.create_bucket(Bucket="outputs", CreateBucketConfiguration={"LocationConstraint": DEFAULT_REGION})
    machines.answer = CommandResult("o" * 30_000, "e" * 10_000, 0)
    command_id = send(aws, instance_id, OutputS3BucketName="outputs", OutputS3KeyPrefix="ssm")
    found = ended(aws, command_id, instance_id)
    assert (len(found["StandardOutputContent"]), len(found["StandardErrorContent"])) == (24_000, 8_000)
    key = f"ssm/{command_id}/{instance_id}/awsrunShellScript/0.awsrunShellScript/stdout"
    assert found["StandardOutputUrl"].endswith(key)
    assert s3.head_object(Bucket="outputs", Key=key)["ContentLength"] == 30_000
    listed = aws("ssm").list_command_invocations(CommandId=command_id, Details=True)["CommandInvocations"][0]
    assert len(listed["CommandPlugins"][0]["Output"]) == 2_500


def test_a_running_command_can_be_cancelled(aws: Aws, launch: Launch, machines: Machines) -> None:
    instance_id = launch()
    machines.gate.clear()
    command_id = send(aws, instance_id)
    aws("ssm").cancel_command(CommandId=command_id)
    assert ended(aws, command_id, instance_id)["Status"] == "Cancelled"


def test_a_command_reaches_every_instance_that_its_targets_name(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    app = [launch(TagSpecifications=[tagged("app")]) for _ in range(2)]
    launch(TagSpecifications=[tagged("database")])
    command_id = send(aws, Targets=[{"Key": "tag:role", "Values": ["app"]}])
    for instance_id in app:
        assert ended(aws, command_id, instance_id)["Status"] == "Success"
    assert {request.instance_id for request in machines.asked} == set(app)


def test_targets_that_nothing_fits_are_no_error(aws: Aws, machines: Machines) -> None:
    answer = aws("ssm").send_command(
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["true"]},
        Targets=[{"Key": "tag:role", "Values": ["nobody"]}],
    )
    assert (answer["Command"]["StatusDetails"], answer["Command"]["TargetCount"]) == ("NoInstancesInTag", 0)


DOCUMENT = {
    "schemaVersion": "2.2",
    "description": "deploy",
    "parameters": {
        "version": {"type": "String", "allowedPattern": "^v[0-9]+$"},
        "lines": {"type": "StringList", "default": ["echo default"]},
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "first",
            "inputs": {"runCommand": ["deploy {{ version }}", "{{ lines }}"]},
        },
        {
            "action": "aws:runShellScript",
            "name": "second",
            "inputs": {"runCommand": ["check"], "timeoutSeconds": 5},
        },
    ],
}


def make_document(aws: Aws, name: str = "terrace-deploy") -> None:
    aws("ssm").create_document(Name=name, DocumentType="Command", Content=json.dumps(DOCUMENT))


def test_a_document_of_ones_own_runs_step_by_step(aws: Aws, launch: Launch, machines: Machines) -> None:
    make_document(aws)
    instance_id = launch()
    command_id = send(aws, instance_id, DocumentName="terrace-deploy", Parameters={"version": ["v2"]})
    assert ended(aws, command_id, instance_id)["StandardOutputContent"] == "out\nout\n"
    assert [request.script for request in machines.asked] == ["deploy v2\necho default", "check"]
    assert ended(aws, command_id, instance_id, PluginName="second")["PluginName"] == "second"


def test_a_step_that_fails_ends_the_command(aws: Aws, launch: Launch, machines: Machines) -> None:
    make_document(aws)
    instance_id, machines.answer = launch(), CommandResult("", "", 1)
    command_id = send(aws, instance_id, DocumentName="terrace-deploy", Parameters={"version": ["v2"]})
    assert ended(aws, command_id, instance_id)["Status"] == "Failed"
    assert len(machines.asked) == 1


@pytest.mark.parametrize("parameters", [{}, {"version": ["two"]}, {"version": ["v2"], "colour": ["blue"]}])
def test_wrong_parameters_of_a_document_are_refused(
    aws: Aws, launch: Launch, machines: Machines, refused: Refused, parameters: dict[str, list[str]]
) -> None:
    make_document(aws)
    wrong = {"DocumentName": "terrace-deploy", "Parameters": parameters, "InstanceIds": [launch()]}
    refused("InvalidParameters", aws("ssm").send_command, **wrong)


def test_an_unknown_document_is_refused(
    aws: Aws, launch: Launch, machines: Machines, refused: Refused
) -> None:
    refused("InvalidDocument", aws("ssm").send_command, DocumentName="nothing", InstanceIds=[launch()])


def test_an_action_that_needs_a_real_agent_is_refused() -> None:
    document = {"schemaVersion": "2.2", "mainSteps": [{"action": "aws:softwareInventory", "name": "x"}]}
    with pytest.raises(ssmdocuments.DocumentError, match=r"aws:runShellScript only"):
        ssmdocuments.scripts(document, {})


def test_a_command_that_was_running_when_the_cloud_was_saved_has_failed_when_it_is_loaded_elsewhere(
    aws: Aws,
    api: ApiServer,
    launch: Launch,
    machines: Machines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance_id = launch()
    machines.gate.clear()
    command_id = send(aws, instance_id)
    api.save(tmp_path / "state")
    # Another process has no thread that works on it.
    monkeypatch.setattr("embedded.aws.extensions.ssm_commands._RUNNING", {})
    api.load(tmp_path / "state")
    found = aws("ssm").get_command_invocation(CommandId=command_id, InstanceId=instance_id)
    assert (found["Status"], found["StatusDetails"]) == ("Failed", "Terminated")
    machines.gate.set()


def test_a_session_document_is_kept(aws: Aws) -> None:
    content = {
        "schemaVersion": "1.0",
        "sessionType": "Standard_Stream",
        "inputs": {"idleSessionTimeout": "20"},
    }
    ssm = aws("ssm")
    ssm.create_document(
        Name="SSM-SessionManagerRunShell", DocumentType="Session", Content=json.dumps(content)
    )
    shown = ssm.get_document(Name="SSM-SessionManagerRunShell")
    assert (shown["DocumentType"], json.loads(shown["Content"])) == ("Session", content)
    changed = content | {"inputs": {"idleSessionTimeout": "5"}}
    ssm.update_document(
        Name="SSM-SessionManagerRunShell", Content=json.dumps(changed), DocumentVersion="$LATEST"
    )
    ssm.update_document_default_version(Name="SSM-SessionManagerRunShell", DocumentVersion="2")
    assert json.loads(ssm.get_document(Name="SSM-SessionManagerRunShell")["Content"]) == changed


def associate(aws: Aws, **more: Any) -> dict[str, Any]:
    arguments = {
        "Name": "AWS-RunShellScript",
        "AssociationName": "host",
        "Parameters": {"commands": ["host install"]},
        "Targets": [{"Key": "tag:role", "Values": ["app"]}],
        "ScheduleExpression": "rate(1 day)",
    } | more
    made: dict[str, Any] = aws("ssm").create_association(**arguments)["AssociationDescription"]
    return made


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_association_is_applied_at_once_and_again_when_an_instance_comes_online(
    aws: Aws, launch: Launch, machines: Machines
) -> None:
    ssm, first = aws("ssm"), launch(TagSpecifications=[tagged("app")])
    made = associate(aws)
    wait_for(lambda: len(machines.asked) == 1)

    def status() -> str:
        found = ssm.describe_association(AssociationId=made["AssociationId"])["AssociationDescription"]
        return str(found["Overview"]["Status"])

    wait_for(lambda: status() == "Success")
    second = launch(TagSpecifications=[tagged("app")])
    came_online(second, DEFAULT_REGION)
    came_online(launch(), DEFAULT_REGION)
    wait_for(lambda: len(machines.asked) == 2)
    assert [request.instance_id for request in machines.asked] == [first, second]
    wait_for(lambda: status() == "Success")
    executions = ssm.describe_association_executions(AssociationId=made["AssociationId"])
    assert [each["Status"] for each in executions["AssociationExecutions"]] == ["Success", "Success"]


def test_an_association_shows_what_it_was_given_and_what_it_was_changed_to(
    aws: Aws, refused: Refused
) -> None:
    ssm, made = aws("ssm"), associate(aws)
    refused("AssociationAlreadyExists", associate, aws=aws)
    assert made["Overview"]["Status"] == "Pending"
    ssm.update_association(
        AssociationId=made["AssociationId"], AssociationName="host", Parameters={"commands": ["other"]}
    )
    shown = ssm.list_associations(AssociationFilterList=[{"key": "AssociationName", "value": "host"}])
    assert [each["AssociationVersion"] for each in shown["Associations"]] == ["2"]
    found = ssm.describe_association(AssociationId=made["AssociationId"])["AssociationDescription"]
    assert found["Parameters"] == {"commands": ["other"]}
    assert "ScheduleExpression" not in found
    assert found["Targets"] == [{"Key": "tag:role", "Values": ["app"]}]
    ssm.delete_association(AssociationId=made["AssociationId"])
    refused("AssociationDoesNotExist", ssm.describe_association, AssociationId=made["AssociationId"])


def test_an_association_can_be_applied_when_asked_for(aws: Aws, launch: Launch, machines: Machines) -> None:
    launch(TagSpecifications=[tagged("app")])
    made = associate(aws, ApplyOnlyAtCronInterval=True)
    assert machines.asked == []
    aws("ssm").start_associations_once(AssociationIds=[made["AssociationId"]])
    wait_for(lambda: len(machines.asked) == 1)


def test_a_secret_is_not_readable_without_decryption(aws: Aws) -> None:
    ssm = aws("ssm")
    ssm.put_parameter(Name="/app/password", Value="correct horse", Type="SecureString")
    assert "correct horse" not in str(ssm.get_parameter(Name="/app/password"))
    assert "correct horse" not in str(ssm.get_parameters_by_path(Path="/app"))
    decrypted = ssm.get_parameter(Name="/app/password", WithDecryption=True)
    assert decrypted["Parameter"]["Value"] == "correct horse"
