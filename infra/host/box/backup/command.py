"""The only place for the command line `terrace-backup`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from infra.core.errors import TerraceError
from infra.host.box.backup.work import Backups, open_backups

VERBS = {
    "install": "write the configuration of pgBackRest, PostgreSQL's archiving and the timers; idempotent",
    "ready": "make the repository if it is new, check the archive, make a full backup if the newest is too old",
    "full": "make a full backup",
    "diff": "make a backup of what changed since the last full one",
    "incr": "make a backup of what changed since the last one of any kind",
    "check": "archive one segment and see that it reaches the bucket",
    "dump": "write a logical dump of each database to the bucket, its SHA-256 beside it",
    "watch": "look after the archive once: metrics, gaps, the full backup that ends one",
    "status": "backups, queue, gaps, last results",
}


def main(argv: list[str] | None = None) -> int:
    """Runs it; 0 done, 1 failed, 2 usage, 5 interrupted."""
    parser = argparse.ArgumentParser(
        prog="terrace-backup",
        description="Backups of this box's database: WAL and base backups by pgBackRest, dumps, their watch.",
        epilog="Restores: terrace-restore --help. Logs: journalctl -u 'terrace-backup-*', /var/log/pgbackrest.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in VERBS.items():
        verb = verbs.add_parser(name, help=what, description=what)
        verb.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    chosen = parser.parse_args(argv)
    try:
        result = _do(open_backups(), chosen.verb)
    except TerraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Run the same again.\n")
        return 5
    if chosen.json or chosen.verb == "status":
        sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    else:
        sys.stdout.write(f"{chosen.verb}: {_sentence(result)}\n")
    return 0


def _do(backups: Backups, verb: str) -> Any:
    if verb in ("full", "diff", "incr"):
        return asdict(backups.backup(verb))  # type: ignore[arg-type]
    if verb == "ready":
        made = backups.ready()
        return asdict(made) if made else None
    if verb == "check":
        return backups.pgbackrest.prepare()
    if verb == "watch":
        judged = backups.look_after()
        return asdict(judged) if judged else None
    return getattr(backups, verb)()


def _sentence(result: Any) -> str:
    if isinstance(result, dict) and "label" in result:
        return f"{result['label']}, {result['size_bytes']} bytes, {result['stored_bytes']} stored"
    if isinstance(result, dict) and "lag_seconds" in result:
        return f"{result['queue_bytes']} bytes wait, behind by {result['lag_seconds']:.0f} s"
    if isinstance(result, list):
        return ", ".join(map(str, result)) or "nothing to do"
    return "done"
