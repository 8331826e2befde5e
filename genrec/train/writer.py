"""Trains the bundled writer: a small Llama that learns to copy facts from a shelf and to phrase them like a person.

The recipe is the one that worked on two cores: Muon on the hidden matrices, AdamW on embeddings and norms, a shelf that grows from one
candidate to three, a constant rate and then a cosine, rows bucketed by length, bf16 autocast. On a GPU the same with larger batches, which
processes of their own compose (`--workers`): there the composing takes longer than the learning. Training resumes from its checkpoint folder. Loss weights: 1 on
the reply, 2 on copied facts, half on a few of the prompt's tokens.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import platform
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from genrec.engines import weakest_stretch
from genrec.engines.local import LocalEngine
from genrec.errors import SettingsError
from genrec.grounding import copied_spans
from genrec.prompt import NUM_CANDIDATES
from genrec.schema import Language
from genrec.text import sentences
from genrec.train.corpus import Corpus, Dialogue

REPOSITORY = Path(__file__).resolve().parents[2]
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['role'] == 'system' %}{{ message['content'].split('\n\n', 1)[-1] }}{% else %}{{ message['content'] }}{% endif %}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WINDOW = 1024
_IGNORE = -100


@dataclass(frozen=True)
class Recipe:
    """What decides the result, written into the card."""

    steps: int = 4000
    seed: int = 1
    start: str = ""  # sha256 of the weights of the writer it goes on from; "" begins with new ones
    vocabulary: int = 6144
    hidden: int = 256
    layers: int = 5
    heads: int = 4
    intermediate: int = 704
    minutes: float = 0.0  # within which the rate has fallen to its end even if not all steps were made; 0 sets no limit
    batch_tokens: int = 3072
    workers: int = 0  # processes that compose the dialogues
    exchanges: int = 4  # that share a system text
    rate: float = 1.0  # share of the two rates below that is the full rate
    muon_rate: float = 0.02
    adam_rate: float = 5e-3  # on embeddings of spread 0.08
    warmup_steps: int = 20
    constant_share: float = 0.2  # of the steps at the full rate; then a cosine to 2 %
    prompt_weight: float = 0.5
    prompt_share: float = 0.15  # of the prompt's tokens that the loss is taken on
    copied_weight: float = 2.0
    one_candidate_until: float = 0.04  # of the steps
    two_candidates_until: float = 0.1
    rope_theta: float = 100_000.0
    threads: int = 2
    tokenizer_dialogues: int = 30_000  # that its pieces are learned from
    held_out_dialogues: int = 200  # that the finished model is measured on


def train_tokenizer(corpus: Corpus, recipe: Recipe) -> PreTrainedTokenizerFast:
    """A byte-level BPE in which a Chinese character and a digit are never merged with their neighbours, so that a copied
    title or year is the same tokens wherever it stands."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    dialogues = itertools.islice(corpus.dialogues(recipe.seed), recipe.tokenizer_dialogues)
    texts = (
        "\n".join([*(message["content"].split("\n\n", 1)[-1] for message in dialogue.messages), dialogue.reply])
        for dialogue in dialogues
    )
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[0], eos_token=SPECIAL[1], additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=WINDOW, chat_template=CHAT_TEMPLATE, clean_up_tokenization_spaces=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One system text and the exchanges that follow it, side by side. All lists have one entry a token.

    A token attends to the system text (branch 0) and to its own branch; positions go on from the system text in every branch, so each
    exchange is what it would be alone. Reading the system text once for several exchanges gives 1.5 to 1.7 times as many reply tokens a second.
    """

    ids: list[int]
    weights: list[float]  # of the loss on predicting this token
    branches: list[int]
    positions: list[int]


def encode(tokenizer: PreTrainedTokenizerFast, dialogues: Sequence[Dialogue], recipe: Recipe) -> Row:
    """The row of dialogues that share their system text; those that would pass the window are left out."""
    row = Row([], [], [], [])
    system = _prompt_ids(tokenizer, dialogues[0].messages[:1], is_asked=False)
    for number, dialogue in enumerate(dialogues, start=1):
        prompt = _prompt_ids(tokenizer, dialogue.messages[1:], is_asked=True)
        reply = tokenizer.backend_tokenizer.encode(dialogue.reply, add_special_tokens=False)
        is_copied = bytearray(len(dialogue.reply) + 1)
        for start, end in dialogue.copied:
            is_copied[start:end] = b"\x01" * (end - start)
        weights = [recipe.copied_weight if is_copied[max(start, end - 1)] else 1.0 for start, end in reply.offsets]
        ids = [*prompt, *reply.ids, tokenizer.eos_token_id]
        weights = [recipe.prompt_weight] * len(prompt) + weights + [1.0]
        if max(len(row.ids), len(system)) + len(ids) > WINDOW:
            continue
        if not row.ids:
            _extend(row, system, [recipe.prompt_weight] * len(system), 0, 0)
        _extend(row, ids, weights, number, len(system))
    return row


def _prompt_ids(tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]], *, is_asked: bool) -> list[int]:
    """Messages as the writer reads them, as `CHAT_TEMPLATE` has it but without the template's cost, which would be a fifth of the composing. The ids of a whole prompt
    are those of its parts one after another."""
    text = ""
    for message in messages:
        role, content = message["role"], message["content"]
        text += f"<|{role}|>" + (content.split("\n\n", 1)[-1] if role == "system" else content) + "<|end|>"
    text += "<|assistant|>" if is_asked else ""
    ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _extend(row: Row, ids: list[int], weights: list[float], branch: int, position: int) -> None:
    row.ids.extend(ids)
    row.weights.extend(weights)
    row.branches.extend([branch] * len(ids))
    row.positions.extend(range(position, position + len(ids)))


def rows(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, *, seed: int, max_candidates: int
) -> Iterator[Row]:
    """Rows without end, each of up to `recipe.exchanges` dialogues."""
    dialogues = corpus.dialogues(
        seed, max_candidates=max_candidates, is_simple=max_candidates == 1, num_exchanges=recipe.exchanges
    )
    for _, group in itertools.groupby(dialogues, key=lambda dialogue: dialogue.messages[0]["content"]):
        row = encode(tokenizer, list(group), recipe)
        if row.ids:
            yield row


def batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, *, seed: int, max_candidates: int
) -> Iterator[Batch]:
    """Batches of about `batch_tokens`, rows of like length together."""
    source = rows(corpus, tokenizer, recipe, seed=seed, max_candidates=max_candidates)
    rng = random.Random(seed)
    while True:
        pool = sorted(itertools.islice(source, max(128, recipe.batch_tokens // 200)), key=lambda row: len(row.ids))
        ready, start = [], 0
        for end in range(1, len(pool) + 1):
            if end == len(pool) or (end + 1 - start) * len(pool[end].ids) > recipe.batch_tokens:
                ready.append(collate(pool[start:end], tokenizer.pad_token_id))
                start = end
        rng.shuffle(ready)
        yield from ready


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length. Int64 (B, T) but for the weights, float32 (B, T)."""

    ids: torch.Tensor
    weights: torch.Tensor  # 0 where padded
    branches: torch.Tensor  # -1 where padded
    positions: torch.Tensor

    def to(self, device: str) -> Batch:
        names = ("ids", "weights", "branches", "positions")
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in names))

    @property
    def may_attend(self) -> torch.Tensor:
        """Bool (B, 1, T, T): to earlier tokens of the system text or of its own branch."""
        length = self.ids.shape[1]
        is_earlier = torch.ones(length, length, dtype=torch.bool, device=self.ids.device).tril()  # (T, T)
        mine, others = self.branches[:, :, None], self.branches[:, None, :]
        return (is_earlier & ((mine == others) | (others == 0)))[:, None]


