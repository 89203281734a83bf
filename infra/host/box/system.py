"""The only place where the host's programs touch the machine: facts, files, other programs, metadata, metrics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from infra.core.errors import Fault, TerraceError
from infra.core.memory import BoxRole

BOX_JSON = Path("/etc/terrace/box.json")
DATA = Path("/data")
METADATA = "http://169.254.169.254/latest"
MEMINFO = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory.max"))
"""A machine in a control group sees its host's memory in /proc, and its own limit here."""

Facts = Mapping[str, Any]


def facts(path: Path = BOX_JSON) -> Facts:
    """What this box was told about itself.

    Raises:
        TerraceError: it was not told.
    """
    try:
        found: Facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TerraceError(Fault(str(path), f"cannot be read: {error}", "Run terrace-host update")) from error
    return found


def role(found: Facts) -> BoxRole:
    """The role that user data gave this box."""
    named: BoxRole = found["role"]
    return named


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    user: str | None = None,
    timeout_seconds: float = 600.0,
    check: bool = True,
) -> str:
    """What a program writes to stdout. No secret may stand in `argv`.

    Raises:
        TerraceError: it failed, is missing, or took longer; what it said last is in the fault.
    """
    done = ended(argv, stdin=stdin, user=user, timeout_seconds=timeout_seconds)
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise TerraceError(
            Fault(" ".join(argv[:4]), f"ended with {done.returncode}: {said or 'no message'}", "See above")
        )
    return done.stdout


def ended(
    argv: Sequence[str], *, stdin: str = "", user: str | None = None, timeout_seconds: float = 600.0
) -> subprocess.CompletedProcess[str]:
    """A program's end, whichever it was, with what it wrote. No secret may stand in `argv`.

    Raises:
        TerraceError: it is missing, or took longer.
    """
    line = ["runuser", "-u", user, "--", *argv] if user else list(argv)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            line, input=stdin, capture_output=True, text=True, errors="replace", check=False,
            timeout=timeout_seconds, cwd="/", env=environment,
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise TerraceError(
            Fault(argv[0], str(error), "Look at the box: journalctl -u terrace-host")
        ) from error


def write(path: Path, text: str, *, mode: int = 0o644, owner: str = "root", group: str = "root") -> bool:
    """Puts a text into a file at once and for good; whether content, mode or owner was another before."""
    if path.is_file() and not path.is_symlink():
        now = path.stat()
        same = path.read_bytes() == text.encode() and now.st_mode & 0o777 == mode
        if same and (os.geteuid() != 0 or (path.owner(), path.group()) == (owner, group)):
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 a handle, not a path
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                shutil.chown(part, owner, group)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def directory(path: Path, *, mode: int = 0o755, owner: str = "root", group: str = "root") -> None:
    """Makes a directory with those rights, or sets them."""
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)
    if os.geteuid() == 0 and (path.owner(), path.group()) != (owner, group):
        shutil.chown(path, owner, group)


def ram_mib(meminfo: Path = MEMINFO, limits: Sequence[Path] = LIMITS) -> int:
    """The machine's memory, or its control group's limit where that is less."""
    total = int(meminfo.read_text(encoding="ascii").split()[1]) // 1024
    texts = [path.read_text(encoding="ascii").strip() for path in limits if path.exists()]
    return min([total, *(int(text) // 1024**2 for text in texts if text.isdecimal())])


def metadata(path: str) -> str:
    """What the metadata service says, in its second version.

    Raises:
        OSError: it does not answer.
    """
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    ask = Request(f"{METADATA}/api/token", method="PUT", headers=headers)  # noqa: S310 a fixed http address
    with urlopen(ask, timeout=5) as answer:  # noqa: S310
        token = answer.read().decode()
    ask = Request(f"{METADATA}/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token})  # noqa: S310
    with urlopen(ask, timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def own_subnet() -> str:
    """The CIDR block of the subnet that this box stands in.

    Raises:
        OSError: the metadata service does not answer.
    """
    return metadata(f"network/interfaces/macs/{metadata('mac')}/subnet-ipv4-cidr-block")


def client(service: str, found: Facts) -> Any:
    """A boto3 client of the box's region, with the box's role."""
    import boto3

    make: Any = boto3.client
    return make(service, region_name=found["region"])


def parameter(found: Facts, name: str) -> str:
    """The value of that parameter of the stack, decrypted; `name` without the stack's path, as "database/password".

    Raises:
        TerraceError: the stack has no such parameter.
        Exception: SSM cannot be reached.
    """
    from botocore.exceptions import ClientError

    path = f"{found['parameters']}/{name}"
    try:
        return str(client("ssm", found).get_parameter(Name=path, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise TerraceError(
            Fault(path, "is not there", "`pulumi up` makes it; then terrace-host install")
        ) from error


def publish(found: Facts, name: str, value: float) -> None:
    """Puts one metric into the project's namespace, by InstanceId alone.

    Raises:
        Exception: CloudWatch or the metadata service cannot be reached.
    """
    dimensions = [{"Name": "InstanceId", "Value": metadata("instance-id")}]
    data = [{"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": "Count"}]
    client("cloudwatch", found).put_metric_data(Namespace=found["project"], MetricData=data)


def say(text: str) -> None:
    """A line for the journal."""
    sys.stderr.write(f"terrace: {text}\n")
    sys.stderr.flush()


def command(work: Callable[[], int]) -> int:
    """Runs a program's work; a refusal is said without a traceback and ends with 4."""
    try:
        return work()
    except TerraceError as error:
        say(str(error))
        return 4
    except KeyboardInterrupt:
        return 5
