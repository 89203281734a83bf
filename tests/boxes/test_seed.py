"""What is put into a box, and that a box cannot make us put it anywhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from embedded.boxes import Identity
from embedded.boxes.seed import files, machine_id, write
from tests.boxes.test_model import BOX

BOXED = replace(BOX, user_data=b"#!/bin/sh\n\x00\xff", identity=Identity(region="ap-northeast-2"))


def test_the_box_gets_its_name_its_user_data_and_its_way_to_aws(tmp_path: Path) -> None:
    write(tmp_path, files(BOXED, {"AWS_ENDPOINT_URL": 'http://"x"'}))
    assert (tmp_path / "etc/hostname").read_text() == "ip-10-20-0-5\n"
    assert (tmp_path / "var/lib/cloud/seed/nocloud/user-data").read_bytes() == BOXED.user_data
    assert '"instance-id": "i-1"' in (tmp_path / "var/lib/cloud/seed/nocloud/meta-data").read_text()
    assert (tmp_path / "etc/environment").read_text() == 'AWS_ENDPOINT_URL="http://\\"x\\""\n'
    assert "region = ap-northeast-2\nendpoint_url = http" in (tmp_path / "root/.aws/config").read_text()
    assert (tmp_path / "var/lib/cloud/seed/nocloud/user-data").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "etc/hostname").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_each_box_has_a_machine_id_of_its_own_and_keeps_it() -> None:
    assert machine_id(BOXED) == machine_id(replace(BOXED, memory_bytes=2 * BOXED.memory_bytes))
    assert machine_id(BOXED) != machine_id(replace(BOXED, instance_id="i-2"))


@pytest.mark.parametrize("link", ["etc", "etc/hostname", "var/lib/cloud/seed", "root/.aws"])
def test_a_link_that_the_box_left_does_not_lead_us_out(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hostname").write_text("ours")
    upper = tmp_path / "upper"
    (upper / link).parent.mkdir(parents=True)
    (upper / link).symlink_to(outside / "hostname" if link == "etc/hostname" else outside)
    write(upper, files(BOXED, {}))
    assert [path.name for path in outside.iterdir()] == ["hostname"]
    assert (outside / "hostname").read_text() == "ours"
    assert (upper / "etc/hostname").read_text() == "ip-10-20-0-5\n"


def test_a_directory_in_a_files_place_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "etc/hostname/odd").mkdir(parents=True)
    write(tmp_path, files(BOXED, {}))
    write(tmp_path, files(BOXED, {}))
    assert (tmp_path / "etc/hostname").read_text() == "ip-10-20-0-5\n"
