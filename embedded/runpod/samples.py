"""The only place for the receipts that the double knows: made up, drawn on demand, with the answers that it gives.

The double says that it is one (`"double": true`); it looks at the picture's digest, never at its content.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAMPLES: dict[str, dict[str, Any]] = {
    "cafe": {
        "merchant": "Terrace Cafe (sample)", "date": "2026-09-01", "currency": "KRW",
        "items": [
            {"name": "Americano", "quantity": 2, "amount": 9000},
            {"name": "Cheesecake", "quantity": 1, "amount": 6500},
        ],
        "tax": 1409, "tax_included": True, "total": 15500,
    },
    "barbecue": {
        "merchant": "Sample Barbecue House", "date": "2026-09-04", "currency": "KRW",
        "items": [
            {"name": "Samgyeopsal", "quantity": 4, "amount": 64000},
            {"name": "Naengmyeon", "quantity": 2, "amount": 18000},
            {"name": "Soju", "quantity": 3, "amount": 15000},
        ],
        "tax": 8818, "tax_included": True, "total": 97000,
    },
    "diner": {
        "merchant": "Sample Diner", "date": "2026-08-15", "currency": "USD",
        "items": [
            {"name": "Burger", "quantity": 2, "amount": 25.90},
            {"name": "Lemonade", "quantity": 2, "amount": 8.00},
        ],
        "tax": 3.05, "tax_included": False, "total": 36.95,
    },
}  # fmt: skip


def draw(name: str, path: Path) -> None:
    """Draws a sample as a picture that a person can read too."""
    from PIL import Image, ImageDraw

    sample = SAMPLES[name]
    lines = [sample["merchant"], sample["date"], ""]
    lines += [f"{each['name']:<16}{each['quantity']:>3}{each['amount']:>12}" for each in sample["items"]]
    lines += [
        "",
        f"{'Tax':<19}{sample['tax']:>12}",
        f"{'Total ' + sample['currency']:<19}{sample['total']:>12}",
    ]
    image = Image.new("RGB", (280, 28 * (len(lines) + 2)), "white")
    canvas = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        canvas.text((16, 20 + 26 * index), line, fill="black")
    image.save(path, "PNG")


def answers(known: dict[str, str]) -> Callable[[Any], tuple[Any, str]]:
    """How the double answers: `known` names the sample of each picture's SHA-256; another picture gets the first."""

    def answer(payload: Any) -> tuple[Any, str]:
        sample = SAMPLES[known.get(_digest(payload), next(iter(SAMPLES)))]
        return [completion(json.dumps(sample))], ""

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


def _digest(payload: Any) -> str:
    try:
        url = payload["openai_input"]["messages"][0]["content"][1]["image_url"]["url"]
        return hashlib.sha256(base64.b64decode(url.split(",", 1)[1])).hexdigest()
    except (KeyError, IndexError, TypeError, ValueError):
        return ""
