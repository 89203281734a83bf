"""The only place for the box's systemd units, and how hard each is shut in."""

from __future__ import annotations

from pathlib import Path

from infra.core.memory import Budget

from . import upstream

PROGRAMS = "/usr/local/sbin"
GPU_UNITS = tuple(Path(__file__).with_name("gpu") / f"terrace-gpu.{kind}" for kind in ("service", "timer"))

# A refused call is an error and not the end: Node asks for some that it can do without.
_SHUT_IN = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""

# A killed service comes back by itself; one that is out of memory takes nobody with it.
_SERVICE = """\
User=terrace
Group=terrace
EnvironmentFile=/run/terrace/app.env
{environment}
ExecStart={start}
SuccessExitStatus=143
Restart=on-failure
RestartSec=2
TimeoutStopSec=60
KillMode=mixed
OOMPolicy=kill
MemoryMax={limit_mib}M
MemorySwapMax=0
StandardOutput=append:/var/log/terrace/{name}.log
StandardError=inherit
"""


# Four tries an hour: Let's Encrypt takes five failed ones an hour for a name.
_CERTIFICATE = f"""\
[Unit]
Description=The domain's certificate
Wants=network-online.target
After=network-online.target nginx.service
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart={PROGRAMS}/terrace-certificate renew
Restart=on-failure
RestartSec=900
TimeoutStartSec=600
"""
_AGENTS = f"""\
[Unit]
Description=Amazon's own agents
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart={PROGRAMS}/terrace-agents
Restart=on-failure
RestartSec=300
TimeoutStartSec=1800
"""
_CERTIFICATE_TIMER = """\
[Unit]
Description=The domain's certificate, twice a day
[Timer]
OnCalendar=*-*-* 03,15:00:00
RandomizedDelaySec=3600
Persistent=yes
[Install]
WantedBy=timers.target
"""
_UPSTREAM = f"""\
[Unit]
Description=Where the backend answers
After=network-online.target
[Service]
Type=oneshot
ExecStart={PROGRAMS}/terrace-upstream
TimeoutStartSec=60
"""
_UPSTREAM_TIMER = f"""\
[Unit]
Description=Where the backend answers, again and again
[Timer]
OnBootSec=5
OnUnitInactiveSec={upstream.EVERY_SECONDS}
AccuracySec=1
[Install]
WantedBy=timers.target
"""
_FOLLOW = f"""\
[Unit]
Description=What changed in the parameters, taken over by the services
After=terrace-settings.service
[Service]
Type=oneshot
ExecStart={PROGRAMS}/terrace-host follow
TimeoutStartSec=600
"""
_FOLLOW_TIMER = """\
[Unit]
Description=What changed in the parameters, again and again
[Timer]
OnBootSec=60
OnUnitInactiveSec=300
[Install]
WantedBy=timers.target
"""
_SIZE = f"""\
[Unit]
Description=The shares of the machine's memory
Before=postgresql@17-main.service terrace-release.service terrace-worker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={PROGRAMS}/terrace-host size
[Install]
WantedBy=multi-user.target
"""
# Another instance type is another memory: a resize ends in a boot, and what starts then has its new share.
_GROW = f"""\
[Unit]
Description=The data volume's file system as large as the volume
After=terrace-data.service
[Service]
Type=oneshot
ExecStart={PROGRAMS}/terrace-mount --grow
TimeoutStartSec=600
"""
# EBS needs nobody's stop to grow; what is mounted there follows within minutes.
_GROW_TIMER = """\
[Unit]
Description=The data volume's file system as large as the volume, again and again
[Timer]
OnBootSec=60
OnUnitInactiveSec=300
[Install]
WantedBy=timers.target
"""


def _service(name: str, *, instances: bool, start: str, limit_mib: int) -> str:
    file = f"/run/terrace/{name}@%i.env" if instances else f"/run/terrace/{name}.env"
    body = _SERVICE.format(environment=f"EnvironmentFile={file}", start=start, limit_mib=limit_mib, name=name)
    described = f"{name} on port %i" if instances else name
    return (
        f"[Unit]\nDescription=terrace {described}\nAfter=network.target terrace-settings.service "
        f"postgresql@17-main.service\nStartLimitIntervalSec=0\n[Service]\n{body}{_SHUT_IN}"
    )


