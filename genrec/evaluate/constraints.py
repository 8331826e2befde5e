"""How well stated conditions are understood and kept: CrossWOZ (Chinese travel requests) and τ-Rec (English film tasks).

The parser reads the visitor's text only; the labelled constraints are what the result is judged by. Data: CrossWOZ (Zhu et al. 2020) and τ-Rec
(Narasimhan & Narasimhan 2026) in the form that the data folder's README describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.catalogue import Catalogue, read_catalogue
from genrec.constraints import Fields
from genrec.interests import understand
from genrec.retrieval import Ranking, Retriever, read_weights
from genrec.schema import Profile
from genrec.settings import ASSETS
from genrec.static_encoder import StaticEncoder
from genrec.text import normalise, with_article
from genrec.train.data import read_rows
from genrec.vocabulary import Vocabulary

Rank = Callable[[Sequence[str], Profile], Ranking]
Row = Mapping[str, Any]
MAX_MATCHES = 50  # rows with more are met by many an item, and the data lists no more names


def evaluate_crosswoz(data: Path, make_rank: Callable[[Catalogue], Rank]) -> dict[str, float]:
    """Shares in [0, 1] with their counts, over requests for a sight, a restaurant or a hotel; only items of the row's domain are ranked.

    `first_meets_all`: of the rows that 1 to 50 items satisfy, those whose first item does. `nothing_fits_said`: of the rows that none satisfies,
    those told so. `nothing_fits_wrongly_said`: of the rows that some satisfy, those told so.
    """
    catalogue = read_catalogue(data / "items_crosswoz_zh.jsonl")
    rows = read_rows(data / "crosswoz_travel_zh_dev.jsonl")
    met: list[bool] = []
    told: list[bool] = []
    wrongly: list[bool] = []
    for domain in sorted({row["domain"] for row in rows}):
        rank = make_rank(Catalogue(tuple(item for item in catalogue.items if item.kind == domain)))
        for row in (row for row in rows if row["domain"] == domain):
            ranking = rank(row["interest_turns"], Profile())
            num_matches = row["n_db_items_satisfying"]
            (wrongly if num_matches else told).append(bool(ranking.relaxed))
            if 1 <= num_matches <= MAX_MATCHES:
                fitting = {normalise(name) for name in row["db_items_satisfying"]}
                met.append(normalise(ranking.candidates[0].item.title) in fitting)
    return {
        **_share("first_meets_all", met),
        **_share("nothing_fits_said", told),
        **_share("nothing_fits_wrongly_said", wrongly),
    }


def evaluate_taurec(data: Path, make_rank: Callable[[Catalogue], Rank]) -> dict[str, float]:
    """Shares in [0, 1] with their counts, over tasks put as one message (`told`); films the visitor has watched are left out.

    `first_meets_told`: the first film meets all that the message says; `first_meets_hidden`: also what it does not say (chance, for comparison with
    dialogues that ask), both over the tasks with a solution. `nothing_fits_said`: of the tasks whose told constraints no film meets, those told so.
    `nothing_fits_wrongly_said`: of the others, those told so.
    """
    films = {row["id"]: row for row in read_rows(data / "items_taurec_movies.jsonl")}
    rank = make_rank(read_catalogue(data / "items_taurec_movies.jsonl"))
    met: list[bool] = []
    met_hidden: list[bool] = []
    said: list[bool] = []
    wrongly: list[bool] = []
    for row in read_rows(data / "taurec_tasks_en_dev.jsonl"):
        constraints = [one for one in row["constraints"] if one["reveal"] != "hidden"]
        watched = tuple(f"taurec:{id}" for id in row["watched"])
        ranking = rank([message_of(constraints)], Profile(seen=watched))
        first = ranking.candidates[0].item.id
        is_solvable = any(meets(film, constraints) for film in films.values() if film["id"] not in watched)
        (wrongly if is_solvable else said).append(bool(ranking.relaxed))
        if row["satisfying"]:
            met.append(meets(films[first], constraints))
            met_hidden.append(first in {one["id"] for one in row["satisfying"]})
    return {
        **_share("first_meets_told", met),
        **_share("first_meets_hidden", met_hidden),
        **_share("nothing_fits_said", said),
        **_share("nothing_fits_wrongly_said", wrongly),
    }


def message_of(constraints: Iterable[Row]) -> str:
    """The constraints of a τ-Rec task as a person could write them: the genres wanted as "I'd like a … film", what it should be after that, in the
    order of the task, and the genres refused at the end.

    "I'd like a horror film, at most 115 minutes long, rated at least 5.5, rated R or NR, available on Netflix or Hulu. No comedy, please."
    """
    wanted = [one["value"].lower() for one in constraints if (one["field"], one["op"]) == ("genres", "contains")]
    refused = [one["value"].lower() for one in constraints if (one["field"], one["op"]) == ("genres", "not_contains")]
    bound = {"<=": "at most", ">=": "at least"}
    parts = []
    for one in constraints:
        values = " or ".join(one["value"]) if isinstance(one["value"], list) else one["value"]
        if one["field"] == "runtime":
            parts.append(f"{bound[one['op']]} {values} minutes long")
        elif one["field"] == "rating":
            parts.append(f"rated {bound[one['op']]} {values}")
        elif one["field"] == "content_rating":
            parts.append(f"rated {values}")
        elif one["field"] == "streaming_services":
            parts.append(f"available on {values}")
    message = ", ".join([f"I'd like {with_article(' '.join([*wanted, 'film']))}", *parts]) + "."
    return message + (f" No {' or '.join(refused)}, please." if refused else "")


def meets(film: Row, constraints: Iterable[Row]) -> bool:
    """Whether a film meets a task's constraints, by the data's own terms."""
    checks: dict[str, Callable[[Any, Any], bool]] = {
        "<=": lambda said, value: said <= value,
        ">=": lambda said, value: said >= value,
        "==": lambda said, value: said == value,
        "in": lambda said, value: said in value,
        "contains": lambda said, value: value in said,
        "not_contains": lambda said, value: value not in said,
        "contains_any": lambda said, value: bool(set(said) & set(value)),
    }
    return all(
        film[one["field"]] is not None and checks[one["op"]](film[one["field"]], one["value"]) for one in constraints
    )


def bundled_rank(catalogue: Catalogue) -> Rank:
    """Ranks a catalogue as the product does with the bundled encoder: each turn understood in the light of those before."""
    vocabulary = Vocabulary.load(ASSETS / "catalogue" / "vocabulary.json").with_terms(catalogue.tags())
    weights = read_weights(ASSETS / "models" / "ranker")
    retriever = Retriever(catalogue, StaticEncoder.load(ASSETS / "models" / "encoder"), vocabulary, weights)
    fields = Fields.of(catalogue.items)

    def rank(turns: Sequence[str], profile: Profile) -> Ranking:
        for turn, message in enumerate(turns):
            profile = understand(
                message, profile, vocabulary=vocabulary, by_title=catalogue.by_title, fields=fields, turn=turn
            ).profile
        return retriever.rank(profile, turns[-1], turn=len(turns) - 1)

    return rank


def _share(name: str, hits: Sequence[bool]) -> dict[str, float]:
    return {name: sum(hits) / len(hits) if hits else float("nan"), f"{name}_of": len(hits)}
