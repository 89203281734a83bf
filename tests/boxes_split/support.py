"""A stack of two boxes as the tests of this room use it: installed by itself, asked as a browser asks."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.projects import Project
from bench.served import CACHE, ROOT
from embedded import sample
from embedded.cloud import Cloud
from embedded.load import Load, Target, named

DOMAIN = "app.example.com"
READY_SECONDS = 300.0
RECEIPT = json.dumps(
    {
        "merchant": "Gimbap House",
        "paid_on": "2026-11-20",
        "items": [{"name": "g", "quantity": 1, "price_krw": 9000}],
    }
)


@dataclass
class Two:
    """The stack, its outputs, its directory."""

    directory: Path
    cloud: Cloud
    project: Project
    outputs: dict[str, Any]
    head: str = ""
    loads: int = 0

    def tried(self, role: str, script: str) -> tuple[int, str]:
        """How a script on that box ended, and what it said."""
        machines = self.cloud.machines
        assert machines is not None
        done = machines.host.run(self.outputs["boxes"][role], script, timeout_seconds=300)
        return done.returncode, f"{done.stdout}{done.stderr}".strip()

    def sh(self, role: str, script: str) -> str:
        """What a script on that box says."""
        code, said = self.tried(role, script)
        assert code == 0, f"{script!r} on {role} ended with {code}: {said}"
        return said

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as a person gives it."""
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments],
            env=self.project.environment, capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip

    def asked(self, path: str, body: str = "", *, host: str = DOMAIN) -> tuple[int, str]:
        """Status and text over HTTPS by the address and the domain's own certificate, with no retry."""
        machines = self.cloud.machines
        assert machines is not None
        trusting = ssl.create_default_context(cafile=str(self.authorities()))
        method = "POST" if body else "GET"
        lines = [
            f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", "X-User: kim",
            "Content-Type: application/json", f"Content-Length: {len(body)}",
        ]  # fmt: skip
        with (
            socket.create_connection((self.address(), 443), timeout=30) as wire,
            trusting.wrap_socket(wire, server_hostname=host) as stream,
        ):
            stream.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            with stream.makefile("rb") as answer:
                head, _, text = answer.read().decode().partition("\r\n\r\n")
        self.head = head
        return int(head.split()[1]), text

    def address(self) -> str:
        """Where the domain leads now."""
        machines = self.cloud.machines
        assert machines is not None
        found = machines.lookup(DOMAIN)
        assert found is not None, f"{DOMAIN} leads nowhere"
        return found[0]

    @contextmanager
    def under_load(self, *, rate: float = 50.0, sockets: int = 0) -> Generator[Load]:
        """A load by the domain's name, over connections that are kept, while the block lasts."""
        machines = self.cloud.machines
        assert machines is not None
        self.loads += 1
        log = self.directory / f"load-{self.loads}.log"
        with named(machines.lookup, self.directory / "names", DOMAIN) as names:
            target = Target(f"https://{DOMAIN}", DOMAIN, str(self.authorities()), str(names))
            with Load(target, log, rate=rate, sockets=sockets, keep_alive=True) as load:
                yield load

    @contextmanager
    def database_down(self) -> Generator[None]:
        """RDS does not answer while the block lasts."""
        machines = self.cloud.machines
        assert machines is not None
        (instance,) = [
            each.instance_id for each in machines.host.status() if each.instance_id.startswith("rds-")
        ]
        machines.host.run(instance, "systemctl stop postgresql@17-rds", timeout_seconds=60)
        try:
            yield
        finally:
            machines.host.run(instance, "systemctl start postgresql@17-rds", timeout_seconds=60)

    def authorities(self) -> Path:
        """Whom a browser would have to trust."""
        machines = self.cloud.machines
        assert machines is not None
        path = self.directory / "authorities.pem"
        path.write_bytes(machines.authorities)
        return path

    def ready(self) -> None:
        """Waits until both boxes are installed, makes the database, puts v1 onto them."""
        machines = self.cloud.machines
        assert machines is not None
        for instance in self.outputs["boxes"].values():
            machines.host.wait(instance, lambda each: each.booted, timeout_seconds=180)
        for role in ("backend", "frontend"):
            self.installed(role)
        provided = self.script("data", "provide", "--stack", "dev", "--yes")
        assert provided.returncode == 0, provided.stderr
        done = self.release("v1")
        assert done.returncode == 0, done.stderr
        assert [each["role"] for each in json.loads(done.stdout)] == ["backend", "frontend"]

    def release(self, version: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Publishes the sample under that version and lets the boxes take it up."""
        laid = self.directory / version
        if not laid.exists():
            sample.lay_out(laid, version, cache=CACHE)
        published = self.script("deploy", "publish", str(laid), "--stack", "dev")
        assert published.returncode == 0, published.stderr
        words = ("--stack", "dev", "--yes", "--output", "json", "--soak-seconds", "2")
        return self.script("deploy", "release", version, *words, *options)

    def until(self, path: str, status: int, *, seconds: float = 120.0) -> str:
        """The text, once that path answers with that status."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found, text = self.asked(path)
            except OSError as error:
                found, text = 0, str(error)
            if found == status:
                return text
            assert time.monotonic() < deadline, f"{path}: {found} {text}"
            time.sleep(0.5)

    def installed(self, role: str) -> None:
        """Waits until the box's own installer is through."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            said = self.tried(role, "terrace-host status --json 2>/dev/null")[1]
            if said.startswith("{") and json.loads(said)["state"] == "done":
                return
            log = self.tried(role, "journalctl -u terrace-host --no-pager | tail -20")[1]
            assert time.monotonic() < deadline, f"{role}: {said} {log}"
            time.sleep(1)

    def power(self, role: str, *, on: bool) -> None:
        """Takes a box's power away, or gives it back."""
        machines = self.cloud.machines
        assert machines is not None
        instance = self.outputs["boxes"][role]
        if on:
            boots = machines.host.box(instance).boots
            machines.host.power_on(instance)
            machines.host.wait(instance, lambda box: box.booted and box.boots > boots, timeout_seconds=120)
        else:
            machines.host.power_cut(instance)
