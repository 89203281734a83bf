"""The only place for the bounds and periods of backups."""

from __future__ import annotations

MIB, GIB = 1024**2, 1024**3

RECOVERY_POINT_SECONDS = 300
"""At most this much of what was acknowledged is lost with the box (RPO)."""

ARCHIVE_TIMEOUT_SECONDS = 120
"""PostgreSQL closes a segment that was written to after this time; the rest of the RPO is for its way out."""

LOOK_SECONDS = 60
"""How often the watch looks."""

SEGMENT_BYTES = 16 * MIB

SMALLEST_QUEUE_BYTES, LARGEST_QUEUE_BYTES = 256 * MIB, 8 * GIB
QUEUE_SHARE = 0.1


def queue_bound_bytes(volume_bytes: int) -> int:
    """How much WAL may wait for the bucket: a tenth of the volume, from 256 MiB to 8 GiB, in whole segments.

    Beyond it pgBackRest drops what waits (its user guide, "archive-push-queue-max"): the database goes on, the disk
    never fills, and what cannot be restored to any more is recorded as a gap.
    """
    wanted = int(volume_bytes * QUEUE_SHARE)
    return max(SMALLEST_QUEUE_BYTES, min(LARGEST_QUEUE_BYTES, wanted)) // SEGMENT_BYTES * SEGMENT_BYTES


FULL_BACKUPS_KEPT = 4
"""Weekly full backups with everything between them: four weeks to any minute. pgBackRest alone expires them."""

STANZA = "main"
REPOSITORY_PREFIX = "database/pgbackrest"
GAPS_PREFIX = "database/gaps/"
CENSUS_PREFIX = "database/census/"
DUMPS_PREFIX = "archive/database/"
