"""The figures that the bundled models were measured with, as bars against their goals. Read from the models' cards; only the goals stand here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from genrec.schema import Language
from genrec.ui.texts import FIGURES, say

_LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True)
class Line:
    """What is drawn in a row: key of the card's figure (with "{}" one for each language), its goal, and whether that is the most it may be."""

    model: str
    key: str
    goal: float | None = None
    goal_zh: float | None = None  # where it is another one
    is_most: bool = False


LINES = (
    Line("writer", "served_titles_{}", 0.99),
    Line("writer", "served_facts_{}", 0.99),
    Line("writer", "served_fit_{}", 0.97),
    Line("writer", "served_whole_sentences_{}", 0.995),
    Line("writer", "served_language_{}", 0.995),
    Line("writer", "served_more_about_it_{}", 0.97),
    Line("writer", "served_never_again_{}", 1.0),
    Line("encoder", "recall_at_10_{}"),
    Line("toxicity", "held_out_auc_{}", 0.955, 0.925),
    Line("toxicity", "rec_caught_{}", 0.8),
    Line("toxicity", "rec_false_positives_{}", 0.03, is_most=True),
    Line("toxicity", "hatecheck_accuracy", 0.68),
    Line("toxicity", "hatecheck_mandarin_accuracy", 0.62),
    Line("ranker", "redial_recall_10", 0.18),
    Line("ranker", "redial_ndcg_10", 0.12),
    Line("ranker", "cpcd_hit_10", 0.65),
)


@dataclass(frozen=True)
class Figure:
    """A measured share in [0, 1], with its 95 % interval where one was kept."""

    value: float
    interval: tuple[float, float] | None = None


def read_figures(folder: Path) -> dict[tuple[str, str], Figure]:
    """The figures of all cards below a folder of models, by model and key; a card that cannot be read has none."""
    found: dict[tuple[str, str], Figure] = {}
    for model in dict.fromkeys(line.model for line in LINES):
        try:
            card = json.loads((folder / model / "card.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        told: dict[str, Any] = {**card.get("figures", {}), **card.get("evaluation", {}).get("figures", {})}
        for key, value in told.items():
            if isinstance(value, Mapping):
                low, high = value["interval"]
                found[model, key] = Figure(value["share"], (low, high))
            elif isinstance(value, (int, float)):
                error = told.get(f"{key}_se")
                found[model, key] = Figure(value, (value - 1.96 * error, value + 1.96 * error) if error else None)
    return found


def rendered(figures: Mapping[tuple[str, str], Figure], language: Language) -> str:
    """The panel: for each model its bars, each with its interval and a mark at the goal."""
    blocks = []
    for model in dict.fromkeys(line.model for line in LINES):
        rows = []
        for line in (line for line in LINES if line.model == model):
            bars = []
            for wanted in _LANGUAGES if "{}" in line.key else ("",):
                figure = figures.get((model, line.key.format(wanted)))
                goal = line.goal_zh if wanted == "zh" and line.goal_zh is not None else line.goal
                if figure:
                    bars.append(_bar(figure, goal, line.is_most, wanted, language))
            if bars:
                name = say(line.key.removesuffix("_{}"), language, table=FIGURES)
                rows.append(f'<div class="genrec-figure"><span>{escape(name)}</span>{"".join(bars)}</div>')
        if rows:
            blocks.append(f"<h2>{escape(say(model, language, table=FIGURES))}</h2>{''.join(rows)}")
    key = f'<p class="genrec-quiet">{say("figures_key", language, table=FIGURES)}</p>'
    return f'<div class="genrec-panel">{key}{"".join(blocks)}</div>'


def _bar(figure: Figure, goal: float | None, is_most: bool, of: str, language: Language) -> str:
    """One bar; what it shows is told in words for those who do not see it."""
    is_met = goal is None or (figure.value <= goal if is_most else figure.value >= goal)
    sign = "≤" if is_most else "≥"
    aim = "" if goal is None else f"{say('goal', language, table=FIGURES)} {sign} {_percent(goal)}"
    told = " ".join(filter(None, (say(of, language, table=FIGURES) if of else "", _percent(figure.value))))
    whisker = ""
    if figure.interval:
        low, high = (min(1.0, max(0.0, end)) for end in figure.interval)
        whisker = f'<u style="left:{low:.1%};width:{high - low:.1%}"></u>'
    mark = "" if goal is None else f'<b style="left:{min(goal, 1.0):.1%}"></b>'
    label = ", ".join(filter(None, (told, aim)))
    return (
        f'<div class="genrec-score"><span class="genrec-quiet">{say(of, language, table=FIGURES) if of else ""}</span><code>{_percent(figure.value)} {"" if goal is None else "✓" if is_met else "·"}</code></div>'
        f'<div class="genrec-meter{"" if is_met else " short"}" role="img" title="{escape(aim)}" aria-label="{escape(label)}">'
        f'<i style="width:{figure.value:.1%}"></i>{whisker}{mark}</div>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
