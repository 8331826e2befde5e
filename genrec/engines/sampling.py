"""Draws the next token. Top-p without a sort of the whole vocabulary: only tokens near the likeliest one can be in the nucleus."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

import numpy as np

from genrec.schema import Sampling

_NEAR = 1e-3  # of the likeliest token's probability; a nucleus of 0.9 has rarely a token below


def draw(logits: np.ndarray, sampling: Sampling, generator: Random, written: Sequence[int]) -> int:
    """The id of the next token, drawn from `logits` (V,) with temperature, top-k and top-p; temperature 0 takes the likeliest.

    `written` holds the ids of the reply so far: the repetition penalty (CTRL, arXiv 1909.05858) applies to them
    alone, since a recommender must be free to repeat titles from its prompt.
    """
    if sampling.repetition_penalty != 1.0 and written:
        logits, said = logits.copy(), list(set(written))
        seen = logits[said]
        logits[said] = np.where(seen > 0, seen / sampling.repetition_penalty, seen * sampling.repetition_penalty)
    if sampling.temperature < 1e-4:  # dividing by less would overflow
        return int(logits.argmax())
    probabilities, ids = nucleus(logits / sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k)
    place = int(probabilities.cumsum().searchsorted(generator.random(), side="right"))
    return int(ids[min(place, len(ids) - 1)])


def draw_near(
    values: np.ndarray,
    ids: np.ndarray,
    scale: float,
    rest: float,
    sampling: Sampling,
    generator: Random,
    banned: frozenset[int],
) -> int | None:
    """As `draw` where only the likeliest tokens are known: their logits `values` (K,) in falling order, their `ids` (K,), the log-sum-exp `scale`
    of all logits, and the probability `rest` of all other tokens. None, and nothing is taken from the generator, where these might matter.
    """
    if sampling.repetition_penalty != 1.0 or sampling.temperature > 1:
        return None
    lowest = float(values[-1])
    if banned and (found := banned.intersection(ids.tolist())):
        is_free = ~np.isin(ids, list(found))
        values, ids = values[is_free], ids[is_free]
        if not len(ids):
            return None
    if sampling.temperature < 1e-4:
        return int(ids[0])
    if sampling.top_k > len(ids):
        return None
    scaled = values / np.float32(sampling.temperature)
    # Python's own from here on: numpy's searches let other threads go first, which takes longer than the search among 256
    weights = np.exp(scaled - scaled[0]).tolist()
    sums = list(accumulate(weights[: sampling.top_k or None]))
    least = most = 0.0
    if not sampling.top_k:
        # No token of the rest is likelier than the last known one, so that a colder draw makes their sum smaller by at least as much as its weight.
        first = float(values[0])
        most = rest * math.exp(scale - first + (lowest - first) * (1 / sampling.temperature - 1))
        least = most if sampling.temperature == 1 and not banned else 0.0
    num_kept = bisect_left(sums, sampling.top_p * (sums[-1] + most)) + 1
    if num_kept > len(sums) or num_kept != bisect_left(sums, sampling.top_p * (sums[-1] + least)) + 1:
        return None
    place = bisect_right(sums, generator.random() * sums[num_kept - 1], hi=num_kept)
    return int(ids[min(place, num_kept - 1)])


def nucleus(logits: np.ndarray, *, top_p: float, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest set of likeliest tokens whose probability reaches `top_p` (arXiv 1904.09751), at most `top_k` of them.

    Returns probabilities that sum to 1, in falling order, and the token ids; both (num_kept,).
    """
    weights = logits - logits.max()
    np.exp(weights, out=weights)  # (V,), the likeliest has 1
    near = (weights > _NEAR).nonzero()[0]
    total = weights.sum(dtype=np.float64)
    if (top_k > len(near)) if top_k else weights[near].sum(dtype=np.float64) < top_p * total:
        near = np.arange(len(weights))  # a flat distribution: sort all that may be kept
    ids = near[np.argsort(-weights[near], kind="stable")]
    if top_k:  # as in transformers, top-p applies to what top-k has left
        ids = ids[:top_k]
        total = weights[ids].sum(dtype=np.float64)
    kept = weights[ids].astype(np.float64)
    num_kept = max(1, int(kept.cumsum().searchsorted(top_p * total, side="left")) + 1)
    kept, ids = kept[:num_kept], ids[:num_kept]
    return kept / kept.sum(), ids
