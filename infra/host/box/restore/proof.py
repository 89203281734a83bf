"""The only place for what is checked in a restored database before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from infra.core.errors import TerraceError
from infra.host.box.backup import box, census, gaps
from infra.host.box.backup.bounds import CENSUS_PREFIX
from infra.host.box.backup.repository import Bucket

SHOWN_KEYS = 5


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found. `faults` are sentences, none when all is well; ages in seconds."""

    tables: Mapping[str, tuple[int, str]]
    same_as_backup: bool | None
    """Whether rows and checksums equal the census of the backup; None without one. A later state may differ."""
    extensions: Mapping[str, str]
    alike: Mapping[str, int]
    uploads: int
    newest_row_at: str | None
    newest_row_age_seconds: float | None
    faults: tuple[str, ...]

    def as_values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def prove(
    *, database: str, port: int, backups: Bucket, label: str, uploads: Bucket | None, now: datetime
) -> Proof:
    """Reads everything once: every table, every index and heap page, a vector query, every upload's existence.

    Raises:
        TerraceError: the database cannot be asked at all.
    """
    found = census.take(lambda query: box.psql(query, database=database, port=port))
    key = f"{CENSUS_PREFIX}{label}.json"
    before = json.loads(backups.get(key)) if backups.holds(key) else None
    wrong = census.faults(before, found)
    try:
        box.program(
            f"{box.BIN}/pg_amcheck", "--install-missing", "--heapallindexed",
            f"--port={port}", f"--database={database}",
            user=box.POSTGRES,
        )  # fmt: skip
    except TerraceError as error:
        wrong.append(f"pages or indexes are damaged: {error}")
    if uploads is not None and found.uploads:
        missing = sorted(set(found.uploads) - set(uploads.keys("")))
        if missing:
            shown = ", ".join(missing[:SHOWN_KEYS])
            wrong.append(
                f"{len(missing)} of {len(found.uploads)} uploads that rows name do not exist: {shown}"
            )
    tables = {name: tuple(counted) for name, counted in (before or {}).get("tables", {}).items()}
    newest = gaps.read_stamp(found.newest) if found.newest else None
    return Proof(
        tables=found.tables,
        same_as_backup=None if before is None else tables == dict(found.tables),
        extensions=found.extensions,
        alike=found.alike,
        uploads=len(found.uploads),
        newest_row_at=found.newest,
        newest_row_age_seconds=(now - newest.astimezone(UTC)).total_seconds() if newest else None,
        faults=tuple(wrong),
    )
