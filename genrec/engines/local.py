"""Runs one causal language model in this process: any chat model by hub id or folder through transformers, the bundled writer without it.

What differs between models is read from the model: chat template (with or without a system role), end tokens, padding, window. All open replies are decoded together by one
scheduler (`scheduler.py`); here messages become tokens, and tokens text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec.engines import Choice, EngineInfo, Message, stop_telemetry
from genrec.engines.filters import THINK, hide_thoughts, stop_before
from genrec.engines.locks import Locks, NumberLock, TitleLock
from genrec.engines.plain import PlainDecoder, read_weights
from genrec.engines.runs import Decoder
from genrec.engines.scheduler import Scheduler, first_line
from genrec.engines.tasks import ChoiceTask, Ends, ReplyTask, ScoreTask
from genrec.engines.tokenizer import HubTokenizer, PlainTokenizer, Tokenizer
from genrec.errors import EngineError
from genrec.schema import Sampling

if TYPE_CHECKING:
    import torch

_SCORED_AT_ONCE = 16  # texts that one caller has in the scheduler's line
_NUM_LIKELIEST = 4  # tokens that are told of each place


class LocalEngine:
    """A causal chat model with its tokenizer. Safe to share between threads."""

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, info: EngineInfo, *, ends: frozenset[int], cache_bytes: int
    ):
        """`ends` are the ids that end a reply, `cache_bytes` the most memory for keys and values."""
        self.tokenizer = tokenizer
        self._info, self._window = info, info.window
        self._scheduler = Scheduler(decoder, cache_bytes=cache_bytes)
        added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
        self._control = _any_of({name for name in added if len(name) > 1 and not name.isspace()} | tokenizer.special)
        vocabulary = tokenizer.backend.get_vocab()
        spaced = sorted(id for token, id in vocabulary.items() if token[:1] in "Ġ▁ " and token[1:2].isalpha())
        self._ends = Ends(ends, spaced)
        self._stars = frozenset(id for token, id in vocabulary.items() if "*" in token)
        self._bad_openers = frozenset(
            id
            for token, id in vocabulary.items()
            if "**" in token and (token.count("*") > 2 or not token.endswith("**"))
        )
        self._digits = {id: token for token, id in vocabulary.items() if re.fullmatch(r"[0-9]", token)}
        # control tokens such as [control_12] join no digits of a text
        if any(re.search(r"[0-9]{2}", token) for token in vocabulary.keys() - added if not token.startswith("<0x")):
            self._digits = {}  # this tokenizer joins digits: its numbers cannot be held digit by digit
        self._closers = frozenset(
            id for token, id in vocabulary.items() if token.startswith("**") and token.count("*") == 2
        )
        self._has_system_role = self._accepts_system_role()

    @classmethod
    def of(cls, model: Any, tokenizer: Any, *, name: str, dtype: str = "", cache_bytes: int = 0) -> LocalEngine:
        """An engine for a model and a tokenizer of transformers. `dtype` names what most weights are kept in, unless the model says it; 0 `cache_bytes` takes
        a share of the memory that is free."""
        from genrec.engines.decoder import decoder_for
        from genrec.engines.pooled import pooled_decoders

        read, model = HubTokenizer(tokenizer), model.eval()
        window = _smallest(getattr(model.config.get_text_config(), "max_position_embeddings", None), read.window)
        ends = _end_ids(getattr(model, "generation_config", None), model.config, tokenizer)
        info = _described(
            vars(model.config), name, str(model.device), dtype or str(model.dtype), model.num_parameters(), window
        )  # fmt: skip
        cache_bytes = cache_bytes or _spare_bytes(model.device)
        decoder = decoder_for(model, pooled_decoders(model, cache_bytes))
        return cls(decoder, read, info, ends=ends, cache_bytes=cache_bytes)

    @classmethod
    def load(
        cls, source: str, *, name: str = "", device: str = "", quantize: str = "", is_local_only: bool = True
    ) -> LocalEngine:
        """The model of a folder or hub id. On CUDA in bf16; on a processor in bf16 where it computes in it natively. `quantize` is int8 or int4.

        Raises:
            EngineError: nothing there can be loaded as a causal language model, or not with so few bits.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        stop_telemetry()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=is_local_only)
            model = AutoModelForCausalLM.from_pretrained(
                source, dtype=_fast_dtype(device), local_files_only=is_local_only
            )
            if quantize:
                _quantize(model, quantize, device)
            model.to(device)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:  # the last: out of memory
            raise EngineError(f"The model {source} cannot be loaded: {first_line(error)}") from error
        return cls.of(model, tokenizer, name=name or source, dtype=quantize)

    @classmethod
    def load_plain(cls, folder: Path, *, name: str, has_two_threads: bool = False) -> LocalEngine:
        """A model that `genrec train writer` has saved, on the processor, without torch and transformers; `has_two_threads` as in PlainDecoder.

        Raises:
            EngineError: a file is missing, or the model is of another form.
        """
        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
            weights = read_weights(folder / "model.safetensors")
            decoder, tokenizer = (
                PlainDecoder(config, weights, has_two_threads=has_two_threads),
                PlainTokenizer.load(folder),
            )
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(f"The model {folder} cannot be loaded: {first_line(error)}") from error
        window = _smallest(config["max_position_embeddings"], tokenizer.window)
        num_parameters = sum(weight.size for weight in weights.values())
        info = _described(config, name, "cpu", "float32", num_parameters, window)
        ends = frozenset(id for id in (config["eos_token_id"], tokenizer.end_id) if id is not None)
        return cls(decoder, tokenizer, info, ends=ends, cache_bytes=_spare_bytes(None))

    def describe(self) -> EngineInfo:
        return self._info

    @property
    def decoder(self) -> Decoder:
        return self._scheduler.decoder

    @property
    def num_open(self) -> int:
        """Replies and scorings that are under way or wait."""
        return self._scheduler.num_open

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens that the model reads for these messages."""
        return self._encode(self._render(messages))

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
        room = self._window - len(ids) if self._window else sampling.max_new_tokens
        limit = min(sampling.max_new_tokens, room)
        if limit <= 0:
            return
        locks = self._locks(messages, titles, min_titles)
        task = ReplyTask(ids, sampling, limit=limit, locks=locks, ends=self._ends, decode=self.tokenizer.decoder())
        self._scheduler.submit(task)
        with closing(task.pieces()) as pieces:
            is_thinking = text.rstrip().endswith(THINK)
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

    # Scoring

    def score(self, prompts: Sequence[Sequence[Message]], reply: str) -> np.ndarray:
        """Log-probabilities in nats at temperature 1, (num_prompts, num_reply_tokens); equal prompts are scored once."""
        reply_ids = self._encode(reply)
        if not prompts or not reply_ids:
            return np.zeros((len(prompts), len(reply_ids)))
        rendered = [self._render(messages) for messages in prompts]
        rows = {text: self._encode(text) for text in dict.fromkeys(rendered)}
        scores: dict[str, np.ndarray] = {}
        texts = sorted(rows)  # neighbours share the longest prefixes
        for begin in range(0, len(texts), _SCORED_AT_ONCE):
            tasks = {text: ScoreTask(rows[text], reply_ids) for text in texts[begin : begin + _SCORED_AT_ONCE]}
            try:
                for task in tasks.values():
                    self._scheduler.submit(task)
                scores |= {text: task.scores() for text, task in tasks.items()}
            finally:
                for task in tasks.values():
                    task.is_cancelled = True
        return np.stack([scores[text] for text in rendered])

    def choices(self, prompt: Sequence[Message], reply: str) -> list[Choice]:
        if not (reply_ids := self._encode(reply)):
            return []
        task = ChoiceTask(self._encode(self._render(prompt)), reply_ids, _NUM_LIKELIEST)
        self._scheduler.submit(task)
        task.scores()
        return [
            Choice(entropy, tuple((self.tokenizer.decoder()(token), share) for token, share in likeliest))
            for entropy, likeliest in task.choices
        ]

    def spans(self, reply: str) -> list[tuple[int, int]]:
        return self.tokenizer.spans(reply)

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
            return self.tokenizer.render(clean)
        except jinja2.TemplateError as error:
            raise EngineError(f"The model's chat template refuses this conversation: {first_line(error)}.") from error

    def _accepts_system_role(self) -> bool:
        """Whether the template has a place for the system text (Gemma's refuses it, others drop it)."""
        import jinja2

        probe = [{"role": "system", "content": "a\n\nsystem-probe"}, {"role": "user", "content": "b"}]
        try:
            return "system-probe" in self.tokenizer.render(probe)
        except (jinja2.TemplateError, TypeError, ValueError):
            return False

    def _disarm(self, text: str) -> str:
        return self._control.sub(lambda match: match.group()[0] + " " + match.group()[1:], text)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)


