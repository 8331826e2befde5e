"""Text to tokens, and messages to a prompt: by the tokenizer that transformers makes of a model's files, or for the bundled writer by these files themselves."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

_NUM_PARTS = 1024  # whose tokens are remembered
_TAG = "CONTINUE_FINAL_MESSAGE_TAG "


class Tokenizer(Protocol):
    """Safe to share between threads."""

    backend: Backend
    special: frozenset[str]  # names of control tokens, such as the one that ends a reply
    end_id: int | None
    window: int  # tokens that the model was made for; 0: not said

    def encode(self, text: str) -> list[int]: ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The half-open character span of each token."""
        ...

    def decoder(self) -> Callable[[int], str]:
        """What gives the text that each further token completes: characters of several tokens come whole, broken ones not at all."""
        ...

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt as the model's chat template writes it; a last message of the assistant is left open.

        Raises:
            jinja2.TemplateError: the template refuses these messages.
        """
        ...


class HubTokenizer:
    """One of transformers' fast tokenizers."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self.backend = tokenizer.backend_tokenizer
        self.special = frozenset(tokenizer.all_special_tokens)
        self.end_id = tokenizer.eos_token_id
        self.window = int(tokenizer.model_max_length or 0)
        self._lock = threading.Lock()  # it must not be used by two threads at once

    def encode(self, text: str) -> list[int]:
        with self._lock:
            return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def spans(self, text: str) -> list[tuple[int, int]]:
        with self._lock:
            encoding = self._tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
            return list(encoding["offset_mapping"])

    def decoder(self) -> Callable[[int], str]:
        decode = _decoder(self.backend)

        def guarded(token: int) -> str:
            with self._lock:
                return decode(token)

        return guarded

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        is_continued = bool(messages) and messages[-1]["role"] == "assistant"
        if not self._tokenizer.chat_template:
            lines = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
            return "\n".join(lines if is_continued else [*lines, "Assistant:"])
        with self._lock:
            return self._tokenizer.apply_chat_template(
                list(messages),
                tokenize=False,
                add_generation_prompt=not is_continued,
                continue_final_message=is_continued,
            )


class PlainTokenizer:
    """A tokenizer and a template as `genrec train writer` saves them. A test holds both to what transformers makes of them."""

    def __init__(self, backend: Backend, template: str, config: Mapping[str, Any]):
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.backend = backend
        names = [config.get("eos_token"), config.get("pad_token"), *config.get("extra_special_tokens", [])]
        self.special = frozenset(name for name in names if name)
        self.end_id = backend.token_to_id(config["eos_token"])
        self.window = int(config["model_max_length"])
        # What stands between control tokens is encoded alone anyway, and so is a line that neither ends nor goes on with a space. A conversation's older parts and
        # the lines of an explanation's prompts come again and again.
        marks = {token.content for token in backend.get_added_tokens_decoder().values()}
        self._parts = re.compile(
            f"({'|'.join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))}|(?<=\\S)\\n(?=\\S))"
        )
        self._part_ids = functools.lru_cache(_NUM_PARTS)(
            lambda part: backend.encode(part, add_special_tokens=False).ids
        )
        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)

    @classmethod
    def load(cls, folder: Path) -> PlainTokenizer:
        from tokenizers import Tokenizer

        return cls(
            Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8")),
            (folder / "chat_template.jinja").read_text("utf-8"),
            json.loads((folder / "tokenizer_config.json").read_text("utf-8")),
        )

    def encode(self, text: str) -> list[int]:
        return [id for part in self._parts.split(text) if part for id in self._part_ids(part)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return self.backend.encode(text, add_special_tokens=False).offsets

    def decoder(self) -> Callable[[int], str]:
        return _decoder(self.backend)

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        turns = [dict(message) for message in messages]
        is_continued = bool(turns) and turns[-1]["role"] == "assistant"
        if is_continued:
            turns[-1]["content"] += _TAG
        text = self._template.render(messages=turns, add_generation_prompt=not is_continued)
        return text[: text.rindex(_TAG)] if is_continued else text


def _decoder(backend: Backend) -> Callable[[int], str]:
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    return lambda token: (stream.step(backend, token) or "").replace("\ufffd", "")
