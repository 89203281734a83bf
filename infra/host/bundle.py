"""The only place for what the host bundle holds: the box's programs as one archive, the same bytes everywhere.

The archive is a plain tar: compressed bytes differ between versions of zlib, and two people's previews would differ.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOM = "infra/host/box"
CARRIED = (
    "infra/__init__.py",
    "infra/clients/__init__.py",
    "infra/clients/calling.py",
    "infra/clients/over_urllib.py",
    "infra/clients/runpod.py",
    "infra/clients/runpod_jobs.py",
    "infra/clients/runpod_key.py",
    "infra/clients/runpod_types.py",
    "infra/clients/transport.py",
    "infra/core/__init__.py",
    "infra/core/burn.py",
    "infra/core/errors.py",
    "infra/core/gpu/__init__.py",
    "infra/core/gpu/cards.py",
    "infra/core/gpu/decide.py",
    "infra/core/gpu/modes.py",
    "infra/core/gpu/platform.py",
    "infra/core/gpu/policy.py",
    "infra/core/memory.py",
    "infra/core/metrics.py",
    "infra/core/naming.py",
    "infra/core/packages.py",
    "infra/core/release.py",
    "infra/host/__init__.py",
)
"""Besides the room itself: what its programs import. Standard library alone, each of them."""

SUFFIXES = (".py", ".service", ".timer")
"""What of the room goes with it: programs and the texts of units."""

ENTRY_POINTS: Mapping[str, str] = {
    "terrace-host": "infra.host.box.install",
    "terrace-mount": "infra.host.box.mount",
    "terrace-settings": "infra.host.box.settings",
    "terrace-deploy": "infra.host.box.deploy",
    "terrace-backup": "infra.host.box.backup",
    "terrace-restore": "infra.host.box.restore",
    "terrace-agents": "infra.host.box.agents",
    "terrace-certificate": "infra.host.box.certificate",
    "terrace-upstream": "infra.host.box.upstream",
    "terrace-gpu": "infra.host.box.gpu",
    "terrace-data": "infra.host.box.data",
    "terrace-metrics": "infra.host.box.metrics",
}
_WRAPPER = """\
#!/bin/sh
PYTHONPATH=/opt/terrace/current/lib PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 -m {module} "$@"
"""


@dataclass(frozen=True)
class Bundle:
    """The bundle as bytes."""

    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Of the archive, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def version(self) -> str:
        """The first 12 digits of its SHA-256."""
        return self.sha256[:12]

    @property
    def key(self) -> str:
        """Where it lies in the artifacts bucket."""
        return f"host/{self.version}.tar"


@lru_cache
def build(root: Path = ROOT) -> Bundle:
    """Packs the programs of this working tree: sorted, without times, owners or modes of this machine."""
    files: dict[str, tuple[bytes, int]] = {
        f"bin/{name}": (_WRAPPER.format(module=module).encode(), 0o755)
        for name, module in ENTRY_POINTS.items()
    }
    room = (path for path in (root / ROOM).rglob("*.*") if path.suffix in SUFFIXES)
    sources = [*(root / name for name in CARRIED), *room]
    for path in sources:
        # An empty package file is written empty: git keeps none of them where a room has none.
        files[f"lib/{path.relative_to(root).as_posix()}"] = (
            path.read_bytes() if path.exists() else b"",
            0o644,
        )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            content, mode = files[name]
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return Bundle(packed.getvalue())
