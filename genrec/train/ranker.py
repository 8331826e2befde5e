"""Train the ranker: one set of weights over the features of `genrec.retrieval`, from what people liked after they had said what they like.

The loss is the listwise softmax (ListNet's top-one form, Cao et al. 2007): minus the log-probability of each liked item among all that may be
recommended. Films and music count alike, whatever the number of their dialogues, so that the weights suit either. Weights are not negative: every
feature is built so that more is better. Measured by cross-validation over dialogues: no turn of a dialogue is ranked by weights that saw another.
What is liked together is told by the other dialogues that are learned from, as the app's store tells it of other visitors' ratings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from genrec.catalogue import Catalogue
from genrec.interests import named_items, understand
from genrec.load import check_asset
from genrec.retrieval import FEATURES, Retriever, scaled
from genrec.schema import Item, Profile
from genrec.settings import ASSETS
from genrec.static_encoder import StaticEncoder
from genrec.store import MIN_TOGETHER
from genrec.train.data import read_rows
from genrec.vocabulary import Vocabulary

NUM_FOLDS = 5
# What these dialogues cannot teach, set by hand: each holds one kind only, so whether the visitor wants the kind of what he named stays open (and has no
# part in the figures, since it is the same for all items).
BY_HAND = {"like_kind": 0.5}
LEARNED = tuple(name for name in FEATURES if name not in BY_HAND)
DATA = (
    {"name": "ReDial development rows (Li et al. 2018)", "licence": "CC-BY-4.0"},
    {"name": "CPCD development rows (Chaganty et al. 2023)", "licence": "CC-BY-4.0"},
)


@dataclass(frozen=True)
class Query:
    """A moment of a dialogue: the items that may come, their features, and which of them were liked."""

    id: str
    dialogue: str
    rows: np.ndarray  # of the catalogue, those that may come (num_rows,)
    features: np.ndarray  # float32, as they are weighted (num_rows, len(LEARNED))
    liked: np.ndarray  # bool (num_rows,)
    groups: np.ndarray  # items of one group count as one: takes of a song (num_rows,)
    num_liked: int  # groups that were liked, also those that may not come
    seeds: tuple[int, ...] = ()  # rows of the catalogue: what he had said he likes


def read_films(folder: Path) -> Catalogue:
    """ReDial's films, without the two that have no title. Popularity is how often other dialogues mention one, on a log scale from 1 to 5."""
    rows = read_rows(folder / "items_redial_movies.jsonl")
    most = max(row["mentions_outside_eval"] for row in rows)
    return Catalogue(
        tuple(
            Item(
                row["id"],
                "film",
                row["title"],
                creator=", ".join(row["directors"]),
                year=row["year"],
                tags=tuple(row["genres"]),
                popularity=1 + 4 * math.log1p(row["mentions_outside_eval"]) / math.log1p(most),
                attributes={"stars": ", ".join(row["stars"])} if row["stars"] else {},
            )
            for row in rows
            if row["title"]
        )
    )


def read_tracks(folder: Path) -> tuple[Catalogue, dict[str, str]]:
    """CPCD's tracks, and which takes are of one song."""
    rows = read_rows(folder / "items_cpcd_tracks.jsonl")
    items = tuple(
        Item(
            row["id"],
            "album",
            row["title"],
            creator=", ".join(row["artists"]),
            attributes={"release": row["release"]} if row["release"] else {},
        )
        for row in rows
    )
    return Catalogue(items), {row["id"]: row["cluster"] for row in rows}


def film_queries(folder: Path, encoder: StaticEncoder, vocabulary: Vocabulary) -> list[Query]:
    """One query a dialogue, after its first turns of the seeker."""
    catalogue = read_films(folder)
    vocabulary = vocabulary.with_terms(catalogue.tags())
    retriever = Retriever(catalogue, encoder, vocabulary, {})
    row_of = {item.id: row for row, item in enumerate(catalogue.items)}
    queries = []
    for row in read_rows(folder / "redial_movie_en_dev.jsonl"):
        profile, message, turn, previous = listen(row["context"], catalogue, vocabulary)
        known = (*profile.shown, *(seed["id"] for seed in row["seed_items"]))
        liked = sorted({item["id"] for item in row["liked"]})
        queries.append(
            _query(
                row["id"],
                row["id"],
                retriever,
                replace(profile, shown=known),
                (message, turn, previous),
                np.array([row_of[id] for id in liked if id in row_of]),
                np.arange(len(catalogue.items)),
                len(liked),
            )
        )
    return queries


