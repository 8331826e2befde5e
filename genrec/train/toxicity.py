"""Train the bundled toxicity classifier: a small BERT for English and Chinese in Detoxify's checkpoint format.

The steps, top to bottom of `train`: read and normalise the labelled rows and compose more; learn a WordPiece vocabulary; train teachers and have them
label what they were not trained on (distillation, Hinton et al. 2015); train small students on labels and opinions (`genrec/train/classifier.py`); fit a linear
model of n-grams beside the better one; learn on rows kept back how the two are mixed; write the folder and measure it as shipped. With `--start` a model that
was trained so goes on instead, for a few minutes on a processor: it learns the composed sentences, and on labelled rows is held to what it said of them. The labels are
soft and often missing; a missing label adds nothing to the loss. Scoring, windows and thresholds are in `genrec/safety/toxicity.py`.
"""

from __future__ import annotations

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
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import roc_auc_score
from tokenizers import BertWordPieceTokenizer, Tokenizer
from tqdm import tqdm
from transformers import BertForSequenceClassification, BertTokenizer

from genrec.errors import AssetError
from genrec.safety.ngrams import (
    COLUMNS,
    NGRAM_LABELS,
    NUM_CHARACTERS,
    NUM_FEATURES,
    NgramModel,
    Table,
    counts,
    counts_with_words,
    is_chinese,
)
from genrec.safety.normalise import normalise
from genrec.safety.toxicity import HARM, LABELS, OBSCENE, TOXICITY, ToxicityScorer, verdict
from genrec.schema import Language
from genrec.settings import ASSETS
from genrec.text import plain, sentences
from genrec.train.classifier import Shape, Tokens, best_device, fit, logits, new_model, pretrain, trained_model
from genrec.train.corpus import Corpus
from genrec.train.labelled import labelled_rows

logger = logging.getLogger(__name__)

OUT = Path("assets/models/toxicity")
FILES = (
    "config.json",
    "ngrams.npz",
    "tokenizer.json",
    "tokenizer_config.json",
    "toxicity.ckpt",
)  # what is shipped, card aside
TRAIN_FILES = ("train.jsonl.gz", "train_aug_templates.jsonl.gz")
DEV_FILES = ("labels_dev.jsonl.gz", "suites_dev.jsonl.gz")

MAX_ALPHABET = 3600  # characters with a piece of their own; the rarer ones become [UNK]

# How often a source's rows are seen in one epoch; one for those not named. Forum text that is nearly all benign and
# long costs the most time and teaches the least; our own sentences about recommendations are what the product writes.
SOURCE_WEIGHT = {
    "context_toxicity": 0.25,
    "toxic_spans": 0.8,
    "edos_nonsexist_lexfiltered": 0.6,
    "paradetox_neutral": 0.7,
    "davidson": 0.6,
    "jigsaw_templates_en": 0.3,
    "jigsaw_templates_zh": 0.5,
    "redial_benign": 0.6,
    "kdconv_crosswoz_benign": 0.6,
}
LABEL_WEIGHT = (2.0, 0.5, 1.0, 1.0, 1.0, 1.0)  # toxicity first: every verdict needs it

NUM_OWN = 6_000  # sentences of our own replies a language, as benign rows
# The n-gram model knows no order. Of what only order tells from abuse it unlearnt abuse, and its toxicity of all composed sentences
# (AUC .943 → .925 on the English labels); its other labels gained from the rest of them.
ORDERED = ("own_negated_hate", "own_counter_speech", "own_swearing_harmless")
COMPOSED = ("own_", "genrec", "mistyped")
LANGUAGES: tuple[Language, ...] = ("en", "zh")
NUM_FOLDS = 3
# Going on from a trained model: rows a step and the highest rate, a tenth of the first training's; how much of a labelled row's target is what the model said of
# it before; and how often each kind of row is drawn, so that about half are hand-written frames.
GOING_ON_BATCH, GOING_ON_RATE, GOING_ON_TRUST = 128, 1e-4, 0.9
GOING_ON_WEIGHT = {"own_": 1.0, "genrec": 0.3, "mistyped": 0.5, "": 0.35}
PIECE_WEIGHT = 0.5  # how often a piece is seen in an epoch
MAX_TEACHER_TOKENS = 72
NUM_MISTYPED = 8_000  # copies of short English rows with slips of the finger
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
        "name": "all-MiniLM-L6-v2 as a teacher (none of its weights is included), sentence-transformers",
        "licence": "Apache-2.0",
    },
    {
        "name": "labelled sentences composed by genrec/train/labelled.py of its hand-written frames",
        "licence": "CC0-1.0",
    },
    {
        "name": "recommendation sentences composed by genrec/train/corpus.py and the catalogue's pitches, as benign",
        "licence": "CC0-1.0",
    },
]


