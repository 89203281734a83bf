"""What bad days of a box are written with: a box that cannot install itself yet, its power, its installer stopped."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import boto3

from bench.projects import option_a
from bench.served import CACHE, REGION, Served, environment
from embedded.aws.faults import Fault, FaultKind
from embedded.boxes import State
from embedded.cloud import Cloud

CUT = Path(__file__).with_name("cut.py")
LONG_SECONDS = 180.0


@contextmanager
def without_a_bundle(directory: Path) -> Generator[Served]:
    """Option A standing, while the bucket that holds its box's bundle does not answer."""
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        cloud.api.faults.add(Fault(FaultKind.API_FAILS, "s3", "GetObject", times=None))
        project = option_a(directory / "project", cloud, "single-8g")
        project.stand()
        made = Served(directory, cloud, project, project.outputs())
        up(made, boots=0)
        until(lambda: made.tried("systemctl is-enabled terrace-host")[0] == 0)
        yield made


def up(box: Served, *, boots: int) -> None:
    """Waits until the machine is there in a later boot than that; its installer may be at work for ever."""
    assert box.cloud.machines is not None
    box.cloud.machines.host.wait(
        box.box.instance_id,
        lambda each: each.state is State.RUNNING and each.boots > boots,
        timeout_seconds=LONG_SECONDS,
    )


def cut(box: Served) -> None:
    """Takes the power away and gives it back."""
    assert box.cloud.machines is not None
    host = box.cloud.machines.host
    boots = host.box(box.box.instance_id).boots
    host.power_cut(box.box.instance_id)
    host.power_on(box.box.instance_id)
    up(box, boots=boots)


def until(what: Callable[[], object], *, seconds: float = LONG_SECONDS, box: Served | None = None) -> None:
    """Waits until that is so."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            said = (
                box.tried("journalctl -b --no-pager | grep -i terrace | tail -30; systemctl --failed")[1]
                if box
                else ""
            )
            raise AssertionError(f"not so within {seconds:g} s: {said}")
        time.sleep(0.3)


def bootstrap(box: Served) -> dict[str, object]:
    """What bootstrap.json says."""
    code, said = box.tried("cat /var/lib/terrace/bootstrap.json")
    found: dict[str, object] = json.loads(said) if code == 0 else {}
    return found


def tells(box: Served, text: str) -> bool:
    """Whether a step failed with that in its message."""
    return bootstrap(box).get("state") == "failed" and text in json.dumps(bootstrap(box))


def published(box: Served) -> set[str]:
    """The names of the project's own metrics."""
    found = boto3.client("cloudwatch", region_name=REGION).list_metrics(Namespace="terrace")["Metrics"]
    return {
        each["MetricName"] for each in found if {one["Name"] for one in each["Dimensions"]} == {"InstanceId"}
    }


def plant(box: Served) -> None:
    """Puts cut.py where Python finds it at its start."""
    where = box.sh(
        "python3 -c 'import site; print(next(p for p in site.getsitepackages() if \"local\" in p))'"
    )
    text = shlex.quote(CUT.read_text(encoding="utf-8"))
    box.sh(f"mkdir -p {where}; printf %s {text} > {where}/cut.py; echo 'import cut' > {where}/cut.pth")


def wish(box: Served, step: str, at: int) -> None:
    """Where the installer is to be stopped next."""
    told = shlex.quote(json.dumps({"step": step, "at": at}))
    box.sh(f"rm -f /root/reached; printf %s {told} > /root/cut.json")


def reached(box: Served) -> bool:
    """Whether it stands there."""
    return box.tried("test -e /root/reached")[0] == 0


def cut_at(box: Served, step: str, at: int) -> None:
    """Cuts the power, and boots until the installer stands at that point; what comes next cuts it there."""
    wish(box, step, at)
    cut(box)
    until(lambda: reached(box), box=box)


def ends_well(box: Served) -> None:
    """Whether an installation that nobody stops any more comes to its end, and leaves nothing by halves."""
    box.sh("rm /root/cut.json")
    cut(box)
    box.prepare()
    assert box.sh("systemctl --failed --no-legend") == ""
    assert box.sh("cat /var/lib/dpkg/status | grep -c '^Status: .*half' || true") == "0"
    assert box.sh("ls -A /data").split() == ["identity.json", "lost+found", "pgdata", "releases", "state"]
    assert {"vector", "pg_stat_statements"} <= set(sql(box, "select extname from pg_extension").split())
    assert page(box, "/healthz") == "200"


def sql(box: Served, query: str) -> str:
    """The answer of the application's database."""
    return box.sh(f"runuser -u postgres -- psql -XAtq -d app -c {shlex.quote(query)}")


def page(box: Served, path: str = "/") -> str:
    """The status that Nginx answers with, over HTTPS."""
    return box.tried(f"curl -sko /dev/null -m 10 -w '%{{http_code}}' https://127.0.0.1{path}")[1]


@contextmanager
def enforced(box: Served, pid: str, limit_bytes: int) -> Generator[Callable[[], int | None]]:
    """A process of the box under a memory limit of the kernel's, and how many such processes it has killed.

    Under control groups of version 1 the box's own systemd shows the limits of units and cannot enforce them
    (embedded/boxes/cgroups.py): what it would have done is done here, from outside. Under version 2 nothing is
    done, and nothing counted (None).
    """
    outside = next(each for each in Path("/proc").glob("[0-9]*") if _inside(each, box.box.instance_id) == pid)
    controlled = dict(line.split(":", 2)[1:] for line in (outside / "cgroup").read_text().splitlines())
    if "memory" not in controlled:
        yield lambda: None
        return
    group = Path("/sys/fs/cgroup/memory") / controlled["memory"].lstrip("/") / "limited"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    (group / "cgroup.procs").write_text(outside.name)
    try:
        told = group / "memory.oom_control"
        yield lambda: int(dict(line.split() for line in told.read_text().splitlines())["oom_kill"])
    finally:
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def _inside(process: Path, instance_id: str) -> str:
    """The number that a process of that box has in it; nothing for any other process."""
    try:
        if instance_id not in (process / "cgroup").read_text():
            return ""
        told = (process / "status").read_text().split("NSpid:")[1]
        return told.splitlines()[0].split()[-1]
    except OSError:
        return ""


def said_in(page_: Path, heading: str, begins: str) -> list[str]:
    """The commands of a document's section that begin so, each once, as they stand there."""
    section = page_.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"`([^`\n]+)`", section)
    return list(dict.fromkeys(each for each in found if each.startswith(begins)))
