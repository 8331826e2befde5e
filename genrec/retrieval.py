"""Finds and ranks what to recommend: one small learned ranker over the features of an item for a profile; then diversity.

Items he has seen, rejected or been shown never come again; items of a disliked tag are left out; hard constraints are checked exactly, and when nothing
meets them all, as few as possible are dropped, and named.

The score is a weighted sum of features. Each is expressed in standard deviations over the items that may come at all, so that one set of weights serves
catalogues of any size and kind: what few items share (a maker, a rare tag) counts for more than what many do. The weights are in
`assets/models/ranker/weights.json`; `python -m genrec train ranker` finds them.
"""

from __future__ import annotations

import json
import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA

from genrec.constraints import LESSER_KNOWN, Demands, nearest
from genrec.errors import AssetError
from genrec.schema import WORKS, Candidate, Interest, Item, Language, Profile
from genrec.text import normalise
from genrec.tfidf import STOP_WORDS, Tfidf
from genrec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from genrec.catalogue import Catalogue

NUM_RANKED = 20
FEATURES = (
    "meaning", "tags", "words", "named",  # of the wishes
    "like_meaning", "like_tags", "like_people", "like_title", "like_years", "like_kind",  # to the items he likes
    "popularity",
    "together",  # liked by those who like what he likes
)  # fmt: skip
_MAX_DEVIATIONS = 6.0  # a name that one item in 100,000 has would else outweigh everything
_ORDINARY = 0.5  # deviations of popularity up to which an item is as well known as others
_DECAY = 0.6  # an interest of the turn before counts this much
_SEED_DECAY = 0.7  # of the items he likes, one named before counts this much of the next
_NEIGHBOUR = 0.7  # of a wished tag, what a term of the same meaning counts
_YEARS = 10.0  # years apart at which the nearness of two items has fallen to 1/e
_DISLIKE = 10.0  # taken off for each disliked tag, where only items with one are left
_MISSED = 25.0  # taken off for each whole that a dropped constraint is missed by: the nearest come first
_REPEAT = 0.35  # weight of likeness to what is already chosen (maximal marginal relevance), at the middle of "surprise"
_UNANSWERED = 1.5  # premium for the first item that answers a wish
_SAME_KIND = 1.0  # taken off for each item of its kind already chosen, where the visitor has said nothing yet
_MAX_NAME = 8  # words, or Chinese characters, of a name
_SPELT_ALIKE = 0.8  # share of letters at which an unknown word is taken for a known one: one error in five letters
_ASIDE = {
    "dish": "drinks"
}  # tag of what a kind has, too, but is not meant by it: who asks for a vegetarian dish wants no coffee
_ASIDE_SHARE = (
    0.28  # of a tag's items in the kind, from which on who names the tag means such ("coffee" .29, "quick" .27)
)
_ASKED_FOR = 3.0  # premium for an item that a wish names by its title
_LESSER_KNOWN = 1.0  # taken off for each standard deviation of popularity where what few know is wanted
_LITTLE_KNOWN = 2.0  # popularity, of 1 to 5, up to which few know it
_FITS_MEANING = 0.45  # cosine at which a wish without known tags counts as answered
_FILM_GENRES = frozenset(  # of whoever says one of these and no kind, films are expected first, then series
    (
        "science fiction, fantasy, horror, thriller, mystery, crime, romance, comedy, dark comedy, drama, action, adventure, western, war, spy, heist, "
        "martial arts, superheroes, biography, documentary, animation, musical, noir, silent film, black and white, blockbuster, samurai, zombies, disaster"
    ).split(", ")
)
_EXPECTED = {"film": 2.0, "series": 1.0}  # what is added to the score of such an item
_Weighted = tuple[tuple[str, float], ...]
_T = TypeVar("_T")
_TOKEN = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?|[\u3400-\u9fff]+")


