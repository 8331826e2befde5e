"""The whole path of a message: language, screen, interests, candidates, prompt, write, gate, reply; then explain and rate.

Read this file first. Each step is a function of its own module; this one only says what follows what. `reply` yields snapshots of the whole state so
far, so whoever shows it only renders. A conversation goes in and comes out; nothing of a visitor stays here.
"""

from __future__ import annotations

import re
import secrets
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from genrec.attribution import draw_rows, fit_words, keep_words
from genrec.catalogue import Catalogue
from genrec.engines import Engine, Message, weakest_stretch
from genrec.errors import EngineError, InputError, StoreError
from genrec.grounding import copied_spans, ground
from genrec.interests import Understanding, asked_number, named_items, understand
from genrec.language import detect_language
from genrec.prompt import INSTRUCTIONS, MAX_MESSAGE, NUM_CANDIDATES, build_messages
from genrec.retrieval import Ranking, Retriever
from genrec.safety.injection import harmless, recites
from genrec.safety.personal import mask_personal
from genrec.safety.screen import clean_message, clean_prose, own_words, screen
from genrec.safety.toxicity import ToxicityScorer, hurts_together, verdict
from genrec.schema import (
    Attribution,
    Candidate,
    Conversation,
    Item,
    Language,
    Mention,
    Reply,
    Sampling,
    Sentence,
    Turn,
    Withheld,
    WordScore,
)
from genrec.store import Feedback, Rating, Store
from genrec.text import has_cjk, plain, sentences, stutters, words
from genrec.vocabulary import Vocabulary

