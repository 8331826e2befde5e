"""What stands between the matrix products of a layer of Llama's family, as five kernels in Triton instead of some fifteen of PyTorch's.

With one token a sequence each of them takes little longer than its start, about 2 µs. Sums are taken in float32. Triton comes with PyTorch for CUDA.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_NUM_PARTS = 8  # of a sequence: with one chat and 8 heads of keys, 64 of an H100's 132 processors read


def add_norm(hidden: torch.Tensor, added: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMS norm of `hidden` + `added`, (N, hidden); the sum takes the place of `hidden`."""
    num_rows, size = hidden.shape
    normed = torch.empty_like(hidden)
    _add_norm[num_rows,](hidden, added, weight, normed, size, epsilon, BLOCK=triton.next_power_of_2(size))
    return normed


def turn(
    heads: torch.Tensor,
    cosines: torch.Tensor,
    sines: torch.Tensor,
    positions: torch.Tensor,
    places: torch.Tensor,
    head_norm: torch.Tensor | None,
    stored: torch.Tensor,
    epsilon: float,
) -> None:
    """Turns queries and keys of `heads` (N, all heads, D) by their positions (N,), after `head_norm` (query and key heads, D) where there is one. Keys and
    values go to `places` (N,) of `stored` (T, 2 * num_kv, D), queries stay where they are. Tables (P, 1, D) as LeanDecoder's."""
    num_tokens, num_all, size = heads.shape
    num_kv = stored.shape[1] // 2
    norm = heads if head_norm is None else head_norm
    num_heads = num_all - 2 * num_kv
    _turn[num_tokens, num_all](heads, cosines, sines, positions, places, norm, stored, num_heads, num_kv, epsilon, SIZE=size, HAS_NORM=head_norm is not None)  # fmt: skip


def gate(gate_up: torch.Tensor) -> torch.Tensor:
    """SiLU of the first half of (N, 2 * inner) times the second, (N, inner)."""
    num_rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    gated = gate_up.new_empty(num_rows, size)
    _gate[num_rows, triton.cdiv(size, 1024)](gate_up, gated, size, BLOCK=1024)
    return gated


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, starts: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """What one new token of each sequence sees, (S, num_heads, D): queries (S, num_heads, D) over `lengths` (S,) keys and values from `starts` on, both (T, num_kv, D) and
    strided alike. A sequence is read in parts at once, whose sums are then joined (Flash-Decoding)."""
    num_sequences, num_heads, size = queries.shape
    num_kv = keys.shape[1]
    parts = queries.new_empty((num_sequences, num_heads, _NUM_PARTS, size), dtype=torch.float32)
    sums = queries.new_empty((num_sequences, num_heads, _NUM_PARTS, 2), dtype=torch.float32)
    seen = queries.new_empty((num_sequences, num_heads, size))
    group = num_heads // num_kv
    rows = max(16, triton.next_power_of_2(group))  # a matrix unit takes no fewer
    _attend_part[num_sequences, num_kv, _NUM_PARTS](queries, keys, values, starts, lengths, parts, sums, queries.stride(0), keys.stride(0), num_heads, group, size**-0.5, SIZE=size, ROWS=rows, BLOCK=64, NUM_PARTS=_NUM_PARTS)  # fmt: skip
    _join[num_sequences * num_heads,](parts, sums, seen, SIZE=size, NUM_PARTS=_NUM_PARTS)
    return seen


@triton.jit(do_not_specialize_on_alignment=["starts", "lengths"])
def _attend_part(
    queries, keys, values, starts, lengths, parts, sums, query_stride, key_stride, num_heads, group, scale,
    SIZE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, NUM_PARTS: tl.constexpr,
):  # fmt: skip
    sequence, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + sequence)
    blocks = tl.cdiv(tl.cdiv(length, BLOCK), NUM_PARTS)  # of a part
    begin = part * blocks * BLOCK
    end = tl.minimum(begin + blocks * BLOCK, length)
    rows, columns, within = tl.arange(0, ROWS), tl.arange(0, SIZE), tl.arange(0, BLOCK)
    heads = kv * group + rows
    is_head = rows < group
    at = sequence * query_stride + heads[:, None] * SIZE + columns[None, :]
    query = tl.load(queries + at, is_head[:, None], 0.0)
    first = tl.load(starts + sequence).to(tl.int64) * key_stride + kv * SIZE
    highest = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    seen = tl.zeros([ROWS, SIZE], tl.float32)
    for block in range(begin, end, BLOCK):
        is_in = block + within < end
        places = first + (block + within)[:, None].to(tl.int64) * key_stride + columns[None, :]
        key = tl.load(keys + places, is_in[:, None], 0.0)
        value = tl.load(values + places, is_in[:, None], 0.0)
        scores = tl.where(is_in[None, :], tl.dot(query, tl.trans(key)) * scale, -1e30)
        higher = tl.maximum(highest, tl.max(scores, 1))
        shrunk = tl.exp(highest - higher)
        weights = tl.where(is_in[None, :], tl.exp(scores - higher[:, None]), 0.0)
        total = total * shrunk + tl.sum(weights, 1)
        seen = seen * shrunk[:, None] + tl.dot(weights.to(value.dtype), value)
        highest = higher
    target = (sequence * num_heads + heads) * NUM_PARTS + part
    tl.store(parts + target[:, None] * SIZE + columns[None, :], seen, is_head[:, None])
    tl.store(sums + target * 2, highest, is_head)
    tl.store(sums + target * 2 + 1, total, is_head)