class Encoder(Protocol):
    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 (num_texts, dim); zeros for a text of which no word is known."""
        ...


class Index(Protocol):
    def similarity(self, query: np.ndarray) -> np.ndarray:
        """Inner products with every row, float32 (num_rows,)."""
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


def read_weights(folder: Path) -> dict[str, float]:
    """The ranker's weights by feature name; a feature that is not named there does not count.

    Raises:
        AssetError: they cannot be read, or name a feature that does not exist.
    """
    try:
        weights = json.loads((folder / "weights.json").read_text("utf-8"))
        weights = {name: float(weight) for name, weight in weights.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AssetError(f"The ranker's weights in {folder} cannot be read: {error}") from error
    if unknown := sorted(set(weights) - set(FEATURES)):
        raise AssetError(f"The ranker's weights in {folder} name features that do not exist: {', '.join(unknown)}.")
    return weights


class Retriever:
    """Ranks one catalogue. Holds its vectors; knows nothing of any visitor between calls, unless it is `remembering`."""

    def __init__(
        self,
        catalogue: Catalogue,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weights: Mapping[str, float],
        *,
        index: Callable[[np.ndarray], Index] | None = None,
    ):
        self._items = catalogue.items
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._weights = weights
        self._row = {item.id: row for row, item in enumerate(self._items)}
        self._vectors = encoder.encode([item_text(item, vocabulary) for item in self._items])  # (num_items, dim)
        self._similarity = index(self._vectors).similarity if index else self._vectors.__matmul__
        own = _OwnTerms(vocabulary)
        self._terms = _Marks([own.of(item) for item in self._items])
        terms = list(self._terms.column)
        self._term_vectors = encoder.encode(terms) if terms else np.zeros((1, self._vectors.shape[1]), np.float32)
        columns = _name_columns(self._items)
        self._people = _Marks([_people(item, columns) for item in self._items])
        self._words = _Words([_lexical_text(item) for item in self._items])
        self._titles = _Words([f"{item.title} {item.title_zh}" for item in self._items], stop_words=frozenset())
        self._moods = frozenset(vocabulary.terms["moods"])
        self._kinds = np.array([item.kind for item in self._items])
        self._years = np.array([math.nan if item.year is None else item.year for item in self._items], np.float32)
        self._popularity = np.array([item.popularity for item in self._items], np.float32)
        self._demands: Demands | None = None
        self._memory: dict[Hashable, Any] | None = None

    def for_catalogue(self, catalogue: Catalogue, vocabulary: Vocabulary) -> Retriever:
        """The same encoder and weights over another catalogue, of which nothing is kept on disk."""
        encoder = getattr(self._encoder, "uncached", self._encoder)
        return Retriever(catalogue, encoder, vocabulary, self._weights)

    def remembering(self) -> Retriever:
        """The same for messages that say nearly the same, as those of an explanation: what was found for one is not computed again for another. Not to
        be kept longer than they are."""
        _ = self._names, self._surnames, self._by_title  # or each would find them anew
        twin = copy(self)
        twin._demands, twin._memory = Demands(self._items), {}
        return twin

    def _once(self, compute: Callable[..., _T], *arguments: Any) -> _T:
        """What a method gives for hashable arguments, which nobody must change."""
        if self._memory is None:
            return compute(*arguments)
        key = (compute.__name__, *arguments)
        if key not in self._memory:
            self._memory[key] = compute(*arguments)
        return self._memory[key]

    def rank(
        self,
        profile: Profile,
        message: str,
        *,
        turn: int = 0,
        previous: str = "",
        count: int = NUM_RANKED,
        surprise: float = 0.5,
        together: Mapping[str, float] | None = None,
    ) -> Ranking:
        """The best `count` items for a profile and the message it was last changed by.

        Of a visitor who has said nothing yet (an empty profile, and a `message` that is "" as it says nothing either) they are the well known of every
        kind. `previous` is what was said to the visitor before his message: where he only agrees, it says to what. `surprise` in [0, 1] goes from the
        familiar to the surprising: at 0 the well known counts double and likeness among the items is free, at 1 popularity
        does not count at all and likeness costs double. `together` says of items, by id, how often they are liked together with what he likes (in
        [0, 1]), where others' ratings tell it.
        """
        wishes = self._wishes(profile, message, turn)
        named = self._named_in(profile, message, turn, previous)
        liked_together = tuple((together or {}).items())
        key = (_without_spans(profile), wishes, named, bool(message), liked_together, turn, count, surprise)
        return self._once(self._ranking, *key)

    def _ranking(
        self,
        profile: Profile,
        texts: _Weighted,
        named: tuple[str, ...],
        is_said: bool,
        together: _Weighted,
        turn: int,
        count: int,
        surprise: float,
    ) -> Ranking:
        """`rank`, with what the message says parted into wishes and names."""
        allowed, missed, relaxed = self.allowed(profile)
        parts = self._features(profile, texts, named, turn=turn, together=dict(together))
        score = self.score(parts, allowed, surprise=surprise) - _DISLIKE * self._terms.count(_unwanted(profile))
        if is_lesser := wants_lesser_known(profile):
            score -= self._fame(allowed, surprise) + _LESSER_KNOWN * standardised(self._popularity, allowed)
        score = score - _MISSED * missed
        if self._wants_film(profile, turn):
            for kind, premium in _EXPECTED.items():
                score[self._kinds == kind] += premium
        wishes = sorted(profile.likes, key=lambda interest: interest.turn != turn)  # those of this turn first
        score[[row for wish in wishes for row in self._titled(wish.text)]] += _ASKED_FOR
        num_new = sum(wish.turn == turn for wish in wishes)
        answered = self._answered(wishes)  # (num_wishes, num_items)
        candidates = []
        repeat = 2 * surprise * _REPEAT
        is_unknown = not (is_said or profile.interests or profile.kinds or profile.liked or profile.constraints)
        offered = np.where(allowed, score, -np.inf)
        fame = np.zeros_like(score) if is_unknown or is_lesser else self._fame(allowed, surprise)
        same_kind = _SAME_KIND if is_unknown else 0.0
        rows = self._diverse(offered, answered[:num_new], count, repeat, same_kind, fame=fame, fading=2 * surprise)
        values = np.round(np.array([of_all[rows] for of_all in parts.values()], float), 4).T.tolist()
        for row, own in zip(rows, values, strict=True):
            shown = dict(zip(parts, own, strict=True))
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

    def features(
        self,
        profile: Profile,
        message: str,
        *,
        turn: int = 0,
        previous: str = "",
        together: Mapping[str, float] = MappingProxyType({}),
    ) -> dict[str, np.ndarray]:
        """What the score is made of, each float32 (num_items,) and higher is better; a feature of which nothing is known is 0."""
        return self._features(
            profile,
            self._wishes(profile, message, turn),
            self._named_in(profile, message, turn, previous),
            turn=turn,
            together=together,
        )

    def _wishes(self, profile: Profile, message: str, turn: int) -> _Weighted:
        """The words of his wishes with their weights; where he has none and likes no item, those of the message."""
        wishes = [
            (text, _DECAY ** max(0, turn - interest.turn))
            for interest in profile.likes
            if _tokens(text := self._once(self._without_kinds, LESSER_KNOWN.sub(" ", interest.text)))
        ]
        if not wishes and not self.rows(profile.liked):
            text = self._without_kinds(message)[:500]
            wishes = [(text, 1.0)] if _tokens(text) else []
        return tuple(wishes)

    def _named_in(self, profile: Profile, message: str, turn: int, previous: str) -> tuple[str, ...]:
        """The makers and players that are named: "Yes, more please" holds no wish, so what was said before it may name them."""
        is_silent = all(interest.turn != turn for interest in profile.likes)
        return tuple(self._named(f"{message} {previous}" if is_silent else message))

    def _features(
        self,
        profile: Profile,
        wishes: _Weighted,
        named: Sequence[str],
        *,
        turn: int,
        together: Mapping[str, float],
    ) -> dict[str, np.ndarray]:
        """`features`, with what the message says parted into wishes and names."""
        zeros = np.zeros(len(self._items), np.float32)
        seeds = self.rows(profile.liked)
        tags: dict[str, float] = {}  # with the weight of the latest wish for each
        for interest in profile.likes:
            for tag in interest.tags:
                tags[tag] = max(tags.get(tag, 0.0), _DECAY ** max(0, turn - interest.turn))
        vectors = self._encoder.encode([*(text for text, _ in wishes), *tags]) if wishes or tags else None
        seed_weights = _SEED_DECAY ** np.arange(len(seeds), dtype=np.float32)[::-1]
        seed_weights /= max(1e-6, seed_weights.sum())
        wish = np.zeros(self._vectors.shape[1], np.float32)
        if vectors is not None and wishes:
            weights = np.array([weight for _, weight in wishes], np.float32)
            wish = weights @ vectors[: len(wishes)] / weights.sum()
        query = " ".join(text for text, _ in wishes)
        parts = {
            "meaning": self._once(self._near, wish.tobytes()) if wishes else zeros,
            "tags": zeros if vectors is None else self._tagged(tags, vectors[len(wishes) :]),
            "words": self._once(self._words.likeness, query),
            "named": self._people.likeness(dict.fromkeys(named, 1.0)),
            "like_meaning": self._similarity(seed_weights @ self._vectors[seeds]) if seeds else zeros,
            "like_tags": self._terms.likeness(self._terms.of(seeds, seed_weights)),
            "like_people": self._people.likeness(self._people.of(seeds, seed_weights)),
            "like_title": self._titles.likeness_to(seeds, seed_weights),
            "like_years": zeros,
            "like_kind": zeros,
            "popularity": self._popularity,
            "together": zeros.copy(),
        }
        for id, share in together.items():
            if id in self._row:
                parts["together"][self._row[id]] = share
        for row, weight in zip(seeds, seed_weights, strict=True):
            years = np.abs(self._years - self._years[row])
            parts["like_years"] = parts["like_years"] + weight * np.exp(-np.nan_to_num(years, nan=_YEARS) / _YEARS)
            parts["like_kind"] = parts["like_kind"] + weight * (self._kinds == self._kinds[row])
        return parts

    def score(self, parts: Mapping[str, np.ndarray], allowed: np.ndarray, *, surprise: float = 0.5) -> np.ndarray:
        """The weighted sum of standardised features (num_items,): differences are log-odds of being what is wanted."""
        total = self._fame(allowed, surprise)
        for name, weight in self._weights.items():
            if name != "popularity":
                total += weight * scaled(name, parts[name], allowed)
        return total

    def _fame(self, allowed: np.ndarray, surprise: float) -> np.ndarray:
        """What being well known adds to the score (num_items,)."""
        weight = 2 * (1 - surprise) * self._weights.get("popularity", 0.0)
        return weight * scaled("popularity", self._popularity, allowed)

    def allowed(self, profile: Profile) -> tuple[np.ndarray, np.ndarray, str]:
        """Which items may come at all (num_items,), how far each misses what was dropped to leave any, and the words of that."""
        allowed = np.ones(len(self._items), bool)
        allowed[self.rows((*profile.shown, *profile.seen, *profile.disliked, *profile.liked))] = False
        allowed[self._namesakes((*profile.seen, *profile.disliked, *profile.liked))] = False
        if not allowed.any():  # a small catalogue was shown to its end: begin again with what he has not turned down
            allowed[:] = True
            allowed[self.rows((*profile.seen, *profile.disliked))] = False
        if profile.kinds:
            of_kind = allowed & np.isin(self._kinds, profile.kinds)
            allowed = of_kind if of_kind.any() else allowed
        meant = allowed & ~self._aside(profile)
        allowed = meant if meant.any() else allowed
        without = allowed & (self._terms.count(_unwanted(profile)) == 0)
        allowed = without if without.any() else allowed
        offered, missed, dropped = nearest(self._demands or Demands(self._items), allowed, profile.constraints)
        return offered, missed, "; ".join(dropped)

    def _wants_film(self, profile: Profile, turn: int) -> bool:
        """Whether no kind was named, nor an item, and the topics of this turn are all such as films are known by ("westerns", not "westerns and jazz")."""
        topics = [set(one.tags) - self._moods for one in profile.likes if one.turn == turn]
        wanted = [own for own in topics if own]
        return not (profile.kinds or profile.liked) and bool(wanted) and all(own & _FILM_GENRES for own in wanted)

    def _aside(self, profile: Profile) -> np.ndarray:
        """Which items a kind that he asks for has, but does not mean, unless a wish is for just such ("a coffee recipe")."""
        is_aside = self._terms.count({_ASIDE[kind] for kind in profile.kinds if kind in _ASIDE}) > 0
        if not is_aside.any():
            return is_aside
        of_kind = np.isin(self._kinds, profile.kinds)
        for wished in {tag for interest in profile.likes for tag in interest.tags} - self._moods:
            is_wished = of_kind & (self._terms.count({wished}) > 0)
            if is_wished.any() and is_aside[is_wished].mean() > _ASIDE_SHARE:
                return np.zeros_like(is_aside)
        return is_aside

    def _tagged(self, tags: Mapping[str, float], vectors: np.ndarray) -> np.ndarray:
        """How well an item's terms answer the wished tags, as a weighted mean in [0, 1] (num_items,): 1 for a tag it has, less for one that means
        nearly the same ("kids" for what is tagged "family")."""
        total = np.zeros(len(self._items), np.float32)
        for (tag, weight), vector in zip(tags.items(), vectors, strict=True):
            total += weight * self._once(self._near_tag, tag, vector.tobytes())
        return total / sum(tags.values()) if tags else total

    def _near(self, vector: bytes) -> np.ndarray:
        """How near items are to a vector, given as its float32 (num_items,)."""
        return self._similarity(np.frombuffer(vector, np.float32))

    def _near_tag(self, tag: str, vector: bytes) -> np.ndarray:
        """How well an item's terms answer one tag, whose vector is given as its float32 (num_items,)."""
        nearness = _NEIGHBOUR * np.clip(self._term_vectors @ np.frombuffer(vector, np.float32), 0, 1)  # (num_terms,)
        if tag in self._terms.column:
            nearness[self._terms.column[tag]] = 1.0
        return self._terms.best(nearness)

    def _named(self, text: str) -> list[str]:
        """The makers and players a text names, typing errors in their names aside; the longest name wins."""
        pieces = _pieces(self._words.spelt(_tokens(text)))
        found: dict[str, None] = {}
        position = 0
        while position < len(pieces):
            for end in range(min(len(pieces), position + _MAX_NAME), position, -1):
                name = self._names.get(" ".join(pieces[position:end]))
                if name and (end - position > 1 or len(pieces[position]) > 3 and pieces[position] not in STOP_WORDS):
                    found[name] = None
                    position = end - 1
                    break
            position += 1
        return list(found)

    def _maker(self, text: str) -> str:
        """Whom a wish is for, and nothing else: a name of several parts, or one part with a capital ("Adele", "Nolan"); "" where it is for nobody."""
        pieces = " ".join(_pieces(_tokens(text)))
        if " " not in pieces and not text[:1].isupper():
            return ""
        return self._names.get(pieces) or self._surnames.get(pieces, "")

    @cached_property
    def _surnames(self) -> dict[str, str]:
        """The names by their last words where only one name ends so."""
        owners: dict[str, list[str]] = {}
        for pieces, name in self._names.items():
            owners.setdefault(pieces.rpartition(" ")[2], []).append(name)
        return {last: names[0] for last, names in owners.items() if len(names) == 1 and len(last) > 3}

    @cached_property
    def _names(self) -> dict[str, str]:
        return {" ".join(_pieces(_tokens(name))): name for name in self._people.column}

    def _without_kinds(self, text: str) -> str:
        """The text less single words for a kind: "songs" asks for music of any name, not for titles with "song" in them."""
        for found in reversed(self._vocabulary.find(text)):
            if found.group == "kinds" and " " not in text[found.start : found.end]:
                text = f"{text[: found.start]} {text[found.end :]}"
        return text

    def _namesakes(self, ids: Iterable[str]) -> list[int]:
        """The places of items of another kind with the title of one of these: who knows the film is not told of it as a book."""
        found = []
        for row in self.rows(ids):
            item = self._items[row]
            for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
                found += [other for other in self._by_title.get(title, ()) if self._kinds[other] != item.kind]
        return found

    def _titled(self, wish: str) -> list[int]:
        """The places of the items that a wish names by their title ("solution climbing shoes"); a term of many items is no title, and who names a work
        wants others like it."""
        if wish.lower() in self._terms.column:
            return []
        rows = self._by_title.get(normalise(wish), [])
        return [row for row in rows if self._items[row].kind not in WORKS]

    @cached_property
    def _by_title(self) -> dict[str, list[int]]:
        by_title: dict[str, list[int]] = {}
        for row, item in enumerate(self._items):
            for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
                by_title.setdefault(title, []).append(row)
        return by_title

    def rows(self, ids: Iterable[str]) -> list[int]:
        """The places of items in the catalogue, those that it does not have left out."""
        return [self._row[id] for id in ids if id in self._row]

    def _diverse(
        self,
        score: np.ndarray,
        answered: np.ndarray,
        count: int,
        repeat: float,
        same_kind: float = 0.0,
        *,
        fame: np.ndarray,
        fading: float,
    ) -> list[int]:
        """Rows in order: each next one by score less its likeness to those before (Carbonell & Goldstein 1998), with a
        premium for a wish that nothing chosen answers yet, less `same_kind` for each one before of its kind. Of `fame`, which is in the score,
        1 / (1 + `fading` n) counts after n well-known ones: it vouches for the first, and what fits as well but is less known comes beside it (the aim of
        Abdollahpouri et al. 2019). `answered` is bool (num_wishes, num_items)."""
        size = min(5 * count, len(score))
        nearest = np.union1d(*(np.argpartition(-each, size - 1)[:size] for each in (score, score - fame)))
        if same_kind:  # the best of each kind, which the best of all may leave out
            firsts = [np.flatnonzero(self._kinds == kind) for kind in np.unique(self._kinds)]
            nearest = np.concatenate([rows[np.argsort(-score[rows], kind="stable")[:count]] for rows in firsts])
        num_chosen: Counter[str] = Counter()
        nearest = nearest[np.lexsort((nearest, -score[nearest]))]
        pool = nearest[np.isfinite(score[nearest])]
        is_open = np.full(len(answered), len(answered) > 1)  # the score already favours what answers an only wish
        chosen: list[int] = []
        # of each in the pool: its own, and the most that it is like one of the first six chosen
        own, known, vectors, answers = score[pool], fame[pool], self._vectors[pool], answered[:, pool]
        likeness = np.full(len(pool), -np.inf)
        taken_off, premium, num_known = np.zeros(len(pool)), _UNANSWERED * answers[is_open].any(0), 0
        while len(chosen) < min(count, len(pool)):
            value = own + premium
            value -= taken_off
            value -= (1 - 1 / (1 + fading * num_known)) * known
            if same_kind:
                value -= same_kind * np.array([num_chosen[kind] for kind in self._kinds[pool]])
            place = int(np.argmax(value))
            best = int(pool[place])
            own[place] = -np.inf  # chosen once
            if len(chosen) < 6:
                likeness = np.maximum(likeness, vectors @ self._vectors[best])
                taken_off = repeat * likeness
            chosen.append(best)
            num_known += bool(known[place] > 0)
            num_chosen[self._kinds[best]] += 1
            if (is_open & answers[:, place]).any():
                is_open &= ~answers[:, place]
                premium = _UNANSWERED * answers[is_open].any(0)
        return chosen

    def _answered(self, wishes: Sequence[Interest]) -> np.ndarray:
        """Which items answer which wishes, bool (num_wishes, num_items): where it is a title the item of that, where a maker's name what he made; by its topics,
        two of three of them at least; a mood alone decides only where no topic is named; a wish without known words by its meaning."""
        rows = [self._once(self._answers, wish.text, wish.tags) for wish in wishes]
        return np.array(rows, bool).reshape(len(wishes), len(self._items))

    def _answers(self, text: str, tags: tuple[str, ...]) -> np.ndarray:
        """Which items answer a wish, bool (num_items,)."""
        if titled := self._titled(text):
            return np.isin(np.arange(len(self._items)), titled)
        topics = set(tags) - self._moods
        made_by = self._maker(text)
        if made_by and (not tags or " " in text):  # "imagine dragons" are no dragons
            return self._people.count({made_by}) > 0
        if tags:
            return self._terms.count(topics or set(tags)) >= (len(topics) * 2 / 3 if topics else 1)
        if LESSER_KNOWN.fullmatch(text):
            return self._popularity <= _LITTLE_KNOWN
        (vector,) = self._encoder.encode([text])
        return self._vectors @ vector >= _FITS_MEANING


