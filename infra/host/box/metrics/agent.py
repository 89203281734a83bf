"""The only place for the configuration of the CloudWatch agent on a box: what it measures, which logs it sends.

Names and dimensions come from `infra/core/metrics.py`. `run_as_user` is left out: the agent reads logs of several
owners, and runs as root by default (CloudWatch User Guide, "Common scenarios").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.core.metrics import DATA, DISK, MEMORY, Metric, Space

CONFIGURATION = "/etc/terrace/agent.json"
COLLECT_SECONDS = 60
ACCESS_LOG = "/var/log/nginx/access.json"


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that is sent: the log group's last part (`infra/components/observability.py`), the roles, the stream."""

    group: str
    path: str
    roles: tuple[str, ...]
    stream: str = "{instance_id}"


LOGS = (
    LogFile("nginx/access", ACCESS_LOG, ("single", "frontend", "backend")),
    LogFile("nginx/error", "/var/log/nginx/error.log", ("single", "frontend", "backend")),
    LogFile("backend", "/var/log/terrace/backend.log", ("single", "backend")),
    # The same jar beside the backend: a stream of its own in the backend's group.
    LogFile("backend", "/var/log/terrace/worker.log", ("single", "backend"), "{instance_id}-worker"),
    LogFile("frontend", "/var/log/terrace/frontend.log", ("single", "frontend")),
    LogFile("database", "/var/log/postgresql/postgresql-17-main.log", ("single",)),
)


def configuration(role: str, log_groups: str) -> dict[str, Any]:
    """The agent's JSON for a box of that role; `log_groups` is what its log groups' names begin with."""
    disks = [dict(DISK.fixed)["path"], *([dict(DATA.fixed)["path"]] if role == "single" else [])]
    return {
        "agent": {"metrics_collection_interval": COLLECT_SECONDS, "omit_hostname": True},
        "metrics": {
            "namespace": Space.AGENT.value,
            # InstanceId alone: with type or image the series would change at every resize.
            "append_dimensions": {"InstanceId": "${aws:InstanceId}"},
            "metrics_collected": {
                "mem": {"measurement": [MEMORY.name]},
                "disk": {"measurement": ["used_percent"], "resources": disks, "drop_device": True},
            },
        },
        "logs": {
            "logs_collected": {
                "files": {
                    "collect_list": [
                        {
                            "file_path": each.path,
                            "log_group_name": f"{log_groups}/{each.group}",
                            "log_stream_name": each.stream,
                            "timezone": "UTC",
                        }
                        for each in LOGS
                        if role in each.roles
                    ]
                }
            }
        },
    }


def published(configured: Mapping[str, Any], *, file_system: str = "ext4") -> set[tuple[str, ...]]:
    """What the agent publishes under that configuration: each metric's name, then its dimensions as `name=value`.

    Disks get `path` and `fstype`, and `device` unless it is dropped (CloudWatch User Guide, "Metrics collected by
    the CloudWatch agent").
    """
    metrics = configured["metrics"]
    own = tuple(sorted(metrics["append_dimensions"]))
    found: set[tuple[str, ...]] = set()
    for kind, section in metrics["metrics_collected"].items():
        for measured in section["measurement"]:
            name = measured if measured.startswith(f"{kind}_") else f"{kind}_{measured}"
            for path in section.get("resources", [""]):
                disk = (f"fstype={file_system}", f"path={path}") if kind == "disk" else ()
                device = ("device",) if kind == "disk" and not section.get("drop_device") else ()
                found.add((name, *own, *disk, *device))
    return found


def as_published(metric: Metric) -> tuple[str, ...]:
    """A metric of the table in the same words."""
    own = tuple(name for name in metric.dimensions if name not in dict(metric.fixed))
    return (metric.name, *own, *sorted(f"{name}={value}" for name, value in metric.fixed))
