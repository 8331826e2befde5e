"""Finds and ranks what to recommend: meaning, shared tags, likeness to items the visitor named, popularity; then diversity.

Items he has seen, rejected or been shown never come again; items of a disliked tag are left out; hard constraints are checked exactly, and when nothing
meets them all, the last stated is dropped and named. The weights below are a first hand-made set, after the trial in which message, named
items, genres and log popularity at 3 : 2 : 1 : 0.5 did best on ReDial.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from genrec.errors import AssetError
from genrec.schema import Candidate, Constraint, Interest, Item, Language, Profile
from genrec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from genrec.catalogue import Catalogue

NUM_RANKED = 20
_WEIGHTS = {"meaning": 2.0, "interests": 3.0, "likeness": 2.0, "kind": 1.5, "popularity": 0.25}
_DECAY = 0.6  # an interest of the turn before counts this much
_DISLIKE = 3.0  # taken off for each disliked tag
_REPEAT = 0.35  # weight of likeness to what is already chosen (maximal marginal relevance)
_UNANSWERED = 1.5  # premium for the first item that answers a wish
_FITS_MEANING = 0.45  # cosine at which a wish without known tags counts as answered
_MINUTES = ("runtime_min", "episode_min", "duration_min", "minutes", "hours")


class Encoder(Protocol):
    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 (num_texts, dim)."""
        ...


