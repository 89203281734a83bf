"""terrace-host: the only place for the order in which a box is installed, and how far it has come.

Every step may be cut off and run again; a second run changes nothing. Progress stands in bootstrap.json.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.core.memory import Budget, budget, table
from infra.core.packages import CERTBOT, PACKAGES, ROLE_PACKAGES

from . import agents, certificate, fetch, following, mount, nginx, postgresql, settings, units
from .fetch import BOOTSTRAP
from .metrics import agent
from .metrics.command import UNITS
from .system import (
    DATA,
    Facts,
    command,
    directory,
    facts,
    publish,
    ram_mib,
    role,
    run,
    say,
    write,
)  # fmt: skip

LOCK = Path("/run/terrace-host.lock")
WAITS_SECONDS = 30.0
AGENT = Path("/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl")
"""Of Amazon's CloudWatch agent (CloudWatch User Guide, "Start the CloudWatch agent")."""

AGENT_UNIT = "amazon-cloudwatch-agent.service"

CURRENT = Path("/opt/terrace/current")
IDS = {
    "postgres": (650, "/var/lib/postgresql"),
    "terrace": (651, "/nonexistent"),
    "terrace-metrics": (652, "/"),
}
"""Numbers of our own: a new box must own the /data of the old one."""

_CREATE_NO_CLUSTER = "create_main_cluster = false\nadd_include_dir = 'conf.d'\n"
_TMPFILES = """\
d /run/terrace 0755 root root -
d /var/log/terrace 0750 terrace adm -
f /var/log/terrace/backend.log 0640 root adm -
f /var/log/terrace/worker.log 0640 root adm -
"""
"""Logs that others read are made beforehand: systemd would make them for root alone."""
_JOURNALD = "[Journal]\nSystemMaxUse=500M\nMaxRetentionSec=1month\n"
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold", "-q")
_UPGRADES = 'APT::Periodic::Update-Package-Lists "{daily}";\nAPT::Periodic::Unattended-Upgrade "{daily}";\n'
_TIME = "server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4\n"
"""Amazon's time service beside the distribution's servers (EC2 User Guide, "Set the time reference on your EC2
instance to use the local Amazon Time Sync Service")."""
_LOGROTATE = """\
/var/log/terrace/*.log {
    daily
    rotate 7
    maxsize 50M
    missingok
    notifempty
    compress
    delaycompress
    copytruncate
}
/var/log/nginx/access.json {
    daily
    rotate 7
    maxsize 50M
    missingok
    notifempty
    compress
    delaycompress
    create 0640 www-data adm
    postrotate
        systemctl kill --kill-whom=main --signal=USR1 nginx.service || true
    endscript
}
"""
"""A log is at most eight files, each of 50 MB and what an hour adds: `maxsize` is looked at when logrotate runs. The
newest two are not compressed: users are counted from `access.json.1` too."""
_LOGROTATE_TIMER = "[Timer]\nOnCalendar=\nOnCalendar=hourly\nRandomizedDelaySec=0\nAccuracySec=1min\n"
"""The empty line ends the distribution's `daily`, which would stay beside it (systemd.timer(5), "OnCalendar=")."""


