"""Runs a model of Llama's family on CUDA: a step of many sequences is one list of kernels that does not change, so that it is recorded once and then started
as one (a CUDA graph). Started one by one, the kernels of a small model take several times as long as what they do.

For this, keys and values of all sequences stand in one pool, a stretch for each, and a step tells in numbers on the device which stretches it goes on with
(attention over sequences of different lengths, as FlashAttention computes it: arXiv 2205.14135). Steps are filled up to a few sizes. Of the logits only the
likeliest of each row come to the processor: one transfer a step, from which every reply draws with its own generator.
"""

from __future__ import annotations

import itertools
import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from genrec.engines.decoder import LeanDecoder
from genrec.engines.runs import Cache, FarLogits, Run, rounded_up

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # tokens of a recorded step
_SMALLEST_MIXED = 8  # of those in which a sequence may have several tokens
_NUM_NEAR = 256  # likeliest tokens that come to the processor; a nucleus of 0.9 has rarely more
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretches:
    """Where S sequences stand, int32 on the device: among a step's N tokens, and in the pool of T."""

    bounds: torch.Tensor  # (S + 1,), the first token of each and the end
    starts: torch.Tensor  # (S + 1,), the first place of each; the last number is not read
    lengths: torch.Tensor  # (S,), the step's tokens included
    max_new: int  # tokens of a sequence
    max_length: int


# From queries (N, num_heads, D), keys and values (T, num_kv, D) what each query sees, (N, num_heads, D): all of its sequence up to itself.
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Stretches], torch.Tensor]


def pooled_decoders(model: Any, cache_bytes: int) -> list[Callable[[Any], LeanDecoder]]:
    """What makes a PooledDecoder of the model, the faster first; none where there is no FlashAttention."""
    has_flash_attention = (
        model.device.type == "cuda"
        and model.dtype in (torch.float16, torch.bfloat16)
        and torch.cuda.get_device_capability(model.device) >= (8, 0)
    )
    if not has_flash_attention:
        return []
    return [partial(PooledDecoder, cache_bytes=cache_bytes, is_fused=is_fused) for is_fused in (True, False)]


def flash_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, where: Stretches) -> torch.Tensor:
    """PyTorch's own build of FlashAttention. With the lengths given, `starts` may be any places, in any order."""
    return torch.ops.aten._flash_attention_forward(
        queries,
        keys,
        values,
        where.bounds,
        where.starts,
        where.max_new,
        where.max_length,
        0.0,
        where.max_new > 1,
        False,
        seqused_k=where.lengths,
    )[0]