class SentenceEncoder:
    """A sentence-transformers model: the bundled static one, or any by hub id."""

    def __init__(self, model: Any):
        self._model = model
        self._lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once

    @classmethod
    def load(cls, source: str | Path, *, is_local_only: bool = True) -> SentenceEncoder:
        """The encoder of a folder or hub id.

        Raises:
            AssetError: it cannot be loaded.
        """
        from sentence_transformers import SentenceTransformer

        try:
            return cls(SentenceTransformer(str(source), device="cpu", local_files_only=is_local_only))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise AssetError(f"The encoder {source} cannot be loaded: {error}") from error

    def encode(self, texts: list[str]) -> np.ndarray:
        with self._lock:
            vectors = self._model.encode(
                texts, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
            )
        return vectors.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates in rank order, and what had to give: the words of a constraint that nothing meets, of a wish that nothing answers."""

    candidates: tuple[Candidate, ...]
    relaxed: str = ""
    unanswered: str = ""


class Retriever:
    """Ranks one catalogue. Holds its vectors; knows nothing of any visitor between calls."""

    def __init__(self, catalogue: Catalogue, encoder: Encoder, vocabulary: Vocabulary):
        self._items = catalogue.items
        self._encoder = encoder
        self._row = {item.id: row for row, item in enumerate(self._items)}
        self._vectors = encoder.encode([item_text(item, vocabulary) for item in self._items])  # (num_items, dim)
        self._terms = [_terms(item) for item in self._items]
        self._moods = frozenset(vocabulary.terms["moods"])
        self._popularity = np.array([(item.popularity - 1) / 4 for item in self._items], np.float32)
        self._kinds = np.array([item.kind for item in self._items])

    def rank(self, profile: Profile, message: str, *, turn: int = 0, count: int = NUM_RANKED) -> Ranking:
        """The best `count` items for a profile and the message it was last changed by."""
        allowed, relaxed = self._allowed(profile)
        parts = self._parts(profile, message, turn)
        score = sum(_WEIGHTS[name] * values for name, values in parts.items() if name in _WEIGHTS) - parts["dislikes"]
        wishes = sorted(profile.likes, key=lambda interest: interest.turn != turn)  # those of this turn first
        num_new = sum(wish.turn == turn for wish in wishes)
        answered = self._answered(wishes)  # (num_wishes, num_items)
        candidates = []
        for row in self._diverse(np.where(allowed, score, -np.inf), answered[:num_new], count):
            shown = {name: round(float(values[row]), 4) for name, values in parts.items()}
            fits = _fits(wishes, answered[:, row])
            candidates.append(Candidate(self._items[row], round(float(score[row]), 4), shown, fits))
        known = [wish.text for wish in wishes[:num_new] if wish.tags]
        is_unanswered = bool(known and candidates) and not any(candidate.fits for candidate in candidates)
        return Ranking(tuple(candidates), relaxed, known[-1] if is_unanswered else "")

    def with_fits(self, candidates: Sequence[Candidate], profile: Profile, *, turn: int = 0) -> tuple[Candidate, ...]:
        """The same candidates with the words of another profile that they answer, as `rank` would tell them."""
        wishes = sorted(profile.likes, key=lambda interest: interest.turn != turn)
        answered = self._answered(wishes)
        return tuple(replace(one, fits=_fits(wishes, answered[:, self._row[one.item.id]])) for one in candidates)

    def _allowed(self, profile: Profile) -> tuple[np.ndarray, str]:
        """Which items may come at all (num_items,), and the words of the constraints that were dropped to leave any."""
        gone = {*profile.shown, *profile.seen, *profile.disliked, *profile.liked}
        allowed = np.array([item.id not in gone for item in self._items])
        if not allowed.any():  # a small catalogue was shown to its end: begin again with what he has not turned down
            allowed = np.array([item.id not in {*profile.seen, *profile.disliked} for item in self._items])
        if profile.kinds:
            of_kind = allowed & np.isin(self._kinds, profile.kinds)
            allowed = of_kind if of_kind.any() else allowed
        unwanted = {tag for interest in profile.dislikes for tag in interest.tags}
        without = allowed & np.array([not unwanted & terms for terms in self._terms])
        allowed = without if without.any() else allowed
        constraints, dropped = list(profile.constraints), dict[str, None]()
        while constraints:
            meets = np.array([all(is_met(item, constraint) for constraint in constraints) for item in self._items])
            if (allowed & meets).any():
                return allowed & meets, "; ".join(reversed(dropped))
            dropped[constraints.pop().text] = None
        return allowed, "; ".join(reversed(dropped))

    def _parts(self, profile: Profile, message: str, turn: int) -> dict[str, np.ndarray]:
        """What the score is made of, each (num_items,)."""
        likes = [(interest, _DECAY ** max(0, turn - interest.turn)) for interest in profile.likes]
        query = "; ".join(interest.text for interest, weight in likes if weight > 0.3) or message[:500]
        meaning = self._vectors @ self._encoder.encode([query])[0]
        interests = np.zeros(len(self._items), np.float32)
        for interest, weight in likes:
            if interest.tags:
                wanted = set(interest.tags)
                interests += weight * np.array([len(wanted & terms) / len(wanted) for terms in self._terms], np.float32)
        if likes:
            interests /= max(1.0, sum(weight for interest, weight in likes if interest.tags))
        likeness = np.zeros(len(self._items), np.float32)
        seeds = [self._row[id] for id in profile.liked if id in self._row]
        for row in seeds:
            shared = np.array([len(self._terms[row] & terms) for terms in self._terms], np.float32) / max(
                1, len(self._terms[row])
            )
            likeness += (self._vectors @ self._vectors[row] + shared + (self._kinds == self._items[row].kind)) / (
                3 * len(seeds)
            )
        unwanted = {tag for interest in profile.dislikes for tag in interest.tags}
        dislikes = _DISLIKE * np.array([len(unwanted & terms) for terms in self._terms], np.float32)
        turned_down = [self._row[id] for id in profile.disliked if id in self._row]
        if turned_down:
            dislikes += (self._vectors @ self._vectors[turned_down].T).mean(1)
        kind = (
            np.isin(self._kinds, profile.kinds).astype(np.float32)
            if profile.kinds
            else np.zeros(len(self._items), np.float32)
        )
        return {
            "meaning": meaning,
            "interests": interests,
            "likeness": likeness,
            "kind": kind,
            "popularity": self._popularity,
            "dislikes": dislikes,
        }

    def _diverse(self, score: np.ndarray, answered: np.ndarray, count: int) -> list[int]:
        """Rows in order: each next one by score less its likeness to those before (Carbonell & Goldstein 1998), with a
        premium for a wish that nothing chosen answers yet. `answered` is bool (num_wishes, num_items)."""
        pool = [int(row) for row in np.argsort(-score)[: 5 * count] if np.isfinite(score[row])]
        is_open = np.full(len(answered), len(answered) > 1)  # the score already favours what answers an only wish
        chosen: list[int] = []
        while pool and len(chosen) < count:
            likeness = self._vectors[pool] @ self._vectors[chosen[:6]].T if chosen else np.zeros((len(pool), 1))
            value = score[pool] - _REPEAT * likeness.max(1) + _UNANSWERED * answered[is_open][:, pool].any(0)
            best = pool.pop(int(np.argmax(value)))
            chosen.append(best)
            is_open &= ~answered[:, best]
        return chosen

    def _answered(self, wishes: Sequence[Interest]) -> np.ndarray:
        """Which items answer which wishes, bool (num_wishes, num_items): by its topics, two of three of them at least; a mood
        alone decides only where no topic is named; a wish without known words by its meaning."""
        vectors = self._encoder.encode([wish.text for wish in wishes]) if wishes else np.zeros((0, 1), np.float32)
        rows = []
        for wish, vector in zip(wishes, vectors, strict=True):
            wanted = set(wish.tags) - self._moods or set(wish.tags)
            if wanted:
                need = len(wanted) * 2 / 3 if set(wish.tags) - self._moods else 1
                rows.append(np.array([len(wanted & terms) >= need for terms in self._terms]))
            else:
                rows.append(self._vectors @ vector >= _FITS_MEANING)
        return np.array(rows, bool).reshape(len(wishes), len(self._items))


def _fits(wishes: Sequence[Interest], answered: np.ndarray) -> tuple[str, ...]:
    """The first two wishes that an item answers; `answered` is bool (num_wishes,)."""
    return tuple(dict.fromkeys(wish.text for wish, fit in zip(wishes, answered, strict=True) if fit))[:2]


def is_met(item: Item, constraint: Constraint) -> bool:
    """Whether an item meets a constraint. An item that does not say is not let through."""
    value: object
    if constraint.field == "year":
        value = item.year
    elif constraint.field == "minutes":
        name = next((name for name in _MINUTES if name in item.attributes), "")
        value = item.attributes.get(name)
        value = float(value) * 60 if name == "hours" and isinstance(value, (int, float)) else value
    elif constraint.field == "players":
        value = item.attributes.get("players_max", item.attributes.get("people_max"))
        low = item.attributes.get("players_min", item.attributes.get("people_min", 1))
        if isinstance(low, (int, float)) and isinstance(constraint.value, (int, float)) and low > constraint.value:
            return False
    else:
        value = item.attributes.get(constraint.field)
    if constraint.op in ("==", "!="):
        return (value == constraint.value) == (constraint.op == "==")
    if not isinstance(value, (int, float)) or not isinstance(constraint.value, (int, float)):
        return False
    return value <= constraint.value if constraint.op == "<=" else value >= constraint.value


def item_text(item: Item, vocabulary: Vocabulary, *, languages: Sequence[Language] = ("en", "zh")) -> str:
    """What the encoder reads of an item, English first and then Chinese; the encoder was trained on just this."""
    parts = []
    if "en" in languages:
        parts.append(
            f"{item.title}. {item.kind}. {item.creator}. {', '.join(item.tags)}. {', '.join(item.moods)}. {item.pitch}"
        )
    if "zh" in languages:
        tags = ", ".join(vocabulary.translate(tag, "zh") for tag in item.tags)
        parts.append(f"{item.title_zh}. {tags}. {item.pitch_zh}")
    return " ".join(parts)


def _terms(item: Item) -> frozenset[str]:
    return frozenset((*item.tags, *item.moods, *([item.country] if item.country else [])))
