"""What the scheduler runs: a reply that is being written, and a text that is being scored."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from genrec.engines.locks import Locks, only, without
from genrec.engines.runs import FarLogits
from genrec.engines.sampling import draw, draw_near
from genrec.errors import EngineError
from genrec.schema import Sampling
from genrec.text import has_cjk


@dataclass(frozen=True)
class Ends:
    """How a reply may end, and how it goes on where it may not yet."""

    ids: frozenset[int]
    spaced: list[int]  # tokens that begin a new word of a language with spaces

    def ban(self, logits: np.ndarray, last_character: str) -> np.ndarray:
        """The logits of a reply that may not end yet; after Latin text the next word must begin with its space."""
        if last_character and not has_cjk(last_character) and last_character not in "。！？；，：":
            logits = only(logits, self.spaced)
        return without(logits, self.ids)


class ReplyTask:
    """A reply: draws its tokens with its own random generator, and hands on their text.

    The scheduler's thread writes, the visitor's reads; neither waits for the other. `limit` is the most tokens it writes, `decode` gives the text
    that a further token completes.
    """

    is_reply = wants_logits = True

    def __init__(
        self,
        ids: list[int],
        sampling: Sampling,
        *,
        limit: int,
        locks: Locks,
        ends: Ends,
        decode: Callable[[int], str],
    ):
        self.ids, self.max_tokens, self.first_wanted = ids, len(ids) + limit, len(ids) - 1
        self.is_cancelled = False
        self._sampling, self._limit, self._locks, self._ends, self._decode = sampling, limit, locks, ends, decode
        self._generator = Random(secrets.randbits(63) if sampling.seed is None else sampling.seed)
        self._written: list[int] = []
        self._sequence = list(ids)
        self._following: dict[tuple[int, ...], int] = dict(
            zip(pairwise(ids), range(2, len(ids)))
        )  # where it went on, for each two tokens
        self._ready: list[str] = []  # pieces of the step that is under way
        self._pieces: queue.SimpleQueue[str | EngineError | None] = queue.SimpleQueue()  # None ends it

    def pieces(self) -> Generator[str, None, None]:
        """The text as it is written. Closing the iterator cancels the task.

        Raises:
            EngineError: the model stopped.
        """
        try:
            while (piece := self._pieces.get()) is not None:
                if isinstance(piece, EngineError):
                    raise piece
                yield piece
        finally:
            self.is_cancelled = True

    def take(self, logits: np.ndarray | FarLogits, scale: np.ndarray) -> list[int]:
        token = self._next(logits[-1:])
        if token in self._ends.ids:
            return []
        self._written.append(token)
        self._following[tuple(self._sequence[-2:])] = len(self._sequence)
        self._sequence.append(token)
        if piece := self._decode(token):
            self._locks.heard(piece)
            self._ready.append(piece)
        return [token] if len(self._written) < self._limit else []

    def guess(self, num_tokens: int) -> list[int]:
        """What followed when the last two tokens stood together before, in the prompt or the reply."""
        place = self._following.get(tuple(self._sequence[-2:]))
        return [] if place is None else self._sequence[place : place + num_tokens]

    def skip(self, scores: list[float]) -> None:
        raise NotImplementedError("A reply wants the logits after its prompt, and nothing was written after it.")

    def _next(self, logits: np.ndarray | FarLogits) -> int:
        token = self._drawn_near(logits) if isinstance(logits, FarLogits) else None
        if token is None:
            token = draw(self._locks.hold(logits[0]), self._sampling, self._generator, self._written)
        titles = self._locks.titles
        if token in self._ends.ids and self._ends.spaced and not titles.may_end():
            titles.urged()
            held = self._ends.ban(self._locks.hold(logits[0]), titles.last_character)
            token = draw(held, self._sampling, self._generator, self._written)
        titles.took(token)
        return token

    def _drawn_near(self, logits: FarLogits) -> int | None:
        """The next token where it can be drawn from few logits: those of a title's next tokens, or the likeliest."""
        if allowed := sorted(self._locks.titles.allowed()):
            if self._sampling.repetition_penalty != 1.0:
                return None
            # most steps of a title are of one token, which is drawn whatever its logit
            few = logits[np.zeros(len(allowed), int), allowed] if len(allowed) > 1 else np.zeros(1, np.float32)
            return allowed[draw(few, self._sampling, self._generator, [])]
        scale, rest = logits.summary[0].tolist()
        return draw_near(
            logits.values[0],
            logits.ids[0],
            scale,
            rest,
            self._sampling,
            self._generator,
            self._locks.banned(),
        )

    def hand_on(self) -> None:
        for piece in self._ready:
            self._pieces.put(piece)
        self._ready.clear()

    def fail(self, error: EngineError) -> None:
        self.hand_on()
        self._pieces.put(error)

    def end(self) -> None:
        self._pieces.put(None)


class ScoreTask:
    """A given text after a prompt: collects the log-probability of each of its tokens."""

    is_reply = wants_logits = False

    def __init__(self, prompt: list[int], text: list[int]):
        self.ids, self.first_wanted = prompt + text[:-1], len(prompt) - 1
        self.max_tokens = len(self.ids)
        self.is_cancelled = False
        self._text = text
        self._scores: list[np.ndarray] = []
        self._done: queue.SimpleQueue[EngineError | None] = queue.SimpleQueue()

    def scores(self) -> np.ndarray:
        """Nats (num_tokens,), once all are there. An exception in the waiting thread cancels the task.

        Raises:
            EngineError: the model stopped.
        """
        try:
            if error := self._done.get():
                raise error
        finally:
            self.is_cancelled = True
        return np.concatenate(self._scores).astype(np.float64)

    def take(self, logits: np.ndarray | FarLogits, scale: np.ndarray) -> list[int]:
        begin = sum(map(len, self._scores))
        targets = self._text[begin : begin + len(logits)]
        self._scores.append(logits[np.arange(len(logits)), targets] - scale)
        return []

    def guess(self, num_tokens: int) -> list[int]:
        raise NotImplementedError("All of a given text is known.")

    def skip(self, scores: list[float]) -> None:
        self._scores.append(np.array(scores, np.float32))
        self.first_wanted += len(scores)

    def hand_on(self) -> None:
        pass

    def fail(self, error: EngineError) -> None:
        self._done.put(error)

    def end(self) -> None:
        self._done.put(None)


class ChoiceTask(ScoreTask):
    """A given text after a prompt: collects for each of its tokens the entropy in nats of what might stand there, and the likeliest tokens with their
    probabilities."""

    wants_logits = True

    def __init__(self, prompt: list[int], text: list[int], num_likeliest: int):
        super().__init__(prompt, text)
        self.choices: list[tuple[float, list[tuple[int, float]]]] = []
        self._num_likeliest = num_likeliest

    def take(self, logits: np.ndarray | FarLogits, scale: np.ndarray) -> list[int]:
        for row in range(len(logits)):
            scores = logits[row].astype(np.float64) - scale[row]  # (V,)
            shares = np.exp(scores)
            likeliest = np.argsort(-scores)[: self._num_likeliest].tolist()
            entropy = -float(shares[shares > 0] @ scores[shares > 0])
            self.choices.append((entropy, [(token, float(shares[token])) for token in likeliest]))
        return super().take(logits, scale)