NUM_PICKS = 2  # titles a reply names unless the visitor asks for a number; a brief one names one
MAX_REWRITES = 2  # of a reply in which a hurtful sentence had to be withheld, each from that sentence
MAX_REPAIRS = 6  # the same where it was false, garbled or in another language
_HURTFUL = ("insult", "threat", "identity_attack", "obscene")
_HARM_NAMES: dict[str, dict[Language, str]] = {
    "insult": {"en": "an insult", "zh": "侮辱"},
    "threat": {"en": "a threat", "zh": "威胁"},
    "identity_attack": {"en": "words against a group of people", "zh": "针对群体的言辞"},
    "obscene": {"en": "coarse words", "zh": "粗口"},
}
_ABOUT_SHOWN = ("about", "why", "maker", "compare")  # requests that speak of items already on the table
_ABOUT_ONE = ("about", "why", "maker")  # of these, a message that names one item wants to hear of no other
_NO_ITEMS = ("greeting", "thanks")
_TEXTS: dict[str, dict[Language, str]] = {
    "cut": {
        "en": f"Your message was long; I read its first {MAX_MESSAGE:,} characters.",
        "zh": f"你的消息很长，我读了前{MAX_MESSAGE}个字符。",
    },
    "language": {
        "en": "I understand English and Chinese best; this reply is in English.",
        "zh": "我最懂中文和英文，这次用中文回答。",
    },
    "relaxed": {
        "en": "Nothing in the catalogue meets “{}”; here is the nearest without it.",
        "zh": "目录里没有满足“{}”的，下面是放宽这一条之后最接近的。",
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


@dataclass(frozen=True)
class _Prepared:
    """What is known before the model writes."""

    understanding: Understanding
    ranking: Ranking
    candidates: tuple[Candidate, ...]  # in rank order
    shelf: tuple[Candidate, ...]  # those the model reads
    num_picks: int  # titles the reply should name; 0 where it speaks of items on the table, or of none
    messages: list[dict[str, str]]


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
    ):
        self.engine = engine
        self.catalogue = catalogue
        self.vocabulary = vocabulary
        self.store = store
        self.notice = notice  # what an operator or visitor should know of how things were loaded
        self._retriever = retriever
        self._toxicity = toxicity
        self._window, self._floors = engine.describe().window, engine.describe().sentence_floors

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
        message, notices = self._read(message)
        detected = detect_language(message, previous=_last_language(conversation), wanted=language)
        answer = detected.answer
        notices = [_TEXTS[name][answer] for name in notices]
        if not detected.is_supported:
            notices.append(_TEXTS["language"][answer])
        screened = screen(message, self._toxicity.score([own_words(message)])[0], answer)
        sampling = replace(sampling, seed=secrets.randbits(31) if sampling.seed is None else sampling.seed)
        state = Reply(language=answer, conversation=conversation, sampling=sampling, model=self.engine.describe().model)
        if screened.refused:
            withheld = (Withheld(screened.refused, screened.score),)
            yield replace(
                state, status="refused", notice=screened.notice, withheld=withheld, seconds=time.monotonic() - started
            )
            return
        message = screened.message
        notices += [screened.notice] if screened.notice else []
        conversation = self._with_feedback(conversation)
        prepared = self._prepare(conversation, message, answer, tone, sampling)
        if prepared.ranking.relaxed:
            notices.append(_TEXTS["relaxed"][answer].format(prepared.ranking.relaxed))
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
            text = mask_personal(clean_message(turn.text)[:MAX_MESSAGE])[0]
            if turn.role == "user":
                if screen(text, self._toxicity.score([own_words(text)])[0], "en").refused:
                    continue  # as if it had been said here
                shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
                profile = understand(
                    text,
                    conversation.profile,
                    vocabulary=self.vocabulary,
                    by_title=self.catalogue.by_title,
                    last_items=shown,
                    turn=len(conversation.turns),
                ).profile
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
    def _read(message: str) -> tuple[str, list[str]]:
        message = clean_message(message)
        if not words(message) and not any(character.isprintable() and not character.isspace() for character in message):
            raise InputError("There is nothing to answer: the message is empty.")
        if len(message) > MAX_MESSAGE:
            return message[:MAX_MESSAGE], ["cut"]
        return message, []

    def _prepare(
        self, conversation: Conversation, message: str, language: Language, tone: str, sampling: Sampling
    ) -> _Prepared:
        """Interests, candidates and prompt for a message: everything up to the model, so explanations can repeat it."""
        turn = len(conversation.turns)
        shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
        understanding = understand(
            message,
            conversation.profile,
            vocabulary=self.vocabulary,
            by_title=self.catalogue.by_title,
            last_items=shown,
            turn=turn,
        )
        ranking = self._retriever.rank(understanding.profile, message, turn=turn)
        candidates = ranking.candidates
        if understanding.intent in _ABOUT_SHOWN and (understanding.named or shown):
            table = [
                Candidate(item, 1.0, fits=_fits_before(item, conversation))
                for item in dict.fromkeys([*understanding.named, *shown])
            ]
            candidates = (*table, *(one for one in candidates if one.item not in [each.item for each in table]))
        candidates = tuple(replace(one, telling=_telling(one.item, sampling.seed)) for one in candidates)
        is_of_one = understanding.intent in _ABOUT_ONE and len(understanding.named) == 1
        safe = (replace(one, item=item) for one in candidates if (item := harmless(one.item)))
        shelf = () if understanding.intent in _NO_ITEMS else tuple(islice(safe, 1 if is_of_one else NUM_CANDIDATES))
        is_choice = understanding.intent not in (*_ABOUT_SHOWN, *_NO_ITEMS)
        wanted = asked_number(message) or (1 if tone == "brief" else NUM_PICKS)
        num_picks = min(wanted, len(shelf)) if is_choice else 0
        missed = ranking.unanswered or ranking.relaxed
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
            note=note,
            count_tokens=self.engine.count_tokens,
            window=max(self._window // 2, self._window - sampling.max_new_tokens) if self._window else 0,
        )
        return _Prepared(understanding, ranking, candidates, shelf, num_picks, messages)

    def _write(
        self, state: Reply, message: str, prepared: _Prepared, sampling: Sampling
    ) -> Generator[Reply, None, None]:
        """Snapshots while the model writes: sentence by sentence, each checked before it is shown, rewritten if it must not be."""
        titles = [candidate.item.title_in(state.language) for candidate in prepared.shelf]
        rewrites: Counter[str] = Counter()  # by what they mend
        while True:
            seeded = _for_rewrite(sampling, rewrites.total(), self.engine.count_tokens(state.text))
            messages: list[Message] = list(prepared.messages)
            if state.text.strip():
                messages.append({"role": "assistant", "content": state.text.rstrip()})
            must_rewrite = False
            try:
                with closing(self.engine.stream(messages, seeded, titles, prepared.num_picks)) as pieces:
                    for sentence in sentences(_counted(pieces, counter := [state.num_tokens])):
                        state = replace(state, num_tokens=counter[0])
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
                        yield state
            except EngineError as error:
                told = _TEXTS["lost"][state.language] if state.text else str(error)
                yield replace(state, status="lost", notice=_joined(state.notice, told))
                return
            if not must_rewrite:
                break
        if not state.text.strip():
            state = replace(state, notice=_joined(state.notice, _TEXTS["silent"][state.language]))
        yield self._looked_over(replace(state, text=state.text.rstrip(), status="done"))

    def _looked_over(self, state: Reply) -> Reply:
        """The finished reply; without its text where the whole of it hurts although no sentence and no two of them did."""
        if len(state.sentences) < 3:
            return state
        scores = self._toxicity.score([_said(state, state.sentences)])[0]
        if not hurts_together(scores):
            return state
        category = max(_HURTFUL, key=lambda label: scores[label])
        notice = _TEXTS["taken back"][state.language].format(_HARM_NAMES[category][state.language])
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
        if not text.strip() or text.count("**") % 2:  # cut in the middle of a title
            return state
        if _is_drifting(text, state.language):
            return replace(state, withheld=(*state.withheld, Withheld("language", 1.0)))
        if stutters(text):
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
        mentioned = [mention.item for mention in state.mentions if mention.item]
        named_at = [
            one.start
            for one in state.sentences
            if any(one.start <= mention.start < one.end for mention in state.mentions)
        ]
        about = (
            [mention.item for mention in state.mentions if mention.item and mention.start >= named_at[-1]]
            if named_at
            else []
        )
        known = " ".join([message, *(turn.text for turn in state.conversation.turns if turn.role == "user")])
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
            about=about,
            mentioned=mentioned,
            before=state.text,
        )
        if grounded.is_false:
            return replace(state, withheld=(*state.withheld, Withheld("fact", 1.0)))
        if any(recites(text, told) for told in INSTRUCTIONS.values()):
            return replace(state, withheld=(*state.withheld, Withheld("instructions", 1.0)))
        own = _without_titles(grounded.text, grounded.mentions)
        before = _said(state, state.sentences[-1:])  # some things hurt only together
        scores, *both = self._toxicity.score([own, f"{before} {own}"] if before else [own])
        hurtful = scores if verdict(scores) != "ok" else next(filter(hurts_together, both), None)
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
        """Whether the model itself finds a stretch of the sentence hardly likely, as where it loses its way inside a word. Only a model
        whose trainer measured what is hardly likely can say so."""
        floor = self._floors.get(state.language)
        if floor is None:
            return False
        whole = state.text + text
        scores = self.engine.score([prepared.messages], whole)[0]  # (num_tokens,)
        copied = copied_spans(whole, [candidate.item for candidate in prepared.shelf], state.language)
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
        on_progress: Callable[[float], None] | None = None,
    ) -> Attribution:
        """Which of the message's words made the reply likelier. `conversation` is the one the message was said in.

        The pipeline is rebuilt from the words that each row keeps, so a word that works through what is found counts too.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        started = time.monotonic()
        message = mask_personal(self._read(message)[0])[0]
        found = words(message)
        if not found or not reply.text:
            raise InputError("There is nothing to explain yet: no words or no reply.")
        conversation = self._with_feedback(conversation, but_for={item.id for item in reply.items})
        spans = self.engine.spans(reply.text)
        owner = np.array([_sentence_at(reply.sentences, start) for start, _ in spans])

        def score(rows: np.ndarray) -> np.ndarray:
            parts = []
            for number, chunk in enumerate(chunks := np.array_split(rows, max(1, len(rows) // 8))):
                prompts = [
                    self._prepare(
                        conversation, keep_words(message, found, kept), reply.language, tone, reply.sampling
                    ).messages
                    for kept in chunk
                ]
                tokens = self.engine.score(prompts, reply.text)  # (num_rows, num_tokens)
                parts.append(
                    np.stack([tokens[:, owner == index].sum(1) for index in range(len(reply.sentences))], axis=1)
                )
                if on_progress:
                    on_progress((number + 1) / len(chunks))
            return np.concatenate(parts)

        rows = draw_rows(len(found), num_rows, seed=reply.sampling.seed or 0)
        values = score(rows)  # (num_rows, num_sentences)
        fits = [fit_words(rows, values[:, index]) for index in range(values.shape[1])]
        total, errors, fit = fit_words(rows, values.sum(1))

        def scored(amounts: np.ndarray, deviations: np.ndarray) -> tuple[WordScore, ...]:
            return tuple(
                WordScore(word, round(float(a), 3), round(float(e), 3))
                for word, a, e in zip(found, amounts, deviations, strict=True)
            )

        by_sentence = tuple(scored(amounts, deviations) if share > 0 else () for amounts, deviations, share in fits)
        return Attribution(
            message,
            tuple(found),
            scored(total, errors),
            by_sentence,
            round(fit, 3),
            tuple(round(share, 3) for *_, share in fits),
            len(rows),
            time.monotonic() - started,
        )

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

    def _with_feedback(self, conversation: Conversation, but_for: Collection[str] = ()) -> Conversation:
        """The conversation with what this user rated earlier, in other conversations too; without the items `but_for`."""
        try:
            earlier = self.store.of_user(conversation.user_id)
        except StoreError:  # a reply without old ratings is better than none
            earlier = []
        for feedback in earlier:
            if feedback.item_id in self.catalogue.by_id and feedback.item_id not in but_for:
                conversation = _rated(conversation, feedback.item_id, feedback.rating)
        return conversation

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


def _last_language(conversation: Conversation) -> Language:
    return "zh" if conversation.turns and has_cjk(conversation.turns[-1].text) else "en"


def _telling(item: Item, seed: int | None) -> int:
    """Which of an item's pitches a reply is given: another seed may tell it another way, an equal one never does."""
    return zlib.crc32(f"{seed} {item.id}".encode()) % 2


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