@dataclass(frozen=True, slots=True)
class Install:
    """One run over a box."""

    facts: Facts
    budget: Budget
    later: list[str] = field(default_factory=list)
    """Units that are started at the end and that nothing waits for."""

    def steps(self) -> dict[str, Callable[[], None]]:
        """What is done, in order."""
        with_data = {
            "data": self.data, "database": self.database, "backups": self.backups,
            "database-up": self.database_up,
        }  # fmt: skip
        return {
            "users": self.users,
            "archive": self.archive,
            "agents": self.agents,
            "packages": self.packages,
            "units": self.units,
            **(with_data if self.budget.database is not None else {}),
            "settings": self.settings,
            "services": self.services,
            "nginx": self.nginx,
            "metrics": self.metrics,
            "upkeep": self.upkeep,
        }

    def users(self) -> None:
        """The users with numbers of their own, before a package makes them with others."""
        for name, (number, home) in IDS.items():
            if run(["getent", "group", name], check=False) == "":
                run(["groupadd", "--system", "--gid", str(number), name])
            if run(["getent", "passwd", name], check=False) == "":
                shell = "/bin/bash" if name == "postgres" else "/usr/sbin/nologin"
                line = ["useradd", "--system", "--uid", str(number), "--gid", name, "--no-create-home"]
                run([*line, "--home-dir", home, "--shell", shell, name])
        write(Path("/etc/tmpfiles.d/terrace.conf"), _TMPFILES)
        run(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/terrace.conf"])

    def archive(self) -> None:
        """The packages that the stack names become apt's only source; where it names none, the mirrors are again."""
        if fetch.packages(dict(self.facts)):
            say("apt has another source than before")

    def agents(self) -> None:
        """First what a person comes in by, when a later step fails; without it the box goes on, and tries again."""
        try:
            agents.provide(self.facts)
        except TerraceError as error:
            say(str(error))
            self.later.append("terrace-agents.service")

    def packages(self) -> None:
        """Everything from the distribution; PostgreSQL's package makes no cluster of its own."""
        write(Path("/etc/postgresql-common/createcluster.conf"), _CREATE_NO_CLUSTER)
        wanted = [*PACKAGES, *ROLE_PACKAGES[role(self.facts)]]
        if certificate.wanted(self.facts):
            wanted.append(CERTBOT)
        run(["dpkg", "--configure", "-a"], timeout_seconds=900)
        if _missing(wanted):
            install = [*_APT, "install", "-y", "--no-install-recommends", *wanted]
            try:
                run(install, timeout_seconds=1200)
            except TerraceError:
                run([*_APT, "update"], timeout_seconds=300, check=False)
                run([*_APT, "--fix-broken", "install", "-y"], timeout_seconds=900, check=False)
                run(install, timeout_seconds=1200)
        if self.facts.get("packages"):
            # No mirror is there to ask each day: what the archive has newer is all the upgrades that there are.
            run([*_APT, "upgrade", "-y", "--with-new-pkgs"], timeout_seconds=1200)

    def units(self) -> None:
        """The programs by their names, and the units."""
        for program in sorted((CURRENT / "bin").iterdir()):
            link = Path("/usr/local/sbin") / program.name
            if not link.is_symlink() or link.readlink() != program:
                part = link.with_name(f".{link.name}.part")
                part.unlink(missing_ok=True)
                part.symlink_to(program)
                part.replace(link)
        gpu = self._gpu()
        self._write_units()
        run(["systemctl", "enable", "-q", *units.enabled(self.budget, gpu=gpu)])
        if self.budget.worker is None and self.budget.backend is not None:
            run(["systemctl", "stop", "terrace-worker.service"])
        if gpu:
            run(["systemctl", "start", "terrace-gpu.timer"])
        elif Path("/etc/systemd/system/terrace-gpu.timer").exists():
            run(["systemctl", "disable", "-q", "--now", "terrace-gpu.timer"])

    def size(self) -> None:
        """Shares the memory of the machine as it is now; at a boot, before anything starts that has a share."""
        if self.budget.database is not None:
            postgresql.configure(self.budget)
        self._write_units()

    def _gpu(self) -> bool:
        return bool(self.facts.get("gpu")) and self.budget.backend is not None

    def _write_units(self) -> None:
        wanted = units.units(self.budget, gpu=self._gpu())
        written = [write(Path("/etc/systemd/system") / name, text) for name, text in wanted.items()]
        if any(written):
            run(["systemctl", "daemon-reload"])

    def metrics(self) -> None:
        """What the box tells of itself; the stand-in where Amazon's agent is not installed."""
        written = [write(Path("/etc/systemd/system") / name, text) for name, text in UNITS.items()]
        if any(written):
            run(["systemctl", "daemon-reload"])
        configured = agent.configuration(role(self.facts), self.facts["log_groups"])
        changed = write(Path(agent.CONFIGURATION), json.dumps(configured, indent=2) + "\n")
        run(["systemctl", "enable", "-q", "--now", "terrace-metrics.timer"])
        if not AGENT.exists():
            run(["systemctl", "enable", "-q", "--now", "terrace-agent.service"])
            return
        run(["systemctl", "disable", "-q", "--now", "terrace-agent.service"])
        if changed or run(["systemctl", "is-active", AGENT_UNIT], check=False).strip() != "active":
            fetch = ["-a", "fetch-config", "-m", "ec2", "-s", "-c", f"file:{agent.CONFIGURATION}"]
            run([str(AGENT), *fetch])

    def data(self) -> None:
        """The data volume, and its directories."""
        say(f"/data: {mount.mount(self.facts)}")
        run(["systemctl", "start", "terrace-data.service", "terrace-grow.timer"])
        directory(DATA / "releases")
        directory(DATA / "state")
        directory(DATA / "state" / "metrics", owner="terrace-metrics", group="terrace-metrics")

    def database(self) -> None:
        """The cluster and its configuration; the server is not started yet."""
        changed = postgresql.configure(self.budget)
        if postgresql.make_cluster() or changed:
            run(["systemctl", "daemon-reload"])

    def backups(self) -> None:
        """Backups are configured before the first transaction, so that the archive has no beginning that lacks."""
        run(["/usr/local/sbin/terrace-backup", "install"])

    def database_up(self) -> None:
        """The server runs with its present configuration, with role, database and extensions."""
        run(["systemctl", "enable", "-q", postgresql.UNIT])
        run(["systemctl", "start", postgresql.UNIT], timeout_seconds=300)
        postgresql.reload()
        if postgresql.sql("select count(*) from pg_settings where pending_restart") != "0":
            run(["systemctl", "restart", postgresql.UNIT], timeout_seconds=300)
        postgresql.provide(self.facts)

    def settings(self) -> None:
        """What the application is told."""
        settings.apply(self.facts)
        run(["systemctl", "start", "terrace-settings.service"])
        if settings.due():
            # The database knows a new password from here on, and the services only the one they were started with.
            settings.restart()
        run(["systemctl", "start", "terrace-follow.timer"])

    def services(self) -> None:
        """The release that served last, where there is one; the upstream files in any case."""
        directory(nginx.ETC / "terrace")
        run(["systemctl", "start", "terrace-release.service"])
        if self.budget.worker is not None:
            run(["/usr/local/sbin/terrace-deploy", "boot"])

    def nginx(self) -> None:
        """HTTPS, with whichever certificate there is."""
        own = certificate.wanted(self.facts)
        placed = own and (certificate.restore(self.facts), certificate.place(self.facts))[1]
        changed = nginx.configure(self.facts, role(self.facts)) or placed
        run(["nginx", "-t", "-q"])
        run(["systemctl", "enable", "-q", "nginx.service"])
        run(["systemctl", "reload-or-restart" if changed else "start", "nginx.service"])
        if role(self.facts) == "frontend":
            # The backend may come up later than this box: it is asked for until it is known.
            run(["systemctl", "start", "terrace-upstream.timer"])
            run(["systemctl", "start", "terrace-upstream.service"], check=False)

    def upkeep(self) -> None:
        """Logs that end, upgrades, the right time, and beside the rest a first backup, certificate, agents."""
        write(Path("/etc/logrotate.d/terrace"), _LOGROTATE)
        if write(Path("/etc/systemd/system/logrotate.timer.d/terrace.conf"), _LOGROTATE_TIMER):
            run(["systemctl", "daemon-reload"])
            run(["systemctl", "restart", "logrotate.timer"])
        upgrades = _UPGRADES.format(daily=0 if self.facts.get("packages") else 1)
        write(Path("/etc/apt/apt.conf.d/20auto-upgrades"), upgrades)
        if write(Path("/etc/systemd/journald.conf.d/terrace.conf"), _JOURNALD):
            run(["systemctl", "restart", "systemd-journald"])
        sources = Path("/etc/chrony/sources.d")
        if write(sources / "terrace.sources", _TIME):
            # Where a machine may not set its clock chrony is not running, and there is nothing to tell.
            run(["chronyc", "reload", "sources"], check=False)
        if self.budget.database is not None:
            self.later.append("terrace-backup-ready.service")
        if certificate.wanted(self.facts):
            run(["systemctl", "start", "terrace-certificate.timer"])
            self.later.append("terrace-certificate.service")
        if self.later:
            run(["systemctl", "start", "--no-block", *self.later])


def shares(found: Facts) -> Budget:
    """Who may have how much of this box's memory.

    Raises:
        TerraceError: the role's shares are more than the memory.
    """
    return budget(role(found), ram_mib(), worker=bool(found.get("worker")))


@contextmanager
def alone() -> Generator[None]:
    """One run at a time; an installation waits for a run that only follows what changed.

    Raises:
        TerraceError: another run is under way.
    """
    with LOCK.open("a", encoding="utf-8") as lock:
        until = time.monotonic() + WAITS_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise TerraceError(
                        Fault("terrace-host", "is at work already", "Wait until it is through")
                    ) from error
                time.sleep(0.2)
        yield


def install() -> int:
    """Runs every step; the failing one is named in bootstrap.json, in the log and by a metric.

    Raises:
        TerraceError: another run is under way, or a step failed.
    """
    found = facts()
    with alone():
        began = time.monotonic()
        bundle = CURRENT.readlink().name if CURRENT.is_symlink() else ""
        steps = Install(found, shares(found)).steps()
        noted: dict[str, Any] = {}
        for name, step in steps.items():
            _note("installing", bundle, noted | {name: {"state": "running"}})
            started = time.monotonic()
            try:
                step()
            except Exception as error:
                noted[name] = {"state": "failed", "error": str(error)[:2000]}
                _note("failed", bundle, noted)
                say(f"{name} failed")
                _tell(found, 1.0)
                if isinstance(error, TerraceError):
                    raise
                what = f"failed: {type(error).__name__}: {error}"
                raise TerraceError(Fault(name, what, "Run terrace-host install again")) from error
            seconds = round(time.monotonic() - started, 1)
            noted[name] = {"state": "done", "seconds": seconds}
            say(f"{name} done in {seconds} s")
        _note("done", bundle, noted)
        say(f"installed in {time.monotonic() - began:.1f} s")
        _tell(found, 0.0)
    return 0


def _note(state: str, bundle: str, steps: dict[str, Any]) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"state": state, "bundle": bundle, "at": at, "steps": steps}
    write(BOOTSTRAP, json.dumps(told, indent=2) + "\n")