def collate(rows: Sequence[Row], pad: int) -> Batch:
    length = max(len(row.ids) for row in rows)

    def padded(lists: Iterable[list[Any]], filler: Any) -> torch.Tensor:
        return torch.tensor([one + [filler] * (length - len(one)) for one in lists])

    return Batch(
        padded((row.ids for row in rows), pad),
        padded((row.weights for row in rows), 0.0),
        padded((row.branches for row in rows), -1),
        padded((row.positions for row in rows), 0),
    )


class _Batches(torch.utils.data.IterableDataset):
    """Batches without end; each process that composes has its own seed."""

    def __init__(
        self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, seed: int, max_candidates: int
    ):
        self._compose = lambda seed: batches(corpus, tokenizer, recipe, seed=seed, max_candidates=max_candidates)
        self._seed = seed

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        return self._compose(self._seed + (worker.id + 1) * 1_000_003 if worker else self._seed)


def weighted_loss(model: LlamaForCausalLM, batch: Batch, *, prompt_share: float = 0.0) -> tuple[torch.Tensor, float]:
    """The weighted mean loss in nats, and the plain mean over reply tokens.

    The output head, a fifth of the cost, is computed on the replies and on a random `prompt_share` of the prompts only.
    """
    hidden = (
        model.model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.may_attend, use_cache=False)
        .last_hidden_state[:, :-1]
        .flatten(0, 1)
    )  # (B * (T-1), H)
    is_same_branch = (
        batch.positions[:, 1:] == batch.positions[:, :-1] + 1
    )  # else it opens a branch, and nothing before it foretells it
    shares, targets = (batch.weights[:, 1:] * is_same_branch).flatten(), batch.ids[:, 1:].flatten()
    is_used = (shares >= 1) | ((shares > 0) & (torch.rand_like(shares) < prompt_share))
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[is_used]).float(), targets[is_used], reduction="none"
    )
    shares = shares[is_used]
    reply_loss = float(losses.detach()[shares >= 1].mean())
    return (losses * shares).sum() / shares.sum(), reply_loss


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    torch.optim.Muon iterates in bf16, which a processor without native bf16 computes twenty times slower than fp32; this
    one keeps the parameters' dtype and treats matrices of one shape as a batch.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():
                updates = []
                for weight in weights:
                    assert weight.grad is not None
                    momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                    momentum.lerp_(weight.grad, 1 - group["momentum"])
                    updates.append(weight.grad.lerp(momentum, group["momentum"]))
                for weight, update in zip(weights, orthogonalise(torch.stack(updates)), strict=True):
                    scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