def _said(state: Reply, shown: Sequence[Sentence]) -> str:
    """Shown sentences as the filter reads them: without titles, and without the lines that stand for withheld ones."""
    line = _TEXTS["withheld"][state.language].split("{")[0]
    return " ".join(
        _without_titles(one.text, [each for each in state.mentions if one.start <= each.start < one.end], one.start)
        for one in shown
        if not one.text.startswith(line)
    )


def _is_drifting(text: str, language: Language) -> bool:
    """Whether a sentence has left the reply's language; titles and names in the other one are no drift."""
    prose = re.sub(r"\*\*.+?\*\*", "", text)
    return has_cjk(prose) if language == "en" else len(prose) > 20 and not has_cjk(prose)


def _with_placeholder(state: Reply) -> Reply:
    """The state with a visible line where a sentence was withheld for good."""
    line = _TEXTS["withheld"][state.language].format(_HARM_NAMES[state.withheld[-1].category][state.language]) + " "
    sentence = Sentence(line, len(state.text), len(state.text) + len(line))
    return replace(state, text=state.text + line, sentences=(*state.sentences, sentence))


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)


def _sentence_at(shown: Sequence[Sentence], position: int) -> int:
    """The index of the sentence a character belongs to."""
    return next((index for index, sentence in enumerate(shown) if position < sentence.end), len(shown) - 1)
