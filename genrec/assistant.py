"""The whole path of a message: language, screen, interests, candidates, prompt, write, gate, reply; then rate (explain: explaining.py).

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
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache

from genrec.catalogue import Catalogue
from genrec.constraints import Fields, subject
from genrec.engines import Engine, Message, weakest_stretch
from genrec.errors import EngineError, InputError, StoreError
from genrec.explaining import Explaining
from genrec.grounding import copied_spans, ground, misquotes, turns_away
from genrec.interests import (
    Intent,
    Shortened,
    Understanding,
    asked_number,
    is_vague,
    named_items,
    shortened,
    understand,
    without_greeting,
)
from genrec.language import detect_language
from genrec.onboarding import question_for
from genrec.prompt import INSTRUCTIONS, MAX_LOVED, MAX_MESSAGE, NUM_CANDIDATES, OPEN_INSTRUCTIONS, build_messages
from genrec.retrieval import Ranking, Retriever
from genrec.safety.identity import without_self_description
from genrec.safety.injection import harmless, recites
from genrec.safety.personal import mask_personal
from genrec.safety.screen import HARM_NAMES, Screened, clauses, clean_message, clean_prose, own_words, screen
from genrec.safety.toxicity import ToxicityScorer, hurts_together, may_be_shown
from genrec.schema import (
    Candidate,
    Conversation,
    Item,
    Language,
    Mention,
    Profile,
    Reply,
    Sampling,
    Sentence,
    Turn,
    Withheld,
)
from genrec.store import Feedback, Rating, Report, Store
from genrec.text import (
    begins_whole,
    ends_whole,
    has_cjk,
    names_twice,
    plain,
    repeats,
    says_twice,
    sentences,
    stutters,
    units,
    words,
)
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
        "zh": "目录里没有满足“{}”的，下面是放宽条件之后最接近的。",
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
        "en": "nothing fits “ {}” exactly; say so and offer the nearest",  # after a space, words are the same tokens as in a reply
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


@dataclass(frozen=True)
class Prepared:
    """What is known before the model writes."""

    understanding: Understanding
    ranking: Ranking
    candidates: tuple[Candidate, ...]  # in rank order
    shelf: tuple[Candidate, ...]  # those the model reads
    num_picks: int  # titles the reply should name; 0 where it speaks of items on the table, or of none
    messages: list[dict[str, str]]


class Assistant(Explaining):
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

    def _taken(
        self, conversation: Conversation, message: str, but_for: Collection[str] = ()
    ) -> tuple[Conversation, str]:
        """A conversation and a message as `reply` goes by them; ratings of some items did not count then."""
        short = self._shortened(_each_once(self._read(message)))
        return _with_summary(self.with_feedback(conversation, but_for), short.rest), short.text

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
        held: Prepared | None = None,
        understanding: Understanding | None = None,
        is_short: bool = False,
        retriever: Retriever | None = None,
    ) -> Prepared:
        """Interests, candidates and prompt for a message: everything up to the model, so explanations can repeat it. With `held`, what
        was found for another message stays on the shelf; only what is told of the wishes changes. `understanding` is what the message says, if that is
        known; a prompt that `is_short` needs no counting of its tokens. `retriever` may be the assistant's `remembering`."""
        retriever = retriever or self._retriever
        turn = len(conversation.turns)
        shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
        understanding = understanding or self._understand(message, conversation.profile, shown, turn)
        intent: Intent = understanding.intent
        if intent in _ABOUT_SHOWN and not (understanding.named or shown):
            intent = "recommend"  # there is nothing on the table that it could be about
        wanted = asked_number(message) or (1 if tone == "brief" else NUM_PICKS)
        if held:
            ranking, candidates = held.ranking, held.candidates
            fitted = retriever.with_fits(held.shelf, understanding.profile, turn=turn)
            shelf = tuple(new if old.parts else old for old, new in zip(held.shelf, fitted, strict=True))
        else:
            previous = conversation.turns[-1].text if conversation.turns else ""
            said = "" if is_vague(message) else without_greeting(without_self_description(message))
            ranking = retriever.rank(
                understanding.profile,
                said,
                turn=turn,
                previous=previous,
                surprise=sampling.surprise,
                together=self._liked_together(understanding.profile.liked),
            )
            candidates = ranking.candidates
            if intent in _ABOUT_SHOWN:
                table = [
                    Candidate(item, 1.0, fits=_fits_before(item, conversation))
                    for item in dict.fromkeys([*understanding.named, *shown])
                ]
                candidates = (*table, *(one for one in candidates if one.item not in [each.item for each in table]))
            candidates = tuple(replace(one, telling=_telling(one.item, sampling.seed)) for one in candidates)
            num_meant = len(understanding.named or shown)
            shelf = _harmless_shelf(intent, candidates[:_NUM_DRAWN], num_meant, wanted, sampling)
        is_choice = intent not in (*_ABOUT_SHOWN, *_NO_ITEMS)
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
            loved=self._loved(understanding.profile),
            tone=tone,
            num_picks=num_picks,
            intent=intent,
            note=note,
            count_tokens=None if is_short else self.engine.count_tokens,
            window=max(self._window // 2, self._window - sampling.max_new_tokens) if self._window else 0,
            is_open=self._is_open,
        )
        return Prepared(understanding, ranking, candidates, shelf, num_picks, messages)

    def _shortfalls(self, message: str, prepared: Prepared, language: Language, *, turn: int) -> list[str]:
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
            lines.append(_TEXTS["relaxed"][language].format(("”、“" if language == "zh" else "”, “").join(unmet)))
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
        self, state: Reply, message: str, prepared: Prepared, sampling: Sampling
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

    def _gate(self, state: Reply, raw: str, prepared: Prepared, message: str) -> Reply:
        """The state with one more sentence in it, or with one more withheld."""
        shelf = [candidate.item for candidate in prepared.shelf]
        text = clean_prose(raw)
        if state.text.endswith((" ", "\n")):
            text = text.lstrip()
        if not words(text) or text.count("**") % 2:  # nothing, or cut in the middle of a title
            return state
        if _is_drifting(text, state.language):
            return replace(state, withheld=(*state.withheld, Withheld("language", 1.0)))
        known = " ".join([message, *(turn.text for turn in state.conversation.turns if turn.role == "user")])
        profile = prepared.understanding.profile
        if turns_away(text, known, state.language) and not (profile.dislikes or profile.disliked):
            return replace(state, withheld=(*state.withheld, Withheld("fact", 1.0)))
        wishes = [interest.text for interest in profile.likes]

        def labels(item: Item) -> list[str]:
            return [self.vocabulary.translate(term, state.language) for term in (*item.tags, *item.moods)]

        if (
            stutters(text)
            or says_twice(text, wishes)
            or repeats(text, state.text, wishes)
            or names_twice(text, {label for item in shelf for label in labels(item)})
        ):
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
        mentioned = [mention.item for mention in state.mentions if mention.item]
        wished = [self.vocabulary.translate(tag, state.language) for one in profile.likes for tag in one.tags]
        loved = [item.title_in(state.language) for item in self._loved(profile)]
        known = " ".join([known, *wishes, *wished, *loved])
        has_taste = bool(profile.likes or profile.liked)
        is_first = not state.conversation.turns
        if self._lexicon and misquotes(text, known, state.language, is_first=is_first, has_taste=has_taste):
            if "**" not in text:
                return state  # an opening that is not true: what follows stands without it
            return replace(state, withheld=(*state.withheld, Withheld("fact", 1.0)))
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

    def _is_garbled(self, state: Reply, text: str, prepared: Prepared) -> bool:
        """Whether the sentence holds a word that the model neither read nor knows, or the model itself finds a stretch of it hardly likely, as
        where it loses its way inside a word. Only a model whose trainer told what it knows, and measured what is hardly likely, can say so."""
        if self._lexicon and not (begins_whole(text) and ends_whole(text)):
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
            is_question = text.rstrip().endswith(("?", "？"))  # "Quiet night in, or out of the house?" claims nothing
            if (
                not (state.mentions or is_question)
                and "**" not in text
                and any(mood.lower() not in told.lower() for mood in moods)
            ):
                return True  # an opening that speaks of "the funny shelf" where nothing on it is
        floor = self._floors.get(state.language)
        if floor is None:
            return False
        scores = self.engine.score([prepared.messages], whole)[0]  # (num_tokens,)
        weakest = weakest_stretch(scores, self.engine.spans(whole), (len(state.text), len(whole)), copied)
        return weakest < floor

    def _after(self, conversation: Conversation, message: str, state: Reply, prepared: Prepared) -> Conversation:
        """The conversation with this exchange in it."""
        ids = tuple(item.id for item in state.items)
        profile = prepared.understanding.profile
        if prepared.understanding.intent not in _ABOUT_SHOWN:
            profile = replace(profile, shown=tuple(dict.fromkeys((*profile.shown, *ids))))
        if not state.text.strip():  # nothing was said: the wishes stay, an empty turn would only confuse the model
            return replace(conversation, profile=profile)
        turns = (*conversation.turns, Turn("user", message), Turn("assistant", state.text.rstrip(), ids))
        return replace(conversation, turns=turns, profile=profile)

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

    def _loved(self, profile: Profile) -> list[Item]:
        """The items that the visitor likes, as far as the model may read of them."""
        items = self._items(profile.liked[-MAX_LOVED:])
        return [safe for item in items if (safe := harmless(item))]

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


