"""One AWS API for the whole run, emptied before each test, and clients that reach nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.aws.environment import DEFAULT_REGION
from embedded.aws.hooks import HOOKS
from embedded.aws.server import ApiServer

from .support import FAKE_AMI, Network, shared_client


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    if os.environ.get("TERRACE_STOCK_MOTO"):
        # To see that a test would fail without the extension that it is about.
        import embedded.aws.extensions

        embedded.aws.extensions.EXTENSIONS = ()
    with ApiServer() as server:
        yield server


@pytest.fixture
def api(api_server: ApiServer) -> Iterator[ApiServer]:
    api_server.faults.clear()
    HOOKS.clear()
    api_server.reset()
    yield api_server
    api_server.faults.clear()
    HOOKS.clear()


@pytest.fixture
def aws(api: ApiServer) -> Callable[..., Any]:
    """A boto3 client of a service, made once: making one costs more than most tests."""

    def client(service: str, region: str = DEFAULT_REGION) -> Any:
        return shared_client(api.url, service, region)

    return client


@pytest.fixture
def refused() -> Callable[..., str]:
    """Runs a call that must be refused with an error code; returns the message."""

    def check(code: str, call: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        error = caught.value.response["Error"]
        assert error["Code"] == code, error
        return str(error["Message"])

    return check


@pytest.fixture
def network(aws: Callable[..., Any]) -> Network:
    return Network(aws("ec2"))


@pytest.fixture
def launch(aws: Callable[..., Any], network: Network) -> Callable[..., str]:
    """Launches one instance in the network; returns its id."""

    def run(**more: Any) -> str:
        arguments = {
            "ImageId": FAKE_AMI,
            "InstanceType": "t4g.large",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": network.subnets[0],
            "SecurityGroupIds": [network.group],
        } | more
        return str(aws("ec2").run_instances(**arguments)["Instances"][0]["InstanceId"])

    return run
