"""Trains BERT classifiers of several soft labels on token ids that stay on the device: a masked-LM phase, fine-tuning, and the log-odds of texts.

Nothing here knows what the labels mean; `genrec/train/toxicity.py` reads the rows, chooses teachers and student and writes the model. A
training lasts a given time or number of steps: the learning rate falls to zero over it, and the model is left with the moving average of its weights.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

logger = logging.getLogger(__name__)

_WARM_UP_STEPS, _WARM_UP_SHARE = 60, 0.05  # whichever is longer
_CUT_SHARE = 0.3


@dataclass(frozen=True)
class Shape:
    """The size of a BERT."""

    vocabulary: int = 16_384
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    intermediate: int = 512
    max_tokens: int = 60
    dropout: float = 0.0


@dataclass(frozen=True)
class Tokens:
    """Texts as token ids with [CLS] and [SEP], int64 (num_texts, max_tokens) on the device, and how many of them are no padding."""

    ids: torch.Tensor
    lengths: np.ndarray
    special: tuple[int, int, int, int]  # [PAD], [CLS], [SEP], [MASK]
    num_pieces: int

    @classmethod
    def read(cls, texts: Sequence[str], tokenizer: Tokenizer, *, max_tokens: int, device: torch.device) -> Tokens:
        """The texts cut to `max_tokens`."""
        tokenizer.enable_truncation(max_tokens)
        tokenizer.no_padding()
        found = tokenizer.encode_batch_fast(list(texts))
        special = tuple(tokenizer.token_to_id(piece) for piece in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"))
        lengths = np.array([len(one.ids) for one in found])
        ids = np.full((len(found), max_tokens), special[0], np.int64)
        for row, one in zip(ids, found, strict=True):
            row[: len(one.ids)] = one.ids
        return cls(torch.from_numpy(ids).to(device), lengths, special, tokenizer.get_vocab_size())  # type: ignore[arg-type]

    def batches(
        self, weights: np.ndarray, batch_size: int, rng: np.random.Generator
    ) -> Iterator[tuple[torch.Tensor, int]]:
        """Row numbers of one epoch on the device, (batch_size,), with the length of the longest; a row of weight 1.5 comes once or twice.

        Texts of similar length stand together, in an order that `rng` draws.
        """
        rows = np.repeat(np.arange(len(weights)), np.floor(weights + rng.random(len(weights))).astype(int))
        rng.shuffle(rows)
        stretch = batch_size * 50
        ordered = [
            part[np.argsort(self.lengths[part], kind="stable")]
            for part in np.split(rows, range(stretch, len(rows), stretch))
        ]
        starts = [(part, start) for part in ordered for start in range(0, len(part), batch_size)]
        rng.shuffle(starts)  # type: ignore[arg-type]
        plan = [part[start : start + batch_size] for part, start in starts]
        flat = torch.from_numpy(np.concatenate(plan)).to(self.ids.device)
        position = 0
        for part in plan:
            yield flat[position : position + len(part)], int(self.lengths[part].max())
            position += len(part)


def best_device() -> torch.device:
    """The first CUDA device where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def new_model(shape: Shape, labels: Sequence[str], pad_token_id: int) -> BertForSequenceClassification:
    """An untrained classifier."""
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.max_tokens,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type="multi_label_classification",
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        pad_token_id=pad_token_id,
    )
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=_attention())


def trained_model(
    config: Path, state: Mapping[str, torch.Tensor], device: torch.device
) -> BertForSequenceClassification:
    """A classifier of the shape in the file `config` with the weights `state`, in float32."""
    model = AutoModelForSequenceClassification.from_config(
        BertConfig.from_json_file(config), attn_implementation=_attention()
    )
    model.load_state_dict(state)
    nn.Module.to(model, device)  # its own annotation takes no device
    return model


def _attention() -> str:
    """The fused one took twice the time of the plain one on a processor."""
    return "sdpa" if torch.cuda.is_available() else "eager"


