"""The only place where the metrics programs touch AWS and the box's own files: facts, clients, what is kept."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.request import Request, urlopen

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric, Subject

BOX_JSON = Path("/etc/terrace/box.json")
STATE = Path("/var/lib/terrace/metrics")
ON_DATA = Path("/data/state/metrics")
METADATA = "http://169.254.169.254/latest"
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


def users_directory() -> Path:
    """Where the users of days and months are kept: on the data volume where there is one, and move with it."""
    return (ON_DATA if ON_DATA.is_dir() else STATE) / "users"


def instance_id() -> str:
    """This machine's id, from the metadata service in its second version.

    Raises:
        OSError: it does not answer.
    """
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    ask = Request(f"{METADATA}/api/token", method="PUT", headers=headers)  # noqa: S310 a fixed http address
    with urlopen(ask, timeout=5) as answer:  # noqa: S310
        token = answer.read().decode()
    ask = Request(f"{METADATA}/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token})  # noqa: S310
    with urlopen(ask, timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def client(service: str, region: str) -> Any:
    """A boto3 client with the box's role; short waits, since the next minute tries again."""
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    waits = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    return make(service, region_name=region, config=waits)


class Teller(Protocol):
    """Where metrics go."""

    def tell(self, values: Mapping[Metric, float]) -> None:
        """Publishes them, each with exactly the dimensions of the table."""
        ...


@dataclass(frozen=True, slots=True)
class CloudWatch:
    """Publishes in the name of one box of one stack."""

    cloudwatch: Any
    project: str
    stack: str
    instance_id: str

    def tell(self, values: Mapping[Metric, float]) -> None:
        """See `Teller`; up to 1 000 in one call (CloudWatch API reference, PutMetricData)."""
        known = {Subject.BOX: ("InstanceId", self.instance_id), Subject.STACK: ("Stack", self.stack)}
        for space in {metric.space for metric in values}:
            data = []
            for metric, value in values.items():
                if metric.space is space:
                    own = (known[metric.subject], *metric.fixed)
                    data.append(
                        {
                            "MetricName": metric.name,
                            "Dimensions": [{"Name": name, "Value": text} for name, text in own],
                            "Value": value,
                            "Unit": metric.unit.value,
                        }
                    )
            self.cloudwatch.put_metric_data(Namespace=space.named(self.project, self.stack), MetricData=data)


def remembered(path: Path) -> dict[str, Any]:
    """What was written down there; nothing where it is missing or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(path: Path, values: Mapping[str, Any]) -> None:
    """Writes it down at once and for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    Path(part).replace(path)


@dataclass(slots=True)
class Tail:
    """What was added to a file since the last look, also across a rotation that keeps the file before as `NAME.1`."""

    path: Path
    inode: int = 0
    offset: int = 0

    def lines(self, most_bytes: int = 16 * 1024**2) -> Sequence[bytes]:
        """Whole new lines; half a line waits for its end. The place moves on only with `offset`, so remember it."""
        found: list[bytes] = []
        try:
            now = self.path.stat()
        except OSError:
            return found
        if self.inode and now.st_ino != self.inode:
            before = self.path.with_name(f"{self.path.name}.1")
            if before.exists() and before.stat().st_ino == self.inode:
                found += _after(before, self.offset, most_bytes)[0]
            self.offset = 0
        elif now.st_size < self.offset:
            self.offset = 0
        self.inode = now.st_ino
        new, self.offset = _after(self.path, self.offset, most_bytes)
        return [*found, *new]


def _after(path: Path, offset: int, most_bytes: int) -> tuple[list[bytes], int]:
    with path.open("rb") as file:
        file.seek(offset)
        read = file.read(most_bytes)
    end = read.rfind(b"\n") + 1
    return read[:end].splitlines(), offset + end
