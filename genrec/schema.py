"""The values that cross module borders. All are frozen: a step of the flow returns new ones instead of changing its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "zh"]
Role = Literal["system", "user", "assistant"]
Attribute = str | int | float | bool | tuple  # a tuple holds several values of one of the others
KINDS = ("film", "series", "book", "album", "game", "place", "dish", "course", "activity", "product")
WORKS = ("film", "series", "book", "album", "game")  # who names one of these wants such as this one, not this one


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be recommended. Empty strings and None mean "not known or not applicable"."""

    id: str
    kind: str
    title: str
    title_zh: str = ""
    creator: str = ""
    creator_zh: str = ""
    year: int | None = None
    country: str = ""
    tags: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    pitch: str = ""
    pitch_zh: str = ""
    popularity: float = 3.0  # 1 (few know it) … 5 (nearly everybody does)
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    other_pitch: str = ""  # the same item told another way
    other_pitch_zh: str = ""

    def title_in(self, language: Language) -> str:
        return (self.title_zh or self.title) if language == "zh" else (self.title or self.title_zh)

    def creator_in(self, language: Language) -> str:
        return (self.creator_zh or self.creator) if language == "zh" else (self.creator or self.creator_zh)

    def pitches_in(self, language: Language) -> tuple[str, ...]:
        """The one-line pitches there are in this language (never the other language's text)."""
        both = (self.pitch_zh, self.other_pitch_zh) if language == "zh" else (self.pitch, self.other_pitch)
        return tuple(pitch for pitch in both if pitch)

    def pitch_in(self, language: Language, telling: int = 0) -> str:
        """One of the pitches, by number as often as there are any; "" when there is none."""
        pitches = self.pitches_in(language)
        return pitches[telling % len(pitches)] if pitches else ""


@dataclass(frozen=True, slots=True)
class Interest:
    """Something the visitor wants (`is_like`) or does not want, in his own words, with where he said so."""

    text: str
    is_like: bool = True
    tags: tuple[str, ...] = ()  # catalogue tags and moods found in the words
    start: int = 0  # half-open span in the message of turn `turn`
    end: int = 0
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Constraint:
    """A hard condition on an item, such as year >= 1990 or minutes <= 120. A tuple of values means any of them."""

    field: str
    op: Literal["<=", ">=", "==", "!="]
    value: Attribute
    text: str = ""
    start: int = 0
    end: int = 0
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """What one conversation has told us about the visitor. Item ids are kept apart by what he did with them."""

    interests: tuple[Interest, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    kinds: tuple[str, ...] = ()
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def likes(self) -> tuple[Interest, ...]:
        return tuple(interest for interest in self.interests if interest.is_like)

    @property
    def dislikes(self) -> tuple[Interest, ...]:
        return tuple(interest for interest in self.interests if not interest.is_like)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item in rank order, with the parts its score is made of and the visitor's words that it answers."""

    item: Item
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    fits: tuple[str, ...] = ()
    telling: int = 0  # which of the item's pitches this reply is given


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    text: str
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything remembered of one chat. A visitor's own; weights and catalogue are shared, this never is."""

    turns: tuple[Turn, ...] = ()
    profile: Profile = Profile()
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn: its tokens, and what it may name. `seed=None` draws a fresh one; a given seed reproduces the reply."""

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 0  # 0: no limit
    repetition_penalty: float = 1.0
    max_new_tokens: int = 220
    seed: int | None = None
    stop: tuple[str, ...] = ()
    surprise: float = 0.5  # in [0, 1]: 0 ranks what many know first, 1 what few would guess


@dataclass(frozen=True, slots=True)
class Mention:
    """A title in the prose. `item` is None when it is not in the catalogue."""

    title: str
    start: int
    end: int
    item: Item | None = None

    @property
    def is_matched(self) -> bool:
        return self.item is not None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A shown sentence: its half-open span in the reply's text and its toxicity in [0, 1]."""

    text: str
    start: int
    end: int
    toxicity: float = 0.0


@dataclass(frozen=True, slots=True)
class Withheld:
    """A sentence that was not shown: why, and the score (probability in [0, 1]) that decided it."""

    category: str
    score: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole state of a reply so far. `text` is Markdown in which only titles are bold; it never shrinks while streaming."""

    text: str = ""
    language: Language = "en"
    sentences: tuple[Sentence, ...] = ()
    mentions: tuple[Mention, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    message_toxicity: float = 0.0  # probability in [0, 1] that the visitor's message is hurtful
    notice: str = ""  # a line for the visitor about the reply, not part of the model's prose
    status: Literal["writing", "done", "stopped", "refused", "lost"] = "writing"
    conversation: Conversation = Conversation()  # the conversation with this exchange in it
    messages: tuple[Mapping[str, str], ...] = ()  # what the model read
    sampling: Sampling = Sampling()  # with the seed that was really used
    model: str = ""
    num_tokens: int = 0
    first_sentence_s: float = 0.0
    seconds: float = 0.0

    @property
    def items(self) -> tuple[Item, ...]:
        """The catalogue items named in the text, once each, in order of mention."""
        return tuple({mention.item.id: mention.item for mention in self.mentions if mention.item}.values())


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the visitor's: text and half-open character span."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WordScore:
    """How much a word changed how likely a text was: nats, positive means "made it likelier", with its standard error.

    `score` is the sum of what went through what was found (`found`) and through how it was written (`written`).
    """

    word: Word
    score: float
    error: float = 0.0
    found: float = 0.0
    written: float = 0.0

    @property
    def is_certain(self) -> bool:
        """Whether the 95 % interval leaves out 0."""
        return abs(self.score) > 1.96 * self.error


@dataclass(frozen=True, slots=True)
class WordPair:
    """What two words change together beyond what each does alone, in nats: positive means "only together", negative "either one"."""

    first: Word
    second: Word
    score: float


@dataclass(frozen=True, slots=True)
class Check:
    """One choice of words that was scored after the fit: how much less likely the reply is without `without`, in nats."""

    without: tuple[Word, ...]
    guessed: float  # by the fit, which did not see this row
    exact: float


@dataclass(frozen=True, slots=True)
class Citation:
    """A candidate whose facts a sentence leans on, and by how many nats the sentence is less likely without them."""

    item: Item
    score: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """Word scores for each sentence of a reply and for the whole. `message` is what the visitor said, turn by turn as far as the model
    still reads it, one to a line. `scorer` says what the scores are of: the reply's log-probability, in nats, or its likeness to what the model
    writes without the words, in points of 100, where the model gives no probabilities.

    `fit` is the cross-validated share of the variance in what is scored that the scores explain (1 is perfect, 0 or
    less is no better than the mean); one for each sentence. `by_sentence[i]` is empty for a sentence that does not depend
    on the words.
    """

    message: str
    words: tuple[Word, ...]
    whole: tuple[WordScore, ...]
    by_sentence: tuple[tuple[WordScore, ...], ...]
    fit: float
    fit_by_sentence: tuple[float, ...]
    num_rows: int
    seconds: float
    pairs: tuple[WordPair, ...] = ()  # of the whole reply, the strongest first
    checks: tuple[Check, ...] = ()
    citations: tuple[tuple[Citation, ...], ...] = ()  # by sentence, the strongest first
    scorer: Literal["log-probability", "similarity"] = "log-probability"
    num_scored: int = 0  # of the rows; what the others would score is guessed


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What the model writes when some words are left out, beside what it writes from the whole message again: with the same seed, which should
    change nothing, and with another, which shows what sampling alone changes."""

    without: tuple[Word, ...]
    original: Reply
    shortened: Reply
    same_seed: Reply
    other_seed: Reply
