"""Composes labelled sentences, benign and hurtful, that the open label sets lack: hurtful recommendations, threats without a coarse word, groups
dismissed politely; and what is easily mistaken for them, such as quoted and denied hate, swearing at nobody, grief, dark themes and coarse titles.

The frames are hand-written (`frames/labelled_*.txt`, whose head explains their form). One frame in ten (by hash) never enters training, so that
each category can be measured on frames that the model has not seen.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.schema import Language
from genrec.train.corpus import is_held_out

_FRAMES = Path(__file__).with_name("frames")
_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\(([^()]*)\)")


@dataclass
class Category:
    """What one kind of sentence is labelled (a probability in [0, 1], None where unknown), its frames and how many sentences are wanted of it."""

    name: str
    number: int
    labels: dict[str, float | None]
    frames: list[str] = field(default_factory=list)


def labelled_rows(
    language: Language, labels: tuple[str, ...], *, seed: int, held_out: bool = False
) -> list[dict[str, Any]]:
    """Distinct rows (`text`, `lang`, `source`, one value a label), fixed by `seed`; of the held-out frames a tenth as many."""
    slots, categories = read_frames(_FRAMES / f"labelled_{language}.txt")
    rng = random.Random(f"{seed} {language} {held_out}")
    rows = []
    for category in categories:
        frames = [frame for frame in category.frames if is_held_out(frame) == held_out]
        wanted = category.number // 10 if held_out else category.number
        texts: Counter[str] = Counter()
        for _ in range(wanted * 3 if frames else 0):
            texts[compose(rng.choice(frames), slots, rng)] += 1
            if len(texts) == wanted:
                break
        known = dict.fromkeys(labels, 0.0) | category.labels
        rows += [{"text": text, "lang": language, "source": f"own_{category.name}", **known} for text in texts]
    return rows


def read_frames(path: Path) -> tuple[dict[str, list[str]], list[Category]]:
    """The slots and the categories of a file of frames."""
    slots: dict[str, list[str]] = {}
    categories: list[Category] = []
    heading = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        if line.startswith("["):
            heading = line.strip("[]")
        elif line.startswith("== "):
            name, number, *pairs = line[3:].split()
            values = dict(pair.split("=") for pair in pairs)
            labels = {label: None if value == "?" else float(value) for label, value in values.items()}
            categories.append(Category(name, int(number), labels))
            heading = ""
        elif heading:
            slots.setdefault(heading, []).extend(line.split("|"))
        else:
            categories[-1].frames.append(line)
    return slots, categories


def compose(frame: str, slots: Mapping[str, list[str]], rng: random.Random) -> str:
    """A sentence of `frame` with its choices made and its slots filled."""
    while found := _CHOICE.search(frame):
        frame = frame[: found.start()] + rng.choice(found[1].split("|")) + frame[found.end() :]
    while found := _SLOT.search(frame):
        frame = frame[: found.start()] + rng.choice(slots[found[1]]) + frame[found.end() :]
    text = re.sub(r"\s+([.,!?])", r"\1", re.sub(r"\s+", " ", frame)).strip()
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return text[:1].upper() + text[1:]