def _described(
    config: Mapping[str, Any], name: str, device: str, dtype: str, num_parameters: int, window: int
) -> EngineInfo:
    floors, lexicon = config.get("sentence_floors") or {}, frozenset((config.get("lexicon") or "").split())
    return EngineInfo(name, device, dtype.removeprefix("torch."), num_parameters, window, True, floors, lexicon)


def _end_ids(*holders: Any) -> frozenset[int]:
    """Every id that ends a reply: those of the generation settings, the model's and the tokenizer's."""
    ends: set[int | None] = set()
    for holder in holders:
        found = getattr(holder, "eos_token_id", None)
        ends |= set(found) if isinstance(found, (list, tuple)) else {found}
    return frozenset(one for one in ends if one is not None)


def _smallest(*limits: int | None) -> int:
    """Tokens that a model was made for: the smaller of its positions and its tokenizer's limit; 0 when neither says."""
    return min((int(limit) for limit in limits if limit and limit < 10**7), default=0)


def _any_of(names: set[str]) -> re.Pattern[str]:
    """Matches every string that the tokenizer would read as one control token; nothing where there is none."""
    return re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)")


def _fast_dtype(device: str) -> torch.dtype:
    import torch

    if device.startswith("cpu"):
        flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if flags.get("avx512_bf16") or flags.get("amx_bf16") else torch.float32
    return torch.bfloat16 if not device.startswith("cuda") or torch.cuda.is_bf16_supported() else torch.float16


def _quantize(model: Any, quantize: str, device: str) -> None:
    """Puts the layers' matrices, in place and one after another on `device`, in 8 bits a row or in 4 bits a group of 128; head and embeddings stay.

    Raises:
        ValueError: this device does not compute with so few.
    """
    import torch
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    if quantize == "int4" and not device.startswith("cuda"):
        raise ValueError("int4 needs a CUDA device; int8 works on a processor too")
    int4 = {"group_size": 128, "int4_packing_format": "tile_packed_to_4d"}  # PyTorch's own kernel computes with these
    config = Int4WeightOnlyConfig(**int4) if quantize == "int4" else Int8WeightOnlyConfig()
    head = model.get_output_embeddings()
    quantize_(model, config, lambda part, _: type(part) is torch.nn.Linear and part is not head, device=device)


def _spare_bytes(device: torch.device | None) -> int:
    """Memory for keys and values: half of a GPU's free memory but no more than 16 GiB, a quarter of the machine's but no more than 2 GiB."""
    if device is not None and device.type == "cuda":
        import torch

        return min(torch.cuda.mem_get_info(device)[0] // 2, 2**34)
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Linux
        free = 2**31
    return min(free // 4, 2**31)
