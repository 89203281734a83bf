"""The only place for what a scratch box of a restore drill is: PostgreSQL, the restore programs, an empty /data.

It needs nothing of the host's bundle: what has to work when everything else is lost is kept small.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALONE = (
    "infra/__init__.py",
    "infra/core/__init__.py",
    "infra/core/errors.py",
    "infra/core/memory.py",
    "infra/core/metrics.py",
    "infra/core/naming.py",
    "infra/host/__init__.py",
)
ROOMS = ("infra/host/box/backup", "infra/host/box/restore")
PACKAGES = ("pgbackrest", "postgresql-17", "postgresql-17-pgvector", "python3-boto3")
MOST_BYTES = 16 * 1024
"""User data before base64 (EC2 User Guide, "Run commands when you launch an EC2 instance")."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The restore programs as one archive, the same bytes from the same sources."""

    content: bytes

    @property
    def sha256(self) -> str:
        """Of the archive, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        """Where it lies in the artifacts bucket."""
        return f"host/restore-{self.sha256[:12]}.tar"


def build(root: Path = ROOT) -> Kit:
    """Packs the programs of this working tree."""
    names = [*ALONE, *(str(path.relative_to(root)) for room in ROOMS for path in (root / room).glob("*.py"))]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted([*names, "infra/host/box/__init__.py"]):
            path = root / name
            content = path.read_bytes() if path.exists() else b""
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return Kit(packed.getvalue())


def user_data(facts: Mapping[str, str], *, bucket: str, key: str, sha256: str) -> str:
    """The scratch box's first boot: packages, /data, the kit by its digest, `terrace-restore`. No secret is in it."""
    text = _SCRIPT.format(
        packages=" ".join(PACKAGES),
        facts=json.dumps(dict(facts), indent=2),
        bucket=bucket,
        key=key,
        sha256=sha256,
        region=facts["region"],
    )
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"user data is {len(text.encode())} bytes, at most {MOST_BYTES} are allowed")
    return text


_SCRIPT = """\
#!/bin/sh
# The scratch box of a restore drill.
set -eu
mkdir -p /etc/postgresql-common /etc/terrace /opt/terrace/lib /var/lib/terrace
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
cat > /etc/terrace/box.json <<'FACTS'
{facts}
FACTS
export DEBIAN_FRONTEND=noninteractive
tries=0
until apt-get install --yes --no-install-recommends {packages}; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || exit 1
    sleep 5
    apt-get update || true
done

until [ -b /dev/sdf ] || [ -b /dev/nvme1n1 ]; do sleep 1; done
disk=/dev/sdf
[ -b "$disk" ] || disk=/dev/nvme1n1
[ -n "$(blkid -o value -s TYPE "$disk")" ] || mkfs.ext4 -q -L terrace-data "$disk"
mkdir -p /data
mountpoint -q /data || mount "$disk" /data

python3 - <<'FETCH'
import hashlib, io, tarfile, boto3
s3 = boto3.client("s3", region_name="{region}")
content = s3.get_object(Bucket="{bucket}", Key="{key}")["Body"].read()
found = hashlib.sha256(content).hexdigest()
if found != "{sha256}":
    raise SystemExit("the kit has the digest " + found + " instead of {sha256}")
tarfile.open(fileobj=io.BytesIO(content)).extractall("/opt/terrace/lib", filter="data")
FETCH
cat > /usr/local/sbin/terrace-restore <<'RUN'
#!/bin/sh
PYTHONPATH=/opt/terrace/lib exec python3 -m infra.host.box.restore "$@"
RUN
chmod 755 /usr/local/sbin/terrace-restore
touch /var/lib/terrace/restore-ready
"""
