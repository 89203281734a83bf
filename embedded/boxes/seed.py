"""The only place for what is put into a box before it boots: its name, its resolver, its way to AWS, its user data.

Written into the upper layer of the box's root while nothing is mounted. The box's own root user may have left any
kind of file there, so every component is opened without following links: nothing can be written outside.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from embedded.boxes.addresses import RESOLVER
from embedded.boxes.model import BoxSpec

AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
_SEED = "var/lib/cloud/seed/nocloud"


def files(
    spec: BoxSpec, environment: Mapping[str, str], *, trusted: bytes = b"", authorities: bytes = b""
) -> dict[str, bytes]:
    """Path in the box to content. `environment` is what every service of the box gets, such as AWS_ENDPOINT_URL.

    `trusted` is the certificate (PEM) of one more authority that the box trusts, besides the `authorities` of its
    image: where update-ca-certificates(8) looks for it, and in what it makes of that.

    The user data is passed on verbatim; cloud-init runs it once per `instance_id` (cloud-init documentation,
    "NoCloud").
    """
    fqdn = f"{spec.hostname}.{spec.domain}"
    quoted = {name: json.dumps(value) for name, value in environment.items()}
    made = {
        "etc/hostname": f"{spec.hostname}\n",
        "etc/resolv.conf": f"search {spec.domain}\nnameserver {RESOLVER}\n",
        "etc/machine-id": machine_id(spec) + "\n",
        "etc/environment": "".join(f"{name}={value}\n" for name, value in quoted.items()),
        "etc/systemd/system.conf.d/50-cloud.conf": "[Manager]\nDefaultEnvironment="
        # systemd would read a per cent sign as the start of a specifier.
        + " ".join(json.dumps(f"{name}={value}".replace("%", "%%")) for name, value in environment.items())
        + "\n",
        "root/.aws/config": _aws_config(spec, environment),
        f"{_SEED}/meta-data": json.dumps({"instance-id": spec.instance_id, "local-hostname": fqdn}) + "\n",
    }
    contents = {path: text.encode() for path, text in made.items()} | {f"{_SEED}/user-data": spec.user_data}
    if trusted:
        contents["usr/local/share/ca-certificates/cloud.crt"] = trusted
        contents[AUTHORITIES] = authorities + trusted
    return contents


def machine_id(spec: BoxSpec) -> str:
    """The box's own machine id, the same at every boot."""
    return hashlib.sha256(f"terrace machine {spec.instance_id}".encode()).hexdigest()[:32]


def write(upper: Path, contents: Mapping[str, bytes]) -> None:
    """Put the files under `upper`, readable by all but user data and root's own. Replaces what is there."""
    for path, content in contents.items():
        *directories, name = path.split("/")
        handles = [os.open(upper, os.O_RDONLY | os.O_DIRECTORY)]
        try:
            for directory in directories:
                handles.append(_directory(handles[-1], directory))
            _remove(handles[-1], name)
            private = path.startswith(("root/", _SEED))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(name, flags, 0o600 if private else 0o644, dir_fd=handles[-1]), "wb") as file:  # noqa: PTH123
                os.fchmod(file.fileno(), 0o600 if private else 0o644)
                file.write(content)
        finally:
            for handle in handles:
                os.close(handle)


def _aws_config(spec: BoxSpec, environment: Mapping[str, str]) -> str:
    lines = ["[default]"]
    if spec.identity.region:
        lines.append(f"region = {spec.identity.region}")
    if "AWS_ENDPOINT_URL" in environment:
        lines.append(f"endpoint_url = {environment['AWS_ENDPOINT_URL']}")
    return "\n".join(lines) + "\n"


def _directory(parent: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError:
        _remove(parent, name)
    os.mkdir(name, 0o700 if name in ("root", ".aws") else 0o755, dir_fd=parent)
    os.chmod(name, 0o700 if name in ("root", ".aws") else 0o755, dir_fd=parent)
    return os.open(name, flags, dir_fd=parent)


def _remove(parent: int, name: str) -> None:
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            # A directory in a file's place; in an overlay's upper layer it can only be the box's own.
            os.rename(name, f"{name}.set-aside-{os.getpid()}", src_dir_fd=parent, dst_dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