def track_queries(folder: Path, encoder: StaticEncoder, vocabulary: Vocabulary) -> list[Query]:
    """One query a turn; what was liked or not in earlier turns is known, what is said of this turn's list is not."""
    catalogue, song_of = read_tracks(folder)
    vocabulary = vocabulary.with_terms(catalogue.tags())
    retriever = Retriever(catalogue, encoder, vocabulary, {})
    numbers = {song: number for number, song in enumerate(dict.fromkeys(song_of.values()))}
    songs = np.array([numbers[song_of[item.id]] for item in catalogue.items])
    queries: list[Query] = []
    liked: dict[str, list[str]] = {}
    disliked: dict[str, list[str]] = {}
    for row in read_rows(folder / "cpcd_music_en_dev.jsonl"):
        dialogue = row["id"].rsplit(":", 1)[0]
        profile, message, turn, previous = listen(row["context"], catalogue, vocabulary)
        profile = replace(
            profile,
            liked=tuple(dict.fromkeys((*profile.liked, *liked.setdefault(dialogue, [])))),
            disliked=tuple(dict.fromkeys((*profile.disliked, *disliked.setdefault(dialogue, [])))),
        )
        wanted = sorted({numbers[item["cluster"]] for item in row["liked"]})
        rows = np.flatnonzero(np.isin(songs, wanted))
        said = (message, turn, previous)
        queries.append(_query(row["id"], dialogue, retriever, profile, said, rows, songs, len(wanted)))
        liked[dialogue] += [item["id"] for item in row["liked_this_turn"]]
        disliked[dialogue] += [item["id"] for item in row["disliked_this_turn"]]
    return queries


def listen(context: Sequence[Mapping[str, str]], catalogue: Catalogue, vocabulary: Vocabulary):
    """(profile, last message, its turn, what was said before it): a dialogue read as the assistant reads it."""
    profile, message, turn, previous, before = Profile(), "", 0, "", ""
    last: tuple[Item, ...] = ()
    for number, said in enumerate(context):
        if said["role"] == "user":
            message, turn, before = said["text"], number, previous
            profile = understand(
                message,
                profile,
                vocabulary=vocabulary,
                by_title=catalogue.by_title,
                last_items=last,
                turn=number,
            ).profile
        else:
            last = tuple(item for item, _, _ in named_items(said["text"], catalogue.by_title))
            profile = replace(profile, shown=tuple(dict.fromkeys((*profile.shown, *(item.id for item in last)))))
        previous = said["text"]
    return profile, message, turn, before


def _query(
    id: str,
    dialogue: str,
    retriever: Retriever,
    profile: Profile,
    said: tuple[str, int, str],
    liked: np.ndarray,
    groups: np.ndarray,
    num_liked: int,
) -> Query:
    message, turn, previous = said
    allowed, _, _ = retriever.allowed(profile)
    parts = retriever.features(profile, message, turn=turn, previous=previous)
    rows = np.flatnonzero(allowed)
    features = np.stack([scaled(name, parts[name], allowed)[rows] for name in LEARNED], axis=1)
    seeds = tuple(retriever.rows(profile.liked))
    return Query(id, dialogue, rows, features, np.isin(rows, liked), groups[rows], num_liked, seeds)


def with_together(queries: Sequence[Query], told_by: Sequence[Query]) -> list[Query]:
    """The queries with the feature "together" told by the dialogues of `told_by`, each query's own left out."""
    names = sorted({query.dialogue for query in told_by})
    number = {name: place for place, name in enumerate(names)}
    size = 1 + max((max((int(query.rows.max(initial=0)), *query.seeds)) for query in (*queries, *told_by)), default=0)
    likes = np.zeros((len(names), size), np.float32)  # 1 where a dialogue's visitor likes an item
    for query in told_by:
        likes[number[query.dialogue], [*query.seeds, *query.rows[query.liked]]] = 1
    told = []
    for query in queries:
        others = np.array([name != query.dialogue for name in names], bool)
        features = query.features.copy()
        values = liked_together(likes[others], query.seeds)[query.rows]
        features[:, LEARNED.index("together")] = scaled("together", values, np.ones(len(values), bool))
        told.append(replace(query, features=features))
    return told