def _tell(found: Facts, value: float) -> None:
    try:
        publish(found, "bootstrap_failed", value)
    except Exception as error:  # noqa: BLE001 a metric that does not arrive stops no installation
        say(f"metric bootstrap_failed was not published: {type(error).__name__}")


def _missing(packages: list[str]) -> list[str]:
    said = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], check=False)
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in there]


def status(*, as_json: bool) -> int:
    """Says how far the installation is, and who has which memory."""
    try:
        told: dict[str, Any] = json.loads(BOOTSTRAP.read_text(encoding="utf-8"))
    except OSError:
        told = {"state": "not begun", "steps": {}}
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    lines = [f"{told['state']}  bundle {told.get('bundle', '?')}"]
    lines += [f"  {name:<12} {each['state']} {each.get('error', '')}" for name, each in told["steps"].items()]
    sys.stdout.write("\n".join([*lines, table(shares(facts()))]) + "\n")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="terrace-host", description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("install", "update", "status", "follow", "size"))
    parser.add_argument("--json", action="store_true", help="status as JSON")
    parser.add_argument("--now", action="store_true", help="follow without waiting whether more changes")
    given = parser.parse_args()

    def work() -> int:
        if given.verb == "status":
            return status(as_json=given.json)
        if given.verb == "size":
            Install(found := facts(), shares(found)).size()
            return 0
        if given.verb == "follow":
            changed = (following.at_once if given.now else following.follow)(facts(), alone)
            say(f"settings: changed {changed}")
            return 0
        if given.verb == "update":
            os.execv(sys.executable, [sys.executable, "/opt/terrace/fetch.py", "update"])  # noqa: S606
        return install()

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