@torch.no_grad()
def plant_copying(model: LlamaForCausalLM, *, seed: int) -> None:
    """Starts the model with a copying circuit, which it would otherwise spend its first million tokens to find.

    An induction head (Olsson et al. 2022, arXiv 2209.11895) needs two layers: one head of the first writes, beside each token, which token came before it; heads of
    the second look for the places where the token before was the present one, and copy what stands there. Here the first follows a constant
    direction in all embeddings through the fast rotary frequencies (peak at one position back), the second matches content through the slow ones.
    Measured before any training: 3.4 nats a copied token against 8.7 without (uniform over the vocabulary); the embeddings' spread of 0.08 was the
    best of 0.02 (8.6), 0.05 (6.1), 0.08 and 0.12 (4.0).
    """
    config = model.config
    size, width = config.hidden_size, config.hidden_size // config.num_attention_heads
    half = width // 2
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(size, size, generator=generator))[0].T  # orthonormal rows
    constant, content, more_content, before = (
        basis[0],
        basis[1 : 1 + width],
        basis[1 + width : 1 + 2 * width],
        basis[1 + 2 * width : 1 + 3 * width],
    )
    assert config.rope_parameters is not None
    frequencies = float(config.rope_parameters["rope_theta"] or 10_000.0) ** (-torch.arange(half) / half)
    embeddings = model.model.embed_tokens.weight
    embeddings.normal_(std=0.08, generator=generator)
    embeddings.sub_(embeddings @ before.T @ before)  # kept free for what the first layer writes
    embeddings.sub_((embeddings @ constant)[:, None] * constant).add_(0.8 * constant)
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    query, key = torch.zeros(width, size), torch.zeros(width, size)
    for index in range(half // 2):
        query[index], query[index + half] = (
            0.85 * torch.cos(frequencies[index]) * constant,
            -0.85 * torch.sin(frequencies[index]) * constant,
        )
        key[index] = 0.85 * constant
    first.q_proj.weight[:width], first.k_proj.weight[:width] = query, key
    first.v_proj.weight[:width], first.o_proj.weight[:, :width] = content, 0.16 * before.T
    slow = [index for index in range(half) if frequencies[index] < 0.003]
    slow += [index + half for index in slow]
    for head, (values, offset) in enumerate(((content, 0), (more_content, width - len(slow)))):
        query, key = torch.zeros(width, size), torch.zeros(width, size)
        query[slow], key[slow] = 3.2 * content[offset : offset + len(slow)], 3.2 * before[offset : offset + len(slow)]
        rows = slice(head * width, (head + 1) * width)
        second.q_proj.weight[rows], second.k_proj.weight[rows] = query, key
        second.v_proj.weight[rows], second.o_proj.weight[:, rows] = values, 2.0 * values.T


def orthogonalise(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values end between 0.7 and 1.2. (N, rows, columns) in and out."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if is_tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.transpose(1, 2) if is_tall else x


def train(recipe: Recipe, out: Path, work: Path, *, data: Path, start: Path | None = None, log: bool = True) -> None:
    """Trains for `recipe.steps` in all, over as many runs as it takes, and writes the finished model to `out`.

    With `start`, the folder of a trained writer, its tokenizer and weights are the beginning, and the shelf is full at once.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    corpus = Corpus.read(data)
    work.mkdir(parents=True, exist_ok=True)
    if start and not (work / "tokenizer.json").exists():
        PreTrainedTokenizerFast.from_pretrained(start).save_pretrained(work)
    if not (work / "tokenizer.json").exists():
        train_tokenizer(corpus, recipe).save_pretrained(work)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=recipe.hidden, num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads, num_key_value_heads=recipe.heads,
        intermediate_size=recipe.intermediate, max_position_embeddings=WINDOW, tie_word_embeddings=True, attention_bias=False,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta}, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=0.02,
    )  # fmt: skip
    if start:
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    else:
        model = LlamaForCausalLM(config)
        plant_copying(model, seed=recipe.seed)
    model.to(torch.device(device))  # type: ignore[arg-type]
    matrices = [
        weight
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and "embed" not in name and "lm_head" not in name
    ]
    others = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "embed" in name]
    optimizers = [
        Muon(matrices, lr=recipe.muon_rate),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [recipe.rate * recipe.muon_rate, recipe.rate * recipe.adam_rate]
    checkpoint = work / "checkpoint.pt"
    step, num_tokens, spent_s, smooth = 0, 0, 0.0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        if state["begun_as"] != _begun_as(recipe):
            raise SettingsError(f"{work} holds the beginning of another training; move it away or give another --work.")
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, num_tokens, spent_s, smooth = (state[name] for name in ("step", "num_tokens", "spent_s", "smooth"))
    is_half_fast = device == "cuda" or torch.cpu.get_capabilities().get(
        "avx512_bf16", False
    )  # emulated bf16 is slower than fp32
    writer = None
    if log:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(work / "logs"))
    bar = tqdm(total=recipe.steps, initial=step, unit="step", desc="writer")
    last_save, phase = time.monotonic(), 0
    stream: Iterator[Batch] = iter(())
    model.train()
    started = time.monotonic()
    while (progress := _progress(recipe, step, spent_s)) < 1:
        wanted_phase = NUM_CANDIDATES
        if not start:
            wanted_phase -= (progress < recipe.two_candidates_until) + (progress < recipe.one_candidate_until)
        if wanted_phase != phase:
            phase = wanted_phase
            composed = _Batches(corpus, tokenizer, recipe, recipe.seed + 1000 * step + phase, phase)
            ahead = (
                8 if recipe.workers else None
            )  # a process composes many at a time and must not wait for the others' turns
            loader = torch.utils.data.DataLoader(
                composed, batch_size=None, num_workers=recipe.workers, prefetch_factor=ahead
            )
            stream = iter(loader)
        batch = next(stream).to(device)
        scale = min(1.0, (step + 1) / recipe.warmup_steps) * _schedule(progress, recipe.constant_share)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        with torch.autocast(device, dtype=torch.bfloat16, enabled=is_half_fast):
            loss, reply_loss = weighted_loss(model, batch, prompt_share=recipe.prompt_share)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        num_tokens += int(torch.count_nonzero(batch.weights))
        before, started = started, time.monotonic()
        spent_s += started - before
        smooth = reply_loss if not smooth else 0.97 * smooth + 0.03 * reply_loss
        bar.update()
        bar.set_postfix_str(f"{num_tokens / 1e6:.2f} M tokens, reply loss {smooth:.3f}", refresh=False)
        if writer:
            writer.add_scalar("loss/reply", reply_loss, num_tokens)
            writer.add_scalar("rate", scale, num_tokens)
        if time.monotonic() - last_save > 120 or _progress(recipe, step, spent_s) >= 1:
            last_save = time.monotonic()
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "step": step,
                    "num_tokens": num_tokens,
                    "spent_s": spent_s,
                    "smooth": smooth,
                    "begun_as": _begun_as(recipe),
                },
                checkpoint.with_suffix(".new"),
            )
            checkpoint.with_suffix(".new").replace(checkpoint)
    bar.close()
    del stream  # and with it the processes that compose
    model.to("cpu")  # type: ignore[arg-type]
    held_out = Corpus.read(data, held_out=True)
    figures = {
        "held_out_reply_loss_nats": round(held_out_loss(model, tokenizer, held_out, recipe), 3),
        "training_reply_loss_nats": round(smooth, 3),
    }
    model.config.sentence_floors = sentence_floors(model, tokenizer, held_out, recipe)
    model.config.lexicon = " ".join(sorted(corpus.lexicon()))
    save(
        model,
        tokenizer,
        out,
        recipe,
        minutes=spent_s / 60,
        num_steps=step,
        num_tokens=num_tokens,
        figures=figures,
        num_items=corpus.num_items,
    )


def _begun_as(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe must not change while a training goes on."""
    fixed = ("seed", "start", "vocabulary", "hidden", "layers", "heads", "intermediate")
    return {name: value for name, value in asdict(recipe).items() if name in fixed}


def _progress(recipe: Recipe, step: int, spent_s: float) -> float:
    """The share of the training that is done, by its steps or by its time if that runs out first."""
    return max(step / recipe.steps, spent_s / 60 / recipe.minutes if recipe.minutes else 0.0)


def _schedule(progress: float, constant_share: float) -> float:
    """The share of the full rate: 1, then a cosine down to 0.02."""
    if progress < constant_share:
        return 1.0
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - constant_share) / (1 - constant_share)))


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, recipe: Recipe) -> float:
    """Mean loss in nats per reply token on dialogues over items that training never saw."""
    model.eval()
    total, count = 0.0, 0
    for dialogue in itertools.islice(corpus.dialogues(7), recipe.held_out_dialogues):
        row = encode(tokenizer, [dialogue], recipe)
        if not row.ids:
            continue
        num_reply = sum(weight >= 1 for weight in row.weights)
        _, reply_loss = weighted_loss(model, collate([row], tokenizer.pad_token_id).to(str(model.device)))
        total, count = total + reply_loss * num_reply, count + num_reply
    return total / count


