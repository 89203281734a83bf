"""The only place that brings the host bundle to a box: told by parameters, checked by SHA-256, unpacked whole.

User data carries this file alone, so it needs nothing but the standard library, and boto3, which it installs first.
A private box may have no way to a mirror: the stack can name an archive of packages, which the AWS CLI of the image
fetches, and which then is apt's only source.
`fetch.py boot` runs at every boot and does nothing once the box is installed; `fetch.py update` always looks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

TOLD = Path("/etc/terrace/told.json")
BOX_JSON = Path("/etc/terrace/box.json")
BOOTSTRAP = Path("/var/lib/terrace/bootstrap.json")
HOME = Path("/opt/terrace")
ARCHIVE = HOME / "packages"
APT = Path("/etc/apt")
_LIST = "deb [trusted=yes] file:{} ./\n"
# Trusted, for its SHA-256 was named by who names the bundle; the packages' own were signed where it was made.
_ONLY = f'Dir::Etc::sourcelist "{APT}/terrace.list";\nDir::Etc::sourceparts "/dev/null";\n'
METADATA = "http://169.254.169.254/latest"
PATIENCE_SECONDS = 150.0
RETRY_SECONDS = 3.0


def main(verb: str) -> int:
    """Fetches what the parameters name and hands over to its installer; 0 where nothing is to be done."""
    if verb == "boot" and _state().get("state") == "done":
        return 0
    told = json.loads(TOLD.read_text(encoding="utf-8"))
    try:
        _install_boto3(told)
        facts, version = _patiently(lambda: fetch(told))
    except Exception as error:  # noqa: BLE001 whatever it was, it is noted and said, and systemd tries again
        _note("fetch", f"{type(error).__name__}: {error}")
        _tell(told)
        sys.stderr.write(f"terrace: fetch: {error}\n")
        return 1
    write(BOX_JSON, json.dumps({**facts, **told}, indent=2, sort_keys=True) + "\n")
    link(version)
    return subprocess.run([str(HOME / "current/bin/terrace-host"), "install"], check=False).returncode


def fetch(told: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The facts, and the bundle's version once it lies unpacked and whole.

    Raises:
        ValueError: the bundle is not what its parameter says.
    """
    import boto3

    ssm: Any = boto3.client("ssm", region_name=told["region"])
    names = [f"{told['parameters']}/host/{each}" for each in ("bundle", "facts")]
    named, facts = (_object(name, ssm.get_parameter(Name=name)["Parameter"]["Value"]) for name in names)
    target = HOME / "host" / named["version"]
    if not target.exists():
        s3: Any = boto3.client("s3", region_name=told["region"])
        content = s3.get_object(Bucket=named["bucket"], Key=named["key"])["Body"].read()
        if (found := hashlib.sha256(content).hexdigest()) != named["sha256"]:
            raise ValueError(f"{named['key']} has SHA-256 {found}, and {named['sha256']} was told")
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(part, filter="data")
        os.sync()
        part.rename(target)
    return facts, str(named["version"])


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{name} holds no JSON object: `pulumi up` writes it")
    return found


