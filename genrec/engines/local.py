"""Runs one transformers causal language model in this process, with a decode loop of its own.

Any chat model by hub id or folder; the bundled writer is one of them. What differs between models is read from the model: chat
template (with or without a system role), end tokens, padding, window. Conversations take turns at the model token by
token, each with its own key/value cache and random generator, so a seed reproduces a reply whoever else is chatting.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genrec.engines import EngineInfo, Message, stop_telemetry
from genrec.engines.sampling import draw
from genrec.errors import EngineError
from genrec.schema import Sampling
from genrec.text import has_cjk

if TYPE_CHECKING:
    import numpy as np

_MAX_URGED = 2  # times a reply is kept from ending before enough titles are named
_THINK, _END_THINK = "<think>", "</think>"
_SCORE_TOKENS = 16_384  # prompt tokens scored in one batch


class LocalEngine:
    """A causal chat model with its tokenizer. Safe to share between threads."""

    def __init__(self, model: Any, tokenizer: Any, *, name: str):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._name = name
        self._lock = threading.Lock()  # held for one step, so that open replies take turns
        self._tokenizer_lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once
        self._ends = _end_ids(model, tokenizer)
        self._window = _window(model, tokenizer)
        self._specials = _special_tokens(tokenizer)
        vocabulary = tokenizer.get_vocab()
        self._spaced = sorted(id for token, id in vocabulary.items() if token[:1] in "Ġ▁ " and token[1:2].isalpha())
        self._stars = frozenset(id for token, id in vocabulary.items() if "*" in token)
        self._bad_openers = frozenset(
            id
            for token, id in vocabulary.items()
            if "**" in token and (token.count("*") > 2 or not token.endswith("**"))
        )
        self._digits = {id: token for token, id in vocabulary.items() if re.fullmatch(r"[0-9]", token)}
        added = set(
            map(str, tokenizer.added_tokens_decoder.values())
        )  # control tokens such as [control_12] join no digits of a text
        if any(re.search(r"[0-9]{2}", token) for token in vocabulary.keys() - added if not token.startswith("<0x")):
            self._digits = {}  # this tokenizer joins digits: its numbers cannot be held digit by digit
        self._closers = frozenset(
            id for token, id in vocabulary.items() if token.startswith("**") and token.count("*") == 2
        )
        self._has_system_role = self._accepts_system_role()

    @classmethod
    def load(cls, source: str, *, name: str = "", device: str = "", is_local_only: bool = True) -> LocalEngine:
        """The model of a folder or hub id. On CUDA in bf16; on a processor in bf16 where it computes in it natively.

        Raises:
            EngineError: nothing there can be loaded as a causal language model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        stop_telemetry()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=is_local_only)
            model = AutoModelForCausalLM.from_pretrained(
                source, dtype=_fast_dtype(device), local_files_only=is_local_only
            )
            model.to(device)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:  # the last: out of memory
            raise EngineError(f"The model {source} cannot be loaded: {_first_line(error)}") from error
        return cls(model, tokenizer, name=name or source)

    def describe(self) -> EngineInfo:
        dtype = str(self.model.dtype).removeprefix("torch.")
        floors = getattr(self.model.config, "sentence_floors", None) or {}
        return EngineInfo(
            self._name, str(self.model.device), dtype, self.model.num_parameters(), self._window, True, floors
        )

    def count_tokens(self, text: str) -> int:
        return len(self._encode(text))

    # Writing

    def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        titles: Sequence[str] | None = None,
        min_titles: int = 0,
    ) -> Generator[str, None, None]:
        """Pieces of the reply, whole characters only, thoughts hidden, cut before a stop string. With `titles`, nothing else stands
        between ** and **, and a number that the messages hold is not copied wrongly.

        Raises:
            EngineError: the prompt is longer than the window, or the model failed.
        """
        text = self._render(messages)
        ids = self._encode(text)
        if self._window and len(ids) >= self._window:
            raise EngineError(f"The prompt has {len(ids)} tokens; the model reads at most {self._window}.")
        pieces = self._pieces(ids, sampling, self._locks(messages, titles, min_titles))
        is_thinking = text.rstrip().endswith(_THINK)
        yield from stop_before(hide_thoughts(pieces, is_thinking=is_thinking), sampling.stop)

    def _locks(self, messages: Sequence[Message], titles: Sequence[str] | None, min_titles: int) -> Locks:
        if titles is None:
            return Locks(TitleLock([]), NumberLock((), {}))
        numbers = re.findall(r"\d+", " ".join(message["content"] for message in messages))
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        title_lock = TitleLock(
            [self._title_steps(title) for title in titles],
            min_titles,
            bad_openers=self._bad_openers if titles else self._stars,
            named=[index for index, title in enumerate(titles) if f"**{title}**" in begun],
        )
        return Locks(title_lock, NumberLock(numbers, self._digits))

    def _title_steps(self, title: str) -> list[frozenset[int]]:
        """The tokens of a title and of the marks that close it, as TitleLock wants them."""
        *ids, last = self._encode(f"{title}**")
        closing = self._closers if last in self._closers else frozenset({last})
        return [*(frozenset({id}) for id in ids), closing]

    def _pieces(self, prompt: list[int], sampling: Sampling, locks: Locks) -> Generator[str, None, None]:
        """Decoded text, token by token; characters of several tokens come when they are complete."""
        written: list[int] = []
        done = 0  # tokens whose text has been given out
        for token in self._tokens(prompt, sampling, locks):
            written.append(token)
            tail = self._decode(written[max(0, done - 8) :])
            known = self._decode(written[max(0, done - 8) : done])
            if len(tail) > len(known) and not tail.endswith("\ufffd"):
                locks.heard(piece := tail[len(known) :].replace("\ufffd", ""))
                if piece:
                    yield piece
                done = len(written)
        tail = self._decode(written[max(0, done - 8) :])[len(self._decode(written[max(0, done - 8) : done])) :]
        if tail := tail.replace("\ufffd", ""):
            yield tail

    @torch.inference_mode()
    def _next_logits(self, ids: list[int], cache: Any) -> torch.Tensor:
        """Logits (V,) after `ids`, which are added to the cache."""
        with self._lock:
            inputs = torch.tensor([ids], device=self.model.device)
            return self.model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]

    def _tokens(self, prompt: list[int], sampling: Sampling, locks: Locks) -> Generator[int, None, None]:
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        generator = torch.Generator().manual_seed(secrets.randbits(63) if sampling.seed is None else sampling.seed)
        room = self._window - len(prompt) if self._window else sampling.max_new_tokens
        written: list[int] = []
        pending = prompt
        for _ in range(min(sampling.max_new_tokens, room)):
            try:
                logits = self._next_logits(pending, cache)
            except RuntimeError as error:  # out of memory, a device lost
                raise EngineError(f"The model stopped: {_first_line(error)}") from error
            logits = locks.hold(logits)
            written_ids = torch.tensor(written, dtype=torch.long, device=logits.device)
            token = draw(logits, sampling, generator, written_ids)
            if token in self._ends and self._spaced and not locks.titles.may_end():
                locks.titles.urged()
                token = draw(self._going_on(logits, locks.titles.last_character), sampling, generator, written_ids)
            locks.titles.took(token)
            if token in self._ends:
                return
            written.append(token)
            pending = [token]
            yield token

    def _going_on(self, logits: torch.Tensor, last_character: str) -> torch.Tensor:
        """The logits of a reply that may not end yet; after Latin text the next word must begin with its space."""
        held = logits.clone()
        if last_character and not has_cjk(last_character) and last_character not in "。！？；，：":
            held = torch.full_like(logits, -torch.inf)
            held[self._spaced] = logits[self._spaced]
        held[list(self._ends)] = -torch.inf
        return held

    # Scoring

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[Message]], reply: str) -> np.ndarray:
        """Log-probabilities in nats at temperature 1, (num_prompts, num_reply_tokens); equal prompts are scored once."""
        import numpy as np

        reply_ids = self._encode(reply)
        rendered = [self._render(messages) for messages in prompts]
        rows = {text: self._encode(text) for text in dict.fromkeys(rendered)}
        scores: dict[str, np.ndarray] = {}
        batch: list[str] = []
        for text in sorted(rows, key=lambda text: len(rows[text])):
            if batch and (len(batch) + 1) * (len(rows[text]) + len(reply_ids)) > _SCORE_TOKENS:
                scores |= self._score_batch(batch, rows, reply_ids)
                batch = []
            batch.append(text)
        if batch:
            scores |= self._score_batch(batch, rows, reply_ids)
        return np.stack([scores[text] for text in rendered]) if rendered else np.zeros((0, len(reply_ids)))

    def _score_batch(self, texts: list[str], rows: dict[str, list[int]], reply_ids: list[int]) -> dict[str, np.ndarray]:
        pad = self.tokenizer.pad_token_id or 0
        full = [rows[text] + reply_ids for text in texts]
        length = max(len(ids) for ids in full)
        device = self.model.device
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in full], device=device)  # (B, T), left-padded
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in full], device=device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        try:
            with self._lock:
                output = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=False,
                    logits_to_keep=len(reply_ids) + 1,
                )
        except RuntimeError as error:  # out of memory, a device lost
            raise EngineError(f"The model stopped: {_first_line(error)}") from error
        logits = output.logits[:, :-1].float()  # (B, R, V)
        targets = torch.tensor(reply_ids, device=device).expand(len(texts), -1)[..., None]
        chosen = logits.gather(2, targets)[..., 0] - torch.logsumexp(logits, 2)  # (B, R)
        return dict(zip(texts, chosen.cpu().double().numpy(), strict=True))

    def spans(self, reply: str) -> list[tuple[int, int]]:
        with self._tokenizer_lock:
            return list(self.tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])

    # The chat template

    def _render(self, messages: Sequence[Message]) -> str:
        """The prompt as the model's template writes it. Control tokens inside messages are broken up first, so that text is never parsed as control.

        Raises:
            EngineError: the template refuses these messages, such as two of the same role in a row.
        """
        import jinja2

        clean = [{"role": message["role"], "content": self._disarm(message["content"])} for message in messages]
        if not self._has_system_role and clean and clean[0]["role"] == "system":
            system, *rest = clean
            if rest:
                rest[0] = {"role": "user", "content": f"{system['content']}\n\n{rest[0]['content']}"}
            clean = rest
        try:
            return self._apply_template(clean)
        except jinja2.TemplateError as error:
            raise EngineError(f"The model's chat template refuses this conversation: {_first_line(error)}.") from error

    def _apply_template(self, messages: list[dict[str, str]]) -> str:
        is_continued = bool(messages) and messages[-1]["role"] == "assistant"
        if not self.tokenizer.chat_template:
            lines = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
            return "\n".join(lines if is_continued else [*lines, "Assistant:"])
        with self._tokenizer_lock:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not is_continued, continue_final_message=is_continued
            )

    def _accepts_system_role(self) -> bool:
        """Whether the template has a place for the system text (Gemma's refuses it, others drop it)."""
        import jinja2

        probe = [{"role": "system", "content": "a\n\nsystem-probe"}, {"role": "user", "content": "b"}]
        try:
            return "system-probe" in self._apply_template(probe)
        except (jinja2.TemplateError, TypeError, ValueError):
            return False

    def _disarm(self, text: str) -> str:
        return (
            self._specials.sub(lambda match: match.group()[0] + " " + match.group()[1:], text)
            if self._specials
            else text
        )

    def _encode(self, text: str) -> list[int]:
        with self._tokenizer_lock:
            return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _decode(self, ids: list[int]) -> str:
        with self._tokenizer_lock:
            return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


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
        going_on = {number[len(self._run) :][:1] for number in self._numbers if number.startswith(self._run)}
        if len(self._run) < 2 or not going_on:
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

    def hold(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (V,) with what may not come next at minus infinity."""
        allowed = self.titles.allowed()
        if allowed:
            held = torch.full_like(logits, -torch.inf)
            held[sorted(allowed)] = logits[sorted(allowed)]
            return held
        if banned := self.numbers.banned() | self.titles.banned():  # a title's own digits are its own
            logits = logits.clone()
            logits[sorted(banned)] = -torch.inf
        return logits


def hide_thoughts(pieces: Iterable[str], *, is_thinking: bool = False) -> Generator[str, None, None]:
    """The pieces without what stands between <think> and </think>, and without the blank lines after it."""
    buffer, is_after_thought = "", is_thinking
    for piece in pieces:
        buffer += piece
        while True:
            if is_after_thought and not is_thinking:
                buffer = buffer.lstrip()
                is_after_thought = not buffer
            mark = _END_THINK if is_thinking else _THINK
            before, found, after = buffer.partition(mark)
            if not found:
                break
            if not is_thinking and before:
                yield before
            buffer, is_thinking, is_after_thought = after, not is_thinking, True
        keep = _partial_end(buffer, [mark])
        if not is_thinking and len(buffer) > keep:
            yield buffer[: len(buffer) - keep]
        buffer = buffer[len(buffer) - keep :]
    if buffer and not is_thinking:
        yield buffer


def stop_before(pieces: Iterable[str], stops: Sequence[str]) -> Generator[str, None, None]:
    """The pieces up to the stop string that is complete first, which is left out; what may be the beginning of one is held back."""
    if not stops:
        yield from pieces
        return
    buffer = ""
    for piece in pieces:
        buffer += piece
        found = [(position + len(stop), position) for stop in stops if (position := buffer.find(stop)) >= 0]
        if found:
            _, start = min(found)
            if start:
                yield buffer[:start]
            return
        keep = _partial_end(buffer, stops)
        if len(buffer) > keep:
            yield buffer[: len(buffer) - keep]
        buffer = buffer[len(buffer) - keep :]
    if buffer:
        yield buffer


def _partial_end(text: str, marks: Sequence[str]) -> int:
    """The length of the longest end of `text` that begins one of the marks."""
    longest = max(len(mark) for mark in marks) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends a reply: those of the generation settings, the model's and the tokenizer's."""
    ends: set[int | None] = set()
    for holder in (getattr(model, "generation_config", None), model.config, tokenizer):
        found = getattr(holder, "eos_token_id", None)
        ends |= set(found) if isinstance(found, (list, tuple)) else {found}
    return frozenset(one for one in ends if one is not None)


def _window(model: Any, tokenizer: Any) -> int:
    """Tokens the model was made for: the smaller of its positions and its tokenizer's limit; 0 when neither says."""
    config = model.config.get_text_config()
    limits = [getattr(config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    return min((int(limit) for limit in limits if limit and limit < 10**7), default=0)


def _special_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches every string that the tokenizer would read as one control token."""
    added = {
        str(token)
        for token in tokenizer.added_tokens_decoder.values()
        if len(str(token)) > 1 and not str(token).isspace()
    }
    names = sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)
    return re.compile("|".join(re.escape(name) for name in names)) if names else None


def _fast_dtype(device: str) -> torch.dtype:
    if device.startswith("cpu"):
        flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if flags.get("avx512_bf16") or flags.get("amx_bf16") else torch.float32
    return torch.bfloat16 if not device.startswith("cuda") or torch.cuda.is_bf16_supported() else torch.float16


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
