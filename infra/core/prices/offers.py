"""The only place for how a book's keys are found in AWS's public price list files, and for what moved since.

The files are CSV: five lines of metadata ("Publication Date", "Version", "OfferCode" among them), a line of column
names, one line for each price (AWS Billing User Guide, "Reading the price list files"). This module reads lines;
fetching them is the affair of ops/adapters/price_list.py.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from infra.core.errors import Fault, TerraceError

METADATA_LINES = 5
NEEDED_COLUMNS = ("SKU", "TermType", "Unit", "PricePerUnit", "Currency", "StartingRange", "usageType")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which line of which file holds a price.

    `usage_type` is AWS's name without the region's code before it; `columns` are values that other columns must have;
    `unit` is the file's own unit and `times` how many of it make one of ours.
    """

    service: str
    usage_type: str
    unit: str
    columns: Mapping[str, str] = field(default_factory=dict)
    times: int = 1

    def takes(self, row: Mapping[str, str]) -> bool:
        """Whether the line is this price."""
        usage = row["usageType"]
        named = usage == self.usage_type or usage.endswith(f"-{self.usage_type}")
        return named and all(row.get(name) == value for name, value in self.columns.items())


@dataclass(frozen=True, slots=True)
class Found:
    """A price as the file has it, in the book's unit."""

    usd: Decimal
    sku: str
    usage_type: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What one file said: its date and version, and the prices found in it by the book's keys.

    `problems` say why a key's line was found and not taken.
    """

    service: str
    version: str
    published: date
    found: Mapping[str, Found]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """A price that is another now."""

    key: str
    before: Decimal
    after: Decimal

    @property
    def percent(self) -> Decimal:
        """By how much, of the price before."""
        return (self.after / self.before - 1) * 100 if self.before else Decimal(0)


_LINUX = {
    "Operating System": "Linux", "Tenancy": "Shared", "Pre Installed S/W": "NA", "CapacityStatus": "Used",
    "operation": "RunInstances",
}  # fmt: skip
_POSTGRES = {"Database Engine": "PostgreSQL"}
_APPLICATION = {"operation": "LoadBalancing:Application"}

_EXACT: Mapping[str, Selector] = {
    "ebs.gp3": Selector("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo"),
    "ebs.gp3.iops": Selector("AmazonEC2", "EBS:VolumeP-IOPS.gp3", "IOPS-Mo"),
    "ebs.gp2": Selector("AmazonEC2", "EBS:VolumeUsage.gp2", "GB-Mo"),
    "ebs.snapshot": Selector("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo"),
    "ebs.snapshot.archive": Selector("AmazonEC2", "EBS:SnapshotArchiveStorage", "GB-Mo"),
    "ec2.surplus-credit": Selector("AmazonEC2", "CPUCredits:t4g", "vCPU-Hours"),
    "nat": Selector("AmazonEC2", "NatGateway-Hours", "Hrs"),
    "nat.processed": Selector("AmazonEC2", "NatGateway-Bytes", "GB"),
    "ipv4": Selector("AmazonVPC", "PublicIPv4:InUseAddress", "Hrs"),
    "vpce": Selector("AmazonVPC", "VpcEndpoint-Hours", "Hrs"),
    "vpce.processed": Selector("AmazonVPC", "VpcEndpoint-Bytes", "GB"),
    "alb": Selector("AWSELB", "LoadBalancerUsage", "Hrs", _APPLICATION),
    "alb.lcu": Selector("AWSELB", "LCUUsage", "LCU-Hrs", _APPLICATION),
    "rds.gp3": Selector("AmazonRDS", "RDS:GP3-Storage", "GB-Mo", _POSTGRES),
    "rds.gp3.multi-az": Selector("AmazonRDS", "RDS:Multi-AZ-GP3-Storage", "GB-Mo", _POSTGRES),
    "rds.backup": Selector("AmazonRDS", "RDS:ChargedBackupUsage", "GB-Mo", _POSTGRES),
    "traffic.out": Selector("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB"),
    "traffic.zones": Selector("AWSDataTransfer", "DataTransfer-Regional-Bytes", "GB"),
    "s3.standard": Selector("AmazonS3", "TimedStorage-ByteHrs", "GB-Mo"),
    "s3.put": Selector("AmazonS3", "Requests-Tier1", "Requests", times=1_000),
    "s3.get": Selector("AmazonS3", "Requests-Tier2", "Requests", times=10_000),
    "kms.key": Selector("awskms", "KMS-Keys", "Keys"),
    "kms.requests": Selector("awskms", "KMS-Requests", "Requests", times=10_000),
    "secrets.secret": Selector("AWSSecretsManager", "AWSSecretsManager-Secrets", "Secrets"),
    "secrets.requests": Selector("AWSSecretsManager", "AWSSecretsManagerAPIRequest", "API Requests", times=10_000),
    "cw.alarm": Selector("AmazonCloudWatch", "CW:AlarmMonitorUsage", "Alarms"),
    "cw.alarm.high-resolution": Selector("AmazonCloudWatch", "CW:HighResAlarmMonitorUsage", "Alarms"),
    "cw.alarm.composite": Selector("AmazonCloudWatch", "CW:CompositeAlarmMonitorUsage", "Alarms"),
    "cw.metric": Selector("AmazonCloudWatch", "CW:MetricMonitorUsage", "Metrics"),
    "logs.ingest": Selector("AmazonCloudWatch", "DataProcessing-Bytes", "GB"),
    "logs.store": Selector("AmazonCloudWatch", "TimedStorage-ByteHrs", "GB-Mo"),
    "logs.vended": Selector("AmazonCloudWatch", "VendedLog-Bytes", "GB"),
}  # fmt: skip

_DEPLOYMENT = {"": ("Single-AZ", "InstanceUsage"), ".multi-az": ("Multi-AZ", "Multi-AZUsage")}


def selector(key: str) -> Selector | None:
    """Where a key's price is found; None for what no price list file holds."""
    if (exact := _EXACT.get(key)) is not None:
        return exact
    if instance := re.fullmatch(r"ec2\.([a-z]\w+\.\w+)", key):
        return Selector("AmazonEC2", f"BoxUsage:{instance[1]}", "Hrs", _LINUX)
    if database := re.fullmatch(r"rds\.(db\.\w+\.\w+)(\.multi-az)?", key):
        deployment, usage = _DEPLOYMENT[database[2] or ""]
        columns = {**_POSTGRES, "Deployment Option": deployment}
        return Selector("AmazonRDS", f"{usage}:{database[1]}", "Hrs", columns)
    return None


