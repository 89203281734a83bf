"""The only place for the command line `terrace-restore`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import TerraceError
from infra.host.box.backup import box, gaps
from infra.host.box.backup.repository import Bucket
from infra.host.box.restore import proof, work
from infra.host.box.restore.choice import Wish


def main(argv: list[str] | None = None) -> int:
    """Runs it; 0 done, 1 failed or the proof found faults, 2 usage, 5 interrupted and resumable."""
    chosen = _parser().parse_args(argv)
    try:
        result = _do(chosen)
    except TerraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Run the same again to go on.\n")
        return 5
    sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    return 1 if result.get("faults") or result.get("proof", {}).get("faults") else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="terrace-restore",
        description="Restores the database from the backups' bucket into an empty directory of this box.",
        epilog=(
            "Without --time and --backup: the newest state. Stop the application and PostgreSQL before you restore "
            "into /data/pgdata. The result is JSON on stdout, talk is on stderr."
        ),
    )
    parser.add_argument("--time", metavar="TIME", help="the state of that time, such as 2026-11-21T10:15Z")
    parser.add_argument("--backup", metavar="LABEL", help="the state at the end of that backup")
    parser.add_argument(
        "--target", metavar="DIR", type=Path, default=box.PGDATA, help=f"where to [{box.PGDATA}]"
    )
    parser.add_argument(
        "--empty", metavar="DIR", type=Path, help="delete what is in DIR first; has to be the target itself"
    )
    parser.add_argument(
        "--show", action="store_true", help="say which backup would be taken, and restore nothing"
    )
    parser.add_argument("--no-start", action="store_true", help="do not start PostgreSQL on it")
    parser.add_argument(
        "--prove", action="store_true", help="check rows, pages, extension, vectors and uploads then"
    )
    parser.add_argument("--database", default="app", help="the database that --prove reads [app]")
    return parser


def _do(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.time and chosen.backup:
        _parser().error("--time and --backup exclude each other")
    if chosen.empty is not None and chosen.empty != chosen.target:
        _parser().error(f"--empty names {chosen.empty}, but the target is {chosen.target}")
    if chosen.prove and chosen.no_start:
        _parser().error("--prove reads the database, so it cannot go with --no-start")
    wish = Wish(gaps.read_stamp(chosen.time) if chosen.time else None, chosen.backup)
    facts = box.facts()
    restore = work.Restore(facts, Bucket(facts.backups_bucket, facts.region), _say)
    if chosen.show:
        return asdict(restore.choice(wish, chosen.target))
    began, asked_at = time.monotonic(), datetime.now(UTC)
    done = restore.restore(wish, chosen.target, empty=chosen.empty, start=not chosen.no_start)
    result: dict[str, Any] = {
        **asdict(done),
        "seconds": time.monotonic() - began,
        "asked_at": gaps.stamp(asked_at),
    }
    if chosen.prove:
        _say("checking what was restored")
        uploads = Bucket(facts.uploads_bucket, facts.region) if facts.uploads_bucket else None
        result["proof"] = (
            proof.prove(
                database=chosen.database,
                port=done.port,
                backups=restore.bucket,
                label=done.backup,
                uploads=uploads,
                now=asked_at,
            )
        ).as_values()
        result["proved_seconds"] = time.monotonic() - began
    return result


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