class PooledDecoder(LeanDecoder):
    """After an error in `forward` the caches are as before it. Not for several threads at once."""

    width = 4

    def __init__(self, model: Any, *, cache_bytes: int, attention: Attention = flash_attention, is_fused: bool = False):
        """`cache_bytes` are taken at once. `is_fused` takes the kernels of `fused`, which needs Triton.

        Raises:
            TypeError: the model is of another architecture.
            RuntimeError: out of memory.
        """
        super().__init__(model)
        self._attention, self._is_fused = attention, is_fused
        self._num_tokens = rounded_up(cache_bytes // self.bytes_per_token + 1)
        self._window = min(model.config.max_position_embeddings, self._num_tokens)
        shape = (len(self._layers), self._num_tokens + 1, 2 * self._num_kv, self._head_dim)  # keys, then values
        # The last place takes what is only there to fill up a step.
        self._pool = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._live: weakref.WeakSet[Cache] = weakref.WeakSet()
        self._steps: dict[tuple[int, bool], _Recorded] = {}
        with torch.inference_mode():
            self._cosines, self._sines = self._turns(self._window - 1)
            if self.device.type == "cuda":
                self._record()

    # Memory

    def new_cache(self, num_tokens: int) -> Cache:
        """
        Raises:
            MemoryError: the pool is full.
        """
        capacity = rounded_up(num_tokens)
        if (start := self._gap(capacity)) is None:
            self._compact()
            start = self._gap(capacity)
        if start is None:
            raise MemoryError(f"The pool of {self._num_tokens} tokens has no room for {capacity} more.")
        self._live.add(cache := Cache(capacity, start))
        return cache

    def share(self, source: Cache, num_shared: int, target: Cache) -> None:
        """Copies the first tokens of one sequence to another."""
        self._move(source.state, target.state, num_shared)
        target.ids, target.scores = list(source.ids), dict(source.scores)
        target.cut(num_shared)

    def _gap(self, capacity: int) -> int | None:
        """The first place from which on so many are free."""
        start = 0
        for cache in self._in_order():
            if cache.state - start >= capacity:
                break
            start = cache.state + cache.capacity
        return start if start + capacity <= self._num_tokens else None

    def _compact(self) -> None:
        """Moves the sequences together, so that what is free is one stretch."""
        start = 0
        for cache in self._in_order():
            self._move(cache.state, start, len(cache.ids))
            cache.state = start
            start += cache.capacity

    def _in_order(self) -> list[Cache]:
        return sorted(self._live, key=lambda cache: cache.state)

    @torch.inference_mode()
    def _move(self, source: int, target: int, num_tokens: int) -> None:
        moved = self._pool[:, source : source + num_tokens]
        if abs(source - target) < num_tokens:
            moved = moved.clone()
        self._pool[:, target : target + num_tokens] = moved

    # Steps

    @torch.inference_mode()
    def forward(self, runs: list[Run]) -> FarLogits:
        """As LeanDecoder's; the logits stay on the device until the next forward."""
        num_tokens = sum(len(run.ids) for run in runs)
        max_new = max(len(run.ids) for run in runs)
        num_before = itertools.accumulate((len(run.ids) for run in runs), initial=0)
        wanted = [
            row
            for run, begin in zip(runs, num_before)
            for row in range(begin + len(run.ids) - run.num_wanted, begin + len(run.ids))
        ]
        size = _size(num_tokens, max_new == 1)
        if size:
            inputs = torch.from_numpy(self._inputs(runs, size, size))
            recorded = self._steps.get((size, max_new == 1))
            logits, near = recorded(inputs) if recorded else self._step(inputs.to(self.device), size, size, max_new)
            near_rows = near.cpu().numpy()[wanted]  # the one transfer
            logits = logits if len(wanted) == size else logits[wanted]
        else:
            inputs = torch.from_numpy(self._inputs(runs, num_tokens, len(runs))).to(self.device)
            logits, near = self._step(inputs, num_tokens, len(runs), max_new, wanted)
            near_rows = near.cpu().numpy()
        for run in runs:
            run.cache.ids += run.ids
        num_near = near_rows.shape[1] // 2 - 1
        summary, values, ids = np.split(near_rows, [2, 2 + num_near], 1)
        return FarLogits(logits, summary, values, ids.astype(np.int64))

    def _inputs(self, runs: list[Run], num_tokens: int, num_sequences: int) -> np.ndarray:
        """Everything that a step is told, int64: N tokens, their positions and their places in the pool, then the numbers of `Stretches`. What
        is missing in tokens are sequences of one token at the last place, what is missing in sequences are empty."""
        lengths = [len(run.ids) for run in runs]
        num_filling = num_tokens - sum(lengths)
        num_empty = num_sequences - len(runs) - num_filling
        before = [len(run.cache.ids) for run in runs]
        ids = [id for run in runs for id in run.ids] + [0] * num_filling
        if max(ids) >= len(self._embedding):  # the device would be lost
            raise IndexError(f"The model has no token {max(ids)}.")
        positions = [place + number for place, length in zip(before, lengths) for number in range(length)]
        firsts = [run.cache.state + place for run, place in zip(runs, before)]
        places = [first + number for first, length in zip(firsts, lengths) for number in range(length)]
        news = lengths + [1] * num_filling + [0] * num_empty
        bounds = [0, *itertools.accumulate(news)]
        starts = [run.cache.state for run in runs] + [self._num_tokens] * (num_filling + num_empty + 1)
        totals = [place + length for place, length in zip(before, lengths)] + [1] * num_filling + [0] * num_empty
        filling, last = [0] * num_filling, [self._num_tokens] * num_filling
        return np.array(ids + positions + filling + places + last + bounds + starts + totals, np.int64)

    def _step(
        self, inputs: torch.Tensor, num_tokens: int, num_sequences: int, max_new: int, wanted: list[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, V) of all tokens or those `wanted`, and what comes to the processor of them, float32 (N, 2 + 2 K): `FarLogits`' summary, values and ids."""
        ids, positions, places = inputs[: 3 * num_tokens].view(3, num_tokens)
        bounds, starts, lengths = (
            inputs[3 * num_tokens :].int().split([num_sequences + 1, num_sequences + 1, num_sequences])
        )
        where = Stretches(bounds, starts, lengths, max_new, self._window)

        last = (self._read_fused if self._is_fused else self._read_plain)(ids, positions, places, where)
        logits = torch.mm(last if wanted is None else last[wanted], self._head)
        highest = logits.topk(min(_NUM_NEAR, logits.shape[1]))
        # float32 holds every token number below 2 ** 24
        scale = logits.float().logsumexp(1, keepdim=True)
        rest = 1 - (highest.values.float() - scale).exp().sum(1, keepdim=True)
        return logits, torch.cat((scale, rest.clamp(0), highest.values.float(), highest.indices.float()), 1)

    def _read_plain(
        self, ids: torch.Tensor, positions: torch.Tensor, places: torch.Tensor, where: Stretches
    ) -> torch.Tensor:
        def attend(index: int, heads: torch.Tensor) -> torch.Tensor:
            self._pool[index].index_copy_(0, places, heads[:, self._num_heads :])
            return self._attend_pool(index, heads, where)

        return self._read(ids, positions, attend)

    def _read_fused(
        self, ids: torch.Tensor, positions: torch.Tensor, places: torch.Tensor, where: Stretches
    ) -> torch.Tensor:
        """As `_read`."""
        from genrec.engines import fused

        epsilon = self._epsilon
        hidden = self._embedding[ids]
        last = self._normed(hidden, self._layers[0].input_norm)
        next_norms = [*(layer.input_norm for layer in self._layers[1:]), self._norm]
        for index, (layer, next_norm) in enumerate(zip(self._layers, next_norms)):
            heads = layer.qkv(last).view(len(ids), -1, self._head_dim)
            tables = self._cosines, self._sines
            fused.turn(heads, *tables, positions, places, layer.head_norm, self._pool[index], epsilon)
            seen = self._attend_pool(index, heads, where)
            last = fused.add_norm(hidden, layer.out(seen), layer.mlp_norm, epsilon)
            last = fused.add_norm(hidden, layer.down(fused.gate(layer.gate_up(last))), next_norm, epsilon)
        return last

    def _attend_pool(self, index: int, heads: torch.Tensor, where: Stretches) -> torch.Tensor:
        queries = heads[:, : self._num_heads]
        keys, values = self._pool[index].split(self._num_kv, 1)
        if self._is_fused and where.max_new == 1:
            from genrec.engines import fused

            return fused.attend(queries, keys, values, where.starts, where.lengths).view(len(heads), -1)
        return self._attention(queries, keys, values, where).reshape(len(heads), -1)

    def _record(self) -> None:
        """Records a step of every size. Where that fails, steps run as they are written."""
        begun = time.perf_counter()
        try:
            pool, aside = torch.cuda.graph_pool_handle(), torch.cuda.Stream(self.device)
            for size in reversed(SIZES):  # the largest first: the others fit into its memory
                for is_single in (True, False):
                    if _size(size, is_single) == size:
                        self._steps[size, is_single] = self._recorded(size, is_single, pool, aside)
        except RuntimeError as error:
            self._steps.clear()
            _LOG.warning("Steps are not recorded, replies will be slower: %s", error)
            return
        _LOG.info("%d steps recorded in %.1f s", len(self._steps), time.perf_counter() - begun)

    def _recorded(self, size: int, is_single: bool, pool: Any, aside: Any) -> _Recorded:
        inputs = torch.from_numpy(self._inputs([], size, size)).to(self.device)
        max_new = 1 if is_single else size
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):  # kernels that choose their form at the first call do so now
            self._step(inputs, size, size, max_new)
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads may use the device meanwhile
        with torch.cuda.graph(graph, pool=pool, stream=aside, capture_error_mode="thread_local"):
            logits, near = self._step(inputs, size, size, max_new)
        return _Recorded(graph, inputs, logits, near)


@dataclass(frozen=True)
class _Recorded:
    """A step that reads and writes always the same places."""

    graph: Any
    inputs: torch.Tensor
    logits: torch.Tensor
    near: torch.Tensor

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.inputs.copy_(inputs)
        self.graph.replay()
        return self.logits, self.near


def _size(num_tokens: int, is_single: bool) -> int:
    """The size of the recorded step that takes so many tokens; 0 where none does."""
    smallest, largest = (1, SIZES[-2]) if is_single else (_SMALLEST_MIXED, SIZES[-1])
    return next((size for size in SIZES if num_tokens <= size and smallest <= size <= largest), 0)
