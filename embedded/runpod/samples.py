"""The only place for the receipts that the double knows: made up, each with the answer that it gives.

The double says that it is one (`"double": true`). It knows these pictures again (embedded/runpod/pictures.py) and
reads no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One receipt and what is answered; a `torn` one is blurred, its lower part is gone, and so is the answer's."""

    shows: str
    answer: dict[str, Any]
    torn: bool = False


def _item(name: str, quantity: float, amount: float) -> dict[str, Any]:
    return {"name": name, "quantity": quantity, "amount": amount}


SAMPLES: dict[str, Sample] = {
    "cafe": Sample("English, won, tax in the prices", {
        "merchant": "Terrace Cafe (sample)", "date": "2026-09-01", "currency": "KRW",
        "items": [_item("Americano", 2, 9000), _item("Cheesecake", 1, 6500)],
        "tax": 1409, "tax_included": True, "total": 15500,
    }),
    "bunsik": Sample("Korean, several items", {
        "merchant": "테라스 분식 (견본)", "date": "2026-09-03", "currency": "KRW",
        "items": [
            _item("참치김밥", 2, 9000), _item("떡볶이", 1, 5500), _item("라면", 1, 4500), _item("왕만두", 1, 6000),
            _item("사이다", 2, 4000),
        ],
        "tax": 2636, "tax_included": True, "total": 29000,
    }),
    "mart": Sample("Korean, a discount", {
        "merchant": "견본 마트", "date": "2026-09-05", "currency": "KRW",
        "items": [
            _item("우유 1L", 2, 5600), _item("계란 30구", 1, 8900), _item("쌀 10kg", 1, 36000),
            _item("회원 할인", 1, -4000),
        ],
        "tax": 4227, "tax_included": True, "total": 46500,
    }),
    "barbecue": Sample("English, several of each", {
        "merchant": "Sample Barbecue House", "date": "2026-09-04", "currency": "KRW",
        "items": [_item("Samgyeopsal", 4, 64000), _item("Naengmyeon", 2, 18000), _item("Soju", 3, 15000)],
        "tax": 8818, "tax_included": True, "total": 97000,
    }),
    "diner": Sample("dollars, tax beside the prices", {
        "merchant": "Sample Diner", "date": "2026-08-15", "currency": "USD",
        "items": [_item("Burger", 2, 25.90), _item("Lemonade", 2, 8.50)],
        "tax": 3.05, "tax_included": False, "total": 37.45,
    }),
    "fuel": Sample("euros, a quantity with a fraction", {
        "merchant": "Sample Fuel Stop", "date": "2026-08-20", "currency": "EUR",
        "items": [_item("Diesel litres", 41.27, 68.92), _item("Coffee", 1, 2.49), _item("Car wash", 1, 9.99)],
        "tax": 13.0, "tax_included": True, "total": 81.4,
    }),
    "miscounted": Sample("one that does not add up", {
        "merchant": "Sample Corner Shop", "date": "2026-09-06", "currency": "KRW",
        "items": [_item("Notebook", 3, 7500), _item("Pencil", 2, 1600)],
        "tax": 827, "tax_included": True, "total": 10100,
    }),
    "torn": Sample("blurred and torn off", {
        "merchant": "Sample Bookshop", "date": "2026-09-08", "currency": "KRW",
        "items": [_item("Atlas", 1, 38000), _item("Novel", 2, 29600), _item("Calendar", 1, 12000)],
        "tax": 0, "tax_included": True, "total": 79600,
    }, torn=True),
}  # fmt: skip

UNKNOWN = (
    "I am a double without a model and know no such picture; those that I know: scripts/local.py receipt DIR"
)


def answers(known: Callable[[Any], str]) -> Callable[[Any], tuple[Any, str]]:
    """How the double answers: `known` names the sample of a request's picture, or is empty."""

    def answer(payload: Any) -> tuple[Any, str]:
        sample = SAMPLES.get(known(payload))
        if sample is None:
            return [completion(UNKNOWN)], ""
        text = json.dumps(sample.answer, ensure_ascii=False)
        if sample.torn:
            return [completion(text[: len(text) // 2], finish_reason="length")], ""
        return [completion(text)], ""

    return answer


def completion(content: str, *, finish_reason: str = "stop") -> dict[str, Any]:
    """A chat completion as the worker hands it over."""
    return {
        "double": True,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
        ],
        "usage": {"prompt_tokens": 1400, "completion_tokens": len(content) // 3},
    }
