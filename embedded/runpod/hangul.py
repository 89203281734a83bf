"""The only place for writing Hangul without a font: no font that ships with Pillow has it, and receipts here do.

A syllable is its letters, each a few lines in a box (Unicode, "Hangul Syllables": 19 initials x 21 vowels x 28
finals from U+AC00).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

Line = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

FIRST, LAST = 0xAC00, 0xD7A3
_INITIALS = "ㄱ ㄱㄱ ㄴ ㄷ ㄷㄷ ㄹ ㅁ ㅂ ㅂㅂ ㅅ ㅅㅅ ㅇ ㅈ ㅈㅈ ㅊ ㅋ ㅌ ㅍ ㅎ"
_VOWELS = "ㅏ ㅐ ㅑ ㅒ ㅓ ㅔ ㅕ ㅖ ㅗ ㅗㅏ ㅗㅐ ㅗㅣ ㅛ ㅜ ㅜㅓ ㅜㅔ ㅜㅣ ㅠ ㅡ ㅡㅣ ㅣ"
_FINALS = "ㄱ ㄱㄱ ㄱㅅ ㄴ ㄴㅈ ㄴㅎ ㄷ ㄹ ㄹㄱ ㄹㅁ ㄹㅂ ㄹㅅ ㄹㅌ ㄹㅍ ㄹㅎ ㅁ ㅂ ㅂㅅ ㅅ ㅅㅅ ㅇ ㅈ ㅊ ㅋ ㅌ ㅍ ㅎ"
INITIALS, VOWELS, FINALS = _INITIALS.split(), _VOWELS.split(), ["", *_FINALS.split()]
FLAT = "ㅗㅛㅜㅠㅡ"
"""Vowels that lie below the initial; the others stand beside it."""

_ROUND: Line = tuple(
    (0.5 + 0.5 * math.cos(math.tau * i / 16), 0.5 + 0.5 * math.sin(math.tau * i / 16)) for i in range(17)
)
_GIYEOK: Line = ((0, 0), (1, 0), (1, 1))
_DIGEUT: Line = ((1, 0), (0, 0), (0, 1), (1, 1))
_ACROSS: Line = ((0, 0.5), (1, 0.5))
_HAT: tuple[Line, Line] = (((0.3, 0), (0.7, 0)), ((0, 0.25), (1, 0.25)))
LETTERS: dict[str, tuple[Line, ...]] = {
    "ㄱ": (_GIYEOK,),
    "ㄴ": (((0, 0), (0, 1), (1, 1)),),
    "ㄷ": (_DIGEUT,),
    "ㄹ": (((0, 0), (1, 0), (1, 0.5), (0, 0.5), (0, 1), (1, 1)),),
    "ㅁ": (((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)),),
    "ㅂ": (((0, 0), (0, 1), (1, 1), (1, 0)), _ACROSS),
    "ㅅ": (((0.5, 0), (0, 1)), ((0.5, 0.3), (1, 1))),
    "ㅇ": (_ROUND,),
    "ㅈ": (((0, 0), (1, 0)), ((0.5, 0), (0, 1)), ((0.5, 0.4), (1, 1))),
    "ㅊ": (*_HAT, ((0.5, 0.25), (0, 1)), ((0.5, 0.5), (1, 1))),
    "ㅋ": (_GIYEOK, _ACROSS),
    "ㅌ": (_DIGEUT, _ACROSS),
    "ㅍ": (((0, 0), (1, 0)), ((0, 1), (1, 1)), ((0.3, 0), (0.3, 1)), ((0.7, 0), (0.7, 1))),
    "ㅎ": (*_HAT, tuple((0.2 + 0.6 * x, 0.45 + 0.55 * y) for x, y in _ROUND)),
    "ㅏ": (((0.3, 0), (0.3, 1)), ((0.3, 0.5), (1, 0.5))),
    "ㅐ": (((0.2, 0), (0.2, 1)), ((0.8, 0), (0.8, 1)), ((0.2, 0.5), (0.8, 0.5))),
    "ㅑ": (((0.3, 0), (0.3, 1)), ((0.3, 0.35), (1, 0.35)), ((0.3, 0.65), (1, 0.65))),
    "ㅒ": (((0.2, 0), (0.2, 1)), ((0.8, 0), (0.8, 1)), ((0.2, 0.35), (0.8, 0.35)), ((0.2, 0.65), (0.8, 0.65))),
    "ㅓ": (((0.7, 0), (0.7, 1)), ((0, 0.5), (0.7, 0.5))),
    "ㅔ": (((0.5, 0), (0.5, 1)), ((0.9, 0), (0.9, 1)), ((0, 0.5), (0.5, 0.5))),
    "ㅕ": (((0.7, 0), (0.7, 1)), ((0, 0.35), (0.7, 0.35)), ((0, 0.65), (0.7, 0.65))),
    "ㅖ": (((0.5, 0), (0.5, 1)), ((0.9, 0), (0.9, 1)), ((0, 0.35), (0.5, 0.35)), ((0, 0.65), (0.5, 0.65))),
    "ㅗ": (((0, 0.8), (1, 0.8)), ((0.5, 0.1), (0.5, 0.8))),
    "ㅛ": (((0, 0.8), (1, 0.8)), ((0.35, 0.1), (0.35, 0.8)), ((0.65, 0.1), (0.65, 0.8))),
    "ㅜ": (((0, 0.2), (1, 0.2)), ((0.5, 0.2), (0.5, 1))),
    "ㅠ": (((0, 0.2), (1, 0.2)), ((0.35, 0.2), (0.35, 1)), ((0.65, 0.2), (0.65, 1))),
    "ㅡ": (_ACROSS,),
    "ㅣ": (((0.5, 0), (0.5, 1)),),
}  # fmt: skip


def lines(syllable: str) -> Iterator[Line]:
    """A syllable's lines in a box of 1 x 1, from its upper left corner."""
    index = ord(syllable) - FIRST
    initial, vowel, final = INITIALS[index // 588], VOWELS[index % 588 // 28], FINALS[index % 28]
    low = 0.6 if final else 0.98
    flat, beside = vowel[0] in FLAT, vowel[-1] not in FLAT
    right = 0.55 if beside else 0.9
    yield from _inside(initial, (0.08 if beside else 0.15, 0.04, right - 0.05, low * (0.5 if flat else 0.92)))
    if flat:
        yield from _inside(vowel[0], (0.02, low * 0.54, right + 0.06, low))
    if beside:
        yield from _inside(vowel[-1], (0.66, 0.0, 0.98, low))
    if final:
        yield from _inside(final, (0.2, 0.68, 0.92, 1.0))


def _inside(letters: str, box: Box) -> Iterator[Line]:
    """Letters side by side in a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    each = (right - left) / len(letters)
    for index, letter in enumerate(letters):
        start = left + index * each
        wide = each * (0.8 if len(letters) > 1 else 1.0)
        for line in LETTERS[letter]:
            yield tuple((start + x * wide, top + y * (bottom - top)) for x, y in line)
