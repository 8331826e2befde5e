"""How well the recommender finds what people came to like, and whether it ever repeats, or invents, a title.

Ranking is measured on development dialogues (films, music) by the protocol that came with them: the whole item table is ranked; what the visitor
named or liked before is left out. Its weights are cross-validated, so no dialogue is ranked by weights that saw it. The other two measures run
the whole assistant with the bundled models over dialogues of the training corpus's held-out messages.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from genrec.assistant import Assistant
from genrec.evaluate.constraints import bundled_rank, evaluate_crosswoz, evaluate_taurec
from genrec.evaluate.writer import BOLD, LANGUAGES, interval, last_reply
from genrec.load import load_assistant, set_threads
from genrec.retrieval import read_weights
from genrec.schema import Conversation, Reply, Sampling
from genrec.settings import ASSETS, Settings
from genrec.text import normalise
from genrec.train.corpus import Corpus
from genrec.train.ranker import (
    LEARNED,
    Query,
    cross_validated,
    load_sources,
    means,
    measures,
    ranked_by,
    with_together,
)

# What simpler rankings reach on these rows (the data's README), and what is aimed at.
_FLOORS = {
    ("ReDial", "recall@10"): ("popularity .057, TF-IDF .045", 0.18),
    ("ReDial", "hit@10"): ("popularity .168, TF-IDF .100", None),
    ("ReDial", "NDCG@10"): ("popularity .043, TF-IDF .036", 0.12),
    ("CPCD", "recall@10"): ("TF-IDF .089", None),
    ("CPCD", "hit@10"): ("TF-IDF .365", 0.65),
    ("CPCD", "NDCG@10"): ("TF-IDF .104", None),
}
_CONDITIONS = {  # figure: what it says, floors, goal
    ("CrossWOZ", "first_meets_all"): ("first item meets all that is asked", "TF-IDF .247, random .022", 0.90),
    ("CrossWOZ", "nothing_fits_said"): ("nothing fits, and it is said", "", 0.80),
    ("CrossWOZ", "nothing_fits_wrongly_said"): ("something fits, but it is denied", "", None),
    ("τ-Rec", "first_meets_told"): ("first film meets all that is told", "", 0.80),
    ("τ-Rec", "nothing_fits_said"): ("nothing fits, and it is said", "", None),
    ("τ-Rec", "nothing_fits_wrongly_said"): ("something fits, but it is denied", "", None),
}
_MEASURES = ("recall@10", "hit@10", "NDCG@10")
Figure = dict[
    str, Any
]  # set, measure, value, error (standard error, or the upper end of a 95 % interval), of, floor, goal


def evaluate_ranking(folder: Path, *, ridge: float = 0.01, seeds: Sequence[int] = (1, 2, 3)) -> list[Figure]:
    """Recall, hit and NDCG at 10, means over queries with standard errors (dialogues as clusters); each query's figure is a mean over `seeds` ways to draw the folds."""
    sources = load_sources(folder)
    runs = [cross_validated(sources, ridge=ridge, seed=seed) for seed in seeds]
    weights = read_weights(ASSETS / "models" / "ranker")
    shipped = np.array([weights.get(name, 0.0) for name in LEARNED])
    figures = []
    for index, (name, queries) in enumerate(zip(("ReDial", "CPCD"), sources, strict=True)):
        held_out = np.mean([_all_measures(queries, ranked[index]) for ranked in runs], axis=0)  # (num_queries, 3)
        seen = _all_measures(queries, [ranked_by(query, shipped) for query in with_together(queries, queries)])
        for column, measure in enumerate(_MEASURES):
            floor, goal = _FLOORS[name, measure]
            value, error = means(held_out, [query.dialogue for query in queries])[column]
            figures.append(
                {
                    "set": name, "measure": measure, "value": round(value, 4), "error": round(error, 4), "of": len(queries),
                    "floor": floor, "goal": goal, "shipped_weights_in_sample": round(float(seen[:, column].mean()), 4),
                }
            )  # fmt: skip
    return figures


def evaluate_conditions(folder: Path) -> list[Figure]:
    """Shares of requests whose hard conditions are met by the first item, or of which it is rightly said that nothing meets them."""
    found = {"CrossWOZ": evaluate_crosswoz(folder, bundled_rank), "τ-Rec": evaluate_taurec(folder, bundled_rank)}
    figures = []
    for (name, key), (measure, floor, goal) in _CONDITIONS.items():
        share, total = found[name][key], int(found[name][f"{key}_of"])
        error = (share * (1 - share) / max(1, total)) ** 0.5
        figures.append(
            {
                "set": name, "measure": measure, "value": round(share, 4), "error": round(error, 4), "of": total, "floor": floor, "goal": goal,
            }
        )  # fmt: skip
    return figures


