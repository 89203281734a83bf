"""What runs on the machine of a load balancer: it checks targets, and lets Nginx follow what is wanted and well.

Standard library alone: the text of this file goes into the machine's user data. Rules (ELB User Guide, "Health checks
for your target groups", "Target groups for your Application Load Balancers"): a new target is asked for nothing until
one check of it went well; where no target of a group is healthy, all are asked; a group without targets answers 503.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HOME = Path("/etc/balancer")
WANTED, HEALTH, CONFIGURATION = HOME / "wanted.json", HOME / "health.json", Path("/etc/nginx/nginx.conf")
LOOK_SECONDS = 0.2
CONNECT_SECONDS = 10

Target = tuple[str, str, int]
"""Group, address, port."""

_MAIN = """\
user www-data; worker_processes 2; pid /run/nginx.pid; error_log /var/log/nginx/error.log;
worker_shutdown_timeout {drain}s;
events {{ worker_connections 4096; }}
http {{
access_log off; server_tokens off; client_max_body_size 0; http2 on;
client_header_timeout {idle}s; keepalive_timeout {idle}s;
proxy_connect_timeout {connect}s; proxy_read_timeout {idle}s; proxy_send_timeout {idle}s;
proxy_http_version 1.1; proxy_next_upstream off; proxy_request_buffering off; proxy_buffering off;
proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $way;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Port $server_port;
map $http_upgrade $way {{ default upgrade; "" ""; }}
{blocks}}}
"""


def render(wanted: dict[str, Any], health: dict[Target, str]) -> str:
    """The whole configuration; `health` is who is well, by group, address and port."""
    groups = {each["name"]: each for each in wanted["groups"]}
    blocks = []
    for name, group in groups.items():
        if asked := routed(group, health):
            servers = "".join(f" server {address}:{port} max_fails=0;" for address, port in asked)
            blocks.append(f"upstream {name} {{{servers} }}\n")
    for each in wanted["listeners"]:
        tls = bool(each["certificate"])
        lines = [f"listen {each['port']}{' ssl' if tls else ''} default_server;"]
        if tls:
            path = HOME / f"{each['port']}.pem"
            lines.append(f"# {hashlib.sha256(each['certificate'].encode()).hexdigest()}")
            lines += [f"ssl_certificate {path}; ssl_certificate_key {path}; ssl_protocols TLSv1.2 TLSv1.3;"]
        for paths, name in each["rules"]:
            lines += [f'location ~ "{pattern(path)}" {{ {_answer(groups, name)} }}' for path in paths]
        lines.append(f"location / {{ {_answer(groups, each['default'])} }}")
        blocks.append("server {\n" + "\n".join(lines) + "\n}\n")
    drain = max((each["drain_seconds"] for each in groups.values()), default=0)
    return _MAIN.format(
        drain=max(drain, 1), idle=wanted["idle_seconds"], connect=CONNECT_SECONDS, blocks="".join(blocks)
    )


def routed(group: dict[str, Any], health: dict[Target, str]) -> list[tuple[str, int]]:
    """Whom requests go to: who is well; all, where nobody is."""
    targets = [(str(address), int(port)) for address, port in group["targets"]]
    return [each for each in targets if health.get((group["name"], *each)) == "healthy"] or targets


def pattern(path: str) -> str:
    """A path pattern of a rule as a regular expression: * is anything, ? is one character."""
    return "^" + re.escape(path).replace(r"\*", ".*").replace(r"\?", ".").replace("?", ".") + "$"


def _answer(groups: dict[str, dict[str, Any]], name: str) -> str:
    if not name:
        return "return 301 https://$host$request_uri;"
    return f"proxy_pass http://{name};" if groups.get(name, {}).get("targets") else "return 503;"


class Check(threading.Thread):
    """Asks one target for its health as long as it is wanted."""

    def __init__(self, group: dict[str, Any], address: str, port: int) -> None:
        super().__init__(daemon=True)
        self.group, self.address, self.port = group, address, port
        self.state, self.ended = "initial", False

    def run(self) -> None:
        """Until it is ended."""
        well = ill = 0
        while not self.ended:
            began = time.monotonic()
            if self.asked():
                well, ill = well + 1, 0
                if self.state == "initial" or well >= self.group["healthy"]:
                    self.state = "healthy"
            else:
                well, ill = 0, ill + 1
                if self.state == "initial" or ill >= self.group["unhealthy"]:
                    self.state = "unhealthy"
            time.sleep(max(self.group["interval_seconds"] - (time.monotonic() - began), 0.1))

    def asked(self) -> bool:
        """Whether the target answers its check with 200."""
        connection = http.client.HTTPConnection(
            self.address, self.port, timeout=self.group["timeout_seconds"]
        )
        try:
            connection.request("GET", self.group["path"], headers={"User-Agent": "ELB-HealthChecker/2.0"})
            return connection.getresponse().status == 200
        except OSError:
            return False
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def write(path: Path, text: str) -> None:
    """Puts a text into a file at once; nobody else may read it."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(path)


def main() -> None:
    """Follows what is wanted and what is well, for ever."""
    checks: dict[Target, Check] = {}
    shown = ""
    told: dict[Target, str] = {}
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            wanted = json.loads(WANTED.read_text())
        except (OSError, ValueError):
            continue
        groups = {each["name"]: each for each in wanted["groups"]}
        keys = {(name, str(a), int(p)) for name, each in groups.items() for a, p in each["targets"]}
        for key in set(checks) - keys:
            checks.pop(key).ended = True
        for key in keys - set(checks):
            checks[key] = Check(groups[key[0]], key[1], key[2])
            checks[key].start()
        health = {key: check.state for key, check in checks.items()}
        text = render(wanted, health)
        if text != shown and _taken_up(wanted, text):
            shown = text
        if health != told:
            names = ("group", "address", "port", "state")
            write(HEALTH, json.dumps([dict(zip(names, (*k, s), strict=True)) for k, s in health.items()]))
            told = health


def _taken_up(wanted: dict[str, Any], text: str) -> bool:
    for each in wanted["listeners"]:
        if each["certificate"]:
            write(HOME / f"{each['port']}.pem", each["certificate"])
    write(CONFIGURATION, text)
    done = subprocess.run(["nginx", "-t", "-q"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return False
    line = ["systemctl", "reload-or-restart", "nginx"]
    return subprocess.run(line, check=False).returncode == 0


if __name__ == "__main__":
    main()
