"""The only place for how sample receipts look: drawn here, and known again after a client cut them down."""

from __future__ import annotations

import base64
import functools
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded.runpod import hangul
from embedded.runpod.samples import SAMPLES, Sample

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

WIDTH, LINE, SIZE = 420, 34, 20
GRID = (60, 60)
"""A picture is compared by its grey values on so many fields, across and down."""

SAME = 0.95
"""Pictures correlate so far at least where they are of one receipt; two samples do far less (tests/gpu)."""


def draw(name: str, path: Path) -> None:
    """Writes a sample's picture, one that a person can read too."""
    drawn(name).save(path, "PNG")


def drawn(name: str) -> Image:
    """A sample's picture."""
    from PIL import Image, ImageDraw, ImageFilter

    sample = SAMPLES[name]
    rows = _rows(sample)
    image = Image.new("RGB", (WIDTH, LINE * (len(rows) + 2)), "white")
    canvas = ImageDraw.Draw(image)
    for index, (left, middle, right) in enumerate(rows):
        top = LINE * (index + 1)
        _write(canvas, 20, top, left)
        _write(canvas, 290 - _length(middle), top, middle)
        _write(canvas, WIDTH - 20 - _length(right), top, right)
    if sample.torn:
        image = image.filter(ImageFilter.GaussianBlur(2.5)).crop((0, 0, WIDTH, image.height * 3 // 5))
    return image


def known(payload: Any) -> str:
    """The sample that a request's picture shows, resized and compressed or not; empty where it is none of them."""
    from PIL import Image

    try:
        url = payload["openai_input"]["messages"][0]["content"][1]["image_url"]["url"]
        with Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) as image:
            seen = _grid(image)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError):
        return ""
    alike, name = max((_alike(seen, grid), name) for name, grid in _grids().items())
    return name if alike >= SAME else ""


@functools.cache
def _grids() -> dict[str, tuple[float, ...]]:
    return {name: _grid(drawn(name)) for name in SAMPLES}


def _grid(image: Image) -> tuple[float, ...]:
    """Grey values of the fields, their mean taken away and their length 1; nothing where all are the same."""
    from PIL import Image as Pillow

    grey = image.convert("L").resize(GRID, Pillow.Resampling.BOX).tobytes()
    mean = sum(grey) / len(grey)
    length = math.sqrt(sum((each - mean) ** 2 for each in grey))
    return tuple((each - mean) / length if length else 0.0 for each in grey)


def _alike(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _rows(sample: Sample) -> list[tuple[str, str, str]]:
    """What stands on the paper: left, middle, right."""
    says = sample.answer
    korean = any(hangul.FIRST <= ord(each) <= hangul.LAST for each in says["merchant"])
    included = says.get("tax_included", True)
    tax = ("부가세" if korean else "VAT") + (
        " (포함)" if included and korean else " incl." if included else ""
    )
    rows = [(says["merchant"], "", ""), (says["date"], "", ""), ("", "", "")]
    digits = 0 if isinstance(says["total"], int) else 2
    rows += [(each["name"], f"{each['quantity']}", f"{each['amount']:,.{digits}f}") for each in says["items"]]
    total = f"{'합계' if korean else 'TOTAL'} {says['currency']}"
    lines = [(tax, "", f"{says['tax']:,.{digits}f}"), (total, "", f"{says['total']:,.{digits}f}")]
    return [*rows, ("", "", ""), *lines]


def _write(canvas: ImageDraw, left: float, top: float, text: str) -> None:
    for each in text:
        if hangul.FIRST <= ord(each) <= hangul.LAST:
            for line in hangul.lines(each):
                canvas.line([(left + x * SIZE, top + 2 + y * SIZE) for x, y in line], fill="black", width=2)
        else:
            canvas.text((left, top), each, fill="black", font=_font())
        left += _advance(each)


def _length(text: str) -> float:
    return sum(map(_advance, text))


def _advance(each: str) -> float:
    if hangul.FIRST <= ord(each) <= hangul.LAST:
        return SIZE + 3
    return float(_font().getlength(each))


@functools.cache
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(SIZE)