@dataclass(frozen=True)
class Training:
    """Rows a step and the highest learning rate."""

    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Plan:
    """What is trained. Without a `teacher` the student learns the labels alone."""

    student: Shape = Shape()
    teacher: Shape | None = Shape(hidden=384, layers=6, heads=6, intermediate=1536, dropout=0.1)
    tuning: Training = Training(192, 1e-4)
    from_scratch: Training = Training(384, 4e-4)
    small: Training = Training(512, 1e-3)
    trust: tuple[float, ...] = (
        0.5,
        0.9,
    )  # how much of a labelled row's target is the teachers' opinion: one student for each
    reserve_s: float = 8.0  # for scoring and writing
    num_steps: int | None = None  # of each phase, instead of a share of the time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m genrec train toxicity`."""
    parser.add_argument("--data", type=Path, required=True, help="folder with train*.jsonl.gz and the *_dev files")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write the model to")
    parser.add_argument("--minutes", type=float, default=7.0, help="time for the BERT models, all of them together")
    parser.add_argument(
        "--teacher",
        type=Path,
        help="folder of an English BERT encoder to fine-tune as a teacher, such as all-MiniLM-L6-v2",
    )
    parser.add_argument(
        "--start", type=Path, help="folder of a trained filter to go on from, instead of teachers and new students"
    )
    parser.add_argument("--steps", type=int, default=300, help="steps to go on with --start (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="processor threads")


def run(args: argparse.Namespace) -> None:
    """Train as the parsed arguments say and print the measured figures."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    card = train(
        args.data,
        args.out,
        minutes=args.minutes,
        seed=args.seed,
        num_threads=args.threads,
        teacher=args.teacher,
        start=args.start,
        num_steps=args.steps,
    )
    print(json.dumps(card["figures"], indent=2))


def train(
    data: Path,
    out: Path,
    *,
    minutes: float,
    seed: int,
    num_threads: int = 2,
    teacher: Path | None = None,
    start: Path | None = None,
    num_steps: int = 300,
    plan: Plan | None = None,
    num_own: int = NUM_OWN,
) -> dict[str, Any]:
    """The card of the model trained from the files in `data` and written to `out`.

    `minutes` is the time from the call until the BERT is written; the n-grams, their mix and the figures come after. Each of the two stages is
    kept in `out` (`bert.json`, `resume.npz`): a run that was stopped after one, on this machine or another, goes on there. With `start` the model in that
    folder goes on for `num_steps`, and its n-grams stay.

    Raises:
        AssetError: a training file is not there.
    """
    ends = time.monotonic() + minutes * 60
    torch.set_num_threads(num_threads)
    out.mkdir(parents=True, exist_ok=True)
    rows, kept_back = training_rows(data, num_own=num_own, seed=seed, num_processes=num_threads)
    measured = {comparable(row["text"]) for row in read_rows([data / name for name in DEV_FILES])} - {""}
    num_read = len(rows) + len(kept_back)
    rows, kept_back = without_measured(rows, measured), without_measured(kept_back, measured)
    num_dropped = num_read - len(rows) - len(kept_back)
    logger.info("%d of %d rows stand in a file to measure with and are dropped", num_dropped, num_read)

    stage, fitted = out / "bert.json", out / "resume.npz"
    if stage.exists() and json.loads(stage.read_text("utf-8"))["seed"] == seed:
        told = json.loads(stage.read_text("utf-8"))
    else:
        command = (
            f"python -m genrec train toxicity --data {os.path.relpath(data)} --seed {seed} --threads {num_threads}"
        )
        if start:
            command += f" --start {os.path.relpath(start)} --steps {num_steps}"
            found = go_on(rows, kept_back, out, start=start, num_steps=num_steps, seed=seed)
        else:
            command += f" --minutes {minutes:g}" + (f" --teacher {teacher.name}" if teacher else "")
            found = train_bert(rows, kept_back, out, ends=ends, seed=seed, teacher=teacher, plan=plan or Plan())
            found = {"teacher": teacher.name if teacher else None, **found}
        told = {
            "command": command,
            "seed": seed,
            "hardware": hardware(num_threads),
            "seconds": round(minutes * 60 - (ends - time.monotonic())),
            **found,
        }
        stage.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    if start:
        ngrams = NgramModel.load(start / "ngrams.npz")
    elif fitted.exists():
        ngrams = NgramModel.load(fitted)
    else:
        ngrams = NgramModel(fit_toxicity_table(rows, seed=seed), fit_other_tables(rows, seed=seed))
        ngrams.save(fitted)
    ngrams.save(out / "ngrams.npz")
    ngrams.mix = fit_mix(ToxicityScorer.load(out), ngrams, kept_back)
    ngrams.save(out / "ngrams.npz")
    card = write_card(out, data, kept_back, told, num_threads=num_threads, num_dropped=num_dropped, num_own=num_own)
    for path in (stage, fitted):
        path.unlink(missing_ok=True)
    return card


def hardware(num_threads: int) -> str:
    """The machine in words."""
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    return f"{num_threads} processor thread(s), {platform.machine()}, {name}"


@dataclass(frozen=True)
class Texts:
    """What the BERT models read: rows, pieces of them and rows kept back, in this order, all arrays (num_texts, …)."""

    texts: list[str]
    labels: (
        np.ndarray
    )  # float32 (num_texts, 6), NaN where unknown, as in all pieces and, lest they be trained on, in those kept back
    weights: np.ndarray  # how often an epoch of the labels sees them
    folds: np.ndarray  # -1: kept back
    is_piece: np.ndarray
    is_composed: np.ndarray  # by us: the labels are sure
    is_english: np.ndarray
    kept_back: Sequence[dict[str, Any]]

    @classmethod
    def of(
        cls,
        rows: Sequence[dict[str, Any]],
        pieces: Sequence[dict[str, Any]],
        kept_back: Sequence[dict[str, Any]],
    ) -> Texts:
        every = (*rows, *pieces, *kept_back)
        num_rows, num_read = len(rows), len(rows) + len(pieces)
        labels = np.full((len(every), len(LABELS)), np.nan, np.float32)
        labels[:num_rows] = [[math.nan if row[label] is None else row[label] for label in LABELS] for row in rows]
        weights = np.zeros(len(every))
        weights[:num_rows] = [SOURCE_WEIGHT.get(row["source"], 1.0) for row in rows]
        places = np.arange(len(every))
        return cls(
            [row["text"] for row in every],
            labels,
            weights,
            np.array([row["fold"] for row in (*rows, *pieces)] + [-1] * len(kept_back)),
            (places >= num_rows) & (places < num_read),
            np.array([row["source"].startswith(COMPOSED[:2]) for row in every]),
            np.array([row["lang"] == "en" for row in every]),
            kept_back,
        )

    @property
    def may_cut(self) -> np.ndarray:
        return (np.nan_to_num(self.labels).max(axis=1) < 0.1) & ~self.is_piece & (self.folds >= 0)

    def areas(self, logits: np.ndarray, own: np.ndarray) -> dict[str, float]:
        """`areas` of the texts `own` with these log-odds, (len(own), 6), that are kept back."""
        found = np.flatnonzero(self.folds[own] < 0)
        return areas(self.kept_back, logits[found], own[found] - (len(self.texts) - len(self.kept_back)))


def train_bert(
    rows: Sequence[dict[str, Any]],
    kept_back: Sequence[dict[str, Any]],
    out: Path,
    *,
    ends: float,
    seed: int,
    teacher: Path | None,
    plan: Plan,
) -> dict[str, Any]:
    """Train teachers and students until `ends` (of `time.monotonic`) and write the better student to `out`; what is to be told of it.

    The students learn the mean of labels and teachers' opinion, on the rows and on pieces and splices of them that only the teachers label. The better
    one has the higher mean of the AUCs on the rows kept back, labelled and composed, in both languages.
    """
    device = best_device()
    torch.manual_seed(seed)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    pieces = variants(rows, random.Random(seed)) if plan.teacher else []
    data = Texts.of(rows, pieces, kept_back)
    tokenizer = train_tokenizer([row["text"] for row in rows], plan.student)
    tokenizer.save_pretrained(out)
    tokens = Tokens.read(data.texts, tokenizer.backend_tokenizer, max_tokens=plan.student.max_tokens, device=device)
    logger.info("%d rows, %d pieces of them, %d kept back, on %s", len(rows), len(pieces), len(kept_back), device)
    told: dict[str, Any] = {}
    opinion = opinions(data, tokens, told, ends=ends, seed=seed, teacher=teacher, plan=plan) if plan.teacher else None
    weights = np.where(data.is_piece, PIECE_WEIGHT, data.weights)
    best = 0.0
    trusts = plan.trust if plan.teacher else (0.0,)
    for number, trust in enumerate(trusts):
        seconds = (ends - time.monotonic() - plan.reserve_s) / (len(trusts) - number)
        model = new_model(plan.student, LABELS, tokens.special[0])
        pretrain(
            model,
            tokens,
            np.minimum(1.0, weights),
            seconds=0.2 * seconds,
            seed=seed,
            num_steps=plan.num_steps,
            **vars(plan.small),
        )
        steps = fit(
            model,
            tokens,
            data.labels if opinion is None else trusting(data, opinion, trust),
            weights,
            data.may_cut,
            label_weight=LABEL_WEIGHT,
            name=f"student {trust}",
            seconds=0.8 * seconds,
            seed=seed,
            num_steps=plan.num_steps,
            masked_share=0.08,
            checkpoint=out / "checkpoint.pt",
            **vars(plan.small),
        )
        unseen = np.flatnonzero(data.folds < 0)
        found = data.areas(logits(model, tokens, unseen), unseen)
        logger.info("student %s: %s", trust, found)
        told.setdefault("students", []).append({"trust": trust, "steps": steps, "auc": found})
        mean = float(np.mean([*found.values()])) if found else 0.5
        if mean > best:
            best, told["chosen"] = mean, trust
            write_model(model.cpu(), tokenizer, out)
    (out / "checkpoint.pt").unlink(missing_ok=True)
    return told


def go_on(
    rows: Sequence[dict[str, Any]],
    kept_back: Sequence[dict[str, Any]],
    out: Path,
    *,
    start: Path,
    num_steps: int,
    seed: int,
) -> dict[str, Any]:
    """Train the model in `start` for `num_steps` over rows drawn by `GOING_ON_WEIGHT` and write it to `out`; what is to be told of it.

    Sure labels are learned as they are; a labelled row's target is nearly what the model itself said of it, so that what it knows stays.
    """
    before, device = json.loads((start / "card.json").read_text("utf-8")), best_device()
    tokenizer = BertTokenizer.from_pretrained(start, local_files_only=True)
    state = torch.load(start / "toxicity.ckpt", weights_only=True)["state_dict"]
    model = trained_model(start / "config.json", state, device)
    rng = np.random.default_rng(seed)
    weight = [
        next(share for kind, share in GOING_ON_WEIGHT.items() if row["source"].startswith(kind))
        * SOURCE_WEIGHT.get(row["source"], 1.0)
        for row in rows
    ]
    size = min(len(rows), num_steps * GOING_ON_BATCH)
    drawn = rng.choice(len(rows), size, replace=False, p=np.array(weight) / sum(weight))
    data = Texts.of([rows[number] for number in drawn], [], kept_back)
    max_tokens = tokenizer.model_max_length
    tokens = Tokens.read(data.texts, tokenizer.backend_tokenizer, max_tokens=max_tokens, device=device)
    said = logits(model, tokens)
    unseen = np.flatnonzero(data.folds < 0)
    told = {"started_from": before["bert"] | {"command": before["command"], "hardware": before["hardware"]["bert"]}}
    told["before"] = data.areas(said[unseen], unseen)
    told["steps"] = fit(
        model,
        tokens,
        trusting(data, said, GOING_ON_TRUST),
        (data.folds >= 0).astype(float),
        data.may_cut,
        label_weight=LABEL_WEIGHT,
        name="going on",
        seconds=0.0,
        batch_size=GOING_ON_BATCH,
        learning_rate=GOING_ON_RATE,
        seed=seed,
        num_steps=num_steps,
    )
    told["after"] = data.areas(logits(model, tokens, unseen), unseen)
    logger.info("before %s, after %s", told["before"], told["after"])
    write_model(model.cpu(), tokenizer, out)
    return told


def trusting(data: Texts, opinion: np.ndarray, trust: float) -> np.ndarray:
    """What a student is to learn, (num_texts, 6): the labels mixed with the opinion (log-odds), by `trust` in [0, 1]. A sure label stays, a missing one is the opinion."""
    said = 1 / (1 + np.exp(-opinion))
    mixed = np.where(data.is_composed[:, None], data.labels, (1 - trust) * data.labels + trust * said)
    return np.where(np.isnan(data.labels), said, mixed)


def opinions(
    data: Texts,
    tokens: Tokens,
    told: dict[str, Any],
    *,
    ends: float,
    seed: int,
    teacher: Path | None,
    plan: Plan,
) -> np.ndarray:
    """What teachers think of each text, log-odds (num_texts, 6). Adds to `told` how good they are on the rows kept back.

    One teacher is trained from scratch, with a masked-LM phase, and knows both languages; the other is the encoder `teacher`, which knows English. They are
    fine-tuned by folds: each labels the fold that it was not trained on, so that what it says of a text is no memory of its label.
    """
    every, english = np.arange(len(data.texts)), np.flatnonzero(data.is_english)

    def by_folds(
        name: str, own: np.ndarray, tokens: Tokens, make: Callable[[], Any], seconds: float, settings: Training
    ) -> np.ndarray:
        found = np.zeros((len(own), len(LABELS)), np.float32)
        for fold in range(NUM_FOLDS):
            model = make()
            weights = np.where(data.folds[own] == fold, 0.0, data.weights[own])
            fit(
                model,
                tokens,
                data.labels[own],
                weights,
                data.may_cut[own],
                label_weight=LABEL_WEIGHT,
                name=f"{name} {fold}",
                seconds=seconds,
                seed=seed + fold,
                num_steps=plan.num_steps,
                **vars(settings),
            )
            unseen = np.flatnonzero((data.folds[own] == fold) | (data.folds[own] < 0))
            found[unseen] += (
                logits(model, tokens, unseen) / np.where(data.folds[own[unseen]] < 0, NUM_FOLDS, 1)[:, None]
            )
        told[name] = data.areas(found, own)
        logger.info("%s: %s", name, told[name])
        return found

    if teacher:
        words = Tokenizer.from_file(str(teacher / "tokenizer.json"))
        read = Tokens.read(
            [data.texts[row] for row in english], words, max_tokens=MAX_TEACHER_TOKENS, device=tokens.ids.device
        )
        tuned = by_folds(
            "pretrained", english, read, lambda: pretrained(teacher), 0.08 * (ends - time.monotonic()), plan.tuning
        )
    shape = plan.teacher or plan.student
    base = new_model(shape, LABELS, tokens.special[0])
    told["masked_lm_steps"] = pretrain(
        base,
        tokens,
        np.minimum(1.0, data.weights),
        seconds=0.15 * (ends - time.monotonic()),
        seed=seed,
        num_steps=plan.num_steps,
        **vars(plan.from_scratch),
    )
    start = {name: tensor.clone() for name, tensor in base.state_dict().items()}

    def from_scratch() -> Any:
        model = new_model(shape, LABELS, tokens.special[0])
        model.load_state_dict(start)
        return model

    found = by_folds("from scratch", every, tokens, from_scratch, 0.1 * (ends - time.monotonic()), plan.from_scratch)
    if teacher:
        shares = {
            share: data.areas((1 - share) * tuned + share * found[english], english).get("labelled_en", 0.0)
            for share in (0.0, 0.15, 0.3, 0.5)
        }
        told["share_of_from_scratch"] = share = max(shares, key=lambda one: shares[one])
        found[english] = (1 - share) * tuned + share * found[english]
    return found


def pretrained(folder: Path) -> Any:
    """An English encoder with a new head for the labels."""
    return BertForSequenceClassification.from_pretrained(folder, num_labels=len(LABELS), local_files_only=True)


def areas(kept_back: Sequence[dict[str, Any]], found: np.ndarray, numbers: np.ndarray) -> dict[str, float]:
    """AUC of toxicity on rows kept back, of labelled and of composed ones, by language. `found` holds the log-odds of the rows `numbers`."""
    places: dict[str, list[tuple[bool, float]]] = {}
    for number, own in zip(numbers, found[:, 0], strict=True):
        row = kept_back[number]
        if row["toxicity"] is not None:
            kind = "composed" if row["source"].startswith(COMPOSED) else "labelled"
            places.setdefault(f"{kind}_{row['lang']}", []).append((row["toxicity"] >= 0.5, float(own)))
    return {
        name: round(float(roc_auc_score(*zip(*pairs, strict=True))), 4)
        for name, pairs in sorted(places.items())
        if len({truth for truth, _ in pairs}) == 2
    }


def variants(rows: Sequence[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """Of each labelled row a stretch, and its first half with the second of another row of its fold and language; not labelled."""
    found = []
    parts: dict[tuple[int, str], list[list[str]]] = {}
    for row in rows:
        if row["source"].startswith(COMPOSED):
            continue
        units = list(row["text"]) if row["lang"] == "zh" else row["text"].split(" ")
        joint = "" if row["lang"] == "zh" else " "
        others = parts.setdefault((row["fold"], row["lang"]), [])
        texts = []
        if len(units) >= 8:
            size = rng.randint(4, max(5, min(40, len(units) * 3 // 4)))
            first = rng.randrange(len(units) - size + 1)
            texts.append(joint.join(units[first : first + size]))
        if others and len(units) >= 4:
            other = rng.choice(others)
            texts.append(joint.join([*units[: len(units) // 2][:20], *other[len(other) // 2 :][:20]]))
        others.append(units)
        found += [
            {"text": text, "lang": row["lang"], "source": "piece", "fold": row["fold"]}
            for text in texts
            if text.strip()
        ]
    return found


def write_card(
    out: Path,
    data: Path,
    kept_back: Sequence[dict[str, Any]],
    told: dict[str, Any],
    *,
    num_threads: int,
    num_dropped: int,
    num_own: int,
) -> dict[str, Any]:
    """Measure the model in `out` and write what it is, where it came from (`told` of its training) and how good it is to `out/card.json`."""
    weights = torch.load(out / "toxicity.ckpt", weights_only=True)["state_dict"]
    card = {
        "name": "GenRec toxicity classifier, English and Chinese",
        "command": told.pop("command"),
        "seed": told.pop("seed"),
        "data": DATA,
        "licence": "the repository's; the sources above are credited as CC BY 4.0 asks, no text of theirs is included",
        "labels": {
            "severe_toxicity": "rests on 1.7k machine scores: indicative only",
            "threat": "few real positives in English, only templates in Chinese",
        },
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"bert": told.pop("hardware"), "ngrams and figures": hardware(num_threads)},
        "bert": told,
        "rows_dropped_as_measured_on": num_dropped,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "rule": {
            "toxicity": TOXICITY,
            "harm": HARM,
            "obscene": OBSCENE,
            "chosen_on": "rows that training kept back, with floors that were set with the development figures in view",
            **measure_rule(ToxicityScorer.load(out), kept_back),
        },
        "figures": measure(ToxicityScorer.load(out), data, num_own=min(1000, num_own)),
        "notes": {"own_false_positives": "titles and pitches in it were trained on, its composed sentences were not"},
    }
    card["sha256"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir()) if path.name in FILES
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def training_rows(
    data: Path, *, num_own: int, seed: int, num_processes: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows to train on: labelled ones, our own sentences, mistyped copies of short ones; and those kept back for choices, mixing and thresholds."""
    composed: list[dict[str, Any]] = []
    if missing := [name for name in TRAIN_FILES if not (data / name).exists()]:
        raise AssetError(f"{data / missing[0]} is not there; --data must name the folder with {', '.join(TRAIN_FILES)}")
    with ProcessPoolExecutor(num_processes) as pool:
        languages = LANGUAGES if num_own else ()
        own = [
            pool.submit(own_benign_rows, language, num_sentences=num_own, seed=seed) for language in languages
        ]  # 8 s each: begun first
        read = read_rows([data / name for name in TRAIN_FILES], pool)
        kept_back = [row for row in read if is_kept_back(row["text"])]
        for language in languages:
            for into, held_out in ((composed, False), (kept_back, True)):
                found = labelled_rows(language, LABELS, seed=seed, held_out=held_out)
                texts = normalised([row["text"] for row in found], pool)
                into += [{**row, "text": text} for row, text in zip(found, texts, strict=True)]
        composed += [row for future in own for row in future.result()]
    known = {comparable(row["text"]) for row in kept_back} - {""}
    rows = without_measured([row for row in read if not is_kept_back(row["text"])], known) + composed
    for row in rows:
        row["fold"] = int(hashlib.sha256(comparable(row["text"]).encode()).hexdigest()[-8:], 16) % NUM_FOLDS
    if num_own:
        rng = random.Random(seed)
        short = [row for row in rows if row["lang"] == "en" and len(row["text"]) < 120]
        rows += [
            {**row, "text": mistype(row["text"], rng), "source": "mistyped"}
            for row in rng.sample(short, min(NUM_MISTYPED, len(short)))
        ]
    return rows, kept_back


def is_kept_back(text: str, one_in: int = 16) -> bool:
    """Whether a row (one in 16, by hash) never enters training: the mix and the thresholds are chosen on these."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % one_in == 0


def comparable(text: str) -> str:
    """A normalised text without case, spaces and punctuation: what two rows share that differ in nothing that is said."""
    return "".join(char for char in text.casefold() if char.isalnum())


def without_measured(rows: list[dict[str, Any]], measured: Collection[str]) -> list[dict[str, Any]]:
    """The rows whose text is none of those to measure with, which are given as `comparable`."""
    return [row for row in rows if comparable(row["text"]) not in measured]


def mistype(text: str, rng: random.Random) -> str:
    """`text` with one slip in every eight words or so: two letters swapped, one left out or doubled, a space left out."""
    words = text.split(" ")
    for _ in range(1 + len(words) // 8):
        place = rng.randrange(len(words))
        word = words[place]
        if len(word) < 4:
            continue
        at = rng.randrange(1, len(word) - 1)
        slip = rng.randrange(4)
        if slip == 0:
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif slip == 1:
            words[place] = word[:at] + word[at + 1 :]
        elif slip == 2:
            words[place] = word[:at] + word[at] + word[at:]
        elif place + 1 < len(words):
            words[place : place + 2] = [word + words[place + 1]]
    return " ".join(words)


def fit_toxicity_table(rows: Sequence[dict[str, Any]], *, seed: int) -> Table:
    """Toxicity from the n-grams with words of the normalised rows, composed ones left out: an averaged logistic regression of the features times their log-count
    ratio (Wang & Manning 2012, NBSVM). AUC on the rows kept back, of 70,000 others: .937 → .951 (English), .965 → .974 (Chinese) against characters alone."""
    rows = [row for row in rows if row["toxicity"] is not None and not row["source"].startswith(COMPOSED)]
    table = _table_of([counts_with_words(row["text"]) for row in rows], NUM_FEATURES)
    truth = np.array([row["toxicity"] >= 0.5 for row in rows])
    ratios = count_ratios(table, truth)
    table.data *= ratios[table.indices]
    model = _fit_linear(table, truth, seed=seed, num_epochs=6, penalty=3e-6)
    return Table.quantised((model.coef_[0] * ratios)[:, None], model.intercept_)


def fit_other_tables(rows: Sequence[dict[str, Any]], *, seed: int) -> Table:
    """The other labels from the character n-grams of the normalised rows that have them: one averaged logistic regression a label."""
    rows = [row for row in rows if row["source"] not in ORDERED]
    table = _table_of([counts(row["text"]) for row in rows], NUM_CHARACTERS)
    weights = np.zeros((NUM_CHARACTERS, len(NGRAM_LABELS) - 1), np.float32)
    biases = np.zeros(len(NGRAM_LABELS) - 1, np.float32)
    for column, label in enumerate(tqdm(NGRAM_LABELS[1:], desc="n-grams", unit="label")):
        known = np.array([number for number, row in enumerate(rows) if row[label] is not None])
        truth = np.array([rows[number][label] >= 0.5 for number in known])
        model = _fit_linear(table[known], truth, seed=seed, num_epochs=8, penalty=1e-6)
        weights[:, column], biases[column] = model.coef_[0], model.intercept_[0]
    return Table.quantised(weights, biases)


def _table_of(found: Sequence[tuple[np.ndarray, np.ndarray]], num_features: int) -> csr_matrix:
    starts = np.cumsum([0, *(len(numbers) for numbers, _ in found)])
    return csr_matrix(
        (np.concatenate([values for _, values in found]), np.concatenate([numbers for numbers, _ in found]), starts),
        shape=(len(found), num_features),
    )


def _fit_linear(table: csr_matrix, truth: np.ndarray, *, seed: int, num_epochs: int, penalty: float) -> SGDClassifier:
    return SGDClassifier(
        loss="log_loss", alpha=penalty, max_iter=num_epochs, tol=None, average=True, random_state=seed
    ).fit(table, truth)


def count_ratios(table: csr_matrix, truth: np.ndarray, limit: float = 4.0) -> np.ndarray:
    """By feature the logarithm of how much more often, counted with one more, it is in texts that are true than in others, float32 (num_features,),
    cut to ±`limit`."""
    shares = []
    for own in (table[truth], table[~truth]):
        number = np.bincount(own.indices, minlength=table.shape[1]) + 1.0
        shares.append(number / number.sum())
    return np.clip(np.log(shares[0] / shares[1]), -limit, limit).astype(np.float32)


def fit_mix(
    scorer: ToxicityScorer,
    ngrams: NgramModel,
    kept_back: Sequence[dict[str, Any]],
) -> np.ndarray:
    """How the two models' log-odds are mixed, (4, 5): by label a logistic regression of both, and of whether a text is Chinese, on the rows that neither was
    trained on. For toxicity the composed rows weigh a tenth of the others: they are adversarial, and more of them took from the AUC on what people wrote. A
    label that no row has stays as it was."""
    texts = [row["text"][:300] for row in kept_back]
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    bert = np.zeros((len(texts), len(LABELS)), np.float32)
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        bert[batch] = scorer.bert_logits([texts[number] for number in batch])
    own, chinese = ngrams.logits(texts), is_chinese(texts)
    is_composed = np.array([row["source"].startswith(COMPOSED) for row in kept_back], dtype=bool)
    mix = ngrams.mix.copy()
    for column, label in enumerate(NGRAM_LABELS):
        known = np.array([row[label] is not None for row in kept_back], dtype=bool)
        truth = np.array([row[label] >= 0.5 for row in kept_back if row[label] is not None], dtype=bool)
        weight = np.ones(len(truth))
        if label == "toxicity" and is_composed[known].any():
            weight[is_composed[known]] = 0.1 * (~is_composed[known]).sum() / is_composed[known].sum()
        if 0 < truth.sum() < len(truth):
            seen = np.stack(
                [chinese[known], bert[known, COLUMNS[column]], own[known, column]], axis=1
            )  # (num_known, 3)
            fitted = LogisticRegression(C=10.0).fit(seen, truth, sample_weight=weight)
            mix[:, column] = [fitted.intercept_[0], *fitted.coef_[0]]
    return mix


def read_rows(paths: Sequence[Path], pool: Executor | None = None) -> list[dict[str, Any]]:
    """The labelled rows of the files, their text normalised."""
    rows = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    for row, text in zip(rows, normalised([row["text"] for row in rows], pool), strict=True):
        row["text"] = text
    return rows


def normalised(texts: Sequence[str], pool: Executor | None = None) -> list[str]:
    """The texts as the filter reads them; 0.1 ms each in one process."""
    return list(pool.map(normalise, texts, chunksize=2000) if pool else map(normalise, texts))


def own_benign_rows(
    language: Language, *, num_sentences: int, seed: int, held_out: bool = False
) -> list[dict[str, Any]]:
    """Benign rows in the words that the filter will really read: recommendations composed of the catalogue and the
    frames, and the catalogue's pitches and titles. Without them 4 % of such English sentences and 9 % of the Chinese
    were taken for insults. Held-out sentences speak of items that no other sentence speaks of; titles and pitches are all trained on, since all are shown."""
    corpora = {own: Corpus.read(ASSETS / "catalogue", held_out=own) for own in (held_out, True)}
    composed = (
        plain(one).strip()
        for dialogue in corpora[held_out].dialogues(seed, languages=(language,))
        for one in sentences([dialogue.reply])
    )
    texts = list(dict.fromkeys(itertools.islice(composed, num_sentences)))
    for item in (item for corpus in corpora.values() for item in corpus.items):
        texts += [*item.pitches_in(language), item.title_in(language)]
    labels: dict[str, float] = dict.fromkeys(LABELS, 0.0)
    return [{"text": normalise(text), "lang": language, "source": "genrec", **labels} for text in texts if text]


def train_tokenizer(texts: Sequence[str], shape: Shape) -> BertTokenizer:
    """A lower-case WordPiece tokenizer that gives every Chinese character a piece of its own."""
    learner = BertWordPieceTokenizer(lowercase=True, handle_chinese_chars=True, strip_accents=True)
    counts: Counter[str] = Counter()
    inner: set[str] = set()
    written = Counter(part for text in texts for part in learner.normalizer.normalize_str(text).split())
    for part, number in written.items():  # each once: cutting every text took half a minute
        for word, _ in learner.pre_tokenizer.pre_tokenize_str(part):
            for char in word:
                counts[char] += number
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


def measure(scorer: ToxicityScorer, data: Path, *, num_own: int) -> dict[str, Any]:
    """Figures on the held-out labels and suites, measured with the model as it is shipped.

    AUC in [0, 1], higher is better; accuracy by the rule of `verdict`; on the recommendation sentences the share of benign ones
    that are not "ok" and the share of toxic ones that are not "ok".
    """
    figures: dict[str, Any] = {}
    held_out = read_rows([data / "labels_dev.jsonl.gz"])
    scores = scorer.score([row["text"] for row in held_out])
    for language in LANGUAGES:
        pairs = [(row, s) for row, s in zip(held_out, scores, strict=True) if row["lang"] == language]
        truth = [row["toxicity"] >= 0.5 for row, _ in pairs]
        figures[f"held_out_auc_{language}"] = round(float(roc_auc_score(truth, [s["toxicity"] for _, s in pairs])), 4)

    suites = read_rows([data / "suites_dev.jsonl.gz"])
    scores = scorer.score([row["text"] for row in suites])
    for name, suite in (("hatecheck", "hatecheck"), ("hatecheck_mandarin", "mhc_mandarin")):
        right = [
            (verdict(s) != "ok") == bool(row["label"])
            for row, s in zip(suites, scores, strict=True)
            if row["suite"] == suite
        ]
        figures[f"{name}_accuracy"] = round(sum(right) / len(right), 4)
    for language in LANGUAGES:
        for name, suite in (("rec_false_positives", "rec_benign"), ("rec_caught", "rec_toxic")):
            verdicts = [
                verdict(s)
                for row, s in zip(suites, scores, strict=True)
                if row["suite"] == suite and row["lang"] == language
            ]
            figures[f"{name}_{language}"] = round(sum(v != "ok" for v in verdicts) / len(verdicts), 4)
            figures[f"{name}_blocked_{language}"] = round(verdicts.count("block") / len(verdicts), 4)

    for language in LANGUAGES if num_own else ():
        own = own_benign_rows(language, num_sentences=num_own, seed=5, held_out=True)
        wrong = [verdict(s) != "ok" for s in scorer.score([row["text"] for row in own])]
        figures[f"own_false_positives_{language}"] = round(sum(wrong) / len(wrong), 4)

    times_ms = []
    for sentence in [row["text"] for row in suites if row["suite"].startswith("rec_")][:100]:
        started = time.process_time()
        scorer.logits([normalise(sentence)])  # `score` would remember it
        times_ms.append((time.process_time() - started) * 1000)
    figures["ms_a_sentence"] = round(float(np.median(times_ms)), 2)
    return figures


def measure_rule(scorer: ToxicityScorer, kept_back: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Shares of the rows kept back that the rule does not let pass: hurtful and harmless ones, labelled and composed (the mean over languages and kinds)."""
    scores = scorer.score([row["text"][:300] for row in kept_back])
    found: dict[str, dict[tuple[str, str], list[bool]]] = {}
    for row, own in zip(kept_back, scores, strict=True):
        if row["toxicity"] is not None:
            is_composed = row["source"].startswith(COMPOSED)
            name = f"{'composed' if is_composed else 'labelled'}_{'caught' if row['toxicity'] >= 0.5 else 'flagged'}"
            kind = (row["source"], row["lang"]) if is_composed else ("", "")
            found.setdefault(name, {}).setdefault(kind, []).append(verdict(own) != "ok")
    return {
        name: round(float(np.mean([np.mean(own) for own in kinds.values()])), 3)
        for name, kinds in sorted(found.items())
    }