@triton.jit
def _join(parts, sums, seen, SIZE: tl.constexpr, NUM_PARTS: tl.constexpr):
    row = tl.program_id(0)
    part, columns = tl.arange(0, NUM_PARTS), tl.arange(0, SIZE)
    at = row * NUM_PARTS + part
    highest, total = tl.load(sums + at * 2), tl.load(sums + at * 2 + 1)
    weights = tl.exp(highest - tl.max(highest, 0))
    values = tl.load(parts + at[:, None] * SIZE + columns[None, :])
    joined = tl.sum(values * weights[:, None], 0) / tl.sum(total * weights, 0)
    tl.store(seen + row * SIZE + columns, joined.to(seen.dtype.element_ty))


@triton.jit
def _add_norm(hidden, added, weight, normed, size, epsilon, BLOCK: tl.constexpr):
    columns = tl.arange(0, BLOCK)
    is_in = columns < size
    at = tl.program_id(0) * size + columns
    total = tl.load(hidden + at, is_in, 0.0).to(tl.float32) + tl.load(added + at, is_in, 0.0).to(tl.float32)
    rounded = total.to(hidden.dtype.element_ty)
    tl.store(hidden + at, rounded, is_in)
    row = rounded.to(tl.float32)
    row = row * tl.rsqrt(tl.sum(row * row) / size + epsilon)
    tl.store(
        normed + at, (row * tl.load(weight + columns, is_in, 0.0).to(tl.float32)).to(normed.dtype.element_ty), is_in
    )


@triton.jit(do_not_specialize_on_alignment=["positions", "places"])
def _turn(
    heads, cosines, sines, positions, places, norm, stored, num_heads, num_kv, epsilon,
    SIZE: tl.constexpr, HAS_NORM: tl.constexpr,
):  # fmt: skip
    token, head = tl.program_id(0), tl.program_id(1)
    half: tl.constexpr = SIZE // 2
    columns = tl.arange(0, half)
    source = heads + (token * (num_heads + 2 * num_kv) + head) * SIZE + columns
    first, second = tl.load(source).to(tl.float32), tl.load(source + half).to(tl.float32)
    if head < num_heads + num_kv:
        if HAS_NORM:
            scale = tl.rsqrt((tl.sum(first * first) + tl.sum(second * second)) / SIZE + epsilon)
            first = first * scale * tl.load(norm + head * SIZE + columns).to(tl.float32)
            second = second * scale * tl.load(norm + head * SIZE + half + columns).to(tl.float32)
        at = tl.load(positions + token) * SIZE + columns
        cosine = tl.load(cosines + at).to(tl.float32)  # both halves of a row are alike
        sine = tl.load(sines + at + half).to(tl.float32)
        first, second = first * cosine - second * sine, second * cosine + first * sine
    if head < num_heads:
        tl.store(source, first.to(heads.dtype.element_ty))
        tl.store(source + half, second.to(heads.dtype.element_ty))
    else:
        target = stored + (tl.load(places + token) * (2 * num_kv) + head - num_heads) * SIZE + columns
        tl.store(target, first.to(stored.dtype.element_ty))
        tl.store(target + half, second.to(stored.dtype.element_ty))


@triton.jit
def _gate(gate_up, gated, size, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_in = columns < size
    left = tl.load(gate_up + row * 2 * size + columns, is_in, 0.0).to(tl.float32)
    right = tl.load(gate_up + row * 2 * size + size + columns, is_in, 0.0).to(tl.float32)
    tl.store(gated + row * size + columns, (left * tl.sigmoid(left) * right).to(gated.dtype.element_ty), is_in)
