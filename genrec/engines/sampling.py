"""Draws the next token. Top-p without a sort of the whole vocabulary (a nucleus is nearly always within the 256 likeliest)."""

from __future__ import annotations

import torch

from genrec.schema import Sampling

_NUCLEUS = 256


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator, written: torch.Tensor) -> int:
    """The id of the next token, drawn from `logits` (V,) with temperature, top-k and top-p; temperature 0 takes the likeliest.

    `written` (N,) holds the ids of the reply so far: the repetition penalty (CTRL, arXiv 1909.05858) applies to them
    alone, since a recommender must be free to repeat titles from its prompt.
    """
    logits = logits.float()
    if sampling.repetition_penalty != 1.0 and len(written):
        seen = logits[written]
        logits = logits.clone()
        logits[written] = torch.where(seen > 0, seen / sampling.repetition_penalty, seen * sampling.repetition_penalty)
    if sampling.temperature < 1e-4:  # dividing by less would overflow
        return int(logits.argmax())
    probabilities, ids = nucleus(logits / sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k)
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])


def nucleus(logits: torch.Tensor, *, top_p: float, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest set of likeliest tokens whose probability reaches `top_p` (arXiv 1904.09751), at most `top_k` of them.

    Returns probabilities that sum to 1, in falling order, and the token ids, on the processor; both (num_kept,).
    """
    limit = min(top_k or len(logits), len(logits))
    size = limit if top_k else min(_NUCLEUS, limit)
    values, ids = torch.topk(logits, size)
    probabilities = torch.exp(values - torch.logsumexp(logits, 0))
    if float(probabilities.sum()) < top_p and size < limit:  # a flat distribution: sort all that may be kept
        values, ids = torch.topk(logits, limit)
        probabilities = torch.exp(values - torch.logsumexp(logits, 0))
    if top_k:  # as in transformers, top-p applies to what top-k has left
        probabilities = probabilities / probabilities.sum()
    before = probabilities.cumsum(0) - probabilities
    num_kept = max(1, int((before < top_p).sum()))
    kept = probabilities[:num_kept].cpu()
    return kept / kept.sum(), ids[:num_kept].cpu()
