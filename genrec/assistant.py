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
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from genrec.attribution import Effects, Scorer, check_rows, draw_rows, fit_parts, fit_words, keep_words
from genrec.catalogue import Catalogue
from genrec.constraints import Fields
from genrec.engines import Engine, Message, weakest_stretch
from genrec.errors import EngineError, InputError, StoreError
from genrec.grounding import copied_spans, ground
from genrec.interests import Intent, Understanding, asked_number, named_items, understand
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
    Check,
    Citation,
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
    Word,
    WordPair,
    WordScore,
)
from genrec.store import Feedback, Rating, Store
from genrec.text import has_cjk, plain, sentences, stutters, words
from genrec.vocabulary import Vocabulary

NUM_PICKS = 2  # titles a reply names unless the visitor asks for a number; a brief one names one
MAX_REWRITES = 2  # of a reply in which a hurtful sentence had to be withheld, each from that sentence
MAX_REPAIRS = 6  # the same where it was false, garbled or in another language
_NUM_DRAWN = 12  # first candidates that the shelf is drawn from
_RANK_DECAY = 0.35  # by how much a place lower in rank is drawn less, in units of the Gumbel keys at temperature 1
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
_SCORED_AT_ONCE = 8  # prompts between two looks at the progress of an explanation
_CITED = math.log(10)  # nats: a sentence cites a candidate without which it is ten times less likely
_MIN_PAIR = 1.0  # nats that two words change together to be told of
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


