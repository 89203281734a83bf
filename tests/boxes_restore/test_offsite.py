"""The region is lost: what docs/restore.md says is done, step by step, from the off-site copy into another stack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.cloud import Cloud
from tests.boxes_restore.support import INSTALL_SECONDS, Machine, say, until
from tests.engine.conftest import CACHE, Project, lay_out

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.matrix]

AWAY = "ap-northeast-1"
SAID = (Path(__file__).parents[2] / "docs" / "restore.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("offsite") / "cloud", cache=CACHE, boxes=True) as made:
        assert made.machines is not None, made.without_boxes
        yield made


def stand(cloud: Cloud, directory: Path, stack: str, **settings: Any) -> tuple[dict[str, Any], Machine]:
    """A stack of that name, and its box."""
    project = Project(directory, cloud, stack)
    lay_out(directory)
    project.write(dataVolumeGib=20, **settings)
    project.pulumi("stack", "init", stack)
    project.up()
    outputs = project.outputs()
    buckets = outputs["buckets"]
    assert cloud.machines is not None
    box = Machine(
        cloud.machines.host, project.client, outputs["instance_id"], buckets["backups"], buckets["uploads"]
    )
    return outputs, box


def on_the_box(begins: str) -> list[str]:
    """The commands for the box in that step of "The region is lost"."""
    section = SAID[SAID.index("## The region is lost") : SAID.index("## The account is lost")]
    (step,) = (each for each in re.split(r"^(?=\d\. )", section, flags=re.M) if each.startswith(begins))
    return re.findall(r"^ {7}sudo (.+)$", step, flags=re.M)


def passed_on(box: Machine, copy: str, phrase: str) -> None:
    """Step 3, as the AWS CLI does it."""
    s3 = box.client("s3")
    bucket = {each: re.search(rf"aws s3 {each} --recursive", SAID) for each in ("rm", "cp")}
    assert all(bucket.values())
    for each in s3.list_objects_v2(Bucket=box.backups, Prefix="database/")["Contents"]:
        s3.delete_object(Bucket=box.backups, Key=each["Key"])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=copy, Prefix="database/")
    for each in (each for page in pages for each in page["Contents"]):
        s3.copy_object(Bucket=box.backups, Key=each["Key"], CopySource={"Bucket": copy, "Key": each["Key"]})
    box.client("ssm").put_parameter(
        Name="/terrace/away/database/backup-passphrase", Value=f"{phrase}\n", Type="SecureString",
        KeyId="alias/terrace-away", Overwrite=True,
    )  # fmt: skip


def test_a_lost_regions_database_comes_back_from_the_copy_as_the_document_says(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, source = stand(cloud, tmp_path / "lost", "dev", backup={"offsiteRegion": AWAY})
    source.take_over()
    source.add_receipts(30)
    wanted = source.counts()
    source.archive()
    ssm = source.client("ssm")
    name = "/terrace/dev/database/backup-passphrase"
    phrase = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    assert cloud.machines is not None
    cloud.machines.host.power_cut(source.instance_id)

    _, box = stand(cloud, tmp_path / "away", "away")
    until(lambda: box.installed() and box.status()["backups"], seconds=INSTALL_SECONDS)
    own = {each["label"] for each in box.status()["backups"]}
    for line in on_the_box("2."):
        box.run(line)
    passed_on(box, lost["offsite_bucket"], phrase)
    install, restore, host = on_the_box("4.")
    box.run(install)
    done = box.run(restore, check=False)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    (fault,) = result["proof"]["faults"]
    assert fault.startswith("23 of 23 "), fault
    assert box.counts() == wanted
    box.run(host)
    until(lambda: box.status()["backups"][-1]["first"].startswith("00000002"), seconds=INSTALL_SECONDS)
    say(capsys, f"restored from the off-site copy in {result['seconds']:.1f} s")

    assert box.counts() == wanted
    url = box.sh("sed -n 's/^DATABASE_URL=\"\\(.*\\)\"$/\\1/p' /run/terrace/app.env")
    assert (
        box.run("psql -XAtqd \"$(cat)\" -c 'select current_user'", stdin=url.encode()).stdout.strip() == "app"
    )
    box.add_receipts(1)
    box.archive()
    box.run("terrace-backup watch")
    told = box.status()
    assert [each for each in told["gaps"] if each["until"] is None] == []
    labels = {each["label"] for each in told["backups"]}
    assert labels & own == set()
    assert told["backups"][-1]["kind"] == "full"
    assert not [each for each in told["results"].values() if each["error"]]
