"""What a scheduler and a decoder tell each other: sequences with their keys and values, and what is to be fed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

_BLOCK = 64  # tokens; capacities are multiples, so that a cache often fits the next sequence


@dataclass(eq=False)
class Cache:
    """The keys and values of one sequence of tokens, with room for `capacity`."""

    capacity: int
    state: Any  # the decoder's own
    ids: list[int] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)  # log-probabilities (nats) of written tokens, by place

    def cut(self, length: int) -> None:
        """Forgets all but the first tokens, and their scores."""
        self.forget(length)
        self.scores = {place: score for place, score in self.scores.items() if place < length}

    def forget(self, length: int) -> None:
        """Forgets the tokens that were fed after the first, but not what the next scored when it was drawn."""
        del self.ids[length:]


@dataclass(frozen=True)
class Run:
    """Tokens that a sequence goes on with; logits are wanted after the last `num_wanted` of them."""

    cache: Cache
    ids: list[int]
    num_wanted: int


@dataclass(frozen=True)
class FarLogits:
    """Logits (N, V) that stay on the device that computed them, until its next forward. Indexed like the array they stand for; of
    each row the likeliest tokens, from which nearly every reply is drawn, are here already."""

    tensor: Any  # torch's; the row `first` and those after it are the N
    summary: (
        np.ndarray
    )  # float32 (N, 2), the log-sum-exp, and the probability of all tokens that are not among the likeliest
    values: np.ndarray  # float32 (N, K), the highest logits in falling order
    ids: np.ndarray  # (N, K), their tokens
    first: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scale(self) -> np.ndarray:
        """What logits have to be less to be log-probabilities, float32 (N,)."""
        return self.summary[:, 0]

    def __getitem__(self, key: Any) -> Any:
        """Of a slice its rows, still far; all else is brought here: float32 (V,) of a row, or the elements at (rows, tokens)."""
        if isinstance(key, slice):
            first = self.first + key.indices(len(self))[0]
            return FarLogits(self.tensor, self.summary[key], self.values[key], self.ids[key], first)
        rows, *tokens = key if isinstance(key, tuple) else (key,)
        return self.tensor[(self.first + rows, *tokens)].float().cpu().numpy()

    def score(self, row: int, token: int) -> float:
        """A token's log-probability in nats."""
        known = self.ids[row].tolist()
        logit = self.values[row, known.index(token)] if token in known else self[row, token]
        return float(logit - self.summary[row, 0])


class Decoder(Protocol):
    """A model that goes on with sequences of tokens."""

    can_batch: bool  # takes several runs in one forward
    can_share: bool  # can begin a sequence with the first tokens of another
    width: int  # how many times as much as a processor it takes on in one step
    num_threads: int  # that share a step in which much is read
    bytes_per_token: int  # of a cache

    def new_cache(self, num_tokens: int) -> Cache: ...

    def share(self, source: Cache, num_shared: int, target: Cache) -> None:
        """Copies the first tokens of one sequence to another."""
        ...

    def forward(self, runs: list[Run]) -> np.ndarray | FarLogits:
        """The logits of all runs, float32 (num_wanted of all, V); their tokens are then in their caches."""
        ...


def rounded_up(num_tokens: int, block: int = _BLOCK) -> int:
    """The capacity of a cache that holds so many tokens."""
    return -(-num_tokens // block) * block
