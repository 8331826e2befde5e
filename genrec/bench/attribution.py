"""How faithful explanations are: on real first messages, ours beside ContextCite's estimator, paired on the same replies and held-out masks.

Predictive LDS is Spearman's correlation of what a fit predicts and what the model scores over held-out masks that keep each word with
probability one half (ContextCite, arXiv 2409.00729). ContextCite draws its own rows so too and fits LASSO with its published penalty. What it costs is beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genrec.attribution import Scorer, draw_rows, fit_parts
from genrec.errors import InputError
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings
from genrec.text import words

_CITE_ROWS = 128  # the most that ContextCite gets
_MIN_WORDS, _MAX_WORDS = 8, 40
_SURE = 1.96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of *_en_dev.jsonl and *_zh_dev.jsonl dialogues"
    )
    parser.add_argument("--messages", type=int, default=40, help="half of them in each language (default: %(default)s)")
    parser.add_argument("--rows", type=int, nargs="+", default=[24, 32, 64], help="row counts (default: 24 32 64)")
    parser.add_argument("--held-out", type=int, default=100, help="fresh masks a message (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from genrec.load import load_assistant

    messages = [text for language in ("en", "zh") for text in first_messages(args.data, language, args.messages // 2)]
    if not messages:
        raise InputError(f"There are no dialogues in {args.data}.")
    assistant = load_assistant(Settings(model="bundled", database=":memory:"))
    measured: dict[str, list[float]] = defaultdict(list)
    for number, message in enumerate(messages):
        begun = time.perf_counter()
        *_, reply = assistant.reply(Conversation(), message, Sampling(seed=7))
        measured["seconds of the reply"].append(time.perf_counter() - begun)
        if reply.status != "done":
            continue
        found, score, score_written = assistant.scorers(Conversation(), message, reply)
        begun = time.perf_counter()
        assistant.explain(Conversation(), message, reply, num_rows=32)
        measured["seconds of 32 rows"].append(time.perf_counter() - begun)
        for name, value in measure(
            score, score_written, len(found), tuple(args.rows), num_held_out=args.held_out, seed=number
        ):
            measured[name].append(value)
        print(f"{number + 1}/{len(messages)}", flush=True)
    for name, values in measured.items():
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        print(f"{name:44} {statistics.fmean(values):9.3f} ± {error:.3f}  ({len(values)})")
    return 0


def first_messages(folder: Path, language: str, count: int) -> list[str]:
    """The first message of visitors in dialogues of a language, of neither few nor very many words, in an order that has nothing to do with the files'."""
    texts = set()
    for path in sorted(folder.glob(f"*_{language}_dev.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            turns = json.loads(line).get("context", [])
            text = next((turn["text"] for turn in turns if turn["role"] == "user"), "")
            if _MIN_WORDS <= len(words(text)) <= _MAX_WORDS:
                texts.add(text)
    return sorted(texts, key=lambda text: zlib.crc32(text.encode()))[:count]


def measure(
    score: Scorer, score_written: Scorer, num_words: int, row_counts: tuple[int, ...], *, num_held_out: int, seed: int
) -> list[tuple[str, float]]:
    """Each measure's name and value for one reply."""
    rng = np.random.default_rng(seed)
    held_out, cited = rng.random((num_held_out, num_words)) < 0.5, rng.random((_CITE_ROWS, num_words)) < 0.5
    truth, cited_values = score(held_out).sum(1), score(cited).sum(1)
    full = score(np.ones((1, num_words), bool)).sum()
    measured = []

    def ranked(name: str, num_rows: int, effects: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        measured.append((f"{name}, {num_rows} rows: LDS", _rank_correlation(predict(held_out), truth)))
        order = np.argsort(-effects)
        rows = np.ones((4, num_words), bool)
        for row, left_out in zip(rows, (order[:1], order[:3], order[:5], order[4:]), strict=True):
            row[left_out] = False
        drops = full - score(rows).sum(1)
        for what, drop in zip(
            ("top-1 drop", "top-3 drop", "top-5 drop", "lost with the top 4 only"), drops, strict=True
        ):
            measured.append((f"{name}, {num_rows} rows: {what}", float(drop)))

    for num_rows in (*row_counts, _CITE_ROWS):
        fit = contextcite(cited[:num_rows], cited_values[:num_rows])
        ranked("ContextCite", num_rows, fit, lambda rows, fit=fit: rows @ fit)  # type: ignore[misc]
    for num_rows in row_counts:
        rows = draw_rows(num_words, num_rows, seed=seed)
        ours = fit_parts(rows, score(rows), score_written(rows))
        ranked("ours", num_rows, ours.effects.sum(0), lambda rows, ours=ours: ours.predict(rows).sum(1))  # type: ignore[misc]
        again = draw_rows(num_words, num_rows, seed=seed + 1000)
        other = fit_parts(again, score(again), score_written(again))
        sure = (np.abs(ours.effects) > _SURE * ours.errors) & (ours.effects != 0)
        if sure.any():
            same = np.sign(ours.effects[sure]) == np.sign(other.effects[sure])
            measured.append((f"ours, {num_rows} rows: certain words keep their sign", float(same.mean())))
    return measured


def contextcite(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Word scores (num_words,) by context_cite 0.0.4's solver, up to a factor: LASSO of penalty .01 over standardised columns and values a token.

    Its penalty is for log-probabilities a token; a reply of ours has about a hundred."""
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    columns = scaler.fit_transform(rows.astype(float))
    return Lasso(alpha=0.01).fit(columns, values / 100).coef_ / scaler.scale_


def _rank_correlation(guesses: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's; 0 for a constant guess, which ranks nothing."""
    from scipy.stats import spearmanr

    return float(spearmanr(guesses, truth)[0]) if np.ptp(guesses) > 0 and np.ptp(truth) > 0 else 0.0
