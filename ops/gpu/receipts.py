"""The only place for what a receipt is, what the model is asked, and whether its answer can be true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

CURRENCIES = {"KRW": 0, "JPY": 0, "USD": 2, "EUR": 2, "GBP": 2, "CNY": 2}
"""Digits behind the point (ISO 4217)."""

OLDEST = date(2000, 1, 1)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["merchant", "date", "currency", "items", "tax", "total"],
    "properties": {
        "merchant": {"type": "string"},
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "currency": {"type": "string", "enum": sorted(CURRENCIES)},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "quantity", "amount"],
                "properties": {
                    "name": {"type": "string"},
                    "quantity": {"type": "number"},
                    "amount": {"type": "number"},
                },
            },
        },
        "tax": {"type": "number"},
        "tax_included": {"type": "boolean"},
        "total": {"type": "number"},
    },
}

PROMPT = (
    "Read this receipt. Answer with one JSON object: merchant, date (YYYY-MM-DD), currency (ISO 4217), items "
    "(name, quantity, amount: the line's sum), tax, tax_included (whether the items' amounts hold it), total. "
    "Copy numbers as printed, without separators. Say nothing else."
)


class Verdict(StrEnum):
    """What became of an answer; everything but OK is a failure class."""

    OK = "ok"
    NOT_JSON = "not-json"
    CUT_OFF = "cut-off"
    SCHEMA = "schema"
    SUM = "does-not-add-up"
    DATE = "date"
    JOB_FAILED = "job-failed"
    TIMED_OUT = "timed-out"
    NO_ANSWER = "no-answer"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Item:
    """One line; `amount` is its sum."""

    name: str
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that adds up."""

    merchant: str
    date: date
    currency: str
    items: tuple[Item, ...]
    tax: Decimal
    tax_included: bool
    total: Decimal

    def rows(self) -> list[tuple[str, str, str]]:
        """For a table: lines, tax, total."""
        listed = [(item.name, f"{item.quantity}", f"{item.amount}") for item in self.items]
        tax = "tax" + (" (in the items)" if self.tax_included else "")
        return [*listed, (tax, "", f"{self.tax}"), (f"total {self.currency}", "", f"{self.total}")]

    def as_data(self) -> dict[str, Any]:
        """Plain values; numbers stay exact."""
        items = [[item.name, item.quantity, item.amount] for item in self.items]
        named = ("merchant", "date", "currency", "total", "tax", "tax_included")
        return {**{name: getattr(self, name) for name in named}, "items": items}


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer of the model, judged; `receipt` is None where it is not OK, `why` holds no content of it."""

    verdict: Verdict
    why: str = ""
    receipt: Receipt | None = None


def read(text: str, *, finish_reason: str, today: date) -> Reading:
    """Judges an answer: whole, JSON, of the schema, adding up, of a possible day."""
    if finish_reason == "length":
        return Reading(Verdict.CUT_OFF, "the answer reached its length limit")
    try:
        raw = json.loads(_unfenced(text), parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return Reading(Verdict.NOT_JSON, "the answer is no JSON")
    if wrong := next(_schema_faults(raw), None):
        return Reading(Verdict.SCHEMA, wrong)
    receipt = _receipt(raw)
    if receipt is None:
        return Reading(Verdict.DATE, "the date is no day of the calendar")
    if not OLDEST <= receipt.date <= today:
        return Reading(Verdict.DATE, "the date is in the future or before 2000")
    if wrong := _sum_fault(receipt):
        return Reading(Verdict.SUM, wrong)
    return Reading(Verdict.OK, "", receipt)


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped.strip("`").removeprefix("json")
    return stripped


def _schema_faults(raw: Any) -> Iterator[str]:
    """What is not as SCHEMA says, by path; values are not told, for they are the receipt's."""
    if not isinstance(raw, dict):
        yield "it is no object"
        return
    for name in SCHEMA["required"]:
        if name not in raw:
            yield f"{name} is missing"
    yield from (
        f"an unknown key stands in it ({len(raw)} keys)" for name in raw if name not in SCHEMA["properties"]
    )
    for name in ("tax", "total"):
        if not _finite(raw.get(name)):
            yield f"{name} is no number"
    for name in ("merchant", "date"):
        if not isinstance(raw.get(name), str):
            yield f"{name} is no text"
    if raw.get("currency") not in CURRENCIES:
        yield "currency is none that is known"
    if not isinstance(raw.get("tax_included", False), bool):
        yield "tax_included is no truth value"
    items = raw.get("items")
    if not isinstance(items, list) or not items:
        yield "items is no list with something in it"
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict) or set(item) != {"name", "quantity", "amount"}:
            yield f"items[{index}] has other keys"
        elif not isinstance(item["name"], str) or not (_finite(item["quantity"]) and _finite(item["amount"])):
            yield f"items[{index}] has values of another type"


def _finite(value: Any) -> bool:
    return isinstance(value, Decimal) and value.is_finite()


def _receipt(raw: dict[str, Any]) -> Receipt | None:
    try:
        day = date.fromisoformat(raw["date"])
        items = tuple(Item(each["name"], each["quantity"], each["amount"]) for each in raw["items"])
        included = raw.get("tax_included", True)
        return Receipt(raw["merchant"], day, raw["currency"], items, raw["tax"], included, raw["total"])
    except (ValueError, InvalidOperation):
        return None


def _sum_fault(receipt: Receipt) -> str:
    """Items (and tax, where they do not hold it) must be the total, to the smallest coin of the currency."""
    coin = Decimal(1).scaleb(-CURRENCIES[receipt.currency])
    listed = sum((item.amount for item in receipt.items), Decimal(0))
    expected = listed if receipt.tax_included else listed + receipt.tax
    if abs(expected - receipt.total) >= coin:
        return "items and tax do not add up to the total"
    if not Decimal(0) <= receipt.tax <= max(receipt.total, Decimal(0)):
        return "the tax is below 0 or above the total"
    if any(item.quantity == 0 for item in receipt.items):
        return "a line has no quantity"
    return ""