def _fits(wishes: Sequence[Interest], answered: np.ndarray) -> tuple[str, ...]:
    """The first two wishes that an item answers; `answered` is bool (num_wishes,)."""
    return tuple(dict.fromkeys(wish.text for wish, fit in zip(wishes, answered, strict=True) if fit))[:2]


def scaled(name: str, values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """A feature as it is weighted: standardised; of popularity only what stands out, so that a scale on which every third item has the highest step
    is no reason to show those alone."""
    deviations = standardised(values, allowed)
    return np.maximum(0, deviations - _ORDINARY) if name == "popularity" else deviations


def standardised(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Values in standard deviations from their mean over the allowed items, clipped; zeros where those are all alike. Same shape."""
    if not values.any():
        return np.zeros_like(values)
    inside = values[allowed]
    spread = float(inside.std()) if len(inside) else 0.0
    if spread < 1e-6:
        return np.zeros_like(values)
    return np.clip((values - inside.mean()) / spread, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)


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


def wants_lesser_known(profile: Profile) -> bool:
    """Whether one of his wishes is for what few know."""
    return any(LESSER_KNOWN.search(interest.text) for interest in profile.likes)


def _without_spans(profile: Profile) -> Profile:
    """What a profile asks of the catalogue, wherever in a message it was said. Conditions keep apart that were said apart."""
    spans = {(one.start, one.end): place for place, one in enumerate(profile.constraints)}
    return replace(
        profile,
        interests=tuple(replace(one, start=0, end=0) for one in profile.interests),
        constraints=tuple(replace(one, start=spans[one.start, one.end], end=0) for one in profile.constraints),
    )


def _unwanted(profile: Profile) -> set[str]:
    return {tag for interest in profile.dislikes for tag in interest.tags}


class _OwnTerms:
    """The terms of items, each also by the vocabulary's own word for it: who wants science fiction wants what is tagged "sci-fi"."""

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary
        self._known: dict[str, set[str]] = {}

    def of(self, item: Item) -> set[str]:
        terms = {*item.tags, *item.moods, *([item.country] if item.country else [])}
        return terms.union(*(self._also(term) for term in terms))

    def _also(self, term: str) -> set[str]:
        if term not in self._known:
            self._known[term] = {
                found.term
                for found in self._vocabulary.find(term)
                if found.group in ("tags", "moods") and (found.start, found.end) == (0, len(term))
            }
        return self._known[term]


def _texts(value: object) -> list[str]:
    """The texts an attribute holds: its own, or those among its several values."""
    return [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str)]


def _name_columns(items: Sequence[Item]) -> frozenset[str]:
    """The text attributes that name somebody or something ("stars", "label"), not one of a few categories ("language")."""
    values: dict[str, list[str]] = {}
    for item in items:
        for column, value in item.attributes.items():
            if texts := _texts(value):
                values.setdefault(column, []).append("; ".join(texts))
    return frozenset(column for column, own in values.items() if len(own) > 1 and len(set(own)) > 0.3 * len(own))


def _people(item: Item, columns: Collection[str]) -> set[str]:
    """Who made or plays in an item, in lower case, and what else its columns of names hold."""
    texts = [
        item.creator,
        item.creator_zh,
        *(text for column in columns for text in _texts(item.attributes.get(column))),
    ]
    return {name for text in texts for name in re.split(r"\s*[,;、，；&/]\s*", text.lower()) if name}


def _lexical_text(item: Item) -> str:
    parts = [
        item.title,
        item.title_zh,
        item.creator,
        item.creator_zh,
        item.country,
        *item.tags,
        *item.moods,
        item.pitch,
        item.pitch_zh,
    ]
    return " ".join([*parts, *(text for value in item.attributes.values() for text in _texts(value))])


def _tokens(text: str) -> list[str]:
    """Lower-case words without accents; Chinese runs as they are."""
    text = text.lower()
    if not text.isascii():
        text = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return [token.removesuffix("'s").removesuffix("’s") for token in _TOKEN.findall(text)]


def _stems(text: str, stop_words: Collection[str]) -> list[str]:
    """What texts are compared by: words without stop words and plural s; pairs of Chinese characters."""
    stems = []
    for token in _tokens(text):
        if token[0] >= "\u3400":
            stems += [token[start : start + 2] for start in range(max(1, len(token) - 1))]
        elif token not in stop_words:
            stems.append(_stem(token))
    return stems


def _pieces(tokens: Sequence[str]) -> list[str]:
    """What names are looked up by: words, and single Chinese characters."""
    return [piece for token in tokens for piece in (token if token[0] >= "\u3400" else [_stem(token)])]


def _stem(token: str) -> str:
    return token.rstrip("s") if len(token) > 3 else token


class _Marks:
    """Which item has which of a set of marks (tags, people), as a sparse matrix: likeness over all items in one product."""

    def __init__(self, marks: Sequence[Collection[str]]):
        from scipy.sparse import csr_matrix

        self.column: dict[str, int] = {}
        rows, columns = [], []
        for row, own in enumerate(marks):
            for mark in sorted(own):
                rows.append(row)
                columns.append(self.column.setdefault(mark, len(self.column)))
        shape = (len(marks), max(1, len(self.column)))
        self._matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)
        self._by_mark = self._matrix.T.tocsr()
        self._norms = np.sqrt(np.maximum(1.0, np.diff(self._matrix.indptr))).astype(np.float32)  # (num_items,)

    def count(self, wanted: Collection[str]) -> np.ndarray:
        """How many of the wanted marks each item has (num_items,)."""
        return self._summed(dict.fromkeys(wanted, 1.0))

    def likeness(self, wanted: Mapping[str, float]) -> np.ndarray:
        """The cosine of each item's marks with weighted ones, those that no item has left out (num_items,)."""
        known = {mark: weight for mark, weight in wanted.items() if mark in self.column}
        norm = math.sqrt(sum(weight * weight for weight in known.values()))
        return self._summed(known) / (self._norms * norm) if norm else np.zeros(len(self._norms), np.float32)

    def of(self, rows: Sequence[int], weights: np.ndarray) -> dict[str, float]:
        """The marks of some items, each weighted by theirs."""
        names = list(self.column)
        found: dict[str, float] = {}
        for row, weight in zip(rows, weights, strict=True):
            for column in self._matrix.indices[self._matrix.indptr[row] : self._matrix.indptr[row + 1]]:
                found[names[column]] = found.get(names[column], 0.0) + float(weight / self._norms[row])
        return found

    def best(self, values: np.ndarray) -> np.ndarray:
        """The greatest of the values (num_marks,) of each item's marks (num_items,); 0 for an item without marks."""
        best = np.zeros(len(self._norms), np.float32)
        has = np.flatnonzero(np.diff(self._matrix.indptr))
        if len(has):
            best[has] = np.maximum.reduceat(values[self._matrix.indices], self._matrix.indptr[has])
        return best

    def _summed(self, weights: Mapping[str, float]) -> np.ndarray:
        total = np.zeros(len(self._norms), np.float32)
        for mark, weight in weights.items():
            if mark in self.column:
                column = self.column[mark]
                total[self._by_mark.indices[self._by_mark.indptr[column] : self._by_mark.indptr[column + 1]]] += weight
        return total


