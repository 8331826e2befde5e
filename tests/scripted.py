"""An engine that says what it is told, for what a real model does rarely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from genrec.engines import EngineInfo
from genrec.errors import EngineError
from genrec.schema import Sampling


@dataclass
class ScriptedEngine:
    """Says what it is told, one script a call (the last one for all further calls), in chunks of `size` characters; can fail after some
    characters. Only for what a real model does rarely."""

    scripts: Sequence[str]
    size: int = 3
    fail_after: int = -1
    unlikely: str = ""  # text that the model itself finds unlikely: 10 nats a character; any other has 0
    sentence_floors: dict[str, float] = field(default_factory=dict)
    lexicon: frozenset[str] = frozenset()
    name: str = "scripted"
    calls: list[tuple[list[dict[str, str]], Sampling]] = field(default_factory=list)
    num_open: int = 0

    def stream(self, messages, sampling, titles=None, min_titles=0) -> Iterator[str]:
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(([dict(message) for message in messages], sampling))
        self.num_open += 1
        try:
            for start in range(0, len(script), self.size):
                if 0 <= self.fail_after <= start:
                    raise EngineError("The model stopped.")
                yield script[start : start + self.size]
        finally:
            self.num_open -= 1

    def score(self, prompts, reply) -> np.ndarray:
        scores = np.zeros((len(prompts), len(reply)))
        if self.unlikely and self.unlikely in reply:
            start = reply.index(self.unlikely)
            scores[:, start : start + len(self.unlikely)] = -10.0
        return scores

    def choices(self, prompt, reply):
        return []

    def spans(self, reply):
        return [(position, position + 1) for position in range(len(reply))]

    def count_tokens(self, text):
        return len(text) // 3 + 1

    def describe(self):
        return EngineInfo(self.name, "none", "", 0, 0, True, self.sentence_floors, self.lexicon)