def _harmless_shelf(
    intent: Intent, candidates: Sequence[Candidate], num_meant: int, num_wanted: int, sampling: Sampling
) -> tuple[Candidate, ...]:
    """`_shelf` without orders to a model in its items' texts. Only what is drawn is searched for them: that takes a millisecond an item."""
    while True:
        shelf = _shelf(intent, candidates, num_meant, num_wanted, sampling)
        clean = [harmless(one.item) for one in shelf]
        if None not in clean:
            return tuple(replace(one, item=item) for one, item in zip(shelf, clean, strict=True) if item)
        bad = {one.item.id for one, item in zip(shelf, clean, strict=True) if item is None}
        candidates = [one for one in candidates if one.item.id not in bad]


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
            _RANK_DECAY * place - sampling.temperature * _gumbel(candidates[rank].item.id, sampling.seed)
            for place, rank in enumerate(ranks)
        ]
        for rank, (_, other) in zip(ranks, sorted(zip(keys, ranks, strict=True)), strict=True):
            drawn[rank] = candidates[other]
    return tuple(drawn)


@lru_cache(maxsize=4096)
def _gumbel(id: str, seed: int | None) -> float:
    """A standard Gumbel number that an item and a seed always have together."""
    share = random.Random(f"{id} {seed}").random()
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
