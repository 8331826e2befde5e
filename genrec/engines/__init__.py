"""What every language model behind GenRec can do, local or remote."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from genrec.schema import Sampling

if TYPE_CHECKING:
    import numpy as np

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": …}


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a visitor or operator may want to know of the model."""

    model: str
    device: str
    dtype: str
    num_parameters: int  # 0: not known
    window: int  # tokens that prompt and reply may take together; 0: not known
    can_score: bool
    sentence_floors: Mapping[str, float] = field(default_factory=dict)  # by language: `weakest_stretch` below which a
    # sentence counts as garbled; empty where nobody measured it
    lexicon: frozenset[str] = (
        frozenset()
    )  # `units` that it uses of its own accord; any other that stands in no prompt is garbled; empty: not known


def stop_telemetry() -> None:
    """To be called before something of the hub is loaded. Keeps huggingface_hub from asking huggingface.co for a list of coding agents before it does anything else, even read a local file."""
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = (
        True  # the variable of this name is read once, at an import that may lie behind us
    )


def weakest_stretch(
    scores: np.ndarray, spans: Sequence[tuple[int, int]], part: tuple[int, int], copied: Sequence[tuple[int, int]]
) -> float:
    """The lowest mean of four neighbouring log-probabilities (nats) of `scores` (num_tokens,) within a part of a text; 0 for fewer tokens.

    `spans` are the tokens' characters; tokens that lie in a `copied` span do not count, since they may have been set right or held there. A choice
    of words is one unlikely token among likely ones; a garbled word is several in a row.
    """
    own = [
        float(score)
        for score, (start, end) in zip(scores, spans, strict=True)
        if part[0] < end <= part[1] and not any(low < end and start < high for low, high in copied)
    ]
    return min((sum(own[start : start + 4]) / 4 for start in range(len(own) - 3)), default=0.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model might have written in the place of a token."""

    entropy: float  # nats, of all tokens at temperature 1; 0: it was sure
    likeliest: tuple[tuple[str, float], ...]  # texts with their probabilities in [0, 1], falling


class Engine(Protocol):
    """A conversational language model."""

    def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        titles: Sequence[str] | None = None,
        min_titles: int = 0,
    ) -> Generator[str, None, None]:
        """Pieces of a reply as they are written. A last message with the role "assistant" is continued. Closing the
        iterator stops the model. With `titles`, an engine that can do so writes nothing but one of them between ** and **, copies
        no number of the messages wrongly, and does not end before `min_titles` different titles are named, those of a
        continued message included.

        Raises:
            EngineError: the model stopped in the middle.
        """
        ...

    def score(self, prompts: Sequence[Sequence[Message]], reply: str) -> np.ndarray:
        """Log-probabilities in nats of the reply's tokens after each prompt, (num_prompts, num_reply_tokens).

        Raises:
            EngineError: this engine gives none.
        """
        ...

    def choices(self, prompt: Sequence[Message], reply: str) -> list[Choice]:
        """For each token of the reply what might have stood there; [] of an engine that does not tell.

        Raises:
            EngineError: the model stopped.
        """
        ...

    def spans(self, reply: str) -> list[tuple[int, int]]:
        """The half-open character span of each token that `score` scores."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text takes; an estimate where the tokenizer is not at hand."""
        ...

    def describe(self) -> EngineInfo: ...