def _all_measures(queries: Sequence[Query], ranked: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([measures(query, first) for query, first in zip(queries, ranked, strict=True)])


def count_repeats(
    assistant: Assistant, corpus: Corpus, *, num_dialogues: int, seed: int, kept: Path | None = None
) -> tuple[int, int]:
    """(dialogues in which a rejected or seen item was named again, dialogues) of three turns: a wish, a word that the first pick is not wanted or
    known already, the wish again. In every other dialogue a second pick is rated with the buttons, as disliked or as seen. `kept` as in `resumed`."""

    def has_repeat(number: int) -> bool:
        rng = random.Random(f"{seed} repeats {number}")
        language, sampling = LANGUAGES[number % 2], Sampling(seed=seed + number)
        wish = corpus.asks("recommend", rng.choice(corpus.items), language, rng)
        first = last_reply(assistant, Conversation(), wish, sampling, language)
        conversation, gone = first.conversation, {item.id for item in first.items[:1]}
        for item in first.items[1:2] if number % 4 < 2 else ():
            conversation = assistant.rate(conversation, item.id, "dislike" if number % 8 < 4 else "seen")
            gone.add(item.id)
        if not first.items:
            return False
        message = corpus.asks("reject", first.items[0], language, rng)
        second = last_reply(assistant, conversation, message, sampling, language)
        third = last_reply(assistant, second.conversation, wish, sampling, language)
        return any(item.id in gone for reply in (second, third) for item in reply.items)

    wrong = resumed(has_repeat, num_dialogues, key=f"repeats, seed {seed}", kept=kept)
    return sum(map(bool, wrong)), num_dialogues


def count_inventions(
    assistant: Assistant, corpus: Corpus, *, num_replies: int, seed: int, kept: Path | None = None
) -> tuple[int, int]:
    """(titles outside the catalogue that were shown as if verified, replies): a bold title that is neither marked nor, word for word, one of the
    catalogue's. `kept` as in `resumed`."""

    def number_invented(number: int) -> int:
        rng = random.Random(f"{seed} inventions {number}")
        language, sampling = LANGUAGES[number % 2], Sampling(seed=seed + number)
        message = corpus.asks("recommend", rng.choice(corpus.items), language, rng)
        return inventions(last_reply(assistant, Conversation(), message, sampling, language), assistant)

    return sum(resumed(number_invented, num_replies, key=f"inventions, seed {seed}", kept=kept)), num_replies


def resumed(outcome: Callable[[int], int], total: int, *, key: str, kept: Path | None = None) -> list[int]:
    """The outcomes of trials 0 … total - 1. With `kept`, a JSONL file, each is written there as soon as it is known, and those that stand there under `key`
    are not tried again; so a long run may be broken off and gone on with."""
    known: dict[int, int] = {}
    if kept and kept.is_file():
        rows = (json.loads(line) for line in kept.read_text("utf-8").splitlines() if line.endswith("}"))
        known = {row["number"]: row["wrong"] for row in rows if row["key"] == key}
    for number in tqdm(range(total), desc=key, file=sys.stderr, leave=False):
        if number not in known:
            known[number] = int(outcome(number))
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write("\n" + json.dumps({"key": key, "number": number, "wrong": known[number]}))
    return [known[number] for number in range(total)]


def inventions(reply: Reply, assistant: Assistant) -> int:
    """How many titles a reply shows as verified that the catalogue does not have."""
    marked = {normalise(mention.title) for mention in reply.mentions if not mention.is_matched}
    shown = [*BOLD.findall(reply.text), *(mention.title for mention in reply.mentions if mention.is_matched)]
    return sum(
        normalise(title) not in marked and not assistant.catalogue.titled(title) for title in dict.fromkeys(shown)
    )


def _count_figure(name: str, measure: str, wrong: int, total: int) -> Figure:
    return {
        "set": name, "measure": measure, "value": wrong, "error": round(interval(wrong, total)[1], 4), "of": total,
        "floor": "", "goal": 0,
    }  # fmt: skip


def as_table(figures: Sequence[Figure]) -> str:
    """One line a figure: what, value, error, of how many, floors, goal, and whether it is met."""
    lines = [f"{'':9}{'measure':44}{'value':>8}  {'error':10}{'of':>5}  {'goal':>6}  floors"]
    for one in figures:
        is_count = isinstance(one["value"], int)
        value = f"{one['value']}" if is_count else f"{one['value']:.3f}"
        error = f"≤ {one['error']:.1%}" if is_count else f"± {one['error']:.3f}"
        goal = "" if one["goal"] is None else f"{one['goal']}" if is_count else f"{one['goal']:.2f}"
        lines.append(
            f"{one['set']:9}{one['measure']:44}{value:>8}  {error:10}{one['of']:>5}  {goal:>6}  {one['floor']}".rstrip()
        )
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help="folder of the development rows and item tables; without it no ranking"
    )
    parser.add_argument("--dialogues", type=int, default=0, help="three-turn dialogues for repeats (default: none)")
    parser.add_argument("--replies", type=int, default=0, help="replies for invented titles (default: none)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument(
        "--resume", type=Path, help="a JSONL file that keeps each dialogue's and reply's outcome, to go on from"
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    figures: list[Figure] = []
    if args.data:
        figures += evaluate_ranking(args.data) + evaluate_conditions(args.data)
    if args.dialogues or args.replies:
        set_threads(0)
        assistant = load_assistant(Settings(model="bundled", database=":memory:"))
        corpus = Corpus(assistant.catalogue, assistant.vocabulary, held_out=True)
        if args.dialogues:
            wrong, total = count_repeats(
                assistant, corpus, num_dialogues=args.dialogues, seed=args.seed, kept=args.resume
            )
            figures.append(_count_figure("GenRec", "rejected or seen items that came again", wrong, total))
        if args.replies:
            wrong, total = count_inventions(
                assistant, corpus, num_replies=args.replies, seed=args.seed, kept=args.resume
            )
            figures.append(_count_figure("GenRec", "unknown titles shown as verified", wrong, total))
    print(json.dumps(figures, ensure_ascii=False) if args.json else as_table(figures))
    return 0