def pretrain(
    model: BertForSequenceClassification,
    tokens: Tokens,
    weights: np.ndarray,
    *,
    seconds: float,
    batch_size: int,
    learning_rate: float,
    seed: int,
    num_steps: int | None = None,
) -> int:
    """Give `model` the encoder that a masked-LM phase over the texts has trained (Devlin et al. 2019); returns the number of steps."""
    device = tokens.ids.device
    whole = AutoModelForMaskedLM.from_config(model.config, attn_implementation=_attention()).to(device)
    pad, cls, sep, mask = tokens.special

    def loss(rows: torch.Tensor, longest: int) -> torch.Tensor:
        ids = tokens.ids[rows, :longest]
        chance = torch.rand(ids.shape, device=device).masked_fill((ids == pad) | (ids == cls) | (ids == sep), -1.0)
        # a fixed number of places a batch, so that no count has to be fetched from the device
        chosen = chance.flatten().topk(max(1, ids.numel() // 7)).indices
        truth = ids.flatten()[chosen]
        kept = torch.rand(truth.shape, device=device)
        other = torch.randint(0, tokens.num_pieces, truth.shape, device=device)
        new = torch.where(kept < 0.8, torch.full_like(truth, mask), torch.where(kept < 0.9, other, truth))
        read = ids.flatten().scatter(0, chosen, new).view_as(ids)
        with _autocast(device):
            states = whole.bert(input_ids=read, attention_mask=(ids != pad).long()).last_hidden_state
            found = whole.cls(states.flatten(0, 1)[chosen])
        is_text = (truth != pad) & (truth != cls) & (truth != sep)
        return cross_entropy(found.float(), truth.masked_fill(~is_text, -100))

    averaged, num_done = _train(
        whole, loss, tokens, weights, "masked LM", seconds, num_steps, batch_size, learning_rate, seed
    )
    model.bert.load_state_dict(
        {name.removeprefix("bert."): tensor for name, tensor in averaged.items() if name.startswith("bert.")},
        strict=False,
    )
    return num_done


def fit(
    model: BertForSequenceClassification,
    tokens: Tokens,
    targets: np.ndarray,
    weights: np.ndarray,
    may_cut: np.ndarray,
    *,
    label_weight: Sequence[float],
    name: str,
    seconds: float,
    batch_size: int,
    learning_rate: float,
    seed: int,
    num_steps: int | None = None,
    masked_share: float = 0.05,
    checkpoint: Path | None = None,
) -> int:
    """Train `model` on soft targets in [0, 1], (num_texts, num_labels), NaN where unknown; returns the number of steps.

    5 % of the tokens are masked. 30 % of the texts that `may_cut` are cut short: a benign text stays benign when cut, and the gate reads sentences that a
    writer has only begun; a toxic one may not. The weights so far go to `checkpoint` every 30 s.
    """
    device = tokens.ids.device
    nn.Module.to(model, device)  # its own annotation takes no device
    truth = torch.from_numpy(targets.astype(np.float32)).to(device)
    cuttable = torch.from_numpy(may_cut & (tokens.lengths > 6)).to(device)
    lengths = torch.from_numpy(tokens.lengths).to(device)
    by_label = torch.tensor(label_weight, device=device)

    def loss(rows: torch.Tensor, longest: int) -> torch.Tensor:
        ids, seen = noised(tokens.ids[rows, :longest], lengths[rows], cuttable[rows], tokens.special, masked_share)
        with _autocast(device):
            logits = model(input_ids=ids, attention_mask=seen).logits
        return masked_loss(logits.float(), truth[rows], by_label)

    averaged, num_done = _train(
        model, loss, tokens, weights, name, seconds, num_steps, batch_size, learning_rate, seed, checkpoint=checkpoint
    )
    model.load_state_dict(averaged)
    return num_done


def noised(
    ids: torch.Tensor,
    lengths: torch.Tensor,
    may_cut: torch.Tensor,
    special: tuple[int, int, int, int],
    masked_share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, T) with a share of the tokens masked and of the texts that may be cut 30 % cut short, and what is no padding of them, (B, T)."""
    pad, _, sep, mask = special
    places = torch.arange(ids.shape[1], device=ids.device)
    ends = lengths - 1  # where [SEP] stands
    shorter = 3 + (torch.rand(len(ids), device=ids.device) * (ends - 3)).long()
    is_cut = may_cut & (torch.rand(len(ids), device=ids.device) < _CUT_SHARE)
    ends = torch.where(is_cut, shorter, ends)[:, None]
    is_masked = (torch.rand(ids.shape, device=ids.device) < masked_share) & (places > 0)
    ids = torch.where(is_masked, mask, ids)
    ids = torch.where(places == ends, sep, torch.where(places > ends, pad, ids))
    return ids, (places <= ends).long()


def masked_loss(logits: torch.Tensor, labels: torch.Tensor, by_label: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy in nats with soft labels, weighted mean over the labels that are known (not NaN)."""
    known = ~labels.isnan()
    weight = known * by_label
    loss = binary_cross_entropy_with_logits(logits, labels.nan_to_num(0.0), reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def logits(model: BertForSequenceClassification, tokens: Tokens, rows: np.ndarray | None = None) -> np.ndarray:
    """Log-odds of the labels, float32 (num_texts, num_labels), of all texts or of some rows."""
    device = tokens.ids.device
    rows = np.arange(len(tokens.lengths)) if rows is None else rows
    order = np.argsort(tokens.lengths[rows], kind="stable")
    numbers = torch.from_numpy(rows[order]).to(device)
    found = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 1024):
            part = numbers[start : start + 1024]
            ids = tokens.ids[part, : int(tokens.lengths[rows[order[start : start + 1024]]].max())]
            with _autocast(device):
                own = model(input_ids=ids, attention_mask=(ids != tokens.special[0]).long()).logits
            found.append(own.float())
    logits = np.zeros((len(rows), int(model.config.num_labels or 0)), np.float32)
    if found:
        logits[order] = torch.cat(found).cpu().numpy()
    return logits


def _train(
    model: nn.Module,
    loss_of,
    tokens: Tokens,
    weights: np.ndarray,
    name: str,
    seconds: float,
    num_steps: int | None,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[dict[str, torch.Tensor], int]:
    """Train for `seconds`, or exactly `num_steps` where that is given; the moving average of the weights, and the number of steps."""
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": 0.01},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        fused=True,
    )
    averaged = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    moving = [(averaged[key], tensor) for key, tensor in model.state_dict().items() if tensor.is_floating_point()]
    means, current = [mean for mean, _ in moving], [tensor for _, tensor in moving]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    started = saved = time.monotonic()
    step = epoch = 0
    model.train()
    seconds = max(seconds, 0.1)  # a phase without time makes one step
    while True:
        for rows, longest in tokens.batches(weights, batch_size, rng):
            now = time.monotonic()
            done = step / num_steps if num_steps else (now - started) / seconds
            if done >= 1 and step:
                logger.info("%s: %d steps, %d whole epochs in %.0f s", name, step, epoch, now - started)
                return averaged, step
            rate = (
                learning_rate
                * min(1.0, (step + 1) / _WARM_UP_STEPS, (done + 0.001) / _WARM_UP_SHARE)
                * max(0.0, 1 - done)
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_of(rows, longest)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            step += 1
            decay = min(0.997, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(means, current, 1 - decay)
            if step % 500 == 1:
                logger.info("%s: step %d, %.0f %%, loss %.4f", name, step, 100 * done, loss.item())
            if checkpoint and now - saved > 30:
                saved = now
                torch.save({key: tensor.half() for key, tensor in averaged.items()}, checkpoint.with_suffix(".new"))
                checkpoint.with_suffix(".new").replace(
                    checkpoint
                )  # a run that is stopped while it writes keeps the one before
        epoch += 1


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where it is computed in hardware; emulated it is twenty times slower than fp32."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.exists() and any(one in flags.read_text() for one in ("avx512_bf16", "amx_bf16"))
    return torch.autocast("cpu", dtype=torch.bfloat16) if has_bf16 else nullcontext()