class _Words:
    """TF-IDF over texts (sublinear counts, unit rows)."""

    def __init__(self, texts: Sequence[str], *, stop_words: Collection[str] | None = None):
        left_out = STOP_WORDS if stop_words is None else stop_words
        self._tfidf = Tfidf([*texts, "a text that is never empty"], lambda text: _stems(text, left_out))
        self._matrix = self._tfidf.matrix[:-1]
        self._by_word = self._matrix.T.tocsr()  # (num_words, num_texts)

    def likeness(self, text: str) -> np.ndarray:
        """The cosine of each text with this one (num_texts,), typing errors aside."""
        return self._product(self._tfidf.rows([" ".join(self.spelt(_tokens(text)))]))

    def likeness_to(self, rows: Sequence[int], weights: np.ndarray) -> np.ndarray:
        """The weighted mean of the cosines of each text with those of some rows (num_texts,)."""
        from scipy.sparse import csr_matrix

        if not rows:
            return np.zeros(self._matrix.shape[0], np.float32)
        return self._product(csr_matrix(weights[None]) @ self._matrix[rows])

    def spelt(self, tokens: Sequence[str]) -> list[str]:
        """The tokens, a long one that no text has replaced by the nearest that begins like it, if that is near."""
        vocabulary = self._tfidf.vocabulary
        spelt = []
        for token in tokens:
            stem = _stem(token)
            if len(stem) >= 4 and token not in STOP_WORDS and stem not in vocabulary:
                near = self._spellings.get(stem[0], ())
                found = process.extractOne(stem, near, scorer=OSA.normalized_similarity, score_cutoff=_SPELT_ALIKE)
                token = found[0] if found else token
            spelt.append(token)
        return spelt

    @cached_property
    def _spellings(self) -> dict[str, list[str]]:
        """The longer words by first letter."""
        by_letter: dict[str, list[str]] = {}
        for word in sorted(self._tfidf.vocabulary):
            if len(word) >= 4 and word[0] < "\u3400":
                by_letter.setdefault(word[0], []).append(word)
        return by_letter

    def _product(self, query: Any) -> np.ndarray:
        total = np.zeros(self._matrix.shape[0], np.float32)
        starts, texts, values = self._by_word.indptr, self._by_word.indices, self._by_word.data
        for word, weight in zip(query.indices, query.data, strict=True):
            own = slice(starts[word], starts[word + 1])
            total[texts[own]] += weight * values[own]
        return total
