"""What the filter is tried with: disguises of a text, made-up personal data, attempts to take over the prompt. All drawn from a seed.

Nothing here is anybody's: numbers are random, with the check digits that their kind has, and the names are invented.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

Disguise = Callable[[str, random.Random], str]

_HAN = "[\u4e00-\u9fff]"
_WORD = re.compile(r"[A-Za-z]{4,}")
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
_TWINS = {
    "a": "аɑᎪ", "b": "ЬᏏ", "c": "сᏟϲ", "e": "еҽЕ", "g": "ɡց", "h": "һհ", "i": "іΙᎥ", "j": "јЈ", "k": "кκᏦ", "l": "ӏⅼᏞ", "m": "мΜ", "n": "ոΝ",
    "o": "оοօ", "p": "рρᏢ", "q": "ԛզ", "r": "ꓣᖇ", "s": "ѕՏꓢ", "t": "тτꓔ", "u": "υսᑌ", "v": "νѵᏙ", "w": "ԝᎳ", "x": "хΧ", "y": "уγү", "z": "ᏃΖ",
}  # fmt: skip


def _homoglyphs(text: str, rng: random.Random) -> str:
    return "".join(
        rng.choice(_TWINS[letter.lower()]) if letter.lower() in _TWINS and rng.random() < 0.3 else letter
        for letter in text
    )


def _leet(text: str, rng: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        return "".join(
            rng.choice(_LEET[letter]) if letter in _LEET and rng.random() < 0.5 else letter
            for letter in match.group().lower()
        )

    return _WORD.sub(change, text)


def _spacing(text: str, rng: random.Random) -> str:
    """One word in three with a sign between its letters, never two in a row."""
    was_spaced = False

    def change(match: re.Match[str]) -> str:
        nonlocal was_spaced
        was_spaced = not was_spaced and rng.random() < 0.5
        return rng.choice((" ", ".", "-", "_")).join(match.group()) if was_spaced else match.group()

    return re.sub(r"[A-Za-z]{3,}", change, text)


def _censoring(text: str, rng: random.Random) -> str:
    """A vowel inside half of the longer words becomes a star."""

    def change(match: re.Match[str]) -> str:
        word = match.group()
        places = [place for place in range(1, len(word) - 1) if word[place] in "aeiou"]
        if not places or rng.random() < 0.5:
            return word
        place = rng.choice(places)
        return f"{word[:place]}*{word[place + 1 :]}"

    return _WORD.sub(change, text)


def _zero_width(text: str, rng: random.Random) -> str:
    return "".join(
        letter + (rng.choice("\u200b\u200c\u200d\u2060\ufeff") if rng.random() < 0.4 else "") for letter in text
    )


def _full_width(text: str, rng: random.Random) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def _gaps(text: str, rng: random.Random) -> str:
    """A sign in one of three places between two Chinese characters."""
    return re.sub(f"(?<={_HAN})(?={_HAN})", lambda match: rng.choice("*·-~_|.☆ ") if rng.random() < 0.35 else "", text)


DISGUISES: Mapping[str, Mapping[str, Disguise]] = {
    "en": {
        "homoglyphs": _homoglyphs,
        "leet": _leet,
        "spacing": _spacing,
        "censoring": _censoring,
        "zero_width": _zero_width,
        "full_width": _full_width,
    },
    "zh": {"zero_width": _zero_width, "gaps": _gaps},
}
