"""What the controls of the menu say, as one value, and the presets that move some of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from genrec.schema import Language, Sampling
from genrec.ui.texts import SAID

PRESETS = {
    "safe": (0.3, 0.8, 0.2),
    "balanced": (0.7, 0.9, 0.5),
    "bold": (1.0, 0.97, 0.8),
}  # temperature, top-p, surprise

SECOND_MODEL = "second_model"  # the menu's settings with the other model


class Menu(NamedTuple):
    """The values of the controls, in the order in which the page sends them."""

    temperature: float = Sampling().temperature
    top_p: float = Sampling().top_p
    top_k: float = 0
    length: float = Sampling().max_new_tokens
    seed: str = ""
    tone: str = "warm"
    language: str = "auto"
    surprise: float = Sampling().surprise

    @property
    def reply_language(self) -> Language | None:
        """The language of the reply; None where it is the message's own."""
        return "en" if self.language == "en" else "zh" if self.language == "zh" else None

    @property
    def is_seed_unread(self) -> bool:
        """Whether something stands in the box for the seed that is none."""
        return bool(self._typed_seed) and not self._typed_seed.isdecimal()

    def sampling(self, message: str) -> Sampling:
        """How a reply to a message is drawn; one that asks for a surprise gets one."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=int(self.top_k),
            max_new_tokens=int(self.length),
            seed=int(self._typed_seed) if self._typed_seed.isdecimal() else None,
            surprise=1.0 if message in SAID["surprise"] else self.surprise,
        )

    @property
    def _typed_seed(self) -> str:
        return str(self.seed or "").strip()


def with_menu(step: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """A step of (session, menu, …) as Gradio calls it: with the session, each control of the menu, and the rest."""

    def called(session: Any, *values: Any) -> Iterator[Any]:
        num_controls = len(Menu._fields)
        yield from step(session, Menu(*values[:num_controls]), *values[num_controls:])

    return called


def in_setting(mine: Sampling, setting: str) -> Sampling:
    """The menu's sampling in a preset, or from another seed; the same where the setting is "mine"."""
    if setting in PRESETS:
        temperature, top_p, surprise = PRESETS[setting]
        return replace(mine, temperature=temperature, top_p=top_p, surprise=surprise)
    return replace(mine, seed=secrets.randbits(31)) if setting == "other_seed" else mine
