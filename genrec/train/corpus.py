"""Writes the dialogues that the bundled writer is trained on, without end and the same for the same seed.

A dialogue is a visitor's message, a prompt built by `genrec.prompt` (the very one used at run time) over a shelf of one to three
candidates, and a reply composed of hand-written frames (`frames/*.jsonl`) and the candidates' facts. Half of the items are
invented: titles, names, years and spliced pitches that occur nowhere else, so that the writer learns to copy what it is given instead of
remembering. Copied facts are marked, so that training can spend more of its loss on them.

One item and one message frame in ten (by hash) never enter training; `held_out=True` uses only those, for measuring.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genrec.catalogue import Catalogue, read_catalogue
from genrec.interests import asked_number
from genrec.prompt import MAX_LOVED, NUM_CANDIDATES, TONES, build_messages, length, shared, year_in
from genrec.schema import KINDS, Candidate, Interest, Item, Language, Profile, Turn
from genrec.text import VOWEL_SOUND, second_person, units, with_article
from genrec.vocabulary import Vocabulary

_FRAMES = Path(__file__).with_name("frames")  # the hand-written sentences, one file a language
_TOLD_ONCE = frozenset(
    name + number
    for name in "interest loved shared match tag other_tag mood year length creator country pitch".split()
    for number in ("", "2", "3")
)  # slots that no sentence says twice, in two slots or after another sentence
# Of the items that are told with their pitch whatever the frames' shares are: it is what a reader can picture.
_PITCH_SHARE = 0.8
_OPEN, _CLOSE = "\ue000", "\ue001"  # around copied facts while a reply is composed; private use, never in real text
_INTENTS = {
    "recommend": 46, "more": 7, "reject": 8, "refine": 7, "nofit": 5, "mix": 4, "mood": 5, "occasion": 4, "compare": 3, "why": 3,
    "about": 7, "maker": 5, "greeting": 1.5, "thanks": 1, "offtopic": 1, "unclear": 1.5, "insult": 1,
}  # fmt: skip
_ABOUT_ONE_ITEM = ("compare", "why", "about", "maker")
_NO_ITEMS = ("greeting", "thanks", "offtopic", "unclear", "insult")
_CHOICES = tuple(intent for intent in _INTENTS if intent not in (*_ABOUT_ONE_ITEM, *_NO_ITEMS))
_FOLLOW_UPS = ("more", "reject", "refine", "compare", "why", "about", "maker", "thanks")
_ASKED = {  # facts that a message about an item asks for, by intent
    "maker": {
        "year": re.compile(r"\b(?:when|year|old)\b|哪年|哪一年|什么时候", re.I),
        "creator": re.compile(r"\b(?:who|whos|who's|which band|which brand|what studio|director|author)\b|谁|哪个导演|哪家", re.I),
    },
    "about": {"length": re.compile(r"\bhow (?:long|many)\b|多长|多久|多少页|几(?:页|个人|季|天|集|小时)", re.I)},
}  # fmt: skip
_PLURALS = {
    "film": ("films", "movies"), "series": ("series", "shows"), "book": ("books", "novels"), "album": ("albums", "records", "music"),
    "game": ("games",), "place": ("places", "trips"), "dish": ("dishes", "recipes", "food"), "course": ("courses", "classes"),
    "activity": ("activities", "things to do"), "product": ("products", "gifts", "gadgets"),
}  # fmt: skip
_SINGULARS = {"film": ("film", "movie"), "series": ("series", "show"), "book": ("book", "novel"), "album": ("album", "record"), "place": ("place", "trip"),
              "dish": ("dish", "recipe"), "course": ("course", "class"), "product": ("product", "gift")}  # fmt: skip
_CHINESE_KINDS = {
    "film": ("电影", "片子"), "series": ("剧", "电视剧", "剧集"), "book": ("书", "小说"), "album": ("专辑", "音乐"), "game": ("游戏",),
    "place": ("地方", "景点"), "dish": ("菜", "美食"), "course": ("课程", "课"), "activity": ("活动",), "product": ("好物", "礼物"),
}  # fmt: skip
_QUALITIES = (
    "good great old new recent underrated classic weird clever easy simple beautiful light deep "
    "unusual small big famous lesser-known modern"
).split()
_FOR = (
    "my daughter",
    "two people",
    "the whole family",
    "beginners",
    "a friend",
    "my parents",
    "a long weekend",
    "kids",
    "rainy days",
    "the evening",
)
_CHINESE_QUALITIES = ("好看的 经典的 老的 新的 小众的 简单的 特别的 有意思的 冷门的 口碑好的 轻松的 有深度的").split()
_CHINESE_FOR = ("两个人", "全家", "新手", "周末", "爸妈", "小朋友", "下雨天", "朋友聚会", "睡前", "一个人")
_OCCASIONS = {
    "en": ("a rainy Sunday", "date night", "a long flight", "a birthday", "a night in", "the weekend", "a family evening", "a lazy morning", "Christmas", "a dinner with friends",
           "a train ride", "a housewarming", "a first date", "the school holidays", "a free afternoon", "an anniversary"),
    "zh": ("下雨的周日", "约会", "长途飞行", "生日", "周末", "家庭聚会", "懒洋洋的早晨", "春节", "朋友聚餐", "坐火车的路上", "乔迁", "第一次见面", "暑假", "空闲的下午", "结婚纪念日", "睡前一小时"),
}  # fmt: skip
_FEELINGS = {
    "en": ("tired", "a bit low", "restless", "stressed", "bored", "homesick", "happy", "anxious", "lonely", "cheerful", "burnt out", "curious", "sleepy", "heartbroken", "excited"),
    "zh": ("有点累", "心情低落", "坐不住", "压力很大", "无聊", "想家", "开心", "焦虑", "有点孤单", "很兴奋", "疲惫", "好奇", "困", "失落", "烦躁"),
}  # fmt: skip
_REFINEMENTS = {
    "en": ("something shorter", "something cheaper", "something newer", "something older", "something lighter", "something darker", "something easier", "something for kids",
           "something funnier", "something calmer", "something less known", "something longer", "something quicker", "something warmer"),
    "zh": ("短一点的", "便宜一点的", "新一点的", "老一点的", "轻松一点的", "暗黑一点的", "简单一点的", "适合孩子的", "好笑一点的", "安静一点的", "冷门一点的", "长一点的", "快一点的", "温暖一点的"),
}  # fmt: skip
_NO_FIT = {
    "en": "nothing fits “ {}” exactly; say so and offer the nearest",
    "zh": "没有完全符合“{}”的，请直说并给出最接近的",
}
_SYLLABLES = (
    "ka ri mo ta len var shi do ne bel or qua tis ul fen gra zo mi pra hel ven os tu la cor ny "
    "ber sa dim eth ro ja pol ix wen mar che lo"
).split()
_WHO = ("the a my our your no last first two three lost little long every another").split()


@dataclass(frozen=True)
class Dialogue:
    """One training row: chat messages, the reply, and the half-open spans of the reply that are copied facts."""

    messages: list[dict[str, str]]
    reply: str
    copied: tuple[tuple[int, int], ...]
    language: Language
    intent: str
    candidates: tuple[Candidate, ...]
    fits: tuple[str, ...] = ()
    rejected: tuple[Item, ...] = ()


@dataclass(frozen=True)
class _Scene:
    """What stays the same over exchanges that share a system text."""

    language: Language
    intent: str
    tone: str
    candidates: tuple[Candidate, ...]  # in rank order
    wishes: tuple[str, ...]  # of the message
    missed: str  # what nothing fits, a wish or a condition
    before: tuple[str, ...]  # wishes told earlier in the talk
    dislike: str
    loved: tuple[Item, ...]  # that the visitor likes already
    kind: str  # of the first item on the shelf
    num_picks: int  # titles the reply names; 0 where the visitor asks for no choice
    is_simple: bool


@dataclass(frozen=True)
class _Frame:
    """A hand-written sentence or reply with slots in braces."""

    text: str
    tone: str
    kinds: frozenset[str] | None  # None for any
    slots: frozenset[str]
    num_titles: int


@dataclass(frozen=True)
class _Frames:
    """Frames of one language by (intent, part)."""

    by_part: dict[tuple[str, str], list[_Frame]] = field(default_factory=dict)

    def pick(
        self,
        rng: random.Random,
        intent: str,
        part: str,
        tone: str,
        slots: dict[str, str],
        kinds: Sequence[str],
        num_titles: int = 0,
        told: Collection[str] = (),
        needs: Collection[str] = (),
    ) -> str:
        """A random frame that suits the kinds and tone and whose slots are all there, none of them filled as another one of the frame or with
        what was told, and not told itself; with `num_titles`, one that names so many items, and one that has the slots in `needs`, if any does. "" when there is none."""
        frames = self.by_part.get((intent, part), [])
        if num_titles:
            frames = [frame for frame in frames if frame.num_titles == num_titles]
        if needs and slots.keys() >= set(needs):
            frames = [frame for frame in frames if frame.slots >= set(needs)] or frames
        named, asked = slots.keys(), frozenset(kinds)

        def suits(frame: _Frame, is_tone_free: bool) -> bool:
            return (
                frame.slots <= named
                and frame.text not in told
                and (frame.kinds is None or asked <= frame.kinds)
                and (is_tone_free or frame.tone in ("any", tone))
                and (
                    part == "message" or not _repeats([slots[slot] for slot in frame.slots if slot in _TOLD_ONCE], told)
                )
            )

        for _ in range(
            16 if frames else 0
        ):  # most suit: a draw that is repeated until one does is as fair and need not look at all
            frame = rng.choice(frames)
            if suits(frame, False):
                return frame.text
        for is_tone_free in (False, True):
            if fitting := [frame.text for frame in frames if suits(frame, is_tone_free)]:
                return rng.choice(fitting)
        return ""


def is_held_out(key: str) -> bool:
    """True for one key in ten, for ever the same ones."""
    return hashlib.sha256(key.encode()).digest()[0] < 26


class Corpus:
    """Dialogues from a catalogue, its vocabulary and the hand-written frames."""

    def __init__(self, catalogue: Catalogue, vocabulary: Vocabulary, *, held_out: bool = False):
        self.vocabulary = vocabulary
        self.num_items = len(catalogue.items)
        self.held_out = held_out
        training = [item for item in catalogue.items if not is_held_out(item.id)]
        self.items = [item for item in catalogue.items if is_held_out(item.id)] if held_out else training
        self._by_kind = {kind: [item for item in self.items if item.kind == kind] for kind in KINDS}
        self._sources = {kind: [item for item in training if item.kind == kind] for kind in KINDS}
        self._frames = {
            language: _read_frames(_FRAMES / f"{language}.jsonl", held_out=held_out) for language in ("en", "zh")
        }
        self._words = sorted(
            {word for item in training for word in re.findall(r"[A-Za-z][a-z]{2,}", item.title + " " + item.pitch)}
        )
        self._names = sorted(
            {
                part
                for item in training
                if item.creator
                for part in item.creator.split()
                if part.isalpha() and part[0].isupper()
            }
        )
        self._han = sorted(
            {char for item in training for char in item.title_zh + item.pitch_zh if "\u4e00" <= char <= "\u9fff"}
        )
        self._han_runs = sorted(
            {run for item in training for run in re.split(r"[^\u4e00-\u9fff]+", item.title_zh) if 2 <= len(run) <= 8}
        )
        self._han_names = sorted(
            {part for item in training if item.creator_zh for part in re.split(r"[·\s,]", item.creator_zh) if part}
        )
        self._countries = sorted({item.country for item in training if item.country})

    @classmethod
    def read(cls, folder: Path, *, held_out: bool = False) -> Corpus:
        """The corpus of a catalogue's folder."""
        return cls(read_catalogue(folder), Vocabulary.load(folder / "vocabulary.json"), held_out=held_out)

    def dialogues(
        self,
        seed: int,
        *,
        max_candidates: int = NUM_CANDIDATES,
        languages: Sequence[Language] = ("en", "zh"),
        is_simple: bool = False,
        num_exchanges: int = 1,
    ) -> Iterator[Dialogue]:
        """Dialogues without end; equal seeds give equal dialogues. Simple ones are short and without history, to begin with.

        Up to `num_exchanges` neighbours have the same system text, so that training reads it once for all of them.
        """
        rng = random.Random(seed)
        while True:
            scene = self._scene(rng, rng.choice(list(languages)), max_candidates, is_simple)
            for _ in range(num_exchanges):
                dialogue = self._exchange(rng, scene)
                if dialogue is not None:
                    yield dialogue

    def asks(self, intent: str, item: Item, language: Language, rng: random.Random) -> str:
        """A visitor's message of an intent about an item: his first wish for something like it, or a word on its having been shown."""
        title = f"{_OPEN}{item.title_in(language)}{_CLOSE}"
        visitor = self._visitor_slots(rng, [self._phrase(rng, item, language)], "", item.kind, language)
        if intent != "recommend":
            visitor |= {"ref": title, "title": title}
        return self._asked(rng, language, [intent, "recommend"], "any", visitor, item.kind)[1]

    def lexicon(self) -> set[str]:
        """All words and Chinese characters that a reply can hold beside what it copies from its prompt."""
        texts = [
            re.sub(r"\{\w+\}", " ", frame.text)
            for frames in self._frames.values()
            for (_, part), rows in frames.by_part.items()
            if part != "message"
            for frame in rows
        ]
        kinds = itertools.chain(*_PLURALS.values(), *_SINGULARS.values(), *_CHINESE_KINDS.values(), KINDS)
        told = (self.vocabulary.translate(kind, language) for kind in KINDS for language in ("en", "zh"))
        return units(" ".join([*texts, *kinds, *told, "an your yours yourself you are 你 您"]))

    # One scene, and exchanges in it

    def _scene(self, rng: random.Random, language: Language, max_candidates: int, is_simple: bool) -> _Scene:
        """What the visitor wants and what lies on the shelf: all that the system text says."""
        intent = (
            rng.choice(("recommend", "recommend", "about", "maker", "why"))
            if is_simple
            else rng.choices(list(_INTENTS), weights=list(_INTENTS.values()))[0]
        )
        num_items = rng.randint(1, max_candidates) if rng.random() < 0.5 else max_candidates
        if intent == "compare":
            num_items = max(2, num_items)
        shelf = self._shelf(rng, num_items)
        if is_simple:
            shelf = [_with_gaps(rng, item) for item in shelf]
        is_plain = (
            intent in _NO_ITEMS or intent in ("nofit", *_ABOUT_ONE_ITEM) and rng.random() < 0.5 or rng.random() < 0.12
        )
        candidates, wishes = self._fit(rng, shelf, language, intent, is_plain)
        before: list[str] = []
        while candidates and not is_simple and rng.random() < 0.2 and len(before) < 2:
            place = rng.randrange(len(shelf))
            before.append(self._phrase(rng, shelf[place], language))
            if rng.random() < 0.7:
                candidates[place] = replace(candidates[place], fits=(before[-1], *candidates[place].fits)[:2])
        missed = ""
        if intent == "nofit" and wishes:
            missed = wishes[-1] if rng.random() < 0.6 else self._phrase(rng, shelf[0], language)
            candidates = [replace(one, fits=tuple(fit for fit in one.fits if fit != missed)) for one in candidates]
        tone = rng.choice(list(TONES))
        num_picks = min(len(candidates), rng.choice((1, 1, 2) if tone == "brief" else (1, 2, 2, 2, 3)))
        return _Scene(
            language,
            intent,
            tone,
            tuple(candidates),
            tuple(wishes),
            missed,
            tuple(before),
            dislike=self._phrase(rng, rng.choice(self.items), language) if rng.random() < 0.15 else "",
            loved=self._loved(rng, shelf) if candidates and not is_simple and rng.random() < 0.3 else (),
            kind=shelf[0].kind,
            num_picks=num_picks if intent in _CHOICES else 0,
            is_simple=is_simple,
        )

    def _exchange(self, rng: random.Random, scene: _Scene) -> Dialogue | None:
        """A visitor's message in a scene, with or without earlier turns, and the reply; None when no frames suit it."""
        language, intent, tone, candidates = scene.language, scene.intent, scene.tone, list(scene.candidates)
        visitor = self._visitor_slots(rng, scene.wishes, scene.dislike, scene.kind, language)
        turns: list[Turn] = []
        rejected: tuple[Item, ...] = ()
        has_history = not scene.is_simple and (
            intent in _FOLLOW_UPS and rng.random() < 0.85 or intent == "recommend" and rng.random() < 0.1
        )
        if intent in ("more", "reject", "refine") or has_history:
            earlier = self._earlier(
                rng, scene.kind, language, tone, candidates if intent in (*_ABOUT_ONE_ITEM, "thanks") else None
            )
            if has_history and earlier:
                turns = earlier[0]
            reference = earlier[1] if earlier else rng.choice(self.items)
            visitor["ref"] = f"{_OPEN}{reference.title_in(language)}{_CLOSE}"
            if intent == "reject":
                rejected = (reference,)
        if intent in _ABOUT_ONE_ITEM:
            visitor["ref"] = visitor["title"] = f"{_OPEN}{candidates[0].item.title_in(language)}{_CLOSE}"
            if len(candidates) > 1:
                visitor["title2"] = f"{_OPEN}{candidates[1].item.title_in(language)}{_CLOSE}"

        if scene.loved:
            visitor["loved"] = f"{_OPEN}{scene.loved[-1].title_in(language)}{_CLOSE}"
        intents = [intent, "recommend"] if intent in _CHOICES else [intent]
        intent, message = self._asked(rng, language, intents, tone, visitor, scene.kind)
        if "ref" in visitor and not turns and _unmark(visitor["ref"])[0].lower() not in message.lower():
            del visitor["ref"]  # "not that one", with nothing before it
        for name in ("feeling", "occasion"):  # a reply speaks of none that was not told
            if _unmark(visitor[name])[0].lower() not in message.lower():
                del visitor[name]
        if intent == "nofit" and scene.missed:
            visitor["interest"] = f"{_OPEN}{scene.missed}{_CLOSE}"
        asked = [slot for slot, asks in _ASKED.get(intent, {}).items() if asks.search(message)]
        reply = self._reply(rng, language, intent, tone, candidates, visitor, scene.num_picks, asked, scene.loved)
        if not message or not reply or asked_number(message) not in (0, scene.num_picks):
            return None
        text, copied = _unmark(reply)
        wishes = tuple(Interest(wish) for wish in (*scene.before, *scene.wishes))
        messages = build_messages(
            language=language,
            profile=Profile(wishes + ((Interest(scene.dislike, is_like=False),) if scene.dislike else ())),
            candidates=candidates,
            turns=turns,
            message=message,
            vocabulary=self.vocabulary,
            loved=scene.loved,
            tone=tone,
            num_picks=scene.num_picks,
            intent=intent,
            note=_NO_FIT[language].format(scene.missed) if intent == "nofit" and scene.missed else "",
        )
        return Dialogue(messages, text, copied, language, intent, scene.candidates, scene.wishes, rejected)

    def _shelf(self, rng: random.Random, num_items: int) -> list[Item]:
        """Different items, of one kind or of several, real and invented."""
        kind, is_mixed = rng.choice(KINDS), rng.random() < 0.3
        shelf: list[Item] = []
        while len(shelf) < num_items:
            real = rng.choice(self._by_kind[rng.choice(KINDS) if is_mixed else kind] or self.items)
            item = real if rng.random() < (0.5 if not self.held_out else 1.0) else self._invent(rng, real.kind)
            if rng.random() < 0.25 and not self.held_out:
                item = _with_gaps(rng, item)
            told = {item.title, *item.pitches_in("en"), *item.pitches_in("zh")} - {""}
            if told.isdisjoint(
                text for one in shelf for text in (one.title, *one.pitches_in("en"), *one.pitches_in("zh"))
            ):
                shelf.append(item)
        return shelf

    def _loved(self, rng: random.Random, shelf: Sequence[Item]) -> tuple[Item, ...]:
        """What a visitor may like already: most often something that has a tag in common with an item on the shelf, and of its kind."""
        found: list[Item] = []
        while len(found) < rng.choice((1, 1, MAX_LOVED)):
            model = rng.choice(shelf)
            kin = [item for item in self._by_kind[model.kind] if not {*item.tags}.isdisjoint(model.tags)]
            item = rng.choice(kin if kin and rng.random() < 0.7 else self.items)
            if rng.random() < 0.3 and not self.held_out:
                item = replace(item, title=self._invent_title(rng), title_zh=self._invent_chinese_title(rng))
            if not {item.title, item.title_zh} & {
                title for one in (*shelf, *found) for title in (one.title, one.title_zh)
            }:
                found.append(item)
        return tuple(found)

    def _fit(
        self, rng: random.Random, shelf: list[Item], language: Language, intent: str, is_plain: bool
    ) -> tuple[list[Candidate], list[str]]:
        """Candidates in rank order with the wishes they answer, and the visitor's wishes. Plain: wishes that nothing answers."""
        if intent in _NO_ITEMS:
            return [Candidate(item, 1.0) for item in shelf] if rng.random() < 0.3 else [], []
        if intent == "recommend" and rng.random() < 0.08:  # only conditions, or nothing that could be understood
            return [Candidate(item, 1.0 - rank / 10) for rank, item in enumerate(shelf)], []
        if intent == "refine":
            wishes = [rng.choice(_REFINEMENTS[language])]
        elif is_plain:
            wishes = [self._phrase(rng, rng.choice(self._by_kind[shelf[0].kind] or self.items), language)]
        else:
            wishes = [self._phrase(rng, shelf[0], language)]
            if intent == "mix" or rng.random() < 0.4:
                wishes.append(self._phrase(rng, shelf[min(1, len(shelf) - 1)], language))
        wishes = list(dict.fromkeys(wishes))
        candidates = []
        for rank, item in enumerate(shelf):
            fits: tuple[str, ...] = ()
            if not is_plain and intent != "refine":
                fits = (wishes[0],) if rank == 0 else (wishes[rank % len(wishes)],) if rng.random() < 0.7 else ()
                if len(wishes) > 1 and rng.random() < 0.15:
                    fits = tuple(wishes)
            candidates.append(Candidate(item, 1.0 - rank / 10, fits=fits, telling=rng.randrange(2)))
        return candidates, wishes

    def _visitor_slots(
        self, rng: random.Random, interests: Sequence[str], dislike: str, kind: str, language: Language
    ) -> dict[str, str]:
        slots = {"occasion": rng.choice(_OCCASIONS[language]), "feeling": rng.choice(_FEELINGS[language])}
        slots = {name: f"{_OPEN}{text}{_CLOSE}" for name, text in slots.items()}
        for name, text in zip(("interest", "interest2"), interests, strict=False):
            slots[name] = f"{_OPEN}{text}{_CLOSE}"
        if dislike:
            slots["dislike"] = f"{_OPEN}{dislike}{_CLOSE}"
        if language == "zh":
            slots["kind"] = slots["kinds"] = rng.choice(_CHINESE_KINDS[kind])
        else:
            slots["kind"], slots["kinds"] = rng.choice(_SINGULARS.get(kind, (kind,))), rng.choice(_PLURALS[kind])
        return slots

    def _asked(
        self,
        rng: random.Random,
        language: Language,
        intents: Sequence[str],
        tone: str,
        visitor: dict[str, str],
        kind: str,
    ) -> tuple[str, str]:
        """The first intent that some message suits, and the message; the last and "" where none does. Few are held out, and not every one suits every kind."""
        for intent in intents:
            if message := self._message(rng, language, intent, tone, visitor, [kind]):
                return intent, message
        return intents[-1], ""

    def _message(
        self, rng: random.Random, language: Language, intent: str, tone: str, visitor: dict[str, str], kinds: list[str]
    ) -> str:
        needs = {"loved"} if intent == "recommend" and rng.random() < 0.6 else ()
        frame = self._frames[language].pick(rng, intent, "message", tone, visitor, kinds, needs=needs)
        message = _unmark(_fill(frame, visitor, language))[0]
        if rng.random() < 0.3:
            message = message.lower()
        if rng.random() < 0.25:
            message = message.rstrip(".!?。！？")
        if rng.random() < 0.06 and len(message) > 12 and language == "en":
            cut = rng.randrange(1, len(message) - 2)
            message = message[:cut] + message[cut + 1] + message[cut] + message[cut + 2 :]
        return message

    def _earlier(
        self, rng: random.Random, kind: str, language: Language, tone: str, kept: list[Candidate] | None
    ) -> tuple[list[Turn], Item] | None:
        """An earlier exchange and the item it recommended first; over `kept` candidates when the talk stays with them."""
        candidates, interests = (
            (kept, [self._phrase(rng, kept[0].item, language)])
            if kept
            else self._fit(rng, self._shelf(rng, 2), language, "recommend", False)
        )
        if not candidates:
            return None
        visitor = self._visitor_slots(rng, interests, "", kind, language)
        message = self._message(rng, language, "recommend", tone, visitor, [candidates[0].item.kind])
        num_picks = min(len(candidates), rng.choice((1, 2, 2)))
        reply = self._reply(rng, language, "recommend", tone, candidates, visitor, num_picks)
        if not message or not reply:
            return None
        return [Turn("user", message), Turn("assistant", _unmark(reply)[0])], candidates[0].item

    # One reply, with copied facts marked

    def _reply(
        self,
        rng: random.Random,
        language: Language,
        intent: str,
        tone: str,
        candidates: list[Candidate],
        visitor: dict[str, str],
        num_picks: int,
        asked: Collection[str] = (),
        loved: Sequence[Item] = (),
    ) -> str:
        frames = self._frames[language]
        if intent in _NO_ITEMS:
            return frames.pick(rng, intent, "whole", tone, {}, [])
        said = {
            name: text if name == "ref" else second_person(text)
            for name, text in visitor.items()
            if name not in ("kind", "kinds")
        }
        chosen = candidates if intent in _ABOUT_ONE_ITEM else _choose(candidates, num_picks or NUM_CANDIDATES)
        slots = dict(said)
        for number, candidate in enumerate(chosen, start=1):
            slots |= self._item_slots(rng, candidate, language, "" if number == 1 else str(number))
        if intent == "nofit":
            slots.pop("match", None)
        kinds = [candidate.item.kind for candidate in chosen]
        if not slots.keys() >= set(asked):
            return ""  # a question whose answer is not on the shelf
        needs = {"pitch", "pitch2"} if intent == "compare" and rng.random() < 0.7 else asked
        whole = frames.pick(rng, intent, "whole", tone, slots, kinds, num_picks, needs=needs)
        if intent in _ABOUT_ONE_ITEM or whole and rng.random() < 0.2:
            text = _fill(whole, slots, language)
            return _politely(text) if language == "zh" and tone == "formal" else text
        parts, told = [], []
        if rng.random() < 0.75 or intent not in ("recommend",):
            needs = {"loved"} if rng.random() < 0.6 else ()
            opener = frames.pick(rng, intent, "opener", tone, slots, kinds[:1], needs=needs)
            parts.append(_fill(opener, slots, language))
            told += _told(opener, slots)
        for number, candidate in enumerate(chosen):
            own = said | self._item_slots(
                rng, candidate, language, ""
            )  # no fact of one item may stand in for another's
            if loved and (link := shared(candidate.item, loved[-1], language, self.vocabulary)):
                own["common" if said["loved"] in told else "shared"] = f"{_OPEN}{link}{_CLOSE}"
            if intent == "nofit":
                own.pop("match", None)
            needs = {"pitch"} if rng.random() < _PITCH_SHARE else ()
            sentence = frames.pick(
                rng,
                "recommend",
                "next" if number else "pick",
                tone,
                own,
                kinds[max(0, number - 1) : number + 1],  # "take both books" only after a book
                told=told,
                needs=needs,
            )
            if not sentence:
                return ""
            parts.append(_fill(sentence, own, language))
            told += _told(sentence, own)
            links = {"common", "shared"} & own.keys()
            if rng.random() < (0.45 if number == 0 else 0.2) and tone != "brief":
                needs = links if rng.random() < 0.7 else ()
                reason = frames.pick(
                    rng, "recommend", "reason", tone, own, [candidate.item.kind], told=told, needs=needs
                )
                parts.append(_fill(reason, own, language))
                told += _told(reason, own)
        if rng.random() < (0.2 if tone == "brief" else 0.5):
            closer = frames.pick(rng, "recommend", "closer", tone, slots, kinds, told=told)
            parts.append(_fill(closer, slots, language))
        text = ("" if language == "zh" else " ").join(part for part in parts if part)
        return _politely(text) if language == "zh" and tone == "formal" else text

    def _item_slots(self, rng: random.Random, candidate: Candidate, language: Language, suffix: str) -> dict[str, str]:
        item, say = candidate.item, self.vocabulary.translate
        pitch = item.pitch_in(language, candidate.telling)
        tags = [say(tag, language) for tag in item.tags[:5]]
        rng.shuffle(tags)
        facts = {
            "title": f"**{item.title_in(language)}**",
            "year": year_in(item, language),
            "creator": item.creator_in(language),
            "country": say(item.country, language) if item.country else "",
            "pitch": pitch,
            "tag": tags[0] if tags else "",
            "other_tag": tags[1] if len(tags) > 1 else "",
            "mood": say(rng.choice(item.moods[:2]), language) if item.moods else "",
            "length": length(item, language),
            "match": second_person(rng.choice(candidate.fits)) if candidate.fits else "",
        }
        slots = {name + suffix: f"{_OPEN}{text}{_CLOSE}" for name, text in facts.items() if text}
        slots["kind" + suffix] = say(item.kind, language)
        return slots

    # Wishes and invented items

    def _phrase(self, rng: random.Random, item: Item, language: Language) -> str:
        """A wish that this item answers, as a noun phrase such as a visitor would use; one in eight is any run of words, since real
        visitors say anything, and the writer must be able to repeat it."""
        say = self.vocabulary.translate
        if rng.random() < 0.125:
            other = rng.choice(self._by_kind.get(item.kind) or self.items)
            if language == "zh":
                runs = re.findall(r"[\u3400-\u9fffA-Za-z0-9]{2,}", rng.choice(other.pitches_in("zh")))
                run = rng.choice(runs) if runs else say(other.tags[0], language)
                start = rng.randrange(len(run) - 1) if len(run) > 2 else 0
                return run[start : start + rng.randint(2, 8)]
            told = rng.choice(other.pitches_in("en")).split()
            start = rng.randrange(max(1, len(told) - 1))
            run = " ".join(told[start : start + rng.randint(1, 6)]).strip(",.;:")
            return run if re.search(r"[A-Za-z]{4}", run) else say(other.tags[0], language)
        tags = [say(tag, language) for tag in item.tags] or [
            rng.choice(self._words) if language == "en" else rng.choice(self._han_runs)
        ]
        tag = rng.choice(tags)
        tag2 = rng.choice(
            [other for other in tags if other != tag] or (self._words if language == "en" else self._han_runs)
        )
        mood = say(rng.choice(item.moods), language) if item.moods else rng.choice(_QUALITIES)
        country = say(item.country or rng.choice(self._countries), language)
        decade = (item.year or rng.randint(1950, 2025)) // 10 % 10 * 10
        if language == "zh":
            kind = rng.choice(_CHINESE_KINDS.get(item.kind, ("东西",)))
            mood = mood if item.moods else "特别"
            return rng.choice((
                tag, tag, f"{tag}{kind}", f"{tag}{kind}", f"{mood}的{kind}", f"{mood}的{tag}", f"关于{tag}的{kind}", f"{tag}和{tag2}", f"{country}{kind}",
                f"{country}的{tag}{kind}", f"适合{rng.choice(_CHINESE_FOR)}的{kind}", f"{rng.choice(_CHINESE_QUALITIES)}{kind}", f"{decade:02d}年代的{kind}", f"{mood}又{tag}的{kind}",
                f"{rng.choice(_CHINESE_QUALITIES)}{tag}{kind}", f"{rng.choice(self._han_runs)}那样的{kind}",
            ))  # fmt: skip
        kinds = rng.choice(_PLURALS.get(item.kind, ("things",)))
        kind = rng.choice(_SINGULARS.get(item.kind, (item.kind,)))
        return rng.choice((
            tag, tag, f"{tag} {kinds}", f"{tag} {kinds}", f"{mood} {tag}", f"{mood} {kinds}", f"{tag} and {tag2}", f"something {mood}", f"{kinds} about {tag}",
            f"{kinds} from {country}", f"{rng.choice(_QUALITIES)} {tag} {kinds}", f"{tag} {kinds} for {rng.choice(_FOR)}", f"{decade:02d}s {kinds}", f"{mood} {tag} {kinds}",
            with_article(f"{rng.choice(_QUALITIES)} {tag} {kind}"), with_article(f"{mood} {kind}"), f"{rng.choice(_QUALITIES)} {kinds}", f"{kinds} like {self._invent_title(rng)}",
            f"{tag} {kinds} that are {mood}", f"something {mood} with {tag}", f"{rng.choice(self._words)} {tag}",
        ))  # fmt: skip

    def _invent(self, rng: random.Random, kind: str) -> Item:
        """An item that does not exist, with the facts of its kind and a pitch spliced from two real ones."""
        model, other, third = (rng.choice(self._sources[kind]) for _ in range(3))
        has_creator = bool(model.creator) and rng.random() < 0.9
        return replace(
            model,
            id=f"invented-{rng.getrandbits(40)}",
            title=self._invent_title(rng),
            title_zh=self._invent_chinese_title(rng),
            creator=self._invent_name(rng) if has_creator else "",
            creator_zh=self._invent_chinese_name(rng) if has_creator else "",
            year=rng.randint(1900, 2026) if model.year is not None and rng.random() < 0.95 else None,
            country=rng.choice(self._countries) if rng.random() < 0.8 else "",
            tags=tuple(rng.sample(sorted({*model.tags, *other.tags, *third.tags}), 5)),
            moods=tuple(dict.fromkeys((rng.choice(model.moods), rng.choice(other.moods)))),
            pitch=_splice(
                rng,
                rng.choice(other.pitches_in("en")),
                rng.choice(third.pitches_in("en")),
                r"(?<=\w) (?=and |while |as |until |where |with |but |in |from |before |after |that )",
            ),
            pitch_zh=_splice(rng, rng.choice(other.pitches_in("zh")), rng.choice(third.pitches_in("zh")), "(?=，)"),
            other_pitch="",
            other_pitch_zh="",
            attributes={key: _other_number(rng, value) for key, value in model.attributes.items()},
        )

    def _invent_title(self, rng: random.Random) -> str:
        word = lambda: rng.choice(self._words).capitalize()  # noqa: E731
        strange = lambda: "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))).capitalize()  # noqa: E731
        return rng.choice((
            lambda: f"The {word()} {word()}", lambda: f"{word()} of {word()}", lambda: f"{word()} and {word()}", lambda: strange(), lambda: f"{strange()} {strange()}",
            lambda: f"The {word()} of {strange()}", lambda: f"{word()} {rng.randint(2, 2100)}", lambda: f"{word()} in the {word()}", lambda: f"{rng.choice(_WHO).capitalize()} {word()}",
            lambda: f"{word()}: {word()} {word()}", lambda: f"{rng.choice(self._names)}'s {word()}", lambda: word(), lambda: f"{word()} {word()} {word()}",
            lambda: f"{word()}, {word()}", lambda: f"{strange()}: The {word()}", lambda: f"{rng.choice(self._names)} {rng.choice(self._names)}", lambda: f"{word()} with {word()} and {word()}",
            lambda: f"{word()} {rng.choice(('II', 'III', 'No. ' + str(rng.randint(1, 99)), 'Vol. ' + str(rng.randint(1, 9))))}", lambda: f"{strange()} {word()}", lambda: f"To {word()} a {word()}",
        ))()  # fmt: skip

    def _invent_chinese_title(self, rng: random.Random) -> str:
        chars = lambda low, high: "".join(rng.choices(self._han, k=rng.randint(low, high)))  # noqa: E731
        run = lambda: rng.choice(self._han_runs)  # noqa: E731
        return rng.choice((
            lambda: chars(2, 4), lambda: chars(3, 6), lambda: f"{run()}的{chars(1, 2)}", lambda: f"{run()}{chars(1, 2)}", lambda: f"{chars(2, 3)}与{chars(2, 3)}", lambda: f"{chars(2, 3)}之{chars(1, 2)}",
            lambda: f"{run()}：{run()}", lambda: f"{run()}{rng.randint(2, 2100)}", lambda: f"{chars(1, 2)}{run()}", lambda: f"{rng.choice(self._han_names)}的{run()}",
        ))()  # fmt: skip

    def _invent_name(self, rng: random.Random) -> str:
        strange = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3))).capitalize()
        names = [rng.choice(self._names) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
        return " ".join([*names, strange] if rng.random() < 0.35 else names)

    def _invent_chinese_name(self, rng: random.Random) -> str:
        if rng.random() < 0.5:
            return "".join(rng.choices(self._han, k=rng.randint(2, 3)))
        return (
            "·".join(rng.choice(self._han_names) for _ in range(2))
            if rng.random() < 0.5
            else "".join(rng.choices(self._han, k=rng.randint(2, 4)))
            + "·"
            + "".join(rng.choices(self._han, k=rng.randint(2, 4)))
        )


def _choose(candidates: list[Candidate], num_picks: int) -> list[Candidate]:
    """The candidates the reply names, in rank order: those that answer a wish before those that don't."""
    fitting = [candidate for candidate in candidates if candidate.fits] or candidates
    return [*fitting, *(one for one in candidates if one not in fitting)][:num_picks]


def _read_frames(path: Path, *, held_out: bool) -> _Frames:
    """The frames of a file: all replies; of the messages only the held-out ones or all others."""
    frames = _Frames()
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["part"] == "message" and is_held_out(row["text"]) != held_out:
            continue
        kinds = None if row["kinds"] == "any" else frozenset(row["kinds"])
        slots = frozenset(re.findall(r"\{(\w+)\}", row["text"]))
        frame = _Frame(row["text"], row["tone"], kinds, slots, sum(slot.startswith("title") for slot in slots))
        frames.by_part.setdefault((row["intent"], row["part"]), []).append(frame)
    return frames


def _politely(text: str) -> str:
    """Chinese that says 您 to one person, but for what is copied."""
    return re.sub(
        rf"{_OPEN}[^{_CLOSE}]*{_CLOSE}|你(?!们)", lambda match: "您" if match.group() == "你" else match.group(), text
    )


def _told(frame: str, slots: dict[str, str]) -> list[str]:
    """What a filled frame says of wishes and facts, and the frame itself."""
    return [frame, *(slots[slot] for slot in re.findall(r"\{(\w+)\}", frame) if slot in _TOLD_ONCE)]


def _repeats(texts: Sequence[str], told: Collection[str]) -> bool:
    """True if one of the texts is another one's part, letter case aside, or was told."""
    bare = [text.strip(_OPEN + _CLOSE).lower() for text in texts]
    return any(one in other for one, other in itertools.permutations(bare, 2)) or not set(texts).isdisjoint(told)


def _fill(frame: str, slots: dict[str, str], language: Language) -> str:
    """The frame with its slots filled; in English "a"/"an" and sentence capitals set right."""
    text = re.sub(r"\{(\w+)\}", lambda match: slots[match.group(1)], frame)
    if language == "zh":
        return text
    marks = f"[{_OPEN}]?"
    text = re.sub(rf"\b([Aa]) (?={marks}{VOWEL_SOUND})", r"\1n ", text).replace(f".{_CLOSE}.", f".{_CLOSE}")

    def capital(match: re.Match[str]) -> str:
        is_copied = text.count(_OPEN, 0, match.start()) > text.count(_CLOSE, 0, match.start())  # "Yuri!!! on Ice"
        return match.group() if is_copied else match.group(1) + match.group(2) + match.group(3).upper()

    return re.sub(rf"(^|[.!?] )({marks})([a-z])", capital, text)


def _unmark(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text without the marks of copied facts, and the facts' spans in it."""
    spans: list[tuple[int, int]] = []
    out: list[str] = []
    start = 0
    for character in text:
        if character == _OPEN:
            start = len(out)
        elif character == _CLOSE:
            spans.append((start, len(out)))
        else:
            out.append(character)
    return "".join(out), tuple(spans)


def _splice(rng: random.Random, first: str, second: str, joint: str) -> str:
    """The beginning of one pitch with the end of another, parted at a joint; sometimes just the first."""
    heads, tails = re.split(joint, first), re.split(joint, second)
    if len(heads) < 2 or len(tails) < 2 or rng.random() < 0.5:
        return first
    glue = "" if joint.startswith("(?=") else " "
    return glue.join((*heads[: rng.randint(1, len(heads) - 1)], *tails[rng.randint(1, len(tails) - 1) :]))


def _other_number(rng: random.Random, value: object):
    if isinstance(value, int) and not isinstance(value, bool) and value > 9:
        return rng.randint(value // 2, value * 2)
    return value


def _with_gaps(rng: random.Random, item: Item) -> Item:
    """The item as a poorer catalogue would have it: some facts missing, a list of genres for tags."""
    changes: dict[str, Any] = {}
    for name, empty in (("creator", ""), ("country", ""), ("pitch", ""), ("moods", ()), ("attributes", {})):
        if rng.random() < 0.5:
            changes[name] = empty
    if "creator" in changes:
        changes["creator_zh"] = ""
    if "pitch" in changes:
        changes |= {"pitch_zh": "", "other_pitch": "", "other_pitch_zh": ""}
    if rng.random() < 0.3:
        changes["year"] = None
    changes["tags"] = item.tags[: rng.randint(1, len(item.tags))]
    return replace(item, **changes)
