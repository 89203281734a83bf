"""`terrace-metrics`: the only place for the verbs that tell CloudWatch of this box.

Exit codes: 0 done, 1 something could not be told, 2 usage, 4 refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import TerraceError
from infra.host.box.metrics import agent, place, probes, translator
from infra.host.box.metrics.users import Users
from infra.host.box.system import own_subnet

UNITS: Mapping[str, str] = {
    "terrace-metrics.service": """\
[Unit]
Description=terrace: what the box measures of itself
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/terrace-metrics collect
User=terrace-metrics
Group=terrace-metrics
SupplementaryGroups=adm systemd-journal
StateDirectory=terrace/metrics
ReadWritePaths=-/data/state/metrics
TimeoutStartSec=50
MemoryMax=128M
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
CapabilityBoundingSet=
""",
    "terrace-metrics.timer": """\
[Unit]
Description=terrace: what the box measures of itself, every minute

[Timer]
OnBootSec=1min
OnUnitActiveSec=60
AccuracySec=1

[Install]
WantedBy=timers.target
""",
    # Enabled where Amazon's agent cannot be had; it is the same configuration that is carried out.
    "terrace-agent.service": """\
[Unit]
Description=terrace: stand-in for Amazon's CloudWatch agent
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/sbin/terrace-metrics agent
StateDirectory=terrace/agent
Restart=always
RestartSec=10
MemoryMax=128M
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
""",
}
AGENT_STATE = Path("/var/lib/terrace/agent")


def main(argv: Sequence[str] | None = None) -> int:
    """The program; a refusal is a sentence and no traceback."""
    parser = argparse.ArgumentParser(prog="terrace-metrics", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("collect", help="measure and publish what is due; the timer calls it every minute")
    stand_in = verbs.add_parser("agent", help="carry out the agent's configuration in its place")
    stand_in.add_argument("--once", action="store_true", help="once, and end")
    verbs.add_parser("config", help="print the configuration of Amazon's agent for this box")
    given = parser.parse_args(argv)
    work: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "collect": _collect, "agent": _agent, "config": _config,
    }  # fmt: skip
    try:
        return work[given.verb](given)
    except TerraceError as error:
        _say(str(error))
        return 4


def _collect(_: argparse.Namespace) -> int:
    facts = place.facts()
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        # AWS Budgets has one endpoint, in us-east-1 (AWS General Reference).
        region = "us-east-1" if service == "budgets" else facts["region"]
        return clients.setdefault(service, place.client(service, region))

    now = datetime.now(UTC)
    users = Users(place.users_directory(), Path(agent.ACCESS_LOG))
    if facts["role"] != "backend":
        users.take(now)
    made = probes.Probes(facts, users, place.STATE, _run, client, now, public=lambda: _public(facts))
    values = probes.collect(made, _say)
    if not values:
        return 0
    try:
        teller = place.CloudWatch(client("cloudwatch"), facts["project"], facts["stack"], place.instance_id())
        teller.tell(values)
    except Exception as error:  # noqa: BLE001 a sentence, and the next minute tries again
        _say(f"nothing was published: {type(error).__name__}: {str(error)[:200]}")
        return 1
    made.told(values)
    return 0


def _public(facts: place.Facts) -> bool:
    """Whether no load balancer stands before this box; False where that cannot be asked, until the next minute."""
    if facts["role"] != "frontend":
        return True
    try:
        return own_subnet() not in facts.get("balanced_subnets", ())
    except OSError as error:
        _say(f"the metadata service does not say which subnet this is: {error}")
        return False


def _agent(given: argparse.Namespace) -> int:
    facts = place.facts()
    identity = place.instance_id()
    cloudwatch = place.client("cloudwatch", facts["region"])
    made = translator.Translator(
        agent.configuration(facts["role"], facts["log_groups"]),
        place.CloudWatch(cloudwatch, facts["project"], facts["stack"], identity),
        place.client("logs", facts["region"]),
        identity,
        AGENT_STATE,
    )
    while True:
        try:
            made.once()
        except Exception as error:  # noqa: BLE001 as the agent: said, and tried again
            _say(f"{type(error).__name__}: {str(error)[:200]}")
            if given.once:
                return 1
        if given.once:
            return 0
        time.sleep(agent.COLLECT_SECONDS - time.time() % agent.COLLECT_SECONDS)


def _config(_: argparse.Namespace) -> int:
    facts = place.facts()
    json.dump(agent.configuration(facts["role"], facts["log_groups"]), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


def _say(text: str) -> None:
    sys.stderr.write(f"terrace-metrics: {text}\n")