def liked_together(likes: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """What `Store.liked_together` says, in [0, 1] (num_items,), where `likes` are 0 or 1 (num_users, num_items)."""
    if not seeds:
        return np.zeros(likes.shape[1], np.float32)
    pairs = likes[:, list(seeds)].T @ likes  # (num_seeds, num_items)
    pairs[pairs < MIN_TOGETHER] = 0
    pairs[:, list(seeds)] = 0
    totals = np.maximum(1, likes.sum(0))
    return (pairs / np.sqrt(totals[list(seeds)][:, None] * totals)).max(0)


@dataclass(frozen=True)
class _Lists:
    """Queries as arrays of one shape: Q queries, R items each, F features."""

    features: np.ndarray  # (Q, R, F)
    offsets: np.ndarray  # added to the score: 0, or so low that it does not count where a query has fewer items (Q, R)
    shares: np.ndarray  # of the loss, 1 / number liked for the liked (Q, R)


def _lists(queries: Sequence[Query]) -> _Lists:
    shape = (len(queries), max(len(query.rows) for query in queries))
    features = np.zeros((*shape, len(LEARNED)), np.float32)
    offsets, shares = np.full(shape, -1e9, np.float32), np.zeros(shape, np.float32)
    for number, query in enumerate(queries):
        size = len(query.rows)
        features[number, :size], offsets[number, :size] = query.features, 0
        shares[number, :size] = query.liked / max(1, int(query.liked.sum()))
    return _Lists(features, offsets, shares)


def fit(sources: Sequence[_Lists], *, ridge: float) -> np.ndarray:
    """Weights (len(LEARNED),) that make what was liked most likely, each source counting alike."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = ridge * float(weights @ weights) / 2, ridge * weights
        for one in sources:
            scores = one.features @ weights.astype(np.float32) + one.offsets  # (Q, R)
            scores -= scores.max(1, keepdims=True)
            likely = np.exp(scores)
            sums = likely.sum(1, keepdims=True)
            is_counted = one.shares.sum(1, keepdims=True)  # 1, or 0 for a query whose liked items may not come
            total += float((np.log(sums) * is_counted).sum() - (scores * one.shares).sum()) / len(scores)
            excess = likely / sums * is_counted - one.shares
            slope = slope + np.tensordot(excess, one.features, ((0, 1), (0, 1))) / len(scores)
        return total, slope

    start = np.full(len(LEARNED), 0.2)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options={"maxiter": 60})
    return found.x


def cross_validated(
    sources: Sequence[Sequence[Query]], *, ridge: float, seed: int, num_folds: int = NUM_FOLDS
) -> list[list[np.ndarray]]:
    """For each source and query the positions of its first rows, best first, ranked by weights that saw no query of its dialogue."""
    folds = []
    for queries in sources:
        names = sorted({query.dialogue for query in queries})
        drawn = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % num_folds, strict=True))
        folds.append(np.array([drawn[query.dialogue] for query in queries]))
    ranked = [[np.zeros(0, int)] * len(queries) for queries in sources]
    for fold in range(num_folds):
        seen = [
            [query for query, its in zip(queries, own, strict=True) if its != fold]
            for queries, own in zip(sources, folds, strict=True)
        ]
        weights = fit([_lists(with_together(queries, queries)) for queries in seen], ridge=ridge)
        for queries, known, own, first in zip(sources, seen, folds, ranked, strict=True):
            held_out = np.flatnonzero(own == fold).tolist()
            told = with_together([queries[number] for number in held_out], known)
            for number, query in zip(held_out, told, strict=True):
                first[number] = ranked_by(query, weights)
    return ranked


def ranked_by(query: Query, weights: np.ndarray, count: int = 100) -> np.ndarray:
    """The positions of the first `count` rows (count,), best first, of equals the earlier one."""
    return np.argsort(-(query.features @ weights.astype(np.float32)), kind="stable")[:count]


def measures(query: Query, ranked: np.ndarray, *, at: int = 10) -> tuple[float, float, float]:
    """(recall, hit, NDCG with binary gains) of the first `at` groups, each in [0, 1]; all 0 where nothing was liked."""
    liked_groups = set(query.groups[query.liked].tolist())
    first = list(dict.fromkeys(query.groups[ranked].tolist()))[:at]
    hits = [group in liked_groups for group in first]
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    best = sum(1 / math.log2(place + 2) for place in range(min(at, query.num_liked)))
    return sum(hits) / max(1, query.num_liked), float(any(hits)), gain / best if best else 0.0


def means(rows: Sequence[Sequence[float]], dialogues: Sequence[str]) -> list[tuple[float, float]]:
    """(mean, standard error) of each column. Rows of one dialogue are alike, so the error is that of sums over dialogues (cluster-robust)."""
    array = np.array(rows, float)
    names = sorted(set(dialogues))
    number = np.array([names.index(dialogue) for dialogue in dialogues])
    sums = np.zeros((len(names), array.shape[1]))
    np.add.at(sums, number, array - array.mean(0))
    few = math.sqrt(len(names) / max(1, len(names) - 1))  # few dialogues show less than their spread
    errors = few * np.sqrt((sums**2).sum(0)) / len(array)
    return [(float(mean), float(error)) for mean, error in zip(array.mean(0), errors, strict=True)]


def load_sources(folder: Path) -> tuple[list[Query], list[Query]]:
    """The queries of films and of music."""
    encoder = StaticEncoder.load(ASSETS / "models" / "encoder")
    vocabulary = Vocabulary.load(ASSETS / "catalogue" / "vocabulary.json")
    return film_queries(folder, encoder, vocabulary), track_queries(folder, encoder, vocabulary)


def train(folder: Path, out: Path, *, ridge: float, seed: int) -> dict[str, float]:
    """Writes weights.json and card.json to `out`; returns the weights."""
    started = time.monotonic()
    sources = load_sources(folder)
    figures: dict[str, float] = {}
    for name, queries, ranked in zip(
        ("redial", "cpcd"), sources, cross_validated(sources, ridge=ridge, seed=seed), strict=True
    ):
        found = means(
            [measures(query, first) for query, first in zip(queries, ranked, strict=True)],
            [query.dialogue for query in queries],
        )
        for measure, (mean, error) in zip(("recall_10", "hit_10", "ndcg_10"), found, strict=True):
            figures |= {f"{name}_{measure}": round(mean, 4), f"{name}_{measure}_se": round(error, 4)}
    weights = fit([_lists(with_together(queries, queries)) for queries in sources], ridge=ridge)
    named = {name: round(float(weight), 3) for name, weight in zip(LEARNED, weights, strict=True)} | BY_HAND
    named = {name: named[name] for name in FEATURES if named[name]}
    out.mkdir(parents=True, exist_ok=True)
    (out / "weights.json").write_text(json.dumps(named, indent=2) + "\n", "utf-8")
    _write_card(out, figures, sources, ridge=ridge, seed=seed, seconds=time.monotonic() - started)
    check_asset(out)
    return named


def _write_card(
    out: Path, figures: dict[str, float], sources: Sequence[Sequence[Query]], *, ridge: float, seed: int, seconds: float
) -> None:
    card = {
        "name": "GenRec ranker",
        "what": "Weights of a sum of features, standardised over the items that may come; differences of the sum are log-odds of being what is wanted.",
        "command": f"python -m genrec train ranker --data FOLDER --seed {seed}",
        "seed": seed,
        "ridge": ridge,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.machine()} CPU",
        "seconds": round(seconds),
        "data": [
            {**source, "queries": len(queries), "dialogues": len({query.dialogue for query in queries})}
            for source, queries in zip(DATA, sources, strict=True)
        ],
        "set_by_hand": BY_HAND,
        "figures": figures,
        "figures_are": f"{NUM_FOLDS}-fold cross-validation over dialogues with one set of weights for both; _se is the standard error, dialogues as clusters",
        "sha256": {"weights.json": hashlib.sha256((out / "weights.json").read_bytes()).hexdigest()},
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the development rows and item tables")
    parser.add_argument("--out", type=Path, default=ASSETS / "models" / "ranker")
    parser.add_argument("--ridge", type=float, default=0.01, help="penalty on squared weights (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace) -> int:
    weights = train(args.data, args.out, ridge=args.ridge, seed=args.seed)
    print(json.dumps(weights))
    print((args.out / "card.json").read_text("utf-8"))
    return 0
