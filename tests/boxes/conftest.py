"""When tests of boxes may be skipped, and one cloud whose machines tests may borrow.

`TERRACE_BOXES=required` turns a skip into a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from embedded.boxes import BoxSpec, Host, Identity, available
from tests.boxes.support import WEB_SERVER, Cloud, keys, names


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("box"):
        missing = available()
        if missing is not None:
            if os.environ.get("TERRACE_BOXES") == "required":
                pytest.fail(f"TERRACE_BOXES=required, but {missing}", pytrace=False)
            pytest.skip(str(missing))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    environment = {"AWS_ENDPOINT_URL": "http://169.254.169.250"}
    with Host.open(directory, credentials=keys, resolve=names, environment=environment) as host:
        yield Cloud(host)


@pytest.fixture
def box(cloud: Cloud) -> Iterator[BoxSpec]:
    """A plain booted box of one's own."""
    spec = cloud.spec()
    cloud.put(spec)
    try:
        cloud.booted(spec)
        yield spec
    finally:
        cloud.drop(spec.instance_id)


@pytest.fixture(scope="session")
def web(cloud: Cloud) -> Iterator[BoxSpec]:
    """A box that its user data made a web server, with an Elastic IP and a role; tests leave it as it is."""
    spec = cloud.spec(
        public_ip=cloud.public(),
        user_data=WEB_SERVER,
        identity=Identity(
            account_id="123456789012",
            region="ap-northeast-2",
            availability_zone="ap-northeast-2a",
            role_name="web",
            instance_profile_arn="arn:aws:iam::123456789012:instance-profile/web",
        ),
    )
    cloud.put(spec)
    cloud.booted(spec)
    yield spec
    cloud.drop(spec.instance_id)