def services(keys: Iterable[str]) -> dict[str, list[str]]:
    """The keys that can be found, by the file that they are in."""
    grouped: dict[str, list[str]] = {}
    for key in keys:
        if (wanted := selector(key)) is not None:
            grouped.setdefault(wanted.service, []).append(key)
    return dict(sorted(grouped.items()))


def read_offer(lines: Iterable[str], keys: Iterable[str], *, where: str) -> Offer:
    """The prices of those keys in one file, read as a stream.

    Raises:
        TerraceError: the file is cut off before its columns, lacks a column, or bears no date.
    """
    reader = csv.reader(lines)
    metadata = {row[0]: row[1] for row in islice(reader, METADATA_LINES) if len(row) > 1}
    columns = next(reader, [])
    published = metadata.get("Publication Date", "")[:10]
    if missing := [name for name in NEEDED_COLUMNS if name not in columns]:
        raise _no_offer(where, f"lacks the column(s) {', '.join(missing)}")
    try:
        day = date.fromisoformat(published)
    except ValueError:
        raise _no_offer(where, f"bears {published!r} as its date") from None
    wanted = {key: each for key in keys if (each := selector(key)) is not None}
    found: dict[str, Found] = {}
    problems: dict[str, str] = {}
    for row in _rows(reader, columns):
        for key, each in wanted.items():
            if each.takes(row):
                _take(key, each, row, found, problems)
    kept = {key: price for key, price in found.items() if key not in problems}
    problems |= {key: "is not in the file" for key in wanted if key not in found and key not in problems}
    said = tuple(f"{key} {why}" for key, why in problems.items())
    return Offer(metadata.get("OfferCode", where), metadata.get("Version", ""), day, kept, said)


