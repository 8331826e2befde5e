"""The whole path of a message: language, screen, interests, candidates, prompt, write, gate, reply; then explain and rate.

Read this file first. Each step is a function of its own module; this one only says what follows what. `reply` yields snapshots of the whole state so
far, so whoever shows it only renders. A conversation goes in and comes out; nothing of a visitor stays here.
"""

from __future__ import annotations

import math
import random
import re
import secrets
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import combinations
from typing import TypeVar

import numpy as np

from genrec.attribution import (
    BLOCK,
    NUM_SURE,
    Effects,
    Explanation,
    Guesses,
    Quotes,
    Scorer,
    check_rows,
    choose_rows,
    fit_parts,
    keep_words,
)
from genrec.catalogue import Catalogue
from genrec.constraints import Fields, subject
from genrec.engines import Engine, Message, weakest_stretch
from genrec.errors import EngineError, InputError, StoreError
from genrec.grounding import copied_spans, ground
from genrec.interests import (
    Intent,
    Shortened,
    Understanding,
    asked_number,
    is_vague,
    named_items,
    shortened,
    understand,
)
from genrec.language import detect_language
from genrec.onboarding import question_for
from genrec.prompt import INSTRUCTIONS, MAX_MESSAGE, NUM_CANDIDATES, OPEN_INSTRUCTIONS, build_messages
from genrec.retrieval import Ranking, Retriever
from genrec.safety.identity import without_self_description
from genrec.safety.injection import harmless, recites
from genrec.safety.personal import mask_personal
from genrec.safety.screen import HARM_NAMES, Screened, clauses, clean_message, clean_prose, own_words, screen
from genrec.safety.toxicity import ToxicityScorer, hurts_together, may_be_shown
from genrec.schema import (
    Attribution,
    Candidate,
    Check,
    Citation,
    Conversation,
    Item,
    Language,
    Mention,
    Profile,
    Reply,
    Rewrite,
    Sampling,
    Sentence,
    Turn,
    Withheld,
    Word,
    WordPair,
    WordScore,
)
from genrec.store import Feedback, Rating, Report, Store
from genrec.text import ends_whole, has_cjk, names_twice, plain, repeats, sentences, stutters, units, words
from genrec.vocabulary import Vocabulary, not_held

NUM_PICKS = 2  # titles a reply names unless the visitor asks for a number; a brief one names one
MAX_REWRITES = 2  # of a reply in which a hurtful sentence had to be withheld, each from that sentence
MAX_REPAIRS = 6  # the same where it was false, garbled or in another language
_MESSAGE_SHARE = 0.4  # of the model's window that a message may take; the facts and the reply need the rest
MAX_QUESTIONS = 2  # to a visitor who has not said what he wants, in his first messages
_NUM_DRAWN = 12  # first candidates that the shelf is drawn from
_RANK_DECAY = 0.35  # by how much a place lower in rank is drawn less, in units of the Gumbel keys at temperature 1
_HURTFUL = ("insult", "threat", "identity_attack", "obscene")
_REFUSALS = ("toxicity", "crisis", "injection", "illegal")  # reasons why a message is not answered
_ABOUT_SHOWN = ("about", "why", "maker", "compare")  # requests that speak of items already on the table
_ABOUT_ONE = ("about", "why", "maker")  # of these, a message that names one item wants to hear of no other
_NO_ITEMS = ("greeting", "thanks")
_FACTUAL_TEMPERATURE = 0.3  # at most, where facts of what was shown are asked for and no new ideas
_TICK_S = 0.2  # at most this long without a snapshot while tokens come: who closes the iterator is heard by then
_SCORED_AT_ONCE = 8  # prompts between two looks at the progress of an explanation
_SHORT = 0.9  # of the window
_WEIGHING_SHARE = 0.8  # of an explanation's work; the rest are checks and citations
_CITED = math.log(10)  # nats: a sentence cites a candidate without which it is ten times less likely
_CITED_POINTS = 20.0  # the same where likeness is scored
_MIN_PAIR = 1.0  # nats that two words change together to be told of
_TEXTS: dict[str, dict[Language, str]] = {
    "long": {
        "en": "Your message was long: I read all of it, and go by the sentences that say most about what you want.",
        "zh": "你的消息很长：我全部读过，以最能说明你想要什么的句子为准。",
    },
    "language": {
        "en": "I understand English and Chinese best; this reply is in English.",
        "zh": "我最懂中文和英文，这次用中文回答。",
    },
    "relaxed": {
        "en": "Nothing in the catalogue meets “{}”; here is the nearest without it.",
        "zh": "目录里没有满足“{}”的，下面是放宽这一条之后最接近的。",
    },
    "untold": {
        "en": "The catalogue does not say what meets “{}”.",
        "zh": "目录里没有能判断“{}”的信息。",
    },
    "not held": {"en": "The catalogue has no {}; here is what comes nearest.", "zh": "目录里没有{}，下面是最接近的。"},
    "unknown": {
        "en": "“{}” is not in the catalogue, so its name alone tells me little.",
        "zh": "目录里没有《{}》，光看名字我了解不多。",
    },
    "which": {
        "en": "Which one do you mean? Name a title, and I'll say what I know of it.",
        "zh": "你问的是哪一个？说出名字，我来讲我知道的。",
    },
    "unverified": {
        "en": "What is marked “unverified” is from the model's memory, not from the catalogue: whether it exists, and what is said of it, was not checked.",
        "zh": "标着“未核实”的出自模型的记忆，不在目录里：它是否存在、所说是否属实，都没有核对过。",
    },
    "unanswered": {
        "en": "nothing fits “{}” exactly; say so and offer the nearest",
        "zh": "没有完全符合“{}”的，请直说并给出最接近的",
    },
    "withheld": {
        "en": "[a sentence was withheld: {}; ask again, and it will be worded anew]",
        "zh": "[有一句话未显示：{}；再问一次，会换个说法]",
    },
    "taken back": {
        "en": "This reply was taken back: read as a whole it could hurt ({}). Please ask again, and it will be worded anew.",
        "zh": "这条回答已撤回：整体读来可能伤人（{}）。请再问一次，会换个说法。",
    },
    "lost": {
        "en": "The model stopped in the middle of its reply. What it had written is kept; please try again.",
        "zh": "模型在回答途中停了下来，已写的内容保留着，请再试一次。",
    },
    "silent": {
        "en": "The model wrote nothing that could be shown. Please try again, or say it another way.",
        "zh": "模型这次没有写出可以显示的内容，请再试一次，或者换个说法。",
    },
}

T = TypeVar("T")


@dataclass(frozen=True)
class _Prepared:
    """What is known before the model writes."""

    understanding: Understanding
    ranking: Ranking
    candidates: tuple[Candidate, ...]  # in rank order
    shelf: tuple[Candidate, ...]  # those the model reads
    num_picks: int  # titles the reply should name; 0 where it speaks of items on the table, or of none
    messages: list[dict[str, str]]


@dataclass(frozen=True)
class _Ablation:
    """A visitor's words that can be left out."""

    text: str  # his turns that the model still reads, in lines
    words: tuple[Word, ...]
    full: _Prepared  # with all of them
    rebuilt: Callable[..., _Prepared]  # with the words kept, bool (num_words,); `held` as in _prepare
    quotes: Quotes  # of the reply's sentences


@dataclass(frozen=True)
class _Case:
    """A prompt that the reply can be scored after."""

    prompt: Sequence[Message]
    key: bytes  # equal for prompts after which it scores the same
    shelf: tuple[str, ...]  # ids of the items
    copied: np.ndarray  # share of each sentence that it holds