def sentence_floors(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, recipe: Recipe
) -> dict[str, float]:
    """By language, the weakest stretch of four tokens that 97 of 100 sentences of held-out dialogues pass, in nats a token.

    Evidence (2026-11-25): of 389 English and 304 Chinese sentences drawn at temperature 0.7, reading finds most of the weakest garbled ("a heap of
    croser能ed paper"); ranked by the mean of the whole sentence, half of those are missed. A false alarm costs a rewrite only.
    """
    engine = LocalEngine.of(model, tokenizer, name="")
    floors: dict[str, float] = {}
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        weakest = []
        for dialogue in itertools.islice(corpus.dialogues(8, languages=(language,)), recipe.held_out_dialogues):
            scores, spans = engine.score([dialogue.messages], dialogue.reply)[0], engine.spans(dialogue.reply)
            copied = copied_spans(dialogue.reply, [candidate.item for candidate in dialogue.candidates], language)
            end = 0
            for sentence in sentences([dialogue.reply]):
                start, end = end, end + len(sentence)
                weakest.append(weakest_stretch(scores, spans, (start, end), copied))
        floors[language] = round(float(np.quantile(weakest, 0.03)), 3)
    return floors


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    recipe: Recipe,
    *,
    minutes: float,
    num_steps: int,
    num_tokens: int,
    figures: dict[str, float],
    num_items: int,
) -> None:
    """Writes weights (bf16 safetensors), tokenizer and card into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    model.to("cpu", torch.bfloat16).save_pretrained(out)  # type: ignore[arg-type]
    tokenizer.save_pretrained(out)
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
        if path.name != "card.json"
    }
    card = {
        "name": "GenRec writer",
        "what": "Writes recommendations in English and Chinese over candidates it is given; knows nothing else.",
        "command": f"python -m genrec train writer --steps {recipe.steps} --seed {recipe.seed} --batch-tokens {recipe.batch_tokens} --workers {recipe.workers}"
        + (f" --minutes {recipe.minutes:g}" if recipe.minutes else "")
        + (f" --rate {recipe.rate:g}" if recipe.rate != 1 else "")
        + (" --start FOLDER (the writer whose weights have the sha256 under recipe.start)" if recipe.start else ""),
        "seed": recipe.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine() + ' CPU'}, {recipe.threads} threads",
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "recipe": asdict(recipe),
        "minutes": round(minutes),
        "steps": num_steps,
        "tokens": num_tokens,
        "data": [
            {
                "name": f"dialogues composed by genrec/train/corpus.py from {num_items} catalogue items and hand-written frames",
                "licence": "CC0-1.0",
            }
        ],
        "figures": figures,
        "sha256": files,
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    recipe = Recipe()
    parser.add_argument("--steps", type=int, default=recipe.steps, help="optimiser steps in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--threads", type=int, default=recipe.threads)
    parser.add_argument(
        "--start",
        type=Path,
        help="folder of a trained writer to go on from, not the one of --out (default: new weights)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=recipe.rate,
        help="share of the full rate, lower with --start (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="end within this time, with fewer steps if need be (default: no limit)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=recipe.batch_tokens,
        help="a step's (default: %(default)s; a GPU takes 50000)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that compose the dialogues (default: the training's own)"
    )
    parser.add_argument("--layers", type=int, default=recipe.layers)
    parser.add_argument("--hidden", type=int, default=recipe.hidden)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "assets" / "models" / "writer")
    parser.add_argument(
        "--work",
        type=Path,
        default=REPOSITORY / ".train" / "writer",
        help="checkpoints and logs; training resumes from here",
    )
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY / "assets" / "catalogue", help="folder of the catalogue"
    )


def run(args: argparse.Namespace) -> int:
    recipe = Recipe(
        steps=args.steps,
        seed=args.seed,
        start=hashlib.sha256((args.start / "model.safetensors").read_bytes()).hexdigest() if args.start else "",
        threads=args.threads,
        rate=args.rate,
        minutes=args.minutes,
        batch_tokens=args.batch_tokens,
        workers=args.workers,
        layers=args.layers,
        hidden=args.hidden,
        heads=args.hidden // 64,
        intermediate=args.hidden * 11 // 4,
    )
    train(recipe, args.out, args.work, data=args.data, start=args.start)
    return 0
