"""Runs a causal model of transformers over keys and values that are kept by sequence: the next logits of many sequences in one forward. The bundled writer has a
decoder of its own (`plain.py`), which needs no torch.

`LeanDecoder` computes Llama's family (Llama, Mistral, Qwen2, Qwen3) itself: projections are fused, a step over small matrices is a few dozen calls
of torch, and sequences of different lengths stand side by side without padding ("ragged": each token is a row of the matrix products, each sequence
attends alone). `ModuleDecoder` runs any other model through its own transformers module, sequence by sequence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from genrec.engines.runs import Cache, Decoder, FarLogits, Run, rounded_up

_LOG = logging.getLogger(__name__)
_SMALL = 2**28  # bytes of weights that may stand in memory twice


class LeanDecoder:
    """A model of Llama's family. After an error in `forward` the caches are as before it."""

    can_batch = can_share = True
    width = num_threads = 1

    def __init__(self, model: Any):
        """
        Raises:
            TypeError: the model is of another architecture.
        """
        if not _is_known(model):
            raise TypeError(f"{type(model).__name__} has parts that this decoder does not compute.")
        config = model.config
        self.device, self.dtype = model.device, model.dtype
        self._head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._num_heads, self._num_kv = config.num_attention_heads, config.num_key_value_heads
        self._epsilon = config.rms_norm_eps
        self._rotary = model.model.rotary_emb
        is_shared = sum(one.numel() * one.element_size() for one in model.parameters()) > _SMALL
        with torch.inference_mode():
            self._layers = [_Layer.of(layer, self._num_heads, self._num_kv, is_shared) for layer in model.model.layers]
            self._embedding, self._norm = model.model.embed_tokens.weight, model.model.norm.weight
            head = model.lm_head.weight.t()  # (hidden, V)
            self._head = head if is_shared or self.device.type == "cuda" else head.contiguous()
            self._cosines, self._sines = self._turns(0)
        self.bytes_per_token = 2 * len(self._layers) * self._num_kv * self._head_dim * self._embedding.element_size()

    def new_cache(self, num_tokens: int) -> Cache:
        capacity = rounded_up(num_tokens)
        shape = (2 * self._num_kv, capacity, self._head_dim)  # keys, then values
        return Cache(capacity, [torch.empty(shape, dtype=self.dtype, device=self.device) for _ in self._layers])

    def share(self, source: Cache, num_shared: int, target: Cache) -> None:
        """Copies the first tokens of one sequence to another."""
        for old, new in zip(source.state, target.state, strict=True):
            new[:, :num_shared].copy_(old[:, :num_shared])
        target.ids, target.scores = list(source.ids), dict(source.scores)
        target.cut(num_shared)

    @torch.inference_mode()
    def forward(self, runs: list[Run]) -> np.ndarray | FarLogits:
        """The logits of all runs, float32 (num_wanted of all, V); their tokens are then in their caches."""
        # N tokens of all runs, D head size; heads of queries, keys and values lie side by side
        spans, begin = [], 0
        positions: list[int] = []
        wanted: list[int] = []
        for run in runs:
            start, end = len(run.cache.ids), begin + len(run.ids)
            spans.append((begin, end, start, _causal_mask(len(run.ids), start, self.device)))
            positions += range(start, start + len(run.ids))
            wanted += range(end - run.num_wanted, end)
            begin = end
        if max(positions) >= len(self._cosines):
            self._cosines, self._sines = self._turns(max(positions))
        ids = torch.tensor([id for run in runs for id in run.ids], device=self.device)

        def attend(index: int, heads: torch.Tensor) -> torch.Tensor:
            attended = [
                self._attend(heads[begin:end], run.cache.state[index], start, mask)
                for run, (begin, end, start, mask) in zip(runs, spans)
            ]
            return attended[0] if len(runs) == 1 else torch.cat(attended)

        last = self._read(ids, torch.tensor(positions, device=self.device), attend)
        if len(wanted) < len(ids):
            last = last[wanted]
        logits = torch.mm(last, self._head).float().cpu()  # one transfer for all
        for run in runs:
            run.cache.ids += run.ids
        return logits.numpy()

    def _read(
        self, ids: torch.Tensor, positions: torch.Tensor, attend: Callable[[int, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """What the layers make of N tokens, normed, (N, hidden). `attend` gives what a layer's tokens see, (N, num_heads * D), from its index and their heads (N, all heads, D)."""
        cosines, sines = self._cosines[positions], self._sines[positions]  # (N, 1, D)
        num_rotated = self._num_heads + self._num_kv
        hidden = self._embedding[ids]  # (N, hidden)
        for index, layer in enumerate(self._layers):
            heads = layer.qkv(self._normed(hidden, layer.input_norm)).view(len(ids), -1, self._head_dim)
            rotated = heads[:, :num_rotated]
            if layer.head_norm is not None:
                rotated = self._normed(rotated, None) * layer.head_norm
            turned = rotated.roll(self._head_dim // 2, -1).mul_(sines)
            torch.addcmul(turned, rotated, cosines, out=heads[:, :num_rotated])
            hidden = torch.add(hidden, layer.out(attend(index, heads)))
            gate, up = layer.gate_up(self._normed(hidden, layer.mlp_norm)).chunk(2, 1)
            hidden = torch.add(hidden, layer.down(F.silu(gate).mul_(up)))
        return self._normed(hidden, self._norm)

    def _attend(self, heads: torch.Tensor, stored: torch.Tensor, start: int, mask: torch.Tensor | None) -> torch.Tensor:
        """What one sequence's new tokens see, (n, num_heads * D), from their `heads` (n, all heads, D) and the keys and values `stored` before them."""
        num_new, end = len(heads), start + len(heads)
        stored.narrow(1, start, num_new).copy_(heads[:, self._num_heads :].transpose(0, 1))
        seen = stored.narrow(1, 0, end)
        attended = F.scaled_dot_product_attention(
            heads[:, : self._num_heads].transpose(0, 1)[None],
            seen[None, : self._num_kv],
            seen[None, self._num_kv :],
            attn_mask=mask,
            enable_gqa=self._num_kv < self._num_heads,
        )
        return attended[0].transpose(0, 1).reshape(num_new, -1)

    def _normed(self, hidden: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        return F.rms_norm(hidden, (hidden.shape[-1],), weight, self._epsilon)

    def _turns(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rotary embedding's cosines and sines (P, 1, D) for positions up to the next power of two. The first half of the sines is negative: what
        is turned is the vector with its halves exchanged."""
        size = 2 ** max(10, (position + 1).bit_length())
        cosines, sines = self._rotary(self._embedding, torch.arange(size, device=self.device)[None])
        half = self._head_dim // 2
        return cosines[0][:, None], torch.cat((-sines[0][:, None, :half], sines[0][:, None, half:]), -1)


class ModuleDecoder:
    """Any causal model, through its own module and cache. A sequence that failed cannot go on."""

    can_batch = can_share = False
    width = num_threads = 1

    def __init__(self, model: Any):
        self._model = model
        config = model.config.get_text_config()
        num_heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", 1)
        size = getattr(config, "head_dim", None) or config.hidden_size // getattr(config, "num_attention_heads", 1)
        self.bytes_per_token = 2 * config.num_hidden_layers * num_heads * size * model.dtype.itemsize

    def new_cache(self, num_tokens: int) -> Cache:
        from transformers import DynamicCache

        return Cache(num_tokens, DynamicCache(config=self._model.config))

    def share(self, source: Cache, num_shared: int, target: Cache) -> None:
        raise NotImplementedError("Caches of some architectures forget their first tokens.")

    @torch.inference_mode()
    def forward(self, runs: list[Run]) -> np.ndarray:
        """As LeanDecoder's, for one run."""
        (run,) = runs
        ids = torch.tensor([run.ids], device=self._model.device)
        output = self._model(
            input_ids=ids, past_key_values=run.cache.state, use_cache=True, logits_to_keep=max(1, run.num_wanted)
        )
        run.cache.ids += run.ids
        return output.logits[0, len(output.logits[0]) - run.num_wanted :].float().cpu().numpy()


def decoder_for(model: Any, faster: Sequence[Callable[[Any], LeanDecoder]] = ()) -> Decoder:
    """The first of `faster` and the lean decoder that knows the model and finds what the model itself finds; else the model's own module."""
    ids = torch.arange(24, device=model.device) * 7919 % model.config.vocab_size
    for kind in (*faster, LeanDecoder):
        decoder = None  # gives its memory back
        try:
            decoder = kind(model)
            found = _found(decoder, ids.tolist())
        # an unknown architecture, or whatever a card, a PyTorch or a Triton without a compiler say
        except Exception as error:
            level = logging.INFO if isinstance(error, TypeError) else logging.WARNING
            _LOG.log(level, "A decoder is not used: %s", error)
            continue
        with torch.inference_mode():
            wanted = model(input_ids=ids[None], use_cache=False).logits[0].float().cpu().numpy()
        # Rounding is 1e-5 of the spread in float32; in bfloat16 0.02 over 36 layers, and 0.044 was seen in a Qwen3-4B with random weights. A part
        # that is not computed shows as 0.1 or more.
        tolerance = (1e-3 if decoder.dtype == torch.float32 else 8e-2) * float(wanted.std())
        difference = float(np.sqrt(np.square(found - wanted).mean()))
        if difference <= tolerance:
            return decoder
        _LOG.warning("A decoder is not used: its logits are off by %.3g of %.3g", difference, tolerance)
    return ModuleDecoder(model)


def _found(decoder: LeanDecoder, ids: list[int]) -> np.ndarray:
    """The logits of all of `ids`, read in three parts."""
    cache, found = decoder.new_cache(len(ids)), []
    for begin, end in ((0, 11), (11, 12), (12, len(ids))):
        logits = decoder.forward([Run(cache, ids[begin:end], end - begin)])
        found += [logits[row] for row in range(end - begin)]
    return np.stack(found)


@dataclass(frozen=True)
class _Projection:
    """Linear layers with the same input as one matrix product."""

    weight: torch.Tensor  # (in, out): on AVX2 a product with one row reads it in order, twice as fast as (out, in)
    bias: torch.Tensor | None

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.mm(rows, self.weight) if self.bias is None else torch.addmm(self.bias, rows, self.weight)

    @classmethod
    def of(cls, *linears: Any, is_shared: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        """The fused weights; with `is_shared` the layers keep views of them instead of weights of their own. Layers in few bits stay apart, as they are."""
        if any(type(linear.weight.data) is not torch.Tensor for linear in linears):
            return lambda rows: torch.cat([linear(rows) for linear in linears], 1)
        weight = torch.cat([linear.weight for linear in linears]).t()
        if weight.device.type != "cuda":  # cuBLAS takes it as it stands
            weight = weight.contiguous()
        biases = [linear.bias for linear in linears if linear.bias is not None]
        if is_shared:
            parts = weight.split([linear.out_features for linear in linears], 1)
            for linear, part in zip(linears, parts, strict=True):
                linear.weight.data = part.t()
        return cls(weight, torch.cat(biases) if biases else None)


@dataclass(frozen=True)
class _Layer:
    input_norm: torch.Tensor
    qkv: Callable[[torch.Tensor], torch.Tensor]
    head_norm: torch.Tensor | None  # (query and key heads, D), Qwen3's
    out: Callable[[torch.Tensor], torch.Tensor]
    mlp_norm: torch.Tensor
    gate_up: Callable[[torch.Tensor], torch.Tensor]
    down: Callable[[torch.Tensor], torch.Tensor]

    @classmethod
    def of(cls, layer: Any, num_heads: int, num_kv: int, is_shared: bool) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        head_norm = None
        if hasattr(attention, "q_norm"):
            norms = (attention.q_norm.weight.expand(num_heads, -1), attention.k_norm.weight.expand(num_kv, -1))
            head_norm = torch.cat(norms)
        return cls(
            layer.input_layernorm.weight,
            _Projection.of(attention.q_proj, attention.k_proj, attention.v_proj, is_shared=is_shared),
            head_norm,
            _Projection.of(attention.o_proj, is_shared=is_shared),
            layer.post_attention_layernorm.weight,
            _Projection.of(mlp.gate_proj, mlp.up_proj, is_shared=is_shared),
            _Projection.of(mlp.down_proj, is_shared=is_shared),
        )


def _is_known(model: Any) -> bool:
    """Whether every part of the model is one that LeanDecoder computes."""
    from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

    config = model.config
    return (
        type(model) in (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
        and config.hidden_act == "silu"
        and getattr(model.model.rotary_emb, "rope_type", "") in ("default", "linear", "llama3", "yarn")
        and not _slides(config)
        and all(type(part).__name__ != "Linear" or type(part) is torch.nn.Linear for part in model.modules())
        and not hasattr(model, "hf_quantizer")
    )


def _slides(config: Any) -> bool:
    """Whether a layer forgets what lies far back."""
    if layer_types := getattr(config, "layer_types", None):
        return any(kind != "full_attention" for kind in layer_types)
    return bool(getattr(config, "sliding_window", None))


def _causal_mask(num_new: int, start: int, device: Any) -> torch.Tensor | None:
    """Which of `start` + `num_new` tokens each new one sees, bool (num_new, start + num_new); None where it is all."""
    if num_new == 1:
        return None
    return torch.ones(num_new, start + num_new, dtype=torch.bool, device=device).tril(start)
