"""Option C without a NAT gateway: boxes install themselves from an archive of packages, and have no way out.

Needs Debian's mirror once, to build the archive as a person does. In the order of the file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from bench.figures import note
from bench.projects import private
from bench.served import CACHE, environment
from embedded import endpoint
from embedded.boxes import BoxSpec, seed
from embedded.boxes.addresses import host_end
from embedded.cloud import Cloud
from infra.core.shape import ENDPOINTS
from ops import packages
from ops.adapters.apt import Apt, repositories
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_split.support import RECEIPT, Two

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine, pytest.mark.matrix]

MACHINES = {"frontend": "t4g.medium", "backend": "t4g.medium"}
REACH = "timeout 3 bash -c '</dev/tcp/{}/{}'"
MOTO = {"monitoring": "cloudwatch", "ssmmessages": "ssm"}
BARE = b"""Dir::Cache::archives "/var/cache/nothing"; Dir::State::lists "/var/lib/nothing";"""
"""The boxes' image keeps Debian's packages for those that have no mirror near; here apt does not know of them."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """A stack that began without a NAT gateway; its boxes waited for the archive."""
    directory = tmp_path_factory.mktemp("without-nat")
    began = time.monotonic()
    archive = packages.build(
        Apt(repositories(""), "amd64"),
        endpoint.authority(directory / "cloud" / "boxes").decode(),
        directory / "scratch",
        directory / "packages.tar",
    )
    note(f"built {archive.packages} packages, {archive.size_bytes / 1024**2:.0f} MiB, "
         f"in {time.monotonic() - began:.0f} s")  # fmt: skip
    plain = seed.files

    def bare(spec: BoxSpec, told: Mapping[str, str], **rest: bytes) -> dict[str, bytes]:
        made = plain(spec, told, **rest)
        if b'"placement": "private"' in spec.user_data:
            made |= {"etc/apt/apt.conf.d/00bare": BARE, "var/cache/nothing/partial/.keep": b"",
                     "var/lib/nothing/partial/.keep": b""}  # fmt: skip
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(seed, "files", bare)
        with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
            edge = {"nat": "none", "packages": archive.sha256}
            project = private(directory / "project", cloud, machines=MACHINES, edge=edge)
            project.stand()
            made = Two(directory, cloud, project, project.outputs())
            began = time.monotonic()
            published = made.script("packages", "publish", str(archive.path), "--stack", "dev")
            assert published.returncode == 0, published.stderr
            made.ready()
            note(f"published, installed, released in {time.monotonic() - began:.0f} s")
            yield made


def test_it_serves_pages_and_rows_of_a_database_whose_certificate_is_verified(two: Two) -> None:
    two.until("/api/totals", 200)
    status, said = two.asked("/api/receipts", RECEIPT)
    assert status == 201, said
    status, page = two.asked("/")
    assert status == 200
    assert "Gimbap House" in page


@pytest.mark.parametrize("role", ["frontend", "backend"])
def test_apt_knows_the_archive_alone_and_has_nothing_left_to_upgrade(two: Two, role: str) -> None:
    said = two.sh(role, "apt-get indextargets --format '$(SITE)$(REPO_URI)' | sort -u")
    assert said.startswith("file:/opt/terrace/packages/")
    assert len(said.splitlines()) == 1
    assert "0 upgraded" in two.sh(role, "apt-get update -q >/dev/null && apt-get upgrade -s")
    assert 'Unattended-Upgrade "0"' in two.sh(role, "cat /etc/apt/apt.conf.d/20auto-upgrades")


def mirror() -> str:
    """The host that this machine gets Debian from."""
    (uri, *_) = re.findall(r"^URIs: (\S+)", repositories(""), re.MULTILINE)
    return str(urlsplit(uri).hostname)


@pytest.mark.parametrize("role", ["frontend", "backend"])
def test_a_box_reaches_neither_the_world_nor_what_aws_has_outside_of_its_endpoints(
    two: Two, role: str
) -> None:
    machines = two.cloud.machines
    assert machines is not None
    for address, port in (
        (host_end(machines.host.public_network), 80),
        (endpoint.RUNPOD, 80),
        (endpoint.RDS_AUTHORITIES, 443),
        (mirror(), 80),
    ):
        assert two.tried(role, REACH.format(address, port))[0] != 0, address
    assert two.tried(role, REACH.format("s3.ap-northeast-2.amazonaws.com", 443))[0] == 0


def test_boxes_asked_only_services_that_have_an_endpoint(two: Two) -> None:
    asked = {each.service for each in two.cloud.api.requests.last() if each.peer.startswith("169.254.")}
    assert asked <= {MOTO.get(each, each) for each in ENDPOINTS} | {"s3"}
    assert {"ssm", "cloudwatch"} <= asked


def test_the_same_installer_again_changes_nothing(two: Two) -> None:
    said = two.sh("backend", "terrace-host update 2>&1")
    assert "installed in" in said
    assert "another source" not in said
