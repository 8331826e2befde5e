"""The bundled writer's forward in numpy, from the files of its folder: no torch, no transformers.

Importing those two takes most of a start, and for a model of this size calling torch takes longer than what is called. What a product with constants would do at every step
is done once to the weights: the norms' scales, attention's scale, the signs of SiLU (x / (1 + exp -x)). The channels of queries and keys are ordered so that each pair
that rotary positions turn is one complex number. What a step computes stands in memory that the next step uses again: pages of fresh memory cost as much as the arithmetic.
tests/test_plain.py holds the logits to transformers' own.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genrec.engines.runs import Cache, Run, rounded_up

# What OpenBLAS and this model's sizes ask for, measured on AVX2 with 512 KiB of second cache a core and on AVX-512 with 2 MiB.
_MULTIPLE = 4  # rows: a product of 7 takes 1.6 times as long as one of 8
# What e to all weights of a token may sum up to: below, float32 does not hold all that counts, above, not what they are multiplied by.
_LEAST, _MOST = 1e-30, 1e30
_PIECE_ROWS = 64  # that attend at once, for what lies between to stay in the cache
_FEW = 4  # tokens of one sequence that attend one by one: a product of few rows spends its time on copying the keys
_SMALL = 10**6  # multiplications of a product that OpenBLAS computes on AVX-512 without copying its factors first
_NUM_SMALL = 16  # rows up to which it pays to cut the weights so small
_SPLIT = 64  # tokens from which on two threads share a step; numpy's own calls for fewer take as long as is won
_LOGITS_COST = 0.3  # of a token's logits, beside the rest of its step
# Tokens; capacities are multiples, so that the cache of a turn mostly has room for the next. With 64 most second turns moved to new memory, which a virtual machine takes
# 10 ms to find: as long as reading 90 tokens.
_BLOCK = 256
_LARGE = 2**20  # numbers: numpy asks for huge pages from 4 MiB on, and keys are read at memory's speed


_Placed = tuple[Run, int]  # with the place of its first token


class _Layer(NamedTuple):
    """Weights with rows that are contiguous: those of columns take twice as long for few tokens, a fifth longer for many."""

    qkv: np.ndarray  # (hidden, 3 * hidden)
    out: np.ndarray  # (hidden, hidden)
    gate_up: np.ndarray  # (2, hidden, inner)
    down: np.ndarray  # (inner, hidden)


class _Piece(NamedTuple):
    """n neighbouring tokens of a run, and the T that they see: all before them, and they. Each layer writes to these views anew."""

    keys: np.ndarray  # (layers, heads, T, D)
    values: np.ndarray  # (layers, heads, T, D)
    queries: np.ndarray  # (heads, D, n)
    weights: np.ndarray  # (heads, T, n): keys times queries takes four fifths of the time of queries times keys
    attended: np.ndarray  # (heads, n, D)
    is_wanted: bool  # there is a token with logits among them


class _FewPiece(NamedTuple):
    """The same of few tokens, which attend one by one."""

    keys: np.ndarray  # (layers, heads, D, T)
    values: np.ndarray  # (layers, heads, T, D)
    queries: np.ndarray  # (n, heads, 1, D)
    weights: np.ndarray  # (n, heads, 1, T)
    attended: np.ndarray  # (n, heads, 1, D)
    corner: np.ndarray  # the last n of the weights (heads, n, n), where a token does not see those after it


class _Group(NamedTuple):
    """Pieces of few tokens with one softmax, N tokens."""

    pieces: list[_FewPiece]
    weights: np.ndarray  # (N, heads, longest T)
    attended: np.ndarray  # (N, heads, D)
    is_ragged: bool  # not all see as many tokens


class PlainDecoder:
    """A Llama whose heads all have keys and values of their own. After an error in `forward` the caches are as before it."""

    can_batch = can_share = True
    width = 1

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], *, has_two_threads: bool = False):
        """`config` as in config.json, `weights` float32 by their names in transformers. With `has_two_threads` a step that reads much is halved
        between two.

        Raises:
            ValueError: the model has parts that are not computed here.
        """
        if config.get("model_type") != "llama" or config.get("hidden_act") != "silu":
            raise ValueError(f"a {config.get('model_type')} with {config.get('hidden_act')}")
        rope = config.get("rope_parameters") or {}
        if rope.get("rope_type") != "default" or config["num_key_value_heads"] != config["num_attention_heads"]:
            raise ValueError("scaled positions, or heads that share keys")
        if any(name.endswith(".bias") for name in weights):
            raise ValueError("biases")
        self._heads, self._size = config["num_attention_heads"], config["head_dim"]
        self._hidden, self._epsilon = config["hidden_size"], config["rms_norm_eps"]
        self._embedding = weights["model.embed_tokens.weight"]
        head = weights.get("lm_head.weight", self._embedding)
        self._head = np.ascontiguousarray((head * weights["model.norm.weight"]).T)  # (hidden, V)
        self._layers = [
            self._layer(weights, f"model.layers.{number}.") for number in range(config["num_hidden_layers"])
        ]
        angles = np.arange(config["max_position_embeddings"])[:, None] / rope["rope_theta"] ** (
            np.arange(0, self._size, 2) / self._size
        )
        self._turns = np.exp(1j * angles).astype(np.complex64)[:, None]  # (window, 1, D / 2)
        self._unseen = np.tril(np.full((_PIECE_ROWS, _PIECE_ROWS), -np.inf, np.float32), -1)  # (keys, queries)
        self._is_steep = [False] * len(self._layers)  # where e to a weight was once beyond what float32 holds
        self._ones = np.ones(len(self._turns), np.float32)
        self._memory = threading.local()  # each thread writes to its own
        self.num_threads = 2 if has_two_threads else 1
        self._second = ThreadPoolExecutor(1, "decoder-half") if has_two_threads else None
        self._mlp_rows = _second_cache() // (2 * config["intermediate_size"] * 4)  # computed at once, as above
        self.bytes_per_token = 2 * len(self._layers) * self._heads * self._size * 4

    def _layer(self, weights: Mapping[str, np.ndarray], name: str) -> _Layer:
        def of(part: str, norm: str = "", scale: float = 1.0) -> np.ndarray:
            weight = weights[f"{name}{part}_proj.weight"] * np.float32(scale)
            return (weight * weights[f"{name}{norm}.weight"] if norm else weight).T

        # what stands in channels i and i + D / 2 of a head goes to 2 i and 2 i + 1
        pairs = np.arange(self._heads * self._size).reshape(self._heads, 2, -1).transpose(0, 2, 1).ravel()
        before, after = "input_layernorm", "post_attention_layernorm"
        qkv = [
            of("self_attn.q", before, self._size**-0.5)[:, pairs],
            of("self_attn.k", before)[:, pairs],
            of("self_attn.v", before),
        ]
        return _Layer(
            np.ascontiguousarray(np.concatenate(qkv, 1)),
            np.ascontiguousarray(of("self_attn.o")),
            np.ascontiguousarray([of("mlp.gate", after, -1.0), of("mlp.up", after, -1.0)]),
            np.ascontiguousarray(of("mlp.down")),
        )

    def new_cache(self, num_tokens: int) -> Cache:
        capacity = rounded_up(num_tokens, _BLOCK)
        shape = (len(self._layers), 2, self._heads, capacity, self._size)  # keys, then values
        size = math.prod(shape)
        return Cache(capacity, np.empty(max(size, _LARGE), np.float32)[:size].reshape(shape))

    def share(self, source: Cache, num_shared: int, target: Cache) -> None:
        """Copies the first tokens of one sequence to another."""
        target.state[:, :, :, :num_shared] = source.state[:, :, :, :num_shared]
        target.ids, target.scores = list(source.ids), dict(source.scores)
        target.cut(num_shared)

    def forward(self, runs: list[Run]) -> np.ndarray:
        """The logits of all runs, float32 (num_wanted of all, V); their tokens are then in their caches."""
        num_tokens = sum(len(run.ids) for run in runs)
        num_wanted = sum(run.num_wanted for run in runs)
        num_rows = num_wanted if num_wanted == 1 else rounded_up(num_wanted, _MULTIPLE)
        logits = np.empty((num_rows, self._head.shape[1]), np.float32)
        placed = [(run, len(run.cache.ids)) for run in runs]
        if self._second is None or num_tokens < _SPLIT:
            self._write_logits(placed, logits)
        else:
            first, second = _halved(placed)
            num_first = sum(run.num_wanted for run, _ in first)
            stored = [threading.Event() for _ in self._layers]
            rest = self._second.submit(self._write_logits, second, logits[num_first:], after=stored)
            try:
                self._write_logits(first, logits[:num_first], stored=stored)
            finally:
                for event in stored:
                    event.set()
                wait([rest])  # it writes to the caches
            rest.result()
        for run in runs:
            run.cache.ids += run.ids
        return logits[:num_wanted]

    @np.errstate(over="ignore")  # exp of a gate far below 0: what is divided by it is 0
    def _write_logits(
        self,
        placed: list[_Placed],
        logits: np.ndarray,
        *,
        stored: Sequence[threading.Event] = (),
        after: Sequence[threading.Event] = (),
    ) -> None:
        """Writes to the first rows of `logits` (num_wanted of all or, with those of padding, more, V). Of each layer it tells by `stored` that
        keys and values are in the caches, and attends `after` another thread has told so."""
        runs, starts = [run for run, _ in placed], [start for _, start in placed]
        # N tokens of all runs, and of padding
        ids = _padded([id for run in runs for id in run.ids])
        places = [start + number for run, start in zip(runs, starts) for number in range(len(run.ids))]
        ends = list(itertools.accumulate(len(run.ids) for run in runs))
        wanted = [row for run, end in zip(runs, ends) for row in range(end - run.num_wanted, end)]
        turns = self._turns[_padded(places)]  # (N, 1, D / 2)
        hidden = self._embedding[ids]  # (N, hidden)
        normed, added, attended = (self._of(name, len(ids), self._hidden) for name in ("normed", "added", "attended"))
        qkv = self._of("qkv", len(ids), 3 * self._hidden)
        attended[len(places) :] = 0
        heads = qkv.reshape(len(ids), 3, self._heads, self._size)
        pairs = heads[:, :2].reshape(len(ids), -1, self._size).view(np.complex64)
        stores = [
            (
                run.cache.state[:, :, :, start : start + len(run.ids)],
                heads[end - len(run.ids) : end, 1:].transpose(1, 2, 0, 3),
            )
            for run, start, end in zip(runs, starts, ends)
        ]
        parts = self._parts(placed, heads[:, 0], attended.reshape(len(ids), self._heads, self._size))
        for index, layer in enumerate(self._layers):
            _multiply(self._normed(hidden, normed), layer.qkv, qkv)
            pairs *= turns
            for target, new in stores:
                target[index] = new
            if stored:
                stored[index].set()
            is_last = index == len(self._layers) - 1  # of those not wanted, its keys and values are all that counts
            if is_last and not wanted:
                return
            if after:
                after[index].wait()
            for part in parts:
                if isinstance(part, _Group):
                    self._attend_together(index, part)
                elif part.is_wanted or not is_last:
                    self._attend(index, part)
            if is_last and len(wanted) < len(ids):
                rows = _padded(wanted)
                hidden, attended = hidden[rows], attended[rows]
                normed, added = normed[: len(rows)], added[: len(rows)]
            hidden += _multiply(attended, layer.out, added)
            self._normed(hidden, normed)
            for begin, end in itertools.pairwise(self._bounds(len(hidden))):
                self._mlp(layer, normed[begin:end], added[begin:end])
            hidden += added
        num_rows = min(len(hidden), len(logits))
        _multiply(self._normed(hidden, hidden)[:num_rows], self._head, logits[:num_rows])

    def _parts(self, placed: list[_Placed], queries: np.ndarray, attended: np.ndarray) -> list[_Piece | _Group]:
        """How the tokens of a step attend: runs in pieces, those of few tokens together up to so many that their weights stay in the cache. `queries` and `attended` are (N, heads, D)."""
        parts: list[_Piece | _Group] = []
        few: list[tuple[Run, int, int, int]] = []  # those not yet in a group: the run, its rows, T
        begin = 0
        for run, seen in placed:
            num_new = len(run.ids)
            if few and (num_new > _FEW or begin + num_new - few[0][1] > _PIECE_ROWS):
                parts.append(self._group(few, queries, attended))
                few = []
            if num_new <= _FEW:
                few.append((run, begin, begin + num_new, seen + num_new))
            else:
                bounds = np.linspace(0, num_new, 1 + -(-num_new // _PIECE_ROWS)).round().astype(int).tolist()
                for first, last in itertools.pairwise(bounds):
                    rows = slice(begin + first, begin + last)
                    is_wanted = last > num_new - run.num_wanted
                    parts.append(self._piece(run, queries[rows], attended[rows], seen + last, is_wanted))
            begin += num_new
        return [*parts, self._group(few, queries, attended)] if few else parts

    def _piece(self, run: Run, queries: np.ndarray, attended: np.ndarray, num_seen: int, is_wanted: bool) -> _Piece:
        """`queries` and `attended` are (n, heads, D)."""
        num_new = len(queries)
        # each piece writes over the weights of the one before
        weights = self._of("weights", self._heads * num_seen, num_new).reshape(self._heads, num_seen, num_new)
        keys, values = run.cache.state[:, :, :, :num_seen].swapaxes(0, 1)
        views = (queries.transpose(1, 2, 0), weights, attended.transpose(1, 0, 2))
        return _Piece(keys, values, *views, is_wanted)

    def _group(self, few: list[tuple[Run, int, int, int]], queries: np.ndarray, attended: np.ndarray) -> _Group:
        (_, first, _, _), (_, _, last, _), longest = few[0], few[-1], max(seen for *_, seen in few)
        weights = self._of("weights", last - first, self._heads * longest).reshape(-1, self._heads, longest)
        pieces = []
        for run, begin, end, seen in few:
            keys, values = run.cache.state[:, :, :, :seen].swapaxes(0, 1)
            own = weights[begin - first : end - first, :, :seen]
            corner = own.transpose(1, 0, 2)[:, :, begin - end :]
            views = (queries[begin:end, :, None], own[:, :, None], attended[begin:end, :, None])
            pieces.append(_FewPiece(keys.swapaxes(2, 3), values, *views, corner))
        return _Group(pieces, weights, attended[first:last], any(seen < longest for *_, seen in few))

    def _attend(self, index: int, piece: _Piece) -> None:
        """What many tokens of a run see, by the keys and values of one layer."""
        weights, num_new = piece.weights, piece.weights.shape[2]
        np.matmul(piece.keys[index], piece.queries, out=weights)
        corner = weights[:, -num_new:]
        corner += self._unseen[:num_new, :num_new]
        if self._is_steep[index]:
            weights -= np.maximum.reduce(weights, 1, keepdims=True)
        np.exp(weights, out=weights)
        total = self._ones[None, : weights.shape[1]] @ weights  # (heads, 1, n)
        if not self._is_steep[index] and not (total.min() > _LEAST and total.max() < _MOST):
            self._is_steep[index] = True
            return self._attend(index, piece)
        attended = piece.attended
        np.matmul(weights.swapaxes(1, 2), piece.values[index], out=attended)
        attended /= total.swapaxes(1, 2)

    def _attend_together(self, index: int, group: _Group) -> None:
        """What few tokens of each of several runs see."""
        weights = group.weights
        if group.is_ragged:
            weights.fill(-np.inf)
        for piece in group.pieces:
            np.matmul(piece.queries, piece.keys[index], out=piece.weights)
            if len(piece.queries) > 1:
                corner = piece.corner
                corner += self._unseen[: len(piece.queries), : len(piece.queries)].T
        weights -= np.maximum.reduce(weights, 2, keepdims=True)
        np.exp(weights, out=weights)
        total = weights @ self._ones[: weights.shape[2], None]  # (N, heads, 1)
        for piece in group.pieces:
            np.matmul(piece.weights, piece.values[index], out=piece.attended)
        attended = group.attended
        attended /= total

    def _bounds(self, num_rows: int) -> list[int]:
        """Where rows are cut into equal parts of about so many that the gated layer's memory stays in the cache. Many rows in a product are worth more than that."""
        num_parts = max(1, round(num_rows / self._mlp_rows))
        size = rounded_up(-(-num_rows // num_parts), _MULTIPLE)
        return [*range(0, num_rows, size), num_rows]

    def _mlp(self, layer: _Layer, normed: np.ndarray, added: np.ndarray) -> None:
        """Writes to `added` (n, hidden) what the gated layer gives for `normed`. Its weights give both the gate and the other half less than nothing."""
        inner = layer.gate_up.shape[2]
        # each contiguous: of interleaved ones numpy makes copies before it writes to one
        gate, up = self._of("gate_up", 2 * len(normed), inner).reshape(2, -1, inner)
        _multiply(normed, layer.gate_up[0], gate)
        _multiply(normed, layer.gate_up[1], up)
        up *= gate
        np.exp(gate, out=gate)
        gate += 1
        up /= gate
        _multiply(up, layer.down, added)

    def _normed(self, hidden: np.ndarray, normed: np.ndarray) -> np.ndarray:
        """RMS norm without its weights, which are in the matrix that comes next; written to `normed`."""
        squares = np.einsum("nh,nh->n", hidden, hidden)
        return np.multiply(hidden, (1 / np.sqrt(squares / self._hidden + self._epsilon))[:, None], out=normed)

    def _of(self, name: str, num_rows: int, width: int) -> np.ndarray:
        """Memory for so many numbers, with what was left there."""
        size, memory = num_rows * width, self._memory.__dict__
        if name not in memory or memory[name].size < size:
            memory[name] = np.empty(max(size, _LARGE) if size > _LARGE // 16 else size, np.float32)
        return memory[name][:size].reshape(num_rows, width)


def _halved(placed: list[_Placed]) -> tuple[list[_Placed], list[_Placed]]:
    """Two halves of about the same work; one run may have its begin in the first and the rest in the second."""
    left, index = sum(_cost(run) for run, _ in placed) / 2, 0
    while left >= _cost(placed[index][0]):
        left -= _cost(placed[index][0])
        index += 1
    run, start = placed[index]
    num_plain = len(run.ids) - run.num_wanted
    cut = int(left if left <= num_plain else num_plain + (left - num_plain) / (1 + _LOGITS_COST))
    cut -= cut % _MULTIPLE
    begin = [(Run(run.cache, run.ids[:cut], max(0, cut - num_plain)), start)] if cut else []
    rest = Run(run.cache, run.ids[cut:], min(run.num_wanted, len(run.ids) - cut)), start + cut
    return [*placed[:index], *begin], [rest, *placed[index + 1 :]]


def _cost(run: Run) -> float:
    """In tokens without logits."""
    return len(run.ids) + _LOGITS_COST * run.num_wanted


def _multiply(rows: np.ndarray, weight: np.ndarray, out: np.ndarray) -> np.ndarray:
    """rows (n, K) by weight (K, N), written to `out` (n, N). Few rows are multiplied by strips of the weight that are small enough for no copy to be made of them."""
    (num_rows, width), num_columns = rows.shape, weight.shape[1]
    if not 1 < num_rows <= _NUM_SMALL:
        return np.matmul(rows, weight, out=out)
    num_strips = _num_strips(num_rows * width, num_columns)
    strips = weight.reshape(width, num_strips, -1).transpose(1, 0, 2)
    np.matmul(rows, strips, out=out.reshape(num_rows, num_strips, -1).transpose(1, 0, 2))
    return out


@functools.cache
def _num_strips(size: int, num_columns: int) -> int:
    """Into how many equal strips a weight is cut for rows of so many numbers."""
    return next(
        number
        for number in range(1, num_columns + 1)
        if num_columns % number == 0 and size * num_columns <= _SMALL * number
    )


def _second_cache() -> int:
    """Bytes of a core's second cache; 512 KiB where the system does not tell."""
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text("ascii")
    except OSError:
        size = ""
    return int(size[:-2]) * 2**10 if re.fullmatch(r"\d+K\n", size) else 2**19


def _padded(rows: list[int]) -> list[int]:
    """With zeros up to a number of rows that matrix products are fast for; one row stays alone."""
    return rows if len(rows) == 1 else rows + [0] * (-len(rows) % _MULTIPLE)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as float32; numpy has no bfloat16, which is the first half of a float32.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or holds another type.
    """
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    body = memoryview(data)[8 + size :]
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        match entry["dtype"]:
            case "BF16":
                flat = (np.frombuffer(body[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32)
            case "F32" | "F16" as kind:
                flat = np.frombuffer(body[begin:end], {"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32)
            case other:
                raise ValueError(f"{name} is {other}")
        found[name] = flat.reshape(entry["shape"])
    return found