@dataclass(frozen=True)
class _Ablation:
    """A visitor's words that can be left out."""

    text: str  # his turns that the model still reads, in lines
    words: tuple[Word, ...]
    full: _Prepared  # with all of them
    rebuilt: Callable[
        ..., list[dict[str, str]]
    ]  # what the model reads with the words kept, bool (num_words,); `held` as in _prepare


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
        self._fields = Fields.of(catalogue.items)
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
    def _read(message: str) -> tuple[str, list[str]]:
        message = clean_message(message)
        if not words(message) and not any(character.isprintable() and not character.isspace() for character in message):
            raise InputError("There is nothing to answer: the message is empty.")
        if len(message) > MAX_MESSAGE:
            return message[:MAX_MESSAGE], ["cut"]
        return message, []

    def _understand(self, text: str, profile: Profile, shown: Sequence[Item], turn: int) -> Understanding:
        """What a visitor's turn says, in the light of his profile and of what was shown just before."""
        return understand(
            text,
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
    ) -> _Prepared:
        """Interests, candidates and prompt for a message: everything up to the model, so explanations can repeat it. With `held`, what
        was found for another message stays on the shelf; only what is told of the wishes changes."""
        turn = len(conversation.turns)
        shown = self._items(conversation.turns[-1].item_ids) if conversation.turns else []
        understanding = self._understand(message, conversation.profile, shown, turn)
        wanted = asked_number(message) or (1 if tone == "brief" else NUM_PICKS)
        if held:
            ranking, candidates = held.ranking, held.candidates
            fitted = self._retriever.with_fits(held.shelf, understanding.profile, turn=turn)
            shelf = tuple(new if old.parts else old for old, new in zip(held.shelf, fitted, strict=True))
        else:
            previous = conversation.turns[-1].text if conversation.turns else ""
            ranking = self._retriever.rank(understanding.profile, message, turn=turn, previous=previous)
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
            about=_last_named(state),
            mentioned=mentioned,
            before=state.text,
        )
        titles = [mention.title for mention in grounded.mentions]
        if len(set(titles)) < len(titles):  # "first Winnie-the-Pooh, then Winnie-the-Pooh"
            return replace(state, withheld=(*state.withheld, Withheld("broken", 1.0)))
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
        """Which of the visitor's words made the reply likelier, and which candidates its sentences lean on. `conversation` is the one the
        message was said in.

        For each row the pipeline is rebuilt from the words that it keeps, so a word that works through what is found counts too; a second score
        with the same items on the shelf parts that from what works through the wording. An `on_progress` that raises stops the work.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        started = time.monotonic()
        told = self._ablation(conversation, message, reply, tone)
        found, full, rebuilt = told.words, told.full, told.rebuilt
        rows = draw_rows(len(found), num_rows, seed=reply.sampling.seed or 0)
        shelves = draw_rows(len(full.shelf), 2 ** len(full.shelf)) if full.shelf else np.zeros((0, 0), bool)
        prompts = [rebuilt(kept) for kept in rows] + [rebuilt(kept, full) for kept in rows]
        for kept in shelves:
            shelf = tuple(candidate for candidate, is_kept in zip(full.shelf, kept) if is_kept)
            prompts.append(rebuilt(np.ones(len(found), bool), replace(full, shelf=shelf)))
        values = self._score_sentences(prompts, reply, on_progress)
        whole, written, by_shelf = np.split(values, [len(rows), 2 * len(rows)])  # each (num_rows, num_sentences)
        explanation = fit_parts(rows, whole, written)
        tried = check_rows(explanation.effects.sum(0))
        exact = whole[0].sum() - self._score_sentences([rebuilt(kept) for kept in tried], reply).sum(1)
        guessed = whole[0].sum() - explanation.predict(tried).sum(1)
        checks = tuple(
            Check(
                tuple(word for word, is_kept in zip(found, kept) if not is_kept), round(float(g), 3), round(float(e), 3)
            )
            for kept, g, e in zip(tried, guessed, exact)
        )
        return Attribution(
            told.text,
            found,
            whole=_word_scores(found, explanation.found, explanation.written),
            by_sentence=tuple(
                _word_scores(found, [one], [other]) if share > 0 else ()
                for one, other, share in zip(explanation.found, explanation.written, explanation.shares)
            ),
            fit=round(explanation.share, 3),
            fit_by_sentence=tuple(round(float(share), 3) for share in explanation.shares),
            num_rows=len(rows),
            seconds=time.monotonic() - started,
            pairs=_word_pairs(found, explanation.pairs),
            checks=checks,
            citations=_citations(full.shelf, shelves, by_shelf),
        )

    def scorers(
        self, conversation: Conversation, message: str, reply: Reply, *, tone: str = "warm"
    ) -> tuple[tuple[Word, ...], Scorer, Scorer]:
        """The visitor's words, and what the reply's sentences score with some of them left out: all rebuilt, and with what was found held."""
        told = self._ablation(conversation, message, reply, tone)

        def score(rows: np.ndarray, held: _Prepared | None = None) -> np.ndarray:
            return self._score_sentences([told.rebuilt(kept, held) for kept in rows], reply)

        return told.words, score, lambda rows: score(rows, told.full)

    def _ablation(self, conversation: Conversation, message: str, reply: Reply, tone: str) -> _Ablation:
        """
        Raises:
            InputError: there is nothing to explain.
        """
        message = mask_personal(self._read(message)[0])[0]
        conversation = self._with_feedback(conversation, but_for={item.id for item in reply.items})

        def prepared(conversation: Conversation, message: str, held: _Prepared | None = None) -> _Prepared:
            return self._prepare(conversation, message, reply.language, tone, reply.sampling, held=held)

        full = prepared(conversation, message)
        earlier = _still_read(conversation.turns, full.messages)  # indices of turns
        texts = [*(conversation.turns[index].text for index in earlier), message]
        text, found = _joined_words(texts)
        if not found or not reply.text:
            raise InputError("There is nothing to explain yet: no words or no reply.")
        heard = self._heard(conversation.turns)

        def rebuilt(kept: np.ndarray, held: _Prepared | None = None) -> list[dict[str, str]]:
            *before, last = _kept_texts(texts, kept)
            retold = self._retold(conversation, heard, dict(zip(earlier, before, strict=True)))
            return prepared(retold, last, held).messages

        return _Ablation(text, tuple(found), full, rebuilt)

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

    def _score_sentences(
        self, prompts: Sequence[Sequence[Message]], reply: Reply, on_progress: Callable[[float], None] | None = None
    ) -> np.ndarray:
        """Log-probabilities of the reply's sentences after each prompt, nats (num_prompts, num_sentences). Equal prompts are scored once, and
        those of like length together."""
        keys = [tuple(part["content"] for part in prompt) for prompt in prompts]
        unique = dict(zip(keys, prompts, strict=True))
        ordered = sorted(unique, key=lambda key: sum(map(len, key)))
        owner = np.array([_sentence_at(reply.sentences, start) for start, _ in self.engine.spans(reply.text)])
        of_sentence = owner[:, None] == np.arange(len(reply.sentences))  # (num_tokens, num_sentences)
        scores: dict[tuple[str, ...], np.ndarray] = {}
        for start in range(0, len(ordered), _SCORED_AT_ONCE):
            chunk = ordered[start : start + _SCORED_AT_ONCE]
            tokens = self.engine.score([unique[key] for key in chunk], reply.text)  # (num_prompts, num_tokens)
            scores |= dict(zip(chunk, tokens @ of_sentence, strict=True))
            if on_progress:
                on_progress(len(scores) / len(ordered))
        return np.array([scores[key] for key in keys]).reshape(len(prompts), len(reply.sentences))

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


def _shelf(
    intent: Intent, candidates: Sequence[Candidate], num_meant: int, num_wanted: int, sampling: Sampling
) -> tuple[Candidate, ...]:
    """What the model reads: the first candidates, of which those that answer no wish stay away when enough others do; only the
    one item meant when the visitor asks about it."""
    if intent in _NO_ITEMS:
        return ()
    if intent in _ABOUT_SHOWN:
        return tuple(candidates[: 1 if intent in _ABOUT_ONE and num_meant == 1 else NUM_CANDIDATES])
    first = _drawn(candidates, sampling)[:NUM_CANDIDATES]
    fitting = tuple(one for one in first if one.fits)
    return fitting if len(fitting) >= num_wanted else first


def _drawn(candidates: Sequence[Candidate], sampling: Sampling) -> tuple[Candidate, ...]:
    """The candidates, those of one kind that answer the same wishes in an order drawn by the seed, the likelier the higher they rank (Gumbel keys);
    so another seed has other ideas, and every wish stays answered. At temperature 0 the order is the rank's."""
    groups: dict[tuple[str, frozenset[str]], list[int]] = {}
    for rank, one in enumerate(candidates):
        groups.setdefault((one.item.kind, frozenset(one.fits)), []).append(rank)
    drawn = list(candidates)
    for ranks in groups.values():
        keys = [
            _RANK_DECAY * place - sampling.temperature * _gumbel(candidates[rank].item, sampling.seed)
            for place, rank in enumerate(ranks)
        ]
        for rank, (_, other) in zip(ranks, sorted(zip(keys, ranks, strict=True)), strict=True):
            drawn[rank] = candidates[other]
    return tuple(drawn)


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
    if language == "en":
        return bool(has_cjk(prose) or re.search(r"[\u3000-\u303f\uff00-\uffef]", prose))
    return len(prose) > 20 and not has_cjk(prose)


