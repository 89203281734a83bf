"""The only place for how much is used of what is billed by use: assumed until it is measured.

An assumption is a range with its reason, never 0 for not knowing. What was measured replaces it, from a file:

    observed:
      traffic.out.gib: {value: "9.5", days: 30, until: 2026-11-01, source: VPC flow logs}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from infra.core.cost.money import Basis, Span
from infra.core.errors import Fault, TerraceError, nearest
from infra.core.prices import DAYS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Use:
    """How much of something in a month, and why that much."""

    amount: Span
    basis: Basis
    why: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one stack uses; what was not measured is assumed."""

    observed: Mapping[str, Use]

    def __getitem__(self, name: str) -> Use:
        """The use of that name; `name@resource` falls back on `name`.

        Raises:
            KeyError: nobody ever assumed anything of that name: a fault of the program.
        """
        general = name.partition("@")[0]
        return self.observed.get(name) or self.observed.get(general) or ASSUMED[general]


def _assumed(low: str, likely: str, high: str, why: str) -> Use:
    return Use(Span.of(low, likely, high), Basis.ASSUMED, why)


_TRAFFIC = "the founding document counts 10 GB out a month for 18 000 requests"

ASSUMED: Mapping[str, Use] = {
    "cpu.percent": _assumed("10", "20", "40", "the document expects 20 % or less; its parts add up to 40 %"),
    "traffic.out.gib": _assumed("5", "10", "60", _TRAFFIC),
    "traffic.zones.gib": _assumed("0", "1", "10", "database and balancer in another zone than the box, of 10 GB out"),
    "nat.gib": _assumed("2", "10", "40", "packages, GPU calls and webhooks: about what goes out to users"),
    "alb.lcu": _assumed("0.01", "0.05", "1", "0.17 requests/s at the peak are far below one LCU"),
    "vpce.gib": _assumed("0", "1", "5", "agents' calls"),
    "logs.gib": _assumed("0.02", "0.1", "1", "18 000 requests a month at 1 to 5 KB of lines, for each group"),
    "logs.flow.gib": _assumed("0.01", "0.1", "1", "one record for each flow and ten minutes"),
    "s3.gib": _assumed("0.5", "5", "50", "600 receipts a day at 100 KB to 1 MB, less what expires, for each bucket"),
    "s3.replicated.gib": _assumed("1", "6", "60", "WAL, nightly backups and dumps of a database of about a gigabyte"),
    "s3.put.thousand": _assumed("1", "20", "60", "18 000 requests a month, some with an upload"),
    "s3.get.ten-thousand": _assumed("0.2", "2", "10", "each upload is read a few times"),
    "snapshots.gib": _assumed("5", "20", "100", "written blocks of the data volume, kept 7 days and 4 weeks"),
    "backup.gib": _assumed("5", "20", "100", "written blocks of the data volume"),
    "rds.cpu.percent": _assumed("2", "5", "30", "18 000 requests a month; one bad query keeps a small database busy"),
    "rds.backup.gib": _assumed("0", "0", "10", "free up to the size of the database"),
    "kms.ten-thousand": _assumed("0.5", "2", "10", "bucket keys keep requests few"),
    "kms.rotations": _assumed("0", "0", "2", "none in the first year; from the third on it stays at two"),
    "secrets.ten-thousand": _assumed("0", "0.01", "0.1", "read at each start"),
    "sns.emails.hundred-thousand": _assumed("0", "0.001", "0.01", "alarms are rare"),
    "dns.million": _assumed("0.01", "0.1", "1", "one look-up for each visit"),
    "waf.million": _assumed("0.02", "0.05", "1", "every request, and scanners'"),
    "guardduty.million": _assumed("0.05", "0.2", "1", "management events of one small account"),
    "lambda.million": _assumed("0", "0.001", "0.1", "one call for each alarm"),
    "gpu.seconds": _assumed("5000", "26000", "90000", "600 receipts a day at 0.3 to 5 billed seconds"),
}  # fmt: skip

DEFAULT = Usage({})


def read_usage(raw: Mapping[str, Any], *, where: str) -> Usage:
    """Measured use from a file's parsed YAML.

    Raises:
        TerraceError: a name that nothing is billed by, a value that is no decimal text of at least 0, or one without
            days, date or source; all faults at once.
    """
    faults: list[Fault] = []
    found: dict[str, Use] = {}
    for name, entry in (raw.get("observed") or {}).items():
        path = f"{where}: observed.{name}"
        if name.partition("@")[0] not in ASSUMED:
            known = nearest(name, ASSUMED)
            faults.append(
                Fault(path, f"nothing is billed by {name!r}{known}", f"Names: {', '.join(ASSUMED)}")
            )
            continue
        if (use := _observed(path, entry, faults)) is not None:
            found[name] = use
    if faults:
        raise TerraceError(*faults)
    return Usage(found)


def _observed(path: str, entry: Any, faults: list[Fault]) -> Use | None:
    remedy = 'Write {value: "9.5", days: 30, until: 2026-11-01, source: where it was measured}'
    if not isinstance(entry, Mapping):
        faults.append(Fault(path, f"{entry!r} is no map", remedy))
        return None
    value, days, until, source = (entry.get(each) for each in ("value", "days", "until", "source"))
    try:
        amount = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        faults.append(Fault(path, f"{value!r} is no amount of at least 0 in quotes", remedy))
    elif not isinstance(days, int) or days < 1:
        faults.append(Fault(path, f"days is {days!r}", remedy))
    elif not isinstance(until, date) or not source:
        faults.append(Fault(path, "lacks until or source", remedy))
    else:
        monthly = amount if name_is_a_share(path) else amount / days * DAYS_PER_MONTH
        return Use(Span.exactly(monthly), Basis.OBSERVED, f"measured {days} days to {until}: {source}")
    return None


def name_is_a_share(path: str) -> bool:
    """Whether the amount is a state (per cent, GiB stored, series) and not a sum over days."""
    name = path.rpartition("observed.")[2].partition("@")[0]
    return name in (
        "cpu.percent",
        "rds.cpu.percent",
        "alb.lcu",
        "s3.gib",
        "snapshots.gib",
        "backup.gib",
        "rds.backup.gib",
    )