def _oneshot(what: str, start: str, *, after: str, extra: str = "") -> str:
    # RestartMode: what requires this waits for the next try, where it would otherwise fail with it and stay down.
    return (
        f"[Unit]\nDescription={what}\nAfter={after}\n"
        f"{extra}[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={start}\nRestart=on-failure\n"
        "RestartMode=direct\nRestartSec=10\n[Install]\nWantedBy=multi-user.target\n"
    )


def units(budget: Budget, *, gpu: bool = False) -> dict[str, str]:
    """Every unit of the host by its name, for a box with that budget; `gpu` for a stack with an endpoint."""
    data = budget.database is not None
    made = {path.name: path.read_text(encoding="utf-8") for path in GPU_UNITS} if gpu else {}
    made |= {
        "terrace-agents.service": _AGENTS,
        "terrace-follow.service": _FOLLOW,
        "terrace-follow.timer": _FOLLOW_TIMER,
        "terrace-size.service": _SIZE,
        "terrace-settings.service": _oneshot(
            "What the application is told",
            f"{PROGRAMS}/terrace-settings",
            after="network-online.target",
            extra="Wants=network-online.target\nStartLimitIntervalSec=0\n",
        ),
        "terrace-release.service": _oneshot(
            "The release that served last",
            f"{PROGRAMS}/terrace-deploy boot",
            after="terrace-settings.service terrace-data.service",
            # Not before Nginx: it reloads Nginx, and would wait for itself.
            extra="Requires=terrace-settings.service\n" + ("Requires=terrace-data.service\n" if data else ""),
        ),
    }
    if budget.frontend is not None:
        made |= {"terrace-certificate.service": _CERTIFICATE, "terrace-certificate.timer": _CERTIFICATE_TIMER}
    if budget.role == "frontend":
        made |= {"terrace-upstream.service": _UPSTREAM, "terrace-upstream.timer": _UPSTREAM_TIMER}
    if data:
        made |= {
            "terrace-data.service": _oneshot(
                "The data volume", f"{PROGRAMS}/terrace-mount", after="local-fs.target"
            ),
            "terrace-grow.service": _GROW,
            "terrace-grow.timer": _GROW_TIMER,
        }
    if (java := budget.backend) is not None:
        made["terrace-backend@.service"] = _service(
            "backend",
            instances=True,
            start=_java(java.heap_mib, ""),
            limit_mib=java.limit_mib,
        )
    if (worker := budget.worker or budget.backend) is not None:
        made["terrace-worker.service"] = _service(
            "worker",
            instances=False,
            start=_java(min(worker.heap_mib, 512), " --spring.profiles.active=worker"),
            limit_mib=min(worker.limit_mib, 864),
        )
    if (node := budget.frontend) is not None:
        made["terrace-frontend@.service"] = _service(
            "frontend",
            instances=True,
            start=f"/usr/bin/node --max-old-space-size={node.old_space_mib} ${{TERRACE_ENTRY}}",
            limit_mib=node.limit_mib,
        )
    return made


def enabled(budget: Budget, *, gpu: bool = False) -> list[str]:
    """The units that start by themselves; services of a release are started by terrace-release."""
    started_by_others = (
        "terrace-agents.service", "terrace-certificate.service", "terrace-follow.service", "terrace-gpu.service",
        "terrace-grow.service", "terrace-upstream.service", "terrace-worker.service",
    )  # fmt: skip
    return [name for name in units(budget, gpu=gpu) if "@" not in name and name not in started_by_others]


def _java(heap_mib: int, arguments: str) -> str:
    return f"/usr/bin/java -Xmx{heap_mib}m -XX:+ExitOnOutOfMemoryError -jar ${{TERRACE_JAR}}{arguments}"
