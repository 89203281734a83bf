"""terrace-certificate: the only place that asks a certificate authority, and keeps what it gave.

certbot asks, by a file that Nginx shows on port 80. What it holds is copied to the backups bucket, encrypted by the
stack's key, so that a replaced box shows the same certificate at its first answer and asks for none.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError

from . import nginx, tls
from .system import Facts, client, command, directory, facts, own_subnet, run, say, write

HOME = Path("/var/lib/terrace/certificates")
LOCK = Path("/run/terrace-certificate.lock")
AUTHORITIES: Mapping[str, str] = {
    "production": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""Let's Encrypt, "ACME Protocol Updates: endpoints". Staging has wide limits, and no browser trusts it."""


def wanted(found: Facts) -> bool:
    """Whether this box shows its domain to the world itself: there is one, and no load balancer before it."""
    shows = bool(found["domain"]) and found["role"] != "backend"
    named = shows and found.get("certificate", "") in AUTHORITIES
    behind = found.get("balanced_subnets", ()) if named and found["role"] == "frontend" else ()
    return named and not (behind and own_subnet() in behind)


def home(found: Facts) -> Path:
    """certbot's directory; of its own for each authority, so that staging never stands in production's way."""
    return HOME / str(found["certificate"])


def restore(found: Facts) -> bool:
    """Brings the copy back where the box has no certificate; whether it did. Without a copy it goes on without."""
    where = home(found)
    if (where / "live" / found["domain"]).exists():
        return False
    s3 = client("s3", found)
    try:
        content = s3.get_object(Bucket=found["backups_bucket"], Key=_key(found))["Body"].read()
    except Exception as error:  # noqa: BLE001 without a copy a new certificate is asked for
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        say(f"no certificate was brought back from {_key(found)}: {code}")
        return False
    part = where.with_name(f".{where.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    directory(part, mode=0o700)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(part, filter="data")
    except tarfile.TarError as error:
        shutil.rmtree(part)
        say(f"{_key(found)} is no copy of a certificate ({error}); a new one will be asked for")
        return False
    shutil.rmtree(where, ignore_errors=True)
    part.rename(where)
    _copied(found).write_text(_digest(where) + "\n", encoding="ascii")
    say(f"certificate of {found['domain']} brought back from {_key(found)}")
    return True


def place(found: Facts) -> bool:
    """Gives Nginx the certificate that is held, where it still holds; whether that changed something."""
    live = home(found) / "live" / found["domain"]
    if not (live / "fullchain.pem").exists():
        return False
    ends = ["openssl", "x509", "-in", str(live / "fullchain.pem"), "-noout", "-checkend", "0"]
    if "will expire" in run(ends, check=False):
        say(f"the certificate of {found['domain']} has ended")
        return False
    chain, key = ((live / name).read_text(encoding="ascii") for name in (tls.CHAIN, tls.KEY))
    return tls.show(chain, key)


def ask(found: Facts) -> None:
    """Lets certbot get a certificate, or a new one where a third of its life or less is left.

    Raises:
        TerraceError: the authority gave none; what is shown stays as it is.
    """
    where = home(found)
    run(
        [
            "certbot", "certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email",
            "--keep-until-expiring", "--key-type", "ecdsa", "--webroot", "--webroot-path", str(nginx.ACME_ROOT),
            "--server", AUTHORITIES[found["certificate"]],
            "--domain", found["domain"], "--cert-name", found["domain"],
            "--config-dir", str(where), "--work-dir", str(where.with_name(f"{where.name}.work")),
            "--logs-dir", "/var/log/letsencrypt",
        ],
        timeout_seconds=300,
    )  # fmt: skip


def copy(found: Facts) -> bool:
    """Puts the copy into the backups bucket where it is another than the last; whether it did.

    Raises:
        TerraceError: the bucket did not take it.
    """
    where, noted = home(found), _copied(found)
    digest = _digest(where)
    if noted.exists() and noted.read_text(encoding="ascii").strip() == digest:
        return False
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(where, arcname=".")
    try:
        client("s3", found).put_object(
            Bucket=found["backups_bucket"], Key=_key(found), Body=packed.getvalue(),
            ServerSideEncryption="aws:kms", SSEKMSKeyId=found["key_arn"],
        )  # fmt: skip
    except Exception as error:
        what = f"could not be written: {type(error).__name__}"
        raise TerraceError(
            Fault(_key(found), what, "The certificate is in use; the copy is tried again")
        ) from error
    write(noted, digest + "\n")
    return True


def renew() -> dict[str, Any]:
    """Everything in order: bring back, ask, show, copy. Safe at any time, and killed at any time.

    Raises:
        TerraceError: the authority or the bucket refused, or another run is at work.
    """
    found = facts()
    if not wanted(found):
        return {"wanted": False}
    with LOCK.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            remedy = "Wait until it is through"
            raise TerraceError(Fault("terrace-certificate", "is at work already", remedy)) from error
        restored = restore(found)
        try:
            ask(found)
        finally:
            # What is held is shown, also where no newer one was to be had.
            placed = place(found)
            if placed:
                run(["nginx", "-t", "-q"])
                run(["systemctl", "reload-or-restart", "nginx.service"])
        return {"wanted": True, "restored": restored, "placed": placed, "copied": copy(found)}


def status() -> dict[str, Any]:
    """What is shown, by whom it was signed, and when it ends."""
    found = facts()
    chain = tls.TLS / tls.CHAIN
    told = run(["openssl", "x509", "-in", str(chain), "-noout", "-issuer", "-enddate"], check=False)
    fields = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    return {
        "domain": found["domain"],
        "authority": found["certificate"] if wanted(found) else "",
        "issuer": fields.get("issuer", "").strip(),
        "ends": fields.get("notAfter", ""),
        "copied": wanted(found) and _copied(found).exists(),
    }


def _key(found: Facts) -> str:
    return f"certificates/{found['certificate']}/{found['domain']}.tar"


def _copied(found: Facts) -> Path:
    return HOME / f"{found['certificate']}.copied"


def _digest(where: Path) -> str:
    """Of every file and link below; certbot's own lock files are left out."""
    digest = hashlib.sha256()
    for path in sorted(each for each in where.rglob("*") if each.name != ".certbot.lock"):
        text = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        digest.update(f"{path.relative_to(where)}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="terrace-certificate", description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("renew", "status"), help="renew also gets the first one")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    given = parser.parse_args()

    def work() -> int:
        told = renew() if given.verb == "renew" else status()
        lines = (f"{name:<10} {value}" for name, value in told.items())
        sys.stdout.write((json.dumps(told) if given.json else "\n".join(lines)) + "\n")
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
