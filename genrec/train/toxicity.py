"""Train the bundled toxicity classifier: a small BERT for English and Chinese in Detoxify's checkpoint format.

The steps, top to bottom of `train`: read and normalise the labelled rows, learn a WordPiece vocabulary, start the
embeddings from word co-occurrence (PPMI and a truncated SVD, Levy & Goldberg 2014), warm them up as a bag of
embeddings, train the whole model, write the folder, measure it as shipped. The labels are soft and often missing; a
missing label adds nothing to the loss. Scoring, windows and thresholds are in `genrec/safety/toxicity.py`.
"""

import argparse
import gzip
import hashlib
import itertools
import json
import logging
import math
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import svds
from sklearn.metrics import roc_auc_score
from tokenizers import BertWordPieceTokenizer
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, BertTokenizer

from genrec.errors import AssetError
from genrec.safety.normalise import normalise
from genrec.safety.toxicity import LABELS, ToxicityScorer, verdict
from genrec.settings import ASSETS
from genrec.text import plain, sentences
from genrec.train.corpus import Corpus

logger = logging.getLogger(__name__)

OUT = Path("assets/models/toxicity")
TRAIN_FILES = ("train.jsonl.gz", "train_aug_templates.jsonl.gz")

MAX_ALPHABET = 3600  # characters with a piece of their own; the rarer ones become [UNK]

# How often a source's rows are seen in one epoch; one for those not named. Forum text that is nearly all benign and
# long costs the most time and teaches the least; our own sentences about recommendations are what the product writes.
SOURCE_WEIGHT = {
    "context_toxicity": 0.4,
    "edos_nonsexist_lexfiltered": 0.6,
    "davidson": 0.7,
    "aug_toxic": 2.0,
    "aug_ambiguous_benign": 2.0,
    "aug_figurative_benign": 2.0,
    "aug_violent_media_benign": 2.0,
    "aug_rec_benign": 2.0,
    "jigsaw_templates_en": 0.5,
    "jigsaw_templates_zh": 0.7,
}
LABEL_WEIGHT = (2.0, 0.5, 1.0, 1.0, 1.0, 1.0)  # toxicity first: every verdict needs it

NUM_OWN = 6_000  # sentences of our own replies a language, as benign rows
DATA = [
    {"name": "hate-speech-and-offensive-language, T. Davidson et al. 2017", "licence": "MIT"},
    {"name": "HateXplain, Mathew et al. 2021", "licence": "MIT"},
    {"name": "Toxic Spans (SemEval-2021 task 5), Pavlopoulos et al.", "licence": "CC0-1.0"},
    {"name": "Context toxicity, Pavlopoulos et al. 2020", "licence": "Apache-2.0"},
    {"name": "ParaDetox, Logacheva et al. 2022", "licence": "CC0-1.0"},
    {"name": "EDOS (SemEval-2023 task 10), Kirk et al.", "licence": "CC0-1.0"},
    {"name": "HatemojiBuild, Kirk et al. 2022", "licence": "CC-BY-4.0"},
    {"name": "Surge AI toxicity and profanity lists", "licence": "MIT"},
    {"name": "Perspective API 2k sample (machine scores)", "licence": "Apache-2.0"},
    {"name": "conversationai unintended-bias templates, Jigsaw", "licence": "CC-BY-4.0"},
    {"name": "COLDataset, Deng et al. 2022 (Chinese)", "licence": "Apache-2.0"},
    {"name": "List of Dirty, Naughty, Obscene and Otherwise Bad Words, Chinese (LDNOOBW)", "licence": "CC-BY-4.0"},
    {"name": "ReDial, Li et al. 2018 (utterances taken as benign)", "licence": "CC-BY-4.0"},
    {"name": "KdConv, Zhou et al. 2020 (utterances taken as benign)", "licence": "Apache-2.0"},
    {"name": "CrossWOZ, Zhu et al. 2020 (utterances taken as benign)", "licence": "Apache-2.0"},
    {"name": "GenRec's own sentence templates", "licence": "CC0-1.0"},
    {
        "name": "recommendation sentences composed by genrec/train/corpus.py and the catalogue's pitches, as benign",
        "licence": "CC0-1.0",
    },
]