def write(path: Path, text: str) -> None:
    """Puts a text into a file at once and for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def link(version: str) -> None:
    """Makes that version the current one."""
    part = HOME / ".current.part"
    part.unlink(missing_ok=True)
    part.symlink_to(f"host/{version}")
    part.replace(HOME / "current")


def packages(facts: dict[str, Any]) -> bool:
    """Makes the archive that the facts name apt's only source, or the mirrors again; whether that was news.

    Raises:
        ValueError: the archive is not what the facts say.
        OSError: it cannot be fetched.
    """
    named = facts.get("packages") or {}
    source, only = APT / "terrace.list", APT / "apt.conf.d/90terrace-packages"
    if not named:
        was = only.exists()
        only.unlink(missing_ok=True)
        source.unlink(missing_ok=True)
        return was
    version = named["sha256"][:12]
    target, current = ARCHIVE / version, ARCHIVE / "current"
    if not target.exists():
        _unpack(facts, named, target)
    if only.exists() and current.is_symlink() and current.readlink() == Path(version):
        return False
    write(source, _LIST.format(target))
    write(only, _ONLY)
    _run("apt-get", "-o", "DPkg::Lock::Timeout=120", "-q", "update")
    # Last: whoever is cut off before reads the archive's index again.
    part = ARCHIVE / ".current.part"
    part.unlink(missing_ok=True)
    part.symlink_to(version)
    part.replace(current)
    for each in ARCHIVE.iterdir():
        if each not in (target, current):
            shutil.rmtree(each, ignore_errors=True)
    return True


def _unpack(facts: dict[str, Any], named: dict[str, Any], target: Path) -> None:
    part = ARCHIVE / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    file = part.with_suffix(".tar")
    place = f"s3://{facts['artifacts_bucket']}/{named['key']}"
    _run("aws", "s3", "cp", "--only-show-errors", "--region", facts["region"], place, str(file))
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != named["sha256"]:
        file.unlink()
        raise ValueError(f"{named['key']} has SHA-256 {found}, and {named['sha256']} was told")
    with tarfile.open(file) as tar:
        tar.extractall(part, filter="data")
    file.unlink()
    os.sync()
    part.rename(target)


def _run(*line: str) -> str:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(line[:3])}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _named_packages(told: dict[str, Any]) -> None:
    name = f"{told['parameters']}/host/facts"
    line = ("--region", told["region"], "--name", name, "--query", "Parameter.Value", "--output", "text")
    packages({**_object(name, _run("aws", "ssm", "get-parameter", *line)), **told})


def _install_boto3(told: dict[str, Any]) -> None:
    def installed() -> bool:
        line = [sys.executable, "-c", "import boto3"]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    def once() -> None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-q"]
        subprocess.run(["dpkg", "--configure", "-a"], env=environment, check=True, capture_output=True)
        line = [*apt, "install", "-y", "--no-install-recommends", "python3-boto3"]
        if subprocess.run(line, env=environment, check=False, capture_output=True).returncode:
            subprocess.run([*apt, "update"], env=environment, check=False, capture_output=True)
            raise OSError("python3-boto3 cannot be installed: neither a mirror nor an archive has it")

    if not installed():
        if told.get("placement") == "private" and shutil.which("aws"):
            _patiently(lambda: _named_packages(told))
        _patiently(once)


def _patiently(work: Any) -> Any:
    deadline = time.monotonic() + float(os.environ.get("TERRACE_PATIENCE_SECONDS", PATIENCE_SECONDS))
    while True:
        try:
            return work()
        except ValueError:
            raise  # what was fetched is wrong; fetching it again makes it no better
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _tell(told: dict[str, Any]) -> None:
    """The metric bootstrap_failed, as the installer publishes it, where boto3 is there already."""
    try:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
        make: Any = boto3.client
        cloudwatch = make("cloudwatch", region_name=told["region"], config=config)
        dimensions = [{"Name": "InstanceId", "Value": _instance_id()}]
        data = [{"MetricName": "bootstrap_failed", "Dimensions": dimensions, "Value": 1.0, "Unit": "Count"}]
        cloudwatch.put_metric_data(Namespace=told["parameters"].split("/")[1], MetricData=data)
    except Exception as error:  # noqa: BLE001 what went wrong stands in bootstrap.json already
        sys.stderr.write(f"terrace: metric bootstrap_failed was not published: {type(error).__name__}\n")


def _instance_id() -> str:
    life = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    ask = Request(f"{METADATA}/api/token", method="PUT", headers=life)  # noqa: S310 a fixed http address
    with urlopen(ask, timeout=3) as answer:  # noqa: S310
        headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    with urlopen(Request(f"{METADATA}/meta-data/instance-id", headers=headers), timeout=3) as answer:  # noqa: S310
        return str(answer.read().decode())


def _state() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(BOOTSTRAP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _note(step: str, error: str) -> None:
    steps = {**_state().get("steps", {}), step: {"state": "failed", "error": error}}
    write(BOOTSTRAP, json.dumps({**_state(), "state": "failed", "steps": steps}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "boot"))