def moves(raw: Mapping[str, Any], offers: Iterable[Offer]) -> list[Move]:
    """Which prices of a book's YAML are others now."""
    now = {key: price for offer in offers for key, price in offer.found.items()}
    before = {key: Decimal(entry["price"]) for key, entry in raw["prices"].items()}
    return [
        Move(key, before[key], now[key].usd) for key in before if key in now and before[key] != now[key].usd
    ]


def refreshed(raw: Mapping[str, Any], offers: Iterable[Offer], *, name: str) -> dict[str, Any]:
    """The book's YAML with the new prices under a new name; what no file held keeps its price and its date."""
    listed = list(offers)
    prices = {key: {"as_of": raw["as_of"], **entry} for key, entry in raw["prices"].items()}
    sources = dict(raw["sources"])
    for offer in listed:
        source = f"{offer.service}-{offer.published}"
        if offer.found:
            sources[source] = f"AWS Price List, {offer.service}, {raw['region']}, version {offer.version}"
        for key, new in offer.found.items():
            entry = {
                **prices.get(key, {}),
                "price": _plain(new.usd),
                "source": source,
                "as_of": offer.published,
            }
            entry |= {"sku": new.sku, "usage_type": new.usage_type}
            prices[key] = entry
    day = min((offer.published for offer in listed), default=raw["as_of"])  # the oldest file's
    absent = {key: why for key, why in (raw.get("absent") or {}).items() if key not in prices}
    return {**raw, "name": name, "as_of": day, "sources": sources, "prices": prices, "absent": absent}


def render(raw: Mapping[str, Any], *, comment: str) -> str:
    """A book as it is written: one line for each price."""
    lines = [f"# {comment}", f"name: {raw['name']}", f"region: {raw['region']}", f"as_of: {raw['as_of']}"]
    lines += [f"with: {raw['with']}"] if raw.get("with") else []
    lines += ["sources:", *(f"  {key}: {_quoted(value)}" for key, value in raw["sources"].items()), "prices:"]
    for key, entry in raw["prices"].items():
        inside = ", ".join(
            f"{name}: {value if isinstance(value, date) else _quoted(str(value))}"
            for name, value in entry.items()
            if not (name == "as_of" and value == raw["as_of"])
        )
        lines.append(f"  {key}: {{{inside}}}")
    absent = raw.get("absent") or {}
    lines += (
        ["absent:", *(f"  {key}: {_quoted(why)}" for key, why in absent.items())]
        if absent
        else ["absent: {}"]
    )
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(amount: Decimal) -> str:
    """Without exponent and without trailing zeros: `0.0832`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rows(reader: Iterable[list[str]], columns: list[str]) -> Iterator[dict[str, str]]:
    at = {name: columns.index(name) for name in ("TermType", "Currency", "StartingRange")}
    for row in reader:
        if len(row) == len(columns) and (
            row[at["TermType"]] == "OnDemand"
            and row[at["Currency"]] == "USD"
            and row[at["StartingRange"]] == "0"
        ):
            yield dict(zip(columns, row, strict=True))


def _take(
    key: str,
    wanted: Selector,
    row: Mapping[str, str],
    found: dict[str, Found],
    problems: dict[str, str],
) -> None:
    if row["Unit"] != wanted.unit:
        problems[key] = f"is priced for {row['Unit']!r} where {wanted.unit!r} was expected"
        return
    try:
        usd = Decimal(row["PricePerUnit"]) * wanted.times
    except InvalidOperation:
        problems[key] = f"has {row['PricePerUnit']!r} as its price"
        return
    if not usd:
        problems[key] = "has a line that costs nothing, which is a free tier and no price"
        return
    if key in found and found[key].usd != usd:
        problems[key] = f"has two prices: {found[key].usd} ({found[key].sku}) and {usd} ({row['SKU']})"
    found.setdefault(key, Found(usd, row["SKU"], row["usageType"]))


def _no_offer(where: str, what: str) -> TerraceError:
    return TerraceError(
        Fault(where, what, "The format may have changed: infra/core/prices/offers.py; nothing was written")
    )
