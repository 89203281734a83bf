"""The only place for the certificate and the key that Nginx shows: a pair that changes in one rename.

/etc/terrace/tls/fullchain.pem and privkey.pem are links through `shown`, and `shown` is a link to a directory that
holds one pair. A power cut leaves the old pair or the new one, never a key beside another one's certificate, with
which Nginx does not start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from .system import directory, write

TLS = Path("/etc/terrace/tls")
CHAIN, KEY = "fullchain.pem", "privkey.pem"
MODES = {KEY: 0o600, CHAIN: 0o644}
_SHOWN = "shown"


def held(where: Path | None = None) -> bool:
    """Whether there is a pair."""
    where = where or TLS
    return all((where / name).exists() for name in MODES)


def show(chain: str, key: str, where: Path | None = None) -> bool:
    """Makes that pair the one that is shown; whether it was another before. It may be killed and run again."""
    where = where or TLS
    directory(where, mode=0o700)
    if not (where / _SHOWN).is_symlink() and held(where):
        # Two files of an earlier bundle, or a person's own: first the same pair behind links, then the change.
        old, its_key = ((where / name).read_text(encoding="ascii") for name in (CHAIN, KEY))
        _turn(where, old, its_key)
    changed = _turn(where, chain, key)
    for each in where.iterdir():
        if each.is_dir() and not each.is_symlink() and each.name != str((where / _SHOWN).readlink()):
            shutil.rmtree(each)
    return changed


def _turn(where: Path, chain: str, key: str) -> bool:
    digest = hashlib.sha256(chain.encode() + b"\0" + key.encode()).hexdigest()
    pair = where / f"pair-{digest[:16]}"
    directory(pair, mode=0o700)
    for name, text in ((CHAIN, chain), (KEY, key)):
        write(pair / name, text, mode=MODES[name])
    changed = [_link(where / _SHOWN, pair.name)]
    changed += [_link(where / name, f"{_SHOWN}/{name}") for name in MODES]
    return any(changed)


def _link(path: Path, target: str) -> bool:
    """Makes the link at once; whether it was another before."""
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
