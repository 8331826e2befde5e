"""Holds what a model writes to the facts, token by token: titles as they are listed, numbers as they were told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_MAX_URGED = 2  # times a reply is kept from ending before enough titles are named


class TitleLock:
    """Keeps what stands between ** and ** to known titles, token by token (constrained generation as in RecLM-cgen,
    arXiv 2505.03336). The model still chooses whether to name a title and which one; it cannot name one that is not there.

    A title is a list of steps, each the ids that may stand there; the last step holds every token that begins with the
    closing marks, since tokenizers join them with what follows ("**:").
    """

    def __init__(
        self,
        titles: Sequence[Sequence[frozenset[int]]],
        min_titles: int = 0,
        *,
        bad_openers: frozenset[int] = frozenset(),  # ids with stars in them that open no title; banned outside titles
        named: Iterable[int] = (),  # titles that stand in the part that is continued
    ):
        self._titles = [list(steps) for steps in titles]
        self._open: list[
            tuple[int, list[frozenset[int]]]
        ] = []  # (title, what may still follow) of those that fit so far
        self._named = set(named)
        self._num_urged = 0
        self._min_titles = min(min_titles, len(self._titles))
        self._bad_openers = bad_openers
        self._text = ""

    def heard(self, piece: str) -> None:
        """Takes in decoded text; two stars that open a title start the lock."""
        self._text += piece
        if not self._open and self._text.endswith("**") and self._text.count("**") % 2:
            self._open = list(enumerate(self._titles))

    def allowed(self) -> frozenset[int]:
        """The ids that may come next; empty while all may but for those that are banned."""
        return frozenset(id for _, steps in self._open for id in steps[0])

    def banned(self) -> frozenset[int]:
        return frozenset() if self._open else self._bad_openers

    def took(self, token: int) -> None:
        """Moves on with the token that was drawn; the lock ends with a title."""
        self._open = [(title, steps[1:]) for title, steps in self._open if token in steps[0]]
        ended = {title for title, steps in self._open if not steps}
        if ended:
            self._named |= ended
            self._open = []

    @property
    def last_character(self) -> str:
        return self._text[-1:]

    def may_end(self) -> bool:
        """Whether enough different titles are named for the reply to end."""
        return len(self._named) >= self._min_titles or self._num_urged >= _MAX_URGED

    def urged(self) -> None:
        """Notes that the reply was kept from ending; it is not kept for ever."""
        self._num_urged += 1


class NumberLock:
    """Keeps the copy of a long number on its way: after the first two digits of a number that the messages hold, or of the decade of a
    year there, no other digit may follow than it has. A small model that copies "1979" sometimes ends it as "1972".

    A number may end anywhere ("19th-century"), and one that shares no two digits with those told is left whole for the gate to judge.
    `digits` are the ids of single digits; without them (a tokenizer that joins digits) nothing is held.
    """

    def __init__(self, numbers: Iterable[str], digits: Mapping[int, str]):
        known = {number for number in numbers if len(number) > 2}
        self._numbers = known | {number[:3] + "0" for number in known if len(number) == 4}
        self._digits = digits
        self._run = ""  # the digits at the end of the text

    def heard(self, piece: str) -> None:
        """Takes in decoded text."""
        self._run = re.findall(r"[0-9]*$", self._run + piece)[0]

    def banned(self) -> frozenset[int]:
        """The digits that would turn a number that was told into another."""
        if len(self._run) < 2:
            return frozenset()
        going_on = {number[len(self._run) :][:1] for number in self._numbers if number.startswith(self._run)}
        if not going_on:
            return frozenset()
        return frozenset(id for id, digit in self._digits.items() if digit not in going_on)


@dataclass(frozen=True)
class Locks:
    """What holds the next token to the facts."""

    titles: TitleLock
    numbers: NumberLock

    def heard(self, piece: str) -> None:
        self.titles.heard(piece)
        self.numbers.heard(piece)

    def hold(self, logits: np.ndarray) -> np.ndarray:
        """The logits (V,) with what may not come next at minus infinity."""
        if allowed := sorted(self.titles.allowed()):
            return only(logits, allowed)
        if banned := self.banned():  # a title's own digits are its own
            return without(logits, banned)
        return logits

    def banned(self) -> frozenset[int]:
        """The ids that may not come next outside a title."""
        return self.numbers.banned() | self.titles.banned()


def only(logits: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """The logits (V,) of some tokens, minus infinity for all others."""
    held = np.full_like(logits, -np.inf)
    held[ids] = logits[ids]
    return held


def without(logits: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """The logits (V,) with minus infinity for some tokens."""
    held = logits.copy()
    held[list(ids)] = -np.inf
    return held
