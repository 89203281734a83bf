"""The only place for what happens to a picture before it is sent: upright, within the pixel budget, stripped."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from infra.core.errors import Fault, TerraceError
from infra.core.gpu.memory import image_tokens

MULTIPLE = 28
"""Qwen2.5-VL sees patches of 28 x 28 pixels."""

QUALITY = 90
LARGEST_SOURCE_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG within the budget, without the metadata (place, phone) of the original."""

    width: int
    height: int
    content: bytes = field(repr=False)

    @property
    def tokens(self) -> int:
        """What it costs the model."""
        return image_tokens(self.width * self.height)

    @property
    def data_url(self) -> str:
        """As a message holds it."""
        return "data:image/jpeg;base64," + base64.b64encode(self.content).decode()


def prepare(path: Path, *, largest_pixels: int) -> Picture:
    """The picture at most `largest_pixels` large, its sides multiples of 28.

    Raises:
        TerraceError: no such file, no picture, or one that is absurdly large.
    """
    try:
        with Image.open(path) as source:
            if source.width * source.height > LARGEST_SOURCE_PIXELS:
                raise TerraceError(
                    Fault(
                        str(path),
                        f"has {source.width} x {source.height} pixels",
                        f"At most {LARGEST_SOURCE_PIXELS}",
                    )
                )
            upright = ImageOps.exif_transpose(source).convert("RGB")
    except FileNotFoundError:
        raise TerraceError(Fault(str(path), "there is no such file", "Name a picture")) from None
    except (UnidentifiedImageError, OSError):
        raise TerraceError(
            Fault(str(path), "is no picture that can be read", "Give JPEG, PNG or WebP")
        ) from None
    width, height = fit(upright.width, upright.height, largest_pixels=largest_pixels)
    if (width, height) != upright.size:
        upright = upright.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=QUALITY)
    return Picture(width, height, out.getvalue())


def fit(width: int, height: int, *, largest_pixels: int) -> tuple[int, int]:
    """The largest size of that shape within the budget, both sides multiples of 28, never enlarged beyond one."""
    share = min(1.0, math.sqrt(largest_pixels / (width * height)))
    wide, high = (max(MULTIPLE, int(side * share) // MULTIPLE * MULTIPLE) for side in (width, height))
    while wide * high > largest_pixels:
        if wide >= high:
            wide -= MULTIPLE
        else:
            high -= MULTIPLE
    return wide, high
