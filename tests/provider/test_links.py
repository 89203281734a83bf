"""A link between two things is read off one of its ends: gone when the end stands without it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.aws.server import ApiServer
from embedded.provider.api import Api
from embedded.provider.kinds import Manager, replacements
from embedded.provider.schema import load
from embedded.provider.tables import KINDS

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace" / "schema"
TOKENS = [kind.token for kind in KINDS]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with ApiServer() as server:
        yield Api(server.url, region="ap-northeast-2", account="123456789012")


def manager(token: str, api: Api) -> Manager:
    kind = next(each for each in KINDS if each.token == token)
    return Manager(kind, load(TOKENS, CACHE).resources[token], replacements()[token], api)


def test_a_parameter_with_tags_takes_a_new_value_and_new_tags(api: Api) -> None:
    parameter = manager("aws:ssm/parameter:Parameter", api)
    before = {"name": "/t/one", "type": "String", "insecureValue": "a", "tags": {"Team": "x"}}
    id_, outputs, fault = parameter.create(before)
    assert fault == ""
    after = {**before, "insecureValue": "b", "tags": {"Team": "y"}}
    parameter.update(id_, before, after, outputs)
    ssm = api.client("ssm")
    assert ssm.get_parameter(Name=id_)["Parameter"]["Value"] == "b"
    told = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=id_)["TagList"]
    assert {each["Key"]: each["Value"] for each in told} == {"Team": "y"}


def test_a_policy_that_somebody_detached_is_gone_and_the_role_is_not_asked_about_it(api: Api) -> None:
    role, arn = "a-box", "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    iam = api.client("iam")
    iam.create_role(
        RoleName=role, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    link = manager("aws:iam/rolePolicyAttachment:RolePolicyAttachment", api)
    inputs = {"role": role, "policyArn": arn}
    id_, outputs, fault = link.create(inputs)
    assert fault == ""
    assert (link.read(id_, inputs, outputs) or {})["policyArn"] == arn
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    assert link.read(id_, inputs, outputs) is None
    link.delete(id_, inputs, outputs)