def _with_placeholder(state: Reply) -> Reply:
    """The state with a visible line where a sentence was withheld for good."""
    line = _TEXTS["withheld"][state.language].format(_HARM_NAMES[state.withheld[-1].category][state.language]) + " "
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


def _still_read(turns: Sequence[Turn], messages: Sequence[Message]) -> list[int]:
    """Which of the visitor's earlier turns the model still reads, as indices."""
    read = [message["content"] for message in messages[1:-1] if message["role"] == "user"]
    spoken = [index for index, turn in enumerate(turns) if turn.role == "user"]
    return [index for index in spoken[-len(read) :] if any(turns[index].text in text for text in read)] if read else []


def _joined_words(texts: Sequence[str]) -> tuple[str, list[Word]]:
    """The texts in lines, and their words with spans there."""
    found, offset = [], 0
    for text in texts:
        found += [Word(word.text, word.start + offset, word.end + offset) for word in words(text)]
        offset += len(text) + 1
    return "\n".join(texts), found


def _kept_texts(texts: Sequence[str], kept: np.ndarray) -> list[str]:
    """Each text with the words that are kept, bool (num_words,), the words of all texts in order."""
    shortened, position = [], 0
    for text in texts:
        own = words(text)
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


def _citations(shelf: Sequence[Candidate], rows: np.ndarray, values: np.ndarray) -> tuple[tuple[Citation, ...], ...]:
    """For each sentence the candidates it leans on. `rows` is every choice of candidates, bool (num_rows, num_candidates); `values` nats
    (num_rows, num_sentences)."""
    cited = []
    for sentence in range(values.shape[1]):
        effects = fit_words(rows, values[:, sentence]).effects if len(rows) else ()
        citations = [
            Citation(candidate.item, round(float(effect), 3))
            for candidate, effect in zip(shelf, effects)
            if effect >= _CITED
        ]
        cited.append(tuple(sorted(citations, key=lambda one: -one.score)))
    return tuple(cited)