@dataclass(frozen=True)
class Shape:
    """The size of the model: about 3.2 million parameters, 6.5 MB in fp16."""

    vocabulary: int = 8192
    hidden: int = 256
    layers: int = 2
    heads: int = 4
    intermediate: int = 512
    max_tokens: int = 60


@dataclass(frozen=True)
class Example:
    """One normalised training text as token ids without [CLS] and [SEP]; a missing label is NaN."""

    ids: np.ndarray
    labels: np.ndarray
    source: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m genrec train toxicity`."""
    parser.add_argument("--data", type=Path, required=True, help="folder with train*.jsonl.gz and the *_dev files")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write the model to")
    parser.add_argument("--minutes", type=float, default=12.0, help="time for the training loop")
    parser.add_argument("--steps", type=int, help="exact number of steps instead of a time, to repeat a run")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="processor threads")


def run(args: argparse.Namespace) -> None:
    """Train as the parsed arguments say and print the measured figures."""
    card = train(
        args.data, args.out, minutes=args.minutes, seed=args.seed, num_steps=args.steps, num_threads=args.threads
    )
    print(json.dumps(card["figures"], indent=2))


def train(
    data: Path,
    out: Path,
    *,
    minutes: float,
    seed: int,
    num_steps: int | None = None,
    num_threads: int = 2,
    batch_size: int = 64,
    learning_rate: float = 8e-4,
    shape: Shape | None = None,
    num_own: int = NUM_OWN,
) -> dict[str, Any]:
    """The card of the model trained from the files in `data` and written to `out`.

    The learning rate falls to zero over `minutes`, or over `num_steps` when that is given; with the number of steps,
    the seed and the number of threads fixed, a run repeats. A run that was stopped goes on from `out/resume.pt`.

    Raises:
        AssetError: a training file is not there.
    """
    shape = shape or Shape()
    torch.set_num_threads(num_threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    rows = read_rows([data / name for name in TRAIN_FILES])
    if num_own:
        rows += own_benign_rows(num_sentences=num_own, seed=seed)
    resume = out / "resume.pt"
    state = torch.load(resume, weights_only=True) if resume.exists() else None
    if state is not None and state["seed"] != seed:
        state = None  # left over from another run
    if state is None:
        tokenizer = train_tokenizer([row["text"] for row in rows], shape)
        tokenizer.save_pretrained(out)
    else:
        tokenizer = BertTokenizer.from_pretrained(out, local_files_only=True)
    examples = encode(rows, tokenizer, shape)
    model = new_model(shape, tokenizer)
    if state is None:
        start_embeddings(model, examples, tokenizer, shape, seed=seed)
    averaged: dict[str, torch.Tensor] = {}
    num_done = state["step"] if state else 0
    with tqdm(desc="train", unit="step", total=num_steps, initial=num_done, mininterval=5) as bar:
        for step, done, loss in fit(
            model,
            averaged,
            examples,
            tokenizer,
            minutes=minutes,
            num_steps=num_steps,
            seed=seed,
            batch_size=batch_size,
            learning_rate=learning_rate,
            resume=resume,
            state=state,
        ):
            num_done = step
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", done=f"{done:.0%}", refresh=False)
    model.load_state_dict(averaged)

    write_model(model, tokenizer, out)
    length = f"--steps {num_steps}" if num_steps else f"--minutes {minutes:g}"
    card = write_card(
        out,
        data,
        command=f"python -m genrec train toxicity --data {os.path.relpath(data)} {length} --seed {seed} "
        f"--threads {num_threads}",
        seed=seed,
        num_threads=num_threads,
        num_steps=num_done,
        total_minutes=(time.monotonic() - started) / 60,
    )
    resume.unlink(missing_ok=True)
    return card


def write_card(
    out: Path, data: Path, *, command: str, seed: int, num_threads: int, num_steps: int, total_minutes: float
) -> dict[str, Any]:
    """Measure the model in `out` and write what it is, where it came from and how good it is to `out/card.json`."""
    weights = torch.load(out / "toxicity.ckpt", weights_only=True)["state_dict"]
    card = {
        "name": "GenRec toxicity classifier, English and Chinese",
        "command": command,
        "seed": seed,
        "data": DATA,
        "licence": "the repository's; the sources above are credited as CC BY 4.0 asks, no text of theirs is included",
        "labels": {
            "severe_toxicity": "rests on 1.7k machine scores: indicative only",
            "threat": "few real positives in English, only templates in Chinese",
        },
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{num_threads} processor thread(s), {platform.machine()}, no GPU",
        "minutes": round(total_minutes, 1),
        "steps": num_steps,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "figures": measure(ToxicityScorer.load(out), data),
    }
    card["sha256"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
        if path.name not in ("card.json", "resume.pt")
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def read_rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The labelled rows of the files, their text normalised."""
    rows = []
    for path in paths:
        if not path.exists():
            raise AssetError(f"{path} is not there; --data must name the folder with {', '.join(TRAIN_FILES)}")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                row["text"] = normalise(row["text"])
                rows.append(row)
    return rows


def own_benign_rows(*, num_sentences: int, seed: int, held_out: bool = False) -> list[dict[str, Any]]:
    """Benign rows in the words that the filter will really read: recommendations composed of the catalogue and the
    frames, and the catalogue's pitches and titles. Without them 4 % of such English sentences and 9 % of the Chinese
    were taken for insults. Held-out ones speak of items that training never saw."""
    corpus = Corpus.read(ASSETS / "catalogue", held_out=held_out)
    labels: dict[str, float] = dict.fromkeys(LABELS, 0.0)
    rows = []
    for language in ("en", "zh"):
        own = (
            plain(one).strip()
            for dialogue in corpus.dialogues(seed, languages=(language,))
            for one in sentences([dialogue.reply])
        )
        texts = list(dict.fromkeys(itertools.islice(own, num_sentences)))
        for item in corpus.items:
            texts += [*item.pitches_in(language), item.title_in(language)]
        rows += [{"text": normalise(text), "lang": language, "source": "genrec", **labels} for text in texts if text]
    return rows


def train_tokenizer(texts: list[str], shape: Shape) -> BertTokenizer:
    """A lower-case WordPiece tokenizer that gives every Chinese character a piece of its own."""
    learner = BertWordPieceTokenizer(lowercase=True, handle_chinese_chars=True, strip_accents=True)
    counts: Counter[str] = Counter()
    inner: set[str] = set()
    for text in texts:
        for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(text)):
            counts.update(word)
            inner.update(word[1:])
    alphabet = sorted(counts, key=lambda char: (-counts[char], char))[:MAX_ALPHABET]
    # Left to itself the trainer breaks ties of rare characters and numbers the "##x" pieces in the order of a hash map,
    # so that no two runs agreed. Named here they are fixed; being "special" does not reach the tokenizer made below.
    fixed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"##{char}" for char in alphabet if char in inner)]
    learner.train_from_iterator(
        texts,
        vocab_size=shape.vocabulary,
        min_frequency=3,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=fixed,
        show_progress=False,
    )
    vocabulary = sorted(learner.get_vocab().items(), key=lambda entry: entry[1])
    # Without model_max_length Detoxify's call does not truncate and a long text raises an index error.
    return BertTokenizer(vocab=dict(vocabulary), do_lower_case=True, model_max_length=shape.max_tokens)


def encode(rows: list[dict[str, Any]], tokenizer: BertTokenizer, shape: Shape) -> list[Example]:
    """The rows as token ids cut to the model's length, with their labels."""
    encoded = tokenizer(
        [row["text"] for row in rows], add_special_tokens=False, truncation=True, max_length=shape.max_tokens - 2
    )["input_ids"]
    return [
        Example(
            np.asarray(ids, dtype=np.int64),
            np.asarray([math.nan if row[label] is None else row[label] for label in LABELS], dtype=np.float32),
            row["source"],
        )
        for row, ids in zip(rows, encoded, strict=True)
        if ids
    ]


def start_embeddings(
    model: BertForSequenceClassification,
    examples: list[Example],
    tokenizer: BertTokenizer,
    shape: Shape,
    *,
    seed: int,
) -> None:
    """Set the word embeddings from co-occurrence and warm them up; a cold start was 1 to 2 points of AUC worse."""
    vectors = cooccurrence_vectors([example.ids for example in examples], shape, seed=seed)
    with torch.no_grad():
        embeddings = model.bert.embeddings.word_embeddings.weight
        embeddings.copy_(torch.from_numpy(vectors))
        embeddings[tokenizer.pad_token_id].zero_()
    warm_up(model, examples, tokenizer, seed=seed)


def cooccurrence_vectors(texts: list[np.ndarray], shape: Shape, *, seed: int, window: int = 4) -> np.ndarray:
    """Token vectors (vocabulary, hidden) from positive pointwise mutual information, at BERT's initial scale."""
    size = shape.vocabulary
    counts = coo_matrix((size, size), dtype=np.float32).tocsr()
    flat = np.concatenate([np.append(ids, [-1] * window) for ids in texts])  # -1 keeps texts apart
    for distance in range(1, window + 1):
        left, right = flat[:-distance], flat[distance:]
        kept = (left >= 0) & (right >= 0)
        weight = np.full(int(kept.sum()), 1 / distance, dtype=np.float32)
        counts = counts + coo_matrix((weight, (left[kept], right[kept])), shape=(size, size)).tocsr()
    counts = counts + counts.T
    total = counts.sum()
    margin = np.asarray(counts.sum(axis=1)).ravel() + 1e-9
    context = margin**0.75  # smoothing of the context distribution, Levy, Goldberg & Dagan 2015
    context /= context.sum()
    pairs = counts.tocoo()
    pmi = np.log((pairs.data / total) / ((margin[pairs.row] / total) * context[pairs.col]) + 1e-12)
    kept = pmi > 0
    ppmi = coo_matrix((pmi[kept], (pairs.row[kept], pairs.col[kept])), shape=(size, size)).tocsr()
    start = np.random.default_rng(seed).standard_normal(size)
    left_vectors, values, _ = svds(ppmi.astype(np.float32), k=shape.hidden, v0=start.astype(np.float32))
    vectors = left_vectors * np.sqrt(values)  # (vocabulary, hidden)
    unseen = np.abs(vectors).sum(axis=1) < 1e-6
    vectors[unseen] = np.random.default_rng(seed).standard_normal((int(unseen.sum()), shape.hidden)) * vectors.std()
    return (vectors * (0.04 / vectors.std())).astype(np.float32)


def warm_up(
    model: BertForSequenceClassification,
    examples: list[Example],
    tokenizer: BertTokenizer,
    *,
    seed: int,
    num_epochs: int = 4,
) -> None:
    """Train the embeddings as the mean of a text's tokens under a linear layer; cheap, and better than a cold start."""
    weight = model.bert.embeddings.word_embeddings.weight
    bag = nn.EmbeddingBag.from_pretrained(weight.detach().clone(), freeze=False, mode="mean")
    head = nn.Linear(weight.shape[1], len(LABELS))
    optimizer = torch.optim.Adam([*bag.parameters(), *head.parameters()], lr=2e-3)
    plan = [batch for epoch in range(num_epochs) for batch in epoch_batches(examples, 256, seed=seed, epoch=epoch)]
    for batch in tqdm(plan, desc="warm-up", unit="batch", mininterval=5):
        ids = torch.from_numpy(np.concatenate([examples[row].ids for row in batch]))
        lengths = torch.tensor([0] + [len(examples[row].ids) for row in batch[:-1]])
        labels = torch.from_numpy(np.stack([examples[row].labels for row in batch]))  # (B, labels)
        loss = masked_loss(head(bag(ids, lengths.cumsum(0)) * 8), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        vectors = bag.weight * (0.04 / bag.weight.std())
        weight.copy_(vectors)
        weight[tokenizer.pad_token_id].zero_()


def fit(
    model: BertForSequenceClassification,
    averaged: dict[str, torch.Tensor],
    examples: list[Example],
    tokenizer: BertTokenizer,
    *,
    minutes: float,
    num_steps: int | None,
    seed: int,
    batch_size: int,
    learning_rate: float,
    resume: Path,
    state: dict[str, Any] | None,
    save_every_s: float = 90.0,
) -> Iterator[tuple[int, float, float]]:
    """Train `model` and fill `averaged` with the mean of its late weights; after each step yields its number, the share
    of the training done and the loss in nats. The state goes to `resume` every `save_every_s` seconds.
    """
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=learning_rate,
        fused=True,
    )
    step, epoch, position, elapsed_before = 0, 0, 0, 0.0
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        averaged.update(state["averaged"])
        step, epoch, position, elapsed_before = state["step"], state["epoch"], state["position"], state["elapsed"]
    else:
        averaged.update({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    started = saved = time.monotonic()
    model.train()
    while True:
        batches = epoch_batches(examples, batch_size, seed=seed, epoch=epoch)
        while position < len(batches):
            elapsed = elapsed_before + time.monotonic() - started
            done = step / num_steps if num_steps else elapsed / (minutes * 60)
            if done >= 1:
                return
            rate = learning_rate * min(1.0, (step + 1) / 60) * (1 - done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            noise = random.Random(f"{seed} {step}")
            batch = collate([examples[row] for row in batches[position]], tokenizer, noise)
            with _autocast():
                logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            loss = masked_loss(logits.float(), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            position += 1
            average_into(averaged, model, decay=min(0.995, (1 + step) / (10 + step)))
            if time.monotonic() - saved > save_every_s:
                saved = time.monotonic()
                torch.save(
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "averaged": averaged,
                        "seed": seed,
                        "step": step,
                        "epoch": epoch,
                        "position": position,
                        "elapsed": elapsed_before + saved - started,
                    },
                    resume,
                )
            yield step, done, loss.item()
        epoch, position = epoch + 1, 0


def epoch_batches(examples: list[Example], batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Row numbers of one epoch in batches of similar length, in a random order fixed by `seed` and `epoch`."""
    order = random.Random(f"{seed} {epoch}")
    rows: list[int] = []
    for row, example in enumerate(examples):
        weight = SOURCE_WEIGHT.get(example.source, 1.0)
        rows.extend([row] * (int(weight) + (order.random() < weight % 1)))
    order.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), batch_size * 50):
        chunk = sorted(rows[start : start + batch_size * 50], key=lambda row: len(examples[row].ids))
        batches.extend(chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size))
    order.shuffle(batches)
    return batches


def collate(examples: list[Example], tokenizer: BertTokenizer, noise: random.Random) -> dict[str, torch.Tensor]:
    """A padded batch with 5 % of the tokens masked and 30 % of the benign texts cut short.

    A benign text stays benign when cut, and the gate reads sentences that a writer has only begun; a toxic one may not.
    """
    texts = []
    for example in examples:
        ids = example.ids
        if len(ids) > 4 and np.nanmax(example.labels) < 0.1 and noise.random() < 0.3:
            ids = ids[: noise.randint(3, len(ids))]
        masked = [tokenizer.mask_token_id if noise.random() < 0.05 else int(token) for token in ids]
        texts.append([tokenizer.cls_token_id, *masked, tokenizer.sep_token_id])
    longest = max(map(len, texts))
    input_ids = torch.tensor([text + [tokenizer.pad_token_id] * (longest - len(text)) for text in texts])  # (B, T)
    return {
        "input_ids": input_ids,
        "attention_mask": (input_ids != tokenizer.pad_token_id).long(),
        "labels": torch.from_numpy(np.stack([example.labels for example in examples])),  # (B, labels)
    }


def masked_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy in nats with soft labels, weighted mean over the labels that are known."""
    known = ~labels.isnan()
    weight = known * torch.tensor(LABEL_WEIGHT)
    loss = binary_cross_entropy_with_logits(logits, labels.nan_to_num(0.0), reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def average_into(averaged: dict[str, torch.Tensor], model: nn.Module, *, decay: float) -> None:
    """Move each averaged tensor towards the model's: an exponential moving average of the weights."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                averaged[name].lerp_(tensor, 1 - decay)


def write_model(model: BertForSequenceClassification, tokenizer: BertTokenizer, out: Path) -> None:
    """Write the folder that `ToxicityScorer.load` reads: checkpoint in fp16, configuration and tokenizer."""
    model.config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    arch = {
        "model_type": "bert",  # the loader puts the folder's address here
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(LABELS),
    }
    torch.save(
        {
            "config": {"arch": {"args": arch}, "dataset": {"args": {"classes": list(LABELS)}}},
            "state_dict": {name: tensor.half() for name, tensor in model.state_dict().items()},
        },
        out / "toxicity.ckpt",
    )


def measure(scorer: ToxicityScorer, data: Path) -> dict[str, Any]:
    """Figures on the held-out labels and suites, measured with the model as it is shipped.

    AUC in [0, 1], higher is better; accuracy at toxicity 0.5; on the recommendation sentences the share of benign ones
    that are not "ok" and the share of toxic ones that are not "ok".
    """
    figures: dict[str, Any] = {}
    held_out = read_rows([data / "labels_dev.jsonl.gz"])
    scores = scorer.score([row["text"] for row in held_out])
    for language in ("en", "zh"):
        pairs = [(row, s) for row, s in zip(held_out, scores, strict=True) if row["lang"] == language]
        truth = [row["toxicity"] >= 0.5 for row, _ in pairs]
        figures[f"held_out_auc_{language}"] = round(float(roc_auc_score(truth, [s["toxicity"] for _, s in pairs])), 4)

    suites = read_rows([data / "suites_dev.jsonl.gz"])
    scores = scorer.score([row["text"] for row in suites])
    for name, suite in (("hatecheck", "hatecheck"), ("hatecheck_mandarin", "mhc_mandarin")):
        right = [
            (s["toxicity"] >= 0.5) == bool(row["label"])
            for row, s in zip(suites, scores, strict=True)
            if row["suite"] == suite
        ]
        figures[f"{name}_accuracy"] = round(sum(right) / len(right), 4)
    for language in ("en", "zh"):
        for name, suite in (("rec_false_positives", "rec_benign"), ("rec_caught", "rec_toxic")):
            verdicts = [
                verdict(s)
                for row, s in zip(suites, scores, strict=True)
                if row["suite"] == suite and row["lang"] == language
            ]
            figures[f"{name}_{language}"] = round(sum(v != "ok" for v in verdicts) / len(verdicts), 4)
            figures[f"{name}_blocked_{language}"] = round(verdicts.count("block") / len(verdicts), 4)

    own = own_benign_rows(num_sentences=1000, seed=5, held_out=True)
    scores = scorer.score([row["text"] for row in own])
    for language in ("en", "zh"):
        wrong = [verdict(s) != "ok" for row, s in zip(own, scores, strict=True) if row["lang"] == language]
        figures[f"own_false_positives_{language}"] = round(sum(wrong) / len(wrong), 4)

    times_ms = []
    for sentence in [row["text"] for row in suites if row["suite"].startswith("rec_")][:100]:
        started = time.perf_counter()
        scorer.score([sentence])
        times_ms.append((time.perf_counter() - started) * 1000)
    figures["ms_a_sentence"] = round(float(np.median(times_ms)), 2)
    return figures


def new_model(shape: Shape, tokenizer: BertTokenizer) -> BertForSequenceClassification:
    """An untrained BERT. No dropout, which doubled the time of a step: masked tokens and averaging stand in for it."""
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.max_tokens,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        problem_type="multi_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")


def _autocast() -> Any:
    """bf16 where the processor computes it; emulated it is twenty times slower than fp32."""
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.exists() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))
    return torch.autocast("cpu", dtype=torch.bfloat16) if has_bf16 else nullcontext()
