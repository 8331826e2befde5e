"""First questions to a visitor of whom nothing is known: three quick choices for a screen, or one question in words.

All choices are words of the catalogue at hand, so each leads somewhere. What was chosen becomes a message in the visitor's words (`message_of`), which
goes the way of any other; nothing else needs to know of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genrec.schema import KINDS, Item, Language, Profile
from genrec.text import with_article
from genrec.vocabulary import Vocabulary

MAX_CHOICES = 6  # a question, but for kinds, of which all are shown
_ENOUGH = 0.02  # share of the items that must have a word for it to be a choice
_NUM_NAMED = 4  # choices that a question in words names
_COMPANY: tuple[tuple[str, dict[Language, tuple[str, str]]], ...] = (  # tag, (label, in the visitor's words)
    ("solo", {"en": ("just me", "on my own"), "zh": ("一个人", "一个人")}),
    ("for couples", {"en": ("two of us", "for couples"), "zh": ("两个人", "适合情侣")}),
    ("family", {"en": ("the family", "for the family"), "zh": ("一家人", "和家人一起")}),
    ("kids", {"en": ("children", "for kids"), "zh": ("孩子", "适合孩子")}),
    ("for groups", {"en": ("friends", "with friends"), "zh": ("朋友们", "和朋友一起")}),
)
_TEXTS: dict[str, dict[Language, str]] = {
    "kind": {"en": "What would you like?", "zh": "想要什么？"},
    "mood": {"en": "What should it be like?", "zh": "想要什么感觉？"},
    "company": {"en": "Who is it for?", "zh": "和谁一起？"},
    "topic": {"en": "Which of these do you like?", "zh": "喜欢哪一类？"},
    "ask kind": {
        "en": "To begin with, here is something that many people like. What are you in the mood for: {}? A mood, or who it is for, helps too.",
        "zh": "先给你看看很多人喜欢的。你想要什么：{}？说说想要的感觉，或者和谁一起，也会有帮助。",
    },
    "ask mood": {
        "en": "To begin with, here is what many people like. What should it be like: {}? Or name one that you loved.",
        "zh": "先给你看看很多人喜欢的。想要什么感觉：{}？也可以说一个你喜欢过的。",
    },
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: what it says, and what the visitor says by pressing it."""

    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Question:
    """`about` is "kind", "mood", "company" or "topic"."""

    about: str
    text: str
    choices: tuple[Choice, ...]


def onboarding(
    items: Sequence[Item], vocabulary: Vocabulary, language: Language, *, kind: str = ""
) -> tuple[Question, ...]:
    """Up to three questions with choices: the kind, the mood, the company; of a catalogue without moods the topic. A question with fewer than two
    choices is left out. With `kind` (a term, once that is chosen) the other choices are those of its items."""
    own = [item for item in items if item.kind == kind] or list(items)
    enough = max(2, _ENOUGH * len(own))
    tags = Counter(tag for item in own for tag in item.tags)

    def choices(terms: Sequence[str]) -> tuple[Choice, ...]:
        return tuple(Choice(name := vocabulary.translate(term, language), name) for term in terms)

    moods = [
        term for term, number in Counter(mood for item in own for mood in item.moods).most_common() if number >= enough
    ]
    company = tuple(Choice(*said[language]) for tag, said in _COMPANY if tags[tag] >= enough)
    topics = [tag for tag, number in tags.most_common() if number >= enough]
    questions = [
        (
            "kind",
            tuple(
                Choice(_label(one, vocabulary, language), _label(one, vocabulary, language)) for one in _kinds(items)
            ),
        ),
        ("mood", choices(moods[:MAX_CHOICES])),
        ("company", company),
    ]
    if len(moods) < 2 or len(company) < 2:
        questions.append(("topic", choices(topics[:MAX_CHOICES])))
    asked = [Question(about, _TEXTS[about][language], found) for about, found in questions if len(found) > 1]
    return tuple(asked[:3])


def message_of(chosen: Mapping[str, str], language: Language) -> str:
    """The message that choices stand for: their words by what the question was about. "I'd like a quiet film for kids."; "" where nothing is chosen."""
    kind, mood, company, topic = (chosen.get(about, "") for about in ("kind", "mood", "company", "topic"))
    if not (kind or mood or company or topic):
        return ""
    if language == "zh":
        what = f"{mood}的{kind}" if mood else kind
        return f"想要{'，'.join(filter(None, (what, topic, company)))}。"
    _, _, noun = kind.partition(" ")
    what = with_article(f"{mood} {noun}") if mood and noun else kind or f"something {mood}".strip()
    return f"I'd like {' '.join(filter(None, (what, company)))}{f', {topic}' if topic else ''}."


def question_for(profile: Profile, items: Sequence[Item], vocabulary: Vocabulary, language: Language) -> str:
    """One question in words that a visitor who has said nothing yet, or only which kind he wants, can answer; "" for any other."""
    if profile.interests or profile.constraints or profile.liked:
        return ""
    kind = profile.kinds[0] if profile.kinds else ""
    asked = {question.about: question for question in onboarding(items, vocabulary, language, kind=kind)}
    question = asked.get("mood") or asked.get("topic") if kind else asked.get("kind") or asked.get("topic")
    if not question:
        return ""
    labels = [choice.label for choice in question.choices[:_NUM_NAMED]]
    joined = "、".join(labels) + "……" if language == "zh" else ", ".join(labels) + " …"
    return _TEXTS["ask kind" if question.about == "kind" else "ask mood"][language].format(joined)


def _kinds(items: Sequence[Item]) -> list[str]:
    """The kinds of a catalogue, the common ones in their usual order, then by the number of their items."""
    numbers = Counter(item.kind for item in items)
    known = [kind for kind in KINDS if kind in numbers]
    return known + [kind for kind, _ in numbers.most_common() if kind not in known]


def _label(kind: str, vocabulary: Vocabulary, language: Language) -> str:
    if language == "zh":
        return vocabulary.translate(kind, "zh")
    return with_article(kind)