@dataclass
class Explained:
    """What explaining one reply has found so far. Whoever keeps the reply keeps this: asking again costs nothing then, and asking for more rows, or again
    after a stop, costs only what was not scored yet."""

    scores: dict[bytes, np.ndarray] = field(default_factory=dict)  # by prompt: of each sentence
    attributions: dict[int, Attribution] = field(default_factory=dict)  # by number of rows


class Assistant:
    """The recommender. Holds what all visitors share: model, catalogue, scorer, store."""

    def __init__(
        self,
        *,
        engine: Engine,
        catalogue: Catalogue,
        vocabulary: Vocabulary,
        retriever: Retriever,
        toxicity: ToxicityScorer,
        store: Store,
        notice: str = "",
        is_open: bool = False,
    ):
        """With `is_open` the model may name what the catalogue does not have; it is marked as unverified."""
        self.engine = engine
        self.catalogue = catalogue
        self.vocabulary = vocabulary
        self.store = store
        self.notice = notice  # what an operator or visitor should know of how things were loaded
        self._is_open = is_open
        self._fields = Fields.of(catalogue.items)
        self._retriever = retriever
        self._toxicity = toxicity
        info = engine.describe()
        self._window, self._floors = info.window, info.sentence_floors
        self._lexicon: dict[Language, frozenset[str]] = {}  # empty where the trainer told none
        if info.lexicon:
            chinese = frozenset(filter(has_cjk, info.lexicon))
            self._lexicon = {"en": info.lexicon - chinese, "zh": chinese}

    def with_catalogue(self, catalogue: Catalogue) -> Assistant:
        """The same model, filter and ranking weights over another catalogue, with ratings of its own that last as long as it does."""
        catalogue = catalogue.with_tags(self.vocabulary.tag)
        vocabulary = self.vocabulary.with_terms(catalogue.tags(), catalogue.kinds())
        return Assistant(
            engine=self.engine,
            catalogue=catalogue,
            vocabulary=vocabulary,
            retriever=self._retriever.for_catalogue(catalogue, vocabulary),
            toxicity=self._toxicity,
            store=Store(),
            notice=self.notice,
            is_open=self._is_open,
        )

    def with_engine(self, engine: Engine) -> Assistant:
        """The same catalogue, filter, ranking and ratings with another model."""
        return Assistant(
            engine=engine,
            catalogue=self.catalogue,
            vocabulary=self.vocabulary,
            retriever=self._retriever,
            toxicity=self._toxicity,
            store=self.store,
            notice=self.notice,
            is_open=self._is_open,
        )

    # Reply

    def reply(
        self,
        conversation: Conversation,
        message: str,
        sampling: Sampling = Sampling(),
        *,
        language: Language | None = None,
        tone: str = "warm",
    ) -> Generator[Reply, None, None]:
        """Snapshots of the reply to a message, each with the conversation as it stands then; the last one has another status than
        "writing".

        Closing the iterator stops the model.

        Raises:
            InputError: there is nothing to answer.
        """
        started = time.monotonic()
        typed = self._read(message)
        message = _each_once(typed)
        detected = detect_language(message, previous=_last_language(conversation), wanted=language)
        answer = detected.answer
        notices = []
        short = self._shortened(message)
        if short.is_cut or message != typed:
            notices.append(_TEXTS["long"][answer])
        if not detected.is_supported:
            notices.append(_TEXTS["language"][answer])
        scores, screened = self._screened(message, short.text, answer)
        sampling = replace(sampling, seed=secrets.randbits(31) if sampling.seed is None else sampling.seed)
        state = Reply(
            language=answer,
            conversation=conversation,
            sampling=sampling,
            model=self.engine.describe().model,
            message_toxicity=round(scores["toxicity"], 4),
        )
        if screened.refused:
            withheld = (Withheld(screened.refused, screened.score),)
            yield replace(
                state, status="refused", notice=screened.notice, withheld=withheld, seconds=time.monotonic() - started
            )
            return
        message = short.text
        notices += [screened.notice] if screened.notice else []
        conversation = _with_summary(self.with_feedback(conversation), short.rest)
        prepared = self._prepare(conversation, message, answer, tone, sampling)
        notices += self._shortfalls(message, prepared, answer, turn=len(conversation.turns))
        question = self._question(conversation, prepared.understanding, answer)
        notices += [question] if question else []
        state = replace(
            state, candidates=prepared.candidates, messages=tuple(prepared.messages), notice=" ".join(notices)
        )
        yield state
        with closing(self._write(state, message, prepared, sampling)) as snapshots:
            first_sentence_s = 0.0
            for state in snapshots:
                seconds = time.monotonic() - started
                first_sentence_s = first_sentence_s or (seconds if state.text else 0.0)
                state = replace(state, seconds=seconds, first_sentence_s=first_sentence_s)
                yield replace(state, conversation=self._after(conversation, message, state, prepared))

    def replay(self, conversation: Conversation, turns: Sequence[Turn]) -> Conversation:
        """The conversation with turns that were spoken elsewhere: their wishes are understood, the items they named are known."""
        for turn in turns:
            said = _each_once(clean_message(turn.text))
            short = self._shortened(said)
            text = short.text
            if turn.role == "user":
                if self._screened(said, text, "en")[1].refused:
                    continue  # as if it had been said here
                conversation = _with_summary(conversation, short.rest)
                shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
                profile = self._understand(text, conversation.profile, shown, len(conversation.turns)).profile
                conversation = replace(
                    conversation, turns=(*conversation.turns, replace(turn, text=text)), profile=profile
                )
            else:
                ids = tuple(item.id for item, _, _ in named_items(text, self.catalogue.by_title))
                profile = replace(conversation.profile, shown=tuple(dict.fromkeys((*conversation.profile.shown, *ids))))
                conversation = replace(
                    conversation, turns=(*conversation.turns, replace(turn, text=text, item_ids=ids)), profile=profile
                )
        return conversation

    @staticmethod
    def _read(message: str) -> str:
        message = clean_message(message)
        if not words(message) and not any(character.isprintable() and not character.isspace() for character in message):
            raise InputError("There is nothing to answer: the message is empty.")
        return message

    def _screened(self, message: str, short: str, language: Language) -> tuple[Mapping[str, float], Screened]:
        """The scores of what of a message is read (`short`), and the verdict on it."""
        others = clauses(short)
        scores, *found = self._toxicity.score([own_words(short), *others])
        parts = [(score, bool(self.vocabulary.find(clause))) for clause, score in zip(others, found, strict=True)]
        return scores, screen(message, scores, language, is_request=bool(self.vocabulary.find(message)), parts=parts)

    def _shortened(self, message: str) -> Shortened:
        """A message without personal data, and no longer than the model can read beside the facts: a long one by what it says of wishes."""
        masked, limit = mask_personal(message)[0], MAX_MESSAGE
        if self._window:
            num_tokens = self.engine.count_tokens(masked[:limit])
            limit = min(limit, int(len(masked[:limit]) * _MESSAGE_SHARE * self._window / max(1, num_tokens)))
        return shortened(
            masked, max(1, limit), vocabulary=self.vocabulary, by_title=self.catalogue.by_title, fields=self._fields
        )

    def _understand(self, text: str, profile: Profile, shown: Sequence[Item], turn: int) -> Understanding:
        """What a visitor's turn says, in the light of his profile and of what was shown just before."""
        return understand(
            without_self_description(text),  # who he is must not decide what he is shown
            profile,
            vocabulary=self.vocabulary,
            by_title=self.catalogue.by_title,
            fields=self._fields,
            last_items=shown,
            turn=turn,
        )

    def _prepare(
        self,
        conversation: Conversation,
        message: str,
        language: Language,
        tone: str,
        sampling: Sampling,
        *,
        held: _Prepared | None = None,
        understanding: Understanding | None = None,
        is_short: bool = False,
    ) -> _Prepared:
        """Interests, candidates and prompt for a message: everything up to the model, so explanations can repeat it. With `held`, what
        was found for another message stays on the shelf; only what is told of the wishes changes. `understanding` is what the message says, if that is
        known; a prompt that `is_short` needs no counting of its tokens."""
        turn = len(conversation.turns)
        shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
        understanding = understanding or self._understand(message, conversation.profile, shown, turn)
        wanted = asked_number(message) or (1 if tone == "brief" else NUM_PICKS)
        if held:
            ranking, candidates = held.ranking, held.candidates
            fitted = self._retriever.with_fits(held.shelf, understanding.profile, turn=turn)
            shelf = tuple(new if old.parts else old for old, new in zip(held.shelf, fitted, strict=True))
        else:
            previous = conversation.turns[-1].text if conversation.turns else ""
            said = "" if is_vague(message) else without_self_description(message)
            ranking = self._retriever.rank(
                understanding.profile,
                said,
                turn=turn,
                previous=previous,
                surprise=sampling.surprise,
                together=self._liked_together(understanding.profile.liked),
            )
            candidates = ranking.candidates
            if understanding.intent in _ABOUT_SHOWN and (understanding.named or shown):
                table = [
                    Candidate(item, 1.0, fits=_fits_before(item, conversation))
                    for item in dict.fromkeys([*understanding.named, *shown])
                ]
                candidates = (*table, *(one for one in candidates if one.item not in [each.item for each in table]))
            candidates = tuple(replace(one, telling=_telling(one.item, sampling.seed)) for one in candidates)
            safe = [replace(one, item=item) for one in candidates[:_NUM_DRAWN] if (item := harmless(one.item))]
            shelf = _shelf(understanding.intent, safe, len(understanding.named or shown), wanted, sampling)
        is_choice = understanding.intent not in (*_ABOUT_SHOWN, *_NO_ITEMS)
        num_picks = min(wanted, len(shelf)) if is_choice else 0
        missed = ranking.unanswered or "; ".join(self._dropped(ranking.relaxed, understanding.profile)[0])
        note = _TEXTS["unanswered"][language].format(missed) if missed else ""
        messages = build_messages(
            language=language,
            profile=understanding.profile,
            candidates=shelf,
            turns=conversation.turns,
            message=message,
            vocabulary=self.vocabulary,
            tone=tone,
            num_picks=num_picks,
            intent=understanding.intent,
            note=note,
            count_tokens=None if is_short else self.engine.count_tokens,
            window=max(self._window // 2, self._window - sampling.max_new_tokens) if self._window else 0,
            is_open=self._is_open,
        )
        return _Prepared(understanding, ranking, candidates, shelf, num_picks, messages)

    def _shortfalls(self, message: str, prepared: _Prepared, language: Language, *, turn: int) -> list[str]:
        """Lines on what was asked for and cannot be had: a kind or title that the catalogue does not have, a demand that nothing meets, or of which it
        says nothing (told once, when it is made)."""
        said, profile = prepared.understanding, prepared.understanding.profile
        if said.intent in (*_ABOUT_SHOWN, *_NO_ITEMS):
            return []
        lines = []
        if names := not_held(message, self.catalogue.kinds(), profile.kinds):
            lines.append(_TEXTS["not held"][language].format(names[language == "zh"]))
        if said.unknown and not self._is_open:
            lines.append(_TEXTS["unknown"][language].format(said.unknown[0]))
        unmet, untold = self._dropped(prepared.ranking.relaxed, profile)
        new = [text for text in untold if any(one.text == text and one.turn == turn for one in profile.constraints)]
        if new:
            lines.append(_TEXTS["untold"][language].format(("”、“" if language == "zh" else "”, “").join(new)))
        if unmet:
            lines.append(_TEXTS["relaxed"][language].format("; ".join(unmet)))
        return lines

    def _dropped(self, relaxed: str, profile: Profile) -> tuple[list[str], list[str]]:
        """The words of demands that had to give: those that no item meets, and those of whose measure the catalogue says nothing."""
        unmet = list(dict.fromkeys(filter(None, relaxed.split("; "))))
        untold = {one.text for one in profile.constraints if not self._fields.says(subject(one), profile.kinds)}
        return [text for text in unmet if text not in untold], [text for text in unmet if text in untold]

    def _question(self, conversation: Conversation, understanding: Understanding, language: Language) -> str:
        """What to ask a visitor who has not said yet what he wants; "" where there is nothing to ask."""
        num_said = sum(one.role == "user" for one in conversation.turns)
        is_on_table = bool(understanding.named or conversation.turns and conversation.turns[-1].item_ids)
        if understanding.intent in _ABOUT_SHOWN and not (is_on_table or understanding.has_wish):
            return _TEXTS["which"][language]
        if understanding.intent in (*_ABOUT_SHOWN, *_NO_ITEMS) or num_said >= MAX_QUESTIONS:
            return ""  # asked again and again, it would be a form to fill in
        return question_for(understanding.profile, self.catalogue.items, self.vocabulary, language)

    def _write(
        self, state: Reply, message: str, prepared: _Prepared, sampling: Sampling
    ) -> Generator[Reply, None, None]:
        """Snapshots while the model writes: sentence by sentence, each checked before it is shown, rewritten if it must not be."""
        if prepared.understanding.intent in _ABOUT_SHOWN:
            sampling = replace(sampling, temperature=min(sampling.temperature, _FACTUAL_TEMPERATURE))
        titles = None if self._is_open else [one.item.title_in(state.language) for one in prepared.shelf]
        min_titles = min(asked_number(message), prepared.num_picks)  # held to a number that was asked for, not to ours
        rewrites: Counter[str] = Counter()  # by what they mend
        last_s = time.monotonic()
        while True:
            seeded = _for_rewrite(sampling, rewrites.total(), self.engine.count_tokens(state.text))
            messages: list[Message] = list(prepared.messages)
            if state.text.strip():
                messages.append({"role": "assistant", "content": state.text.rstrip()})
            must_rewrite = False
            try:
                with closing(self.engine.stream(messages, seeded, titles, min_titles)) as pieces:
                    for sentence in sentences(_counted(pieces, counter := [state.num_tokens]), is_ticking=True):
                        state = replace(state, num_tokens=counter[0])
                        if not sentence:
                            if time.monotonic() - last_s > _TICK_S:
                                last_s = time.monotonic()
                                yield state
                            continue
                        checked = self._gate(state, sentence, prepared, message)
                        is_withheld = checked.withheld != state.withheld
                        state = checked
                        is_hurtful = is_withheld and state.withheld[-1].category in _HURTFUL
                        fault = "harm" if is_hurtful else "fault"
                        if is_withheld and rewrites[fault] < (MAX_REWRITES if is_hurtful else MAX_REPAIRS):
                            rewrites[fault] += 1
                            must_rewrite = True
                            break
                        if is_hurtful:
                            state = _with_placeholder(state)
                        elif is_withheld and state.items:
                            break  # what follows would lean on what is not there: better a short reply
                        last_s = time.monotonic()
                        yield state
            except EngineError as error:
                told = error.chinese if state.language == "zh" else str(error)
                told = _TEXTS["lost"][state.language] if state.text else told
                yield replace(state, status="lost", notice=_joined(state.notice, told))
                return
            if not must_rewrite:
                break
        if not state.text.strip():
            state = replace(state, notice=_joined(state.notice, _TEXTS["silent"][state.language]))
        if self._is_open and any(not mention.is_matched for mention in state.mentions):
            state = replace(state, notice=_joined(state.notice, _TEXTS["unverified"][state.language]))
        yield self._looked_over(replace(state, text=state.text.rstrip(), status="done"))

    def _looked_over(self, state: Reply) -> Reply:
        """The finished reply; without its text where the whole of it hurts although no sentence and no two of them did."""
        if len(state.sentences) < 3:
            return state
        scores = self._toxicity.score([as_scored(state, state.sentences)])[0]
        if not hurts_together(scores):
            return state
        category = max(_HURTFUL, key=lambda label: scores[label])
        notice = _TEXTS["taken back"][state.language].format(HARM_NAMES[category][state.language])
        withheld = (*state.withheld, Withheld(category, round(scores["toxicity"], 4)))
        return replace(
            state, text="", sentences=(), mentions=(), withheld=withheld, notice=_joined(state.notice, notice)
        )

    def _gate(self, state: Reply, raw: str, prepared: _Prepared, message: str) -> Reply:
        """The state with one more sentence in it, or with one more withheld."""
        shelf = [candidate.item for candidate in prepared.shelf]
        text = clean_prose(raw)
        if state.text.endswith((" ", "\n")):
            text = text.lstrip()
        if not words(text) or text.count("**") % 2:  # nothing, or cut in the middle of a title
            return state
        if _is_drifting(text, state.language):
            return replace(state, withheld=(*state.withheld, Withheld("language", 1.0)))
        wishes = [interest.text for interest in prepared.understanding.profile.likes]

        def labels(item: Item) -> list[str]:
            return [self.vocabulary.translate(term, state.language) for term in (*item.tags, *item.moods)]

        if (
            stutters(text)
            or repeats(text, state.text, wishes)
            or names_twice(text, {label for item in shelf for label in labels(item)})
        ):
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
        mentioned = [mention.item for mention in state.mentions if mention.item]
        known = " ".join([message, *(turn.text for turn in state.conversation.turns if turn.role == "user")])
        wished = [
            self.vocabulary.translate(tag, state.language)
            for one in prepared.understanding.profile.likes
            for tag in one.tags
        ]
        known = " ".join([known, *wished])
        ranked = {candidate.item.id: rank for rank, candidate in enumerate(state.candidates)}

        def find(title: str) -> list[Item]:
            """Namesakes: those that are candidates first, then the better known."""
            return sorted(
                self.catalogue.titled(title), key=lambda item: (ranked.get(item.id, len(ranked)), -item.popularity)
            )

        grounded = ground(
            text,
            shelf,
            find,
            language=state.language,
            known_text=known,
            about=_last_named(state),
            mentioned=mentioned,
            before=state.text,
            is_open=self._is_open,
            labels=labels,
        )
        titles = [mention.title for mention in grounded.mentions]
        if len(set(titles)) < len(titles):  # "first Winnie-the-Pooh, then Winnie-the-Pooh"
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
        if grounded.is_false:
            return replace(state, withheld=(*state.withheld, Withheld("fact", 1.0)))
        if any(recites(text, told) for told in (*INSTRUCTIONS.values(), *OPEN_INSTRUCTIONS.values())):
            return replace(state, withheld=(*state.withheld, Withheld("instructions", 1.0)))
        own = _without_titles(grounded.text, grounded.mentions)
        before = as_scored(state, state.sentences[-1:])  # some things hurt only together
        scores, *both = self._toxicity.score([own, f"{before} {own}"] if before else [own])
        hurtful = next(filter(hurts_together, both), None) if may_be_shown(scores) else scores
        if hurtful:
            category = max(_HURTFUL, key=lambda label: hurtful[label])
            return replace(state, withheld=(*state.withheld, Withheld(category, round(hurtful["toxicity"], 4))))
        if self._is_garbled(state, grounded.text, prepared):
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
        offset = len(state.text)
        moved = tuple(Mention(one.title, one.start + offset, one.end + offset, one.item) for one in grounded.mentions)
        whole = state.text + grounded.text
        sentence = Sentence(grounded.text, offset, len(whole), round(scores["toxicity"], 4))
        return replace(state, text=whole, sentences=(*state.sentences, sentence), mentions=(*state.mentions, *moved))

    def _is_garbled(self, state: Reply, text: str, prepared: _Prepared) -> bool:
        """Whether the sentence holds a word that the model neither read nor knows, or the model itself finds a stretch of it hardly likely, as
        where it loses its way inside a word. Only a model whose trainer told what it knows, and measured what is hardly likely, can say so."""
        if self._lexicon and not ends_whole(text):
            return True  # its window or the longest reply cut it off
        whole = (state.text + text).rstrip()  # a space that ends a text is hardly likely: the next word brings its own
        copied = copied_spans(whole, [candidate.item for candidate in prepared.shelf], state.language)
        if self._lexicon:
            own = "".join(
                character if not any(start <= at < end for start, end in copied) else "·"
                for at, character in enumerate(whole)
                if at >= len(state.text)
            )
            told = " ".join(message["content"] for message in prepared.messages)
            if not units(own) <= self._lexicon[state.language] | units(told):
                return True
            moods = [own[one.start : one.end] for one in self.vocabulary.find(own) if one.group == "moods"]
            if not state.mentions and "**" not in text and any(mood.lower() not in told.lower() for mood in moods):
                return True  # an opening that speaks of "the funny shelf" where nothing on it is
        floor = self._floors.get(state.language)
        if floor is None:
            return False
        scores = self.engine.score([prepared.messages], whole)[0]  # (num_tokens,)
        weakest = weakest_stretch(scores, self.engine.spans(whole), (len(state.text), len(whole)), copied)
        return weakest < floor

    def _after(self, conversation: Conversation, message: str, state: Reply, prepared: _Prepared) -> Conversation:
        """The conversation with this exchange in it."""
        ids = tuple(item.id for item in state.items)
        profile = prepared.understanding.profile
        if prepared.understanding.intent not in _ABOUT_SHOWN:
            profile = replace(profile, shown=tuple(dict.fromkeys((*profile.shown, *ids))))
        if not state.text.strip():  # nothing was said: the wishes stay, an empty turn would only confuse the model
            return replace(conversation, profile=profile)
        turns = (*conversation.turns, Turn("user", message), Turn("assistant", state.text.rstrip(), ids))
        return replace(conversation, turns=turns, profile=profile)

    # Explain

    def explain(
        self,
        conversation: Conversation,
        message: str,
        reply: Reply,
        *,
        num_rows: int = 32,
        tone: str = "warm",
        memory: Explained | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Attribution:
        """Which of the visitor's words made the reply likelier, and which candidates its sentences lean on. `conversation` is the one the
        message was said in. An `on_progress` that raises stops the work; see `explaining`.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        steps = self.explaining(conversation, message, reply, num_rows=num_rows, tone=tone, memory=memory)
        return _last(steps, on_progress)

    def explaining(
        self,
        conversation: Conversation,
        message: str,
        reply: Reply,
        *,
        num_rows: int = 32,
        tone: str = "warm",
        memory: Explained | None = None,
    ) -> Generator[float, None, Attribution]:
        """`explain` in steps: yields the share of the work that is done and returns the attribution. Closing the iterator stops the work.

        For each row the pipeline is rebuilt from the words that it keeps, so a word that works through what is found counts too; prompts
        with the same items on the shelf part that from what works through the wording. What `memory` holds of this reply is not scored again.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        started = time.monotonic()
        memory = Explained() if memory is None else memory
        if num_rows in memory.attributions:
            return memory.attributions[num_rows]
        told = self._ablation(conversation, message, reply, tone)
        found, full = told.words, told.full
        weighing = self._weighing(told, reply, num_rows, memory)
        explanation = yield from _scaled(weighing, 0, _WEIGHING_SHARE)
        everything = np.ones(len(found), bool)
        tried = check_rows(explanation.effects.sum(0), 1 if num_rows <= BLOCK else 8)
        cases = [self._case(told, told.rebuilt(kept)) for kept in (everything, *tried)]
        lacking = self._lacking(told)
        steps = self._scoring([*cases, *lacking], reply, memory)
        values = yield from _scaled(steps, _WEIGHING_SHARE, 1 - _WEIGHING_SHARE)
        whole, checked, without = values[0], values[1 : len(cases)], values[len(cases) :]
        exact = whole.sum() - checked.sum(1)
        guessed = whole.sum() - explanation.predict(tried).sum(1)
        checks = tuple(
            Check(
                tuple(word for word, is_kept in zip(found, kept) if not is_kept), round(float(g), 3), round(float(e), 3)
            )
            for kept, g, e in zip(tried, guessed, exact)
        )
        can_score = self.engine.describe().can_score
        attribution = Attribution(
            told.text,
            found,
            whole=_word_scores(found, explanation.found, explanation.written),
            by_sentence=tuple(
                _word_scores(found, [one], [other]) if share > 0 else ()
                for one, other, share in zip(explanation.found, explanation.written, explanation.shares)
            ),
            fit=round(explanation.share, 3),
            fit_by_sentence=tuple(round(float(share), 3) for share in explanation.shares),
            num_rows=len(explanation.rows),
            seconds=time.monotonic() - started,
            pairs=_word_pairs(found, explanation.pairs),
            checks=checks,
            citations=_citations(
                [one.item for one in full.shelf], whole - without, _CITED if can_score else _CITED_POINTS
            ),
            scorer="log-probability" if can_score else "similarity",
            num_scored=int(explanation.is_scored.sum()),
        )
        memory.attributions[num_rows] = attribution
        yield 1.0
        return attribution

    def weigh(
        self,
        conversation: Conversation,
        message: str,
        reply: Reply,
        *,
        num_rows: int = 32,
        tone: str = "warm",
        seed: int | None = None,
        memory: Explained | None = None,
    ) -> Explanation:
        """What `explain` tells of, with all its numbers; another `seed` chooses other rows.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        told = self._ablation(conversation, message, reply, tone)
        return _last(self._weighing(told, reply, num_rows, memory or Explained(), seed))

    def _weighing(
        self, told: _Ablation, reply: Reply, num_rows: int, memory: Explained, seed: int | None = None
    ) -> Generator[float, None, Explanation]:
        """Yields the share that is done; returns the explanation.

        The pipeline up to the model costs little, the model much. So of a first explanation it scores a few rows, first those that find other items, and the
        prompt without each candidate and without the message, and the other rows only where these show that they cannot be guessed. A larger one has all
        its rows scored.
        """
        everything = np.ones(len(told.words), bool)
        full = self._case(told, told.rebuilt(everything))
        unsaid = [*told.full.messages[:-1], {**told.full.messages[-1], "content": ""}]
        silent = self._case(told, replace(told.full, messages=unsaid))
        lacking = self._lacking(told)
        cases: list[tuple[_Case, _Case]] = []  # by row: all rebuilt, and over the reply's own shelf
        batches: list[np.ndarray] = []
        guesses: Guesses | None = None
        share, num_done, num_expected = 0.0, 0, 2 * num_rows  # prompts

        def scored(wanted: Sequence[_Case]) -> Generator[float, None, None]:
            nonlocal share, num_done
            num_new = len({one.key for one in wanted if one.key not in memory.scores})
            for part in self._scoring(wanted, reply, memory):
                share = max(share, min(1.0, (num_done + part * num_new) / num_expected))
                yield share
            num_done += num_new

        def case(kept: np.ndarray, held: _Prepared | None = None) -> _Case:
            return self._case(told, told.rebuilt(kept, held))

        def value(one: _Case) -> np.ndarray:
            return (
                memory.scores[one.key]
                if guesses is None or one.key in memory.scores
                else guesses.values(one.copied, one.shelf)
            )

        is_thrifty = num_rows <= BLOCK
        wanted = [full, silent, *lacking] if is_thrifty else []  # what is scored in any case
        if is_thrifty:
            num_expected = len(wanted) + NUM_SURE
        choosing = choose_rows(len(told.words), num_rows, seed=(reply.sampling.seed or 0) if seed is None else seed)
        batch = next(choosing, None)
        while batch is not None:
            rows, num_sure = batch
            batches.append(rows)
            of_batch = [(case(kept), case(kept, told.full)) for kept in rows]
            cases += of_batch
            waiting = _spread([one for one, _ in of_batch], wanted)
            while is_thrifty:
                wanted, waiting = [*wanted, *waiting[:num_sure]], waiting[num_sure:]
                yield from scored(wanted)
                guesses = self._guesses([*wanted, *(one for pair in cases for one in pair)], memory)
                moved = memory.scores[full.key] - memory.scores[silent.key]
                if guesses and guesses.are_off(moved, full.copied - silent.copied):
                    guesses = None  # the message does more than to be quoted
                if guesses or not waiting:
                    break
                num_sure = NUM_SURE
            if not guesses:
                num_expected = 2 * num_rows
                yield from scored([one for pair in cases for one in pair])
            try:
                batch = choosing.send(np.array([value(one) for one, _ in of_batch]))
            except StopIteration:
                batch = None
        whole, written = (np.array([value(pair[part]) for pair in cases]) for part in (0, 1))
        explanation = fit_parts(
            np.concatenate(batches),
            whole,
            written,
            is_scored=np.array([one.key in memory.scores for one, _ in cases]),
            doubts=guesses.doubts if guesses else None,
        )
        yield 1.0
        return explanation

    @staticmethod
    def _guesses(cases: Sequence[_Case], memory: Explained) -> Guesses | None:
        """Guesses by the cases that were scored; None where they are of no use."""
        known = list({one.key: one for one in cases if one.key in memory.scores}.values())
        values = np.array([memory.scores[one.key] for one in known])
        guesses = Guesses(np.array([one.copied for one in known]), values, [one.shelf for one in known])
        return guesses if guesses.are_good else None

    @staticmethod
    def _case(told: _Ablation, prepared: _Prepared) -> _Case:
        prompt = prepared.messages
        text = "\n".join(part["content"] for part in prompt)
        return _Case(
            prompt,
            _key(prompt),
            tuple(one.item.id for one in prepared.shelf),
            told.quotes.share(text),
        )

    def _lacking(self, told: _Ablation) -> list[_Case]:
        """For each candidate what the model reads of the whole message without it."""
        everything = np.ones(len(told.words), bool)
        shelves = [tuple(one for one in told.full.shelf if one is not left_out) for left_out in told.full.shelf]
        return [self._case(told, told.rebuilt(everything, replace(told.full, shelf=shelf))) for shelf in shelves]

    def rewrite(
        self, conversation: Conversation, message: str, reply: Reply, without: str, *, tone: str = "warm"
    ) -> Rewrite:
        """What is written to the message without some of its words, wherever they stand in it, beside what is written to all of it again.
        `conversation` is the one the message was said in.

        Raises:
            InputError: a word is not in the message, or nothing else is.
        """
        message = self._read(message)
        found = words(message)
        wanted = {word.text.casefold() for word in words(without)}
        kept = np.array([word.text.casefold() not in wanted for word in found], bool)
        if not wanted or wanted - {word.text.casefold() for word in found}:
            raise InputError(f"“{without}” is not among the words of the message: {', '.join(w.text for w in found)}.")
        if not kept.any():
            raise InputError(f"Nothing is left of the message without “{without}”.")

        def written(text: str, seed: int) -> Reply:
            sampling = replace(reply.sampling, seed=seed)
            *_, last = self.reply(conversation, text, sampling, language=reply.language, tone=tone)
            return last

        seed = reply.sampling.seed or 0
        return Rewrite(
            tuple(word for word, is_kept in zip(found, kept, strict=True) if not is_kept),
            original=reply,
            shortened=written(keep_words(message, found, kept), seed),
            same_seed=written(message, seed),
            other_seed=written(message, seed + 1),
        )

    def scorers(
        self,
        conversation: Conversation,
        message: str,
        reply: Reply,
        *,
        tone: str = "warm",
        memory: Explained | None = None,
    ) -> tuple[tuple[Word, ...], Scorer, Scorer]:
        """The visitor's words, and what the reply's sentences score with some of them left out: all rebuilt, and with what was found held."""
        told = self._ablation(conversation, message, reply, tone)
        memory = memory or Explained()

        def score(rows: np.ndarray, held: _Prepared | None = None) -> np.ndarray:
            return _last(self._scoring([self._case(told, told.rebuilt(kept, held)) for kept in rows], reply, memory))

        return told.words, score, lambda rows: score(rows, told.full)

    def _ablation(self, conversation: Conversation, message: str, reply: Reply, tone: str) -> _Ablation:
        """
        Raises:
            InputError: there is nothing to explain.
        """
        short = self._shortened(_each_once(self._read(message)))
        message = short.text
        conversation = self.with_feedback(conversation, but_for={item.id for item in reply.items})
        conversation = _with_summary(conversation, short.rest)

        prepare = partial(self._prepare, language=reply.language, tone=tone, sampling=reply.sampling)
        full = prepare(conversation, message)
        earlier = _still_read(conversation.turns, full.messages)  # indices of turns
        texts = [*(conversation.turns[index].text for index in earlier), message]
        by_text = [words(text) for text in texts]
        text, found = _joined_words(texts, by_text)
        if not found or not reply.text:
            raise InputError("There is nothing to explain yet: no words or no reply.")
        heard = self._heard(conversation.turns)

        num_tokens = sum(self.engine.count_tokens(part["content"]) for part in full.messages)
        room = self._window - reply.sampling.max_new_tokens
        is_short = num_tokens <= _SHORT * room  # and so with fewer words over its shelf
        is_shorter = (
            num_tokens <= room * 2 / 3
        )  # and so over any shelf: items differ in length, but three of them not by so much
        known: dict[bytes, tuple[Conversation, str, _Prepared]] = {}

        def rebuilt(kept: np.ndarray, held: _Prepared | None = None) -> _Prepared:
            if kept.tobytes() not in known:
                *before, last = _kept_texts(texts, by_text, kept)
                retold = self._retold(conversation, heard, dict(zip(earlier, before, strict=True)))
                known[kept.tobytes()] = retold, last, prepare(retold, last, is_short=is_shorter)
            retold, last, own = known[kept.tobytes()]
            if held is None or held is full and _found(own) == _found(full):
                return own
            return prepare(retold, last, held=held, understanding=own.understanding, is_short=is_short)

        return _Ablation(text, tuple(found), full, rebuilt, Quotes([sentence.text for sentence in reply.sentences]))

    def _heard(self, turns: Sequence[Turn]) -> Profile:
        """What the visitor's turns alone say of him."""
        profile = Profile()
        for index, turn in enumerate(turns):
            if turn.role == "user":
                shown = self._items(turns[index - 1].item_ids) if index else []
                profile = self._understand(turn.text, profile, shown, index).profile
        return profile

    def _retold(self, conversation: Conversation, heard: Profile, texts: Mapping[int, str]) -> Conversation:
        """The conversation with other texts in some of the visitor's turns. His wishes are understood anew; what was shown, and what he
        rated (that is, what of his profile was not `heard`), stays."""
        if all(conversation.turns[index].text == text for index, text in texts.items()):
            return conversation
        turns = tuple(replace(turn, text=texts.get(index, turn.text)) for index, turn in enumerate(conversation.turns))
        profile, old = self._heard(turns), conversation.profile

        def with_rated(ids: tuple[str, ...], known: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys((*ids, *(id for id in known if id not in before))))

        profile = replace(
            profile,
            liked=with_rated(profile.liked, old.liked, heard.liked),
            disliked=with_rated(profile.disliked, old.disliked, heard.disliked),
            seen=with_rated(profile.seen, old.seen, heard.seen),
            shown=old.shown,
        )
        return replace(conversation, turns=turns, profile=profile)

    def _scoring(self, cases: Sequence[_Case], reply: Reply, memory: Explained) -> Generator[float, None, np.ndarray]:
        """What the reply's sentences score after each prompt, (num_cases, num_sentences): log-probabilities in nats, or points of likeness where
        the model gives none. Yields the share that is done. Equal prompts are scored once, and those that begin alike one after the other."""
        unique = {case.key: case.prompt for case in reversed(cases) if case.key not in memory.scores}
        ordered = sorted(unique, key=lambda key: [part["content"] for part in unique[key]])
        score = self._log_probabilities if self.engine.describe().can_score else self._likenesses
        for start in range(0, len(ordered), _SCORED_AT_ONCE):
            chunk = ordered[start : start + _SCORED_AT_ONCE]
            memory.scores |= dict(zip(chunk, score([unique[key] for key in chunk], reply), strict=True))
            yield (start + len(chunk)) / len(ordered)
        return np.array([memory.scores[case.key] for case in cases]).reshape(len(cases), len(reply.sentences))

    def _log_probabilities(self, prompts: Sequence[Sequence[Message]], reply: Reply) -> np.ndarray:
        """Nats (num_prompts, num_sentences)."""
        owner = np.array([_sentence_at(reply.sentences, start) for start, _ in self.engine.spans(reply.text)])
        of_sentence = owner[:, None] == np.arange(len(reply.sentences))  # (num_tokens, num_sentences)
        return self.engine.score(prompts, reply.text) @ of_sentence

    def _likenesses(self, prompts: Sequence[Sequence[Message]], reply: Reply) -> np.ndarray:
        """Points of 100 (num_prompts, num_sentences): how alike each sentence is to the likest one of a reply to the prompt, as the share of words that both
        have in the same order (Indel similarity). The replies take the likeliest token each time, so that chance has no part in them."""
        from rapidfuzz import fuzz

        surest = replace(reply.sampling, temperature=0.0)

        def written(prompt: Sequence[Message]) -> str:
            with closing(self.engine.stream(prompt, surest)) as pieces:
                return "".join(pieces)

        with ThreadPoolExecutor(_SCORED_AT_ONCE) as pool:  # a server answers several at once
            texts = list(pool.map(written, prompts))
        shown = [[word.text for word in words(plain(sentence.text))] for sentence in reply.sentences]
        anew = [[[word.text for word in words(plain(one))] for one in sentences([text])] for text in texts]
        return np.array(
            [[max((fuzz.ratio(old, new) for new in each), default=0.0) for old in shown] for each in anew], float
        ).reshape(len(prompts), len(shown))

    def token_probabilities(self, reply: Reply) -> list[tuple[str, float]]:
        """The pieces of a reply, each with the probability in [0, 1] that the model gives it after what stands before (at temperature 1).

        Raises:
            EngineError: the model cannot score a given text.
        """
        scores = self.engine.score([reply.messages], reply.text)[0]  # (num_tokens,), nats
        return [
            (reply.text[start:end], float(np.exp(score)))
            for (start, end), score in zip(self.engine.spans(reply.text), scores, strict=True)
        ]

    # Rate

    def rate(self, conversation: Conversation, item_id: str, rating: Rating, reason: str = "") -> Conversation:
        """The conversation with one item rated; of a visitor with an id it is kept in the store.

        Raises:
            InputError: there is no such item.
            StoreError: the rating could not be kept; the conversation still could use it.
        """
        if item_id not in self.catalogue.by_id:
            raise InputError(f"There is no item {item_id!r} in the catalogue.")
        if conversation.user_id:
            self.store.add(Feedback(conversation.user_id, item_id, rating, mask_personal(reason)[0]))
        return _rated(conversation, item_id, rating)

    def forget(self, conversation: Conversation, item_id: str) -> Conversation:
        """The conversation without what the visitor ever said of one item, which the store forgets too.

        Raises:
            StoreError: the store still has it.
        """
        if conversation.user_id:
            self.store.remove(conversation.user_id, item_id)
        profile = conversation.profile

        def without(ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(id for id in ids if id != item_id)

        profile = replace(
            profile, liked=without(profile.liked), disliked=without(profile.disliked), seen=without(profile.seen)
        )
        return replace(conversation, profile=profile)

    def report(self, reply: Reply, message: str | None = None) -> bool:
        """Keeps a visitor's word that what was withheld from the reply, or the refusal of his message, was wrong: categories, scores and time; his
        message only where he agreed and it is handed in, with personal data masked. False where the reply withheld nothing hurtful.

        Raises:
            StoreError: it could not be kept.
        """
        wrong = [one for one in reply.withheld if one.category in (*_HURTFUL, *_REFUSALS)]
        text = None if message is None else mask_personal(clean_message(message)[:MAX_MESSAGE])[0]
        for one in wrong:
            self.store.report(Report(one.category, one.score, reply.language, reply.model, text))
        return bool(wrong)

    def with_feedback(self, conversation: Conversation, but_for: Collection[str] = ()) -> Conversation:
        """The conversation with what this user rated earlier, in other conversations too; without the items `but_for`."""
        try:
            earlier = self.store.of_user(conversation.user_id)
        except StoreError:  # a reply without old ratings is better than none
            earlier = []
        for feedback in earlier:
            if feedback.item_id in self.catalogue.by_id and feedback.item_id not in but_for:
                conversation = _rated(conversation, feedback.item_id, feedback.rating)
        return conversation

    def _liked_together(self, ids: Sequence[str]) -> dict[str, float]:
        try:
            return self.store.liked_together(ids)
        except StoreError:  # a ranking without others' ratings is better than none
            return {}

    def _items(self, ids: Sequence[str]) -> list[Item]:
        return [self.catalogue.by_id[id] for id in ids if id in self.catalogue.by_id]


def _rated(conversation: Conversation, item_id: str, rating: Rating) -> Conversation:
    """The conversation with one item moved to where its rating belongs."""
    profile = conversation.profile

    def moved(ids: tuple[str, ...], wanted: Rating) -> tuple[str, ...]:
        kept = tuple(id for id in ids if id != item_id)
        return (*kept, item_id) if rating == wanted else ids if rating == "seen" else kept

    profile = replace(
        profile,
        liked=moved(profile.liked, "like"),
        disliked=moved(profile.disliked, "dislike"),
        seen=(*(id for id in profile.seen if id != item_id), item_id) if rating == "seen" else profile.seen,
    )
    return replace(conversation, profile=profile)


def _each_once(message: str) -> str:
    """A long message with each of its sentences once; a short one as it is."""
    return message if len(message) <= MAX_MESSAGE else "".join(dict.fromkeys(sentences([message])))


def _with_summary(conversation: Conversation, said: Profile) -> Conversation:
    """The conversation with what the sentences of a long message that the model will not read say of the visitor."""
    profile, turn = conversation.profile, len(conversation.turns)
    profile = replace(
        profile,
        interests=(*profile.interests, *(replace(one, turn=turn) for one in said.interests)),
        constraints=(*profile.constraints, *(replace(one, turn=turn) for one in said.constraints)),
        liked=tuple(dict.fromkeys((*profile.liked, *said.liked))),
        disliked=tuple(dict.fromkeys((*profile.disliked, *said.disliked))),
        seen=tuple(dict.fromkeys((*profile.seen, *said.seen))),
    )
    return replace(conversation, profile=profile)


def _last_language(conversation: Conversation) -> Language:
    return "zh" if conversation.turns and has_cjk(conversation.turns[-1].text) else "en"


def _telling(item: Item, seed: int | None) -> int:
    """Which of an item's pitches a reply is given: another seed may tell it another way, an equal one never does."""
    return zlib.crc32(f"{seed} {item.id}".encode()) % 2


def _shelf(
    intent: Intent, candidates: Sequence[Candidate], num_meant: int, num_wanted: int, sampling: Sampling
) -> tuple[Candidate, ...]:
    """What the model reads: the first candidates, of which those that answer no wish come last, and stay away when enough others do; only the
    one item meant when the visitor asks about it."""
    if intent in _NO_ITEMS:
        return ()
    if intent in _ABOUT_SHOWN:
        return tuple(candidates[: 1 if intent in _ABOUT_ONE and num_meant == 1 else NUM_CANDIDATES])
    first = drawn(candidates, sampling)[:NUM_CANDIDATES]
    fitting = tuple(one for one in first if one.fits)
    return fitting if len(fitting) >= num_wanted else (*fitting, *(one for one in first if not one.fits))


def drawn(candidates: Sequence[Candidate], sampling: Sampling) -> tuple[Candidate, ...]:
    """The candidates, those of one kind that answer the same wishes in an order drawn by the seed, the likelier the higher they rank (Gumbel keys);
    so another seed has other ideas, and every wish stays answered. At temperature 0 the order is the rank's."""
    groups: dict[tuple[str, frozenset[str]], list[int]] = {}
    is_any_wished = any(one.fits for one in candidates)
    for rank, one in enumerate(candidates):
        groups.setdefault((one.item.kind if is_any_wished else "", frozenset(one.fits)), []).append(rank)
    drawn = list(candidates)
    for ranks in groups.values():
        keys = [
            _RANK_DECAY * place - sampling.temperature * _gumbel(candidates[rank].item, sampling.seed)
            for place, rank in enumerate(ranks)
        ]
        for rank, (_, other) in zip(ranks, sorted(zip(keys, ranks, strict=True)), strict=True):
            drawn[rank] = candidates[other]
    return tuple(drawn)


def _found(prepared: _Prepared) -> tuple[object, ...]:
    """What a prompt tells of what was found: the items on the shelf, and what had to give."""
    items = [(one.item.id, bool(one.parts), one.telling) for one in prepared.shelf]
    return (*items, prepared.ranking.relaxed, prepared.ranking.unanswered)


def _gumbel(item: Item, seed: int | None) -> float:
    """A standard Gumbel number that an item and a seed always have together."""
    share = random.Random(f"{item.id} {seed}").random()
    return -math.log(-math.log(max(share, 1e-12)))


def _fits_before(item: Item, conversation: Conversation) -> tuple[str, ...]:
    """The wishes of the conversation so far that an item on the table answers."""
    terms = {*item.tags, *item.moods, item.country}
    return tuple(wish.text for wish in conversation.profile.likes if set(wish.tags) & terms)[-1:]


def _for_rewrite(sampling: Sampling, num_rewrites: int, num_kept: int) -> Sampling:
    """How the rest of a reply is drawn: with what is left of its tokens and, after the first try, with another seed. At temperature 0 every
    seed gives the same sentence, so a rewrite is drawn warmer."""
    if not num_rewrites:
        return sampling
    return replace(
        sampling,
        seed=(sampling.seed or 0) + 7919 * num_rewrites,
        temperature=max(sampling.temperature, 0.5),
        max_new_tokens=max(1, sampling.max_new_tokens - num_kept),
    )


def _counted(pieces: Iterator[str], counter: list[int]) -> Iterator[str]:
    """The pieces, counted as they pass; a piece is one token but for characters of several."""
    for piece in pieces:
        counter[0] += 1
        yield piece


def _without_titles(text: str, mentions: Sequence[Mention], offset: int = 0) -> str:
    """The text with catalogue titles taken out, for the filter: "3 Idiots" and "The Killing" insult nobody. The mentions' spans begin at
    `offset`."""
    for mention in reversed(mentions):
        if mention.is_matched:
            text = text[: mention.start - offset] + "it" + text[mention.end - offset :]
    return plain(text)


def as_scored(state: Reply, shown: Sequence[Sentence]) -> str:
    """Shown sentences as the filter scores them: without the catalogue's titles, and without the lines that stand for withheld ones."""
    line = _TEXTS["withheld"][state.language].split("{")[0]
    return " ".join(
        _without_titles(one.text, [each for each in state.mentions if one.start <= each.start < one.end], one.start)
        for one in shown
        if not one.text.startswith(line)
    )


def _is_drifting(text: str, language: Language) -> bool:
    """Whether a sentence has left the reply's language; titles and names in the other one are no drift."""
    prose = re.sub(r"\*\*.+?\*\*", "", text)
    if language == "en":
        return bool(has_cjk(prose) or re.search(r"[\u3000-\u303f\uff00-\uffef]", prose))
    return len(prose) > 20 and not has_cjk(prose)


def _with_placeholder(state: Reply) -> Reply:
    """The state with a visible line where a sentence was withheld for good."""
    line = _TEXTS["withheld"][state.language].format(HARM_NAMES[state.withheld[-1].category][state.language]) + " "
    sentence = Sentence(line, len(state.text), len(state.text) + len(line))
    return replace(state, text=state.text + line, sentences=(*state.sentences, sentence))


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)


def _last_named(state: Reply) -> list[Item]:
    """The items that the last sentence with a title in it names: whom "it" means."""
    for sentence in reversed(state.sentences):
        named = [one.item for one in state.mentions if one.item and sentence.start <= one.start < sentence.end]
        if named:
            return named
    return []


def _sentence_at(shown: Sequence[Sentence], position: int) -> int:
    """The index of the sentence a character belongs to."""
    return next((index for index, sentence in enumerate(shown) if position < sentence.end), len(shown) - 1)


def _spread(cases: Sequence[_Case], known: Sequence[_Case]) -> list[_Case]:
    """The cases that are not among the known ones, those first whose shelf is neither among these nor another's before: what is on it decides most
    of what a reply scores."""
    found = {one.key for one in known}
    seen = Counter(one.shelf for one in known)
    new, turns = [one for one in cases if one.key not in found], []
    for one in new:
        turns.append(seen[one.shelf])
        seen[one.shelf] += 1
    return [new[index] for index in np.argsort(turns, kind="stable")]


def _last(steps: Generator[float, None, T], on_progress: Callable[[float], None] | None = None) -> T:
    """What steps return when they are through."""
    with closing(steps):
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
            if on_progress:
                on_progress(share)


def _scaled(steps: Generator[float, None, T], begin: float, size: float) -> Generator[float, None, T]:
    """Steps that are part of a longer work: their shares go from `begin` on, and are `size` of it."""
    with closing(steps):
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
            yield min(1.0, begin + size * share)


def _key(prompt: Sequence[Message]) -> bytes:
    return blake2b(repr([(part["role"], part["content"]) for part in prompt]).encode(errors="replace")).digest()


def _still_read(turns: Sequence[Turn], messages: Sequence[Message]) -> list[int]:
    """Which of the visitor's earlier turns the model still reads, as indices."""
    read = [message["content"] for message in messages[1:-1] if message["role"] == "user"]
    spoken = [index for index, turn in enumerate(turns) if turn.role == "user"]
    return [index for index in spoken[-len(read) :] if any(turns[index].text in text for text in read)] if read else []


def _joined_words(texts: Sequence[str], by_text: Sequence[Sequence[Word]]) -> tuple[str, list[Word]]:
    """The texts in lines, and their words with spans there."""
    found, offset = [], 0
    for text, own in zip(texts, by_text, strict=True):
        found += [Word(word.text, word.start + offset, word.end + offset) for word in own]
        offset += len(text) + 1
    return "\n".join(texts), found


def _kept_texts(texts: Sequence[str], by_text: Sequence[Sequence[Word]], kept: np.ndarray) -> list[str]:
    """Each text with those of its words that are kept, bool (num_words,), the words of all texts in order."""
    shortened, position = [], 0
    for text, own in zip(texts, by_text, strict=True):
        shortened.append(keep_words(text, own, kept[position : position + len(own)]))
        position += len(own)
    return shortened


def _word_scores(
    found: Sequence[Word], through: Sequence[Effects], written: Sequence[Effects]
) -> tuple[WordScore, ...]:
    """The scores of words over some sentences, from the effects by sentence of both parts."""
    by_found, by_written = (np.sum([one.effects for one in part], axis=0) for part in (through, written))
    errors = np.sqrt(np.sum([np.square(one.errors) for one in (*through, *written)], axis=0))
    return tuple(
        WordScore(word, round(float(f + w), 3), round(float(e), 3), round(float(f), 3), round(float(w), 3))
        for word, f, w, e in zip(found, by_found, by_written, errors, strict=True)
    )


def _word_pairs(found: Sequence[Word], pairs: np.ndarray, count: int = 3) -> tuple[WordPair, ...]:
    """The strongest interactions, `pairs` being nats (num_words, num_words)."""
    ranked = sorted(combinations(range(len(found)), 2), key=lambda at: -abs(pairs[at]))[:count]
    return tuple(
        WordPair(found[i], found[j], round(float(pairs[i, j]), 3)) for i, j in ranked if abs(pairs[i, j]) >= _MIN_PAIR
    )


def _citations(items: Sequence[Item], lost: np.ndarray, least: float) -> tuple[tuple[Citation, ...], ...]:
    """For each sentence the items it leans on: those without which it loses at least so much. `lost` is nats (num_items, num_sentences)."""
    return tuple(
        tuple(
            sorted(
                (
                    Citation(item, round(float(value), 3))
                    for item, value in zip(items, by_item, strict=True)
                    if value >= least
                ),
                key=lambda one: -one.score,
            )
        )
        for by_item in lost.T
    )
