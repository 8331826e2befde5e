"""Speaks to an OpenAI-compatible server (vLLM, SGLang, llama.cpp, `transformers serve`, …) through huggingface_hub's client.

It writes; explanations need log-probabilities of a given text, which this engine does not ask for.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from genrec.engines import EngineInfo, Message, stop_telemetry
from genrec.errors import EngineError
from genrec.schema import Sampling
from genrec.text import has_cjk

if TYPE_CHECKING:
    import numpy as np


def first_model(url: str, key: str = "", *, timeout_s: float = 5.0) -> str:
    """The id of the first model that a server says it serves.

    Raises:
        EngineError: it cannot be reached or serves none.
    """
    import json
    from urllib.request import Request, urlopen

    request = Request(f"{url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key or 'none'}"})
    try:
        with urlopen(request, timeout=timeout_s) as answer:
            return str(json.load(answer)["data"][0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise EngineError(f"The model server at {url} does not answer ({type(error).__name__}).") from error


class RemoteEngine:
    """One server at `url`, for example http://localhost:8000/v1."""

    def __init__(self, url: str, *, model: str = "", key: str = "", timeout_s: float = 60.0):
        stop_telemetry()
        self._url = url.rstrip("/")
        self._key = key or "none"
        self._timeout_s = timeout_s
        self._model = model or "default"

    def describe(self) -> EngineInfo:
        return EngineInfo(self._model, "a model server", "", 0, 0, False)

    def count_tokens(self, text: str) -> int:
        """An estimate, on the high side: a token for each Chinese character or each three others."""
        return sum(3 if has_cjk(character) else 1 for character in text) // 3 + 1

    def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        titles: Sequence[str] | None = None,
        min_titles: int = 0,
    ) -> Generator[str, None, None]:
        """Pieces of the reply as the server sends them; it cannot be held to `titles`.

        Raises:
            EngineError: the server cannot be reached, refuses, or breaks off.
        """
        from genrec.engines.local import hide_thoughts

        with closing(self._pieces(messages, sampling)) as pieces:
            yield from hide_thoughts(pieces)

    def _pieces(self, messages: Sequence[Message], sampling: Sampling) -> Generator[str, None, None]:
        from huggingface_hub import InferenceClient
        from huggingface_hub.errors import HTTPError  # httpx's or httpx2's, whichever the client uses

        extra: dict[str, Any] = (
            {"repetition_penalty": sampling.repetition_penalty} if sampling.repetition_penalty != 1.0 else {}
        )
        if sampling.top_k:
            extra["top_k"] = sampling.top_k
        if messages and messages[-1]["role"] == "assistant":
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        try:
            # A client of its own for each reply: a kept one holds on to every response it has streamed, and hangs up when it is left.
            with InferenceClient(base_url=self._url, api_key=self._key, timeout=self._timeout_s) as client:
                stream = client.chat_completion(
                    [dict(message) for message in messages], model=self._model, stream=True, max_tokens=sampling.max_new_tokens,
                    temperature=sampling.temperature, top_p=sampling.top_p, seed=None if sampling.seed is None else sampling.seed % 2**31,
                    stop=list(sampling.stop) or None, extra_body=extra or None,
                )  # fmt: skip
                for event in stream:
                    if event.choices and (piece := event.choices[0].delta.content):
                        yield piece
        except (HTTPError, OSError, ValueError) as error:
            raise EngineError(f"The model server at {self._url} cannot be used: {type(error).__name__}.") from error

    def score(self, prompts: Sequence[Sequence[Message]], reply: str) -> np.ndarray:
        raise EngineError("The model server gives no log-probabilities, so this reply cannot be explained.")

    def spans(self, reply: str) -> list[tuple[int, int]]:
        return []
