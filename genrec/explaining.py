"""Which of a visitor's words led to a reply: the path of a message is gone again with words left out, and the reply is scored after each prompt."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from genrec.attribution import (
    BLOCK,
    MIN_SPREAD,
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
from genrec.engines import Choice, Engine, Message
from genrec.errors import InputError
from genrec.schema import (
    Attribution,
    Check,
    Citation,
    Conversation,
    Item,
    Profile,
    Reply,
    Rewrite,
    Sentence,
    Turn,
    Word,
    WordPair,
    WordScore,
)
from genrec.text import plain, sentences, words

if TYPE_CHECKING:
    from genrec.assistant import Prepared
    from genrec.interests import Understanding
    from genrec.retrieval import Retriever

_SCORED_AT_ONCE = 8  # prompts between two looks at the progress of an explanation
# Of the variance that a fit tells; below, twice the rows are guessed. Of four messages whose 32 rows told .4 to 1.0, predictive LDS was .68 with 32 rows and .80 with 64, at
# the same 8 to 11 prompts that are scored.
_POOR_FIT = 0.75
_NUM_MORE = 3  # rows that are scored where single sentences are guessed badly
_SHORT = 0.9  # of the window
_WEIGHING_SHARE = 0.8  # of an explanation's work; the rest are checks and citations
_CITED = math.log(10)  # nats: a sentence cites a candidate without which it is ten times less likely
_CITED_POINTS = 20.0  # the same where likeness is scored
_MIN_PAIR = 1.0  # nats that two words change together to be told of

T = TypeVar("T")


@dataclass(frozen=True)
class _Ablation:
    """A visitor's words that can be left out."""

    text: str  # his turns that the model still reads, in lines
    words: tuple[Word, ...]
    full: Prepared  # with all of them
    rebuilt: Callable[..., Prepared]  # with the words kept, bool (num_words,); `held` as in _prepare
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


class Token(NamedTuple):
    """A piece of a reply."""

    text: str
    share: float  # its probability in [0, 1] at temperature 1
    choice: Choice | None = None  # None where the engine does not tell


class Explaining:
    """The half of the assistant that explains. `Assistant` inherits it, and has the path that is gone again:"""

    engine: Engine
    reply: Callable[..., Generator[Reply, None, None]]
    _window: int
    _retriever: Retriever
    _read: Callable[[str], str]
    _taken: Callable[..., tuple[Conversation, str]]
    _understand: Callable[[str, Profile, Sequence[Item], int], Understanding]
    _prepare: Callable[..., Prepared]
    _items: Callable[[Sequence[str]], list[Item]]

    def explain(
        self,
        conversation: Conversation,
        message: str,
        reply: Reply,
        *,
        num_rows: int = 32,
        tone: str = "warm",
        memory: Explained | None = None,
    ) -> Attribution:
        """Which of the visitor's words made the reply likelier, and which candidates its sentences lean on. `conversation` is the one the
        message was said in.

        Raises:
            EngineError: the model cannot score a given text.
            InputError: there is nothing to explain.
        """
        return _last(self.explaining(conversation, message, reply, num_rows=num_rows, tone=tone, memory=memory))

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
        found = told.words
        weighing = self._weighing(told, reply, num_rows, memory)
        explanation = yield from _scaled(weighing, 0, _WEIGHING_SHARE)
        everything = np.ones(len(found), bool)
        tried = check_rows(explanation.effects.sum(0), 1 if num_rows <= BLOCK else 8)
        cases = [self._case(told, told.rebuilt(kept)) for kept in (everything, *tried)]
        lacking = self._lacking(told, only_quoted=not explanation.is_scored.all())
        steps = self._scoring([*cases, *lacking.values()], reply, memory)
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
            citations=_citations(tuple(lacking), whole - without, _CITED if can_score else _CITED_POINTS),
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

        The pipeline up to the model costs little, the model much. So of a first explanation the model scores a few rows, and where the fit is poor the
        pipeline alone is run for more. A larger one has all its rows scored.
        """
        weighing = partial(self._weighing_rows, told, reply, memory=memory, seed=seed)
        if num_rows > BLOCK:
            return (yield from weighing(num_rows, is_thrifty=False))
        explanation = yield from _scaled(weighing(num_rows, is_thrifty=True), 0, 0.9)
        moves = bool((explanation.values.std(0) >= MIN_SPREAD).any())
        if moves and explanation.share < _POOR_FIT and not explanation.is_scored.all():
            explanation = yield from _scaled(weighing(2 * BLOCK, is_thrifty=True), 0.9, 0.1)
        yield 1.0
        return explanation

    def _weighing_rows(
        self, told: _Ablation, reply: Reply, num_rows: int, *, is_thrifty: bool, memory: Explained, seed: int | None
    ) -> Generator[float, None, Explanation]:
        """Yields the share that is done; returns the explanation from so many rows. With `is_thrifty` a few of them are scored, first those that find other
        items, and the prompt without each candidate and without the message; the other rows only where these show that they cannot be guessed.
        """
        everything = np.ones(len(told.words), bool)
        full = self._case(told, told.rebuilt(everything))
        unsaid = [*told.full.messages[:-1], {**told.full.messages[-1], "content": ""}]
        silent = self._case(told, replace(told.full, messages=unsaid))
        lacking = self._lacking(told, only_quoted=True)
        cases: list[tuple[_Case, _Case]] = []  # by row: all rebuilt, and over the reply's own shelf
        batches: list[np.ndarray] = []
        guesses: Guesses | None = None
        share, num_done, num_expected = 0.0, 0, 2 * num_rows  # prompts
        has_more = False

        def scored(wanted: Sequence[_Case]) -> Generator[float, None, None]:
            nonlocal share, num_done
            num_new = len({one.key for one in wanted if one.key not in memory.scores})
            for part in self._scoring(wanted, reply, memory):
                share = max(share, min(1.0, (num_done + part * num_new) / num_expected))
                yield share
            num_done += num_new

        def case(kept: np.ndarray, held: Prepared | None = None) -> _Case:
            return self._case(told, told.rebuilt(kept, held))

        def value(one: _Case) -> np.ndarray:
            return (
                memory.scores[one.key]
                if guesses is None or one.key in memory.scores
                else guesses.values(one.copied, one.shelf)
            )

        wanted = [full, silent, *lacking.values()] if is_thrifty else []  # what is scored in any case
        if is_thrifty:
            num_expected = len(wanted) + NUM_SURE
        choosing = choose_rows(len(told.words), num_rows, seed=(reply.sampling.seed or 0) if seed is None else seed)
        rows, num_sure = next(choosing, None), NUM_SURE
        while rows is not None:
            batches.append(rows)
            of_batch = [(case(kept), case(kept, told.full)) for kept in rows]
            cases += of_batch
            waiting = _spread([one for one, _ in of_batch], wanted)
            while is_thrifty:
                wanted, waiting = [*wanted, *waiting[:num_sure]], waiting[num_sure:]
                yield from scored(wanted)
                guesses = self._guesses([*wanted, *(one for pair in cases for one in pair)], memory)
                moved = memory.scores[full.key] - memory.scores[silent.key]
                is_told, are_told = guesses.told(moved, full.copied - silent.copied)
                if not is_told:
                    guesses = None  # the message does more than to be quoted
                    break
                if guesses.are_useful and (guesses.are_good and are_told or has_more):
                    break
                if not waiting:
                    guesses = None
                    break
                num_sure, has_more = _NUM_MORE, True
            if not guesses:
                num_expected = 2 * num_rows
                yield from scored([one for pair in cases for one in pair])
            try:
                rows, num_sure = choosing.send(np.array([value(one) for one, _ in of_batch])), 0
            except StopIteration:
                rows = None
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
    def _guesses(cases: Sequence[_Case], memory: Explained) -> Guesses:
        """Guesses by the cases that were scored."""
        known = list({one.key: one for one in cases if one.key in memory.scores}.values())
        values = np.array([memory.scores[one.key] for one in known])
        return Guesses(np.array([one.copied for one in known]), values, [one.shelf for one in known])

    @staticmethod
    def _case(told: _Ablation, prepared: Prepared) -> _Case:
        prompt = prepared.messages
        text = "\n".join(part["content"] for part in prompt)
        return _Case(
            prompt,
            _key(prompt),
            tuple(one.item.id for one in prepared.shelf),
            told.quotes.share(text),
        )

    def _lacking(self, told: _Ablation, *, only_quoted: bool) -> dict[Item, _Case]:
        """For each candidate, or each of which the reply quotes something, what the model reads of the whole message without it."""
        everything = np.ones(len(told.words), bool)
        full = self._case(told, told.full)
        lacking = {}
        for left_out in told.full.shelf:
            shelf = tuple(one for one in told.full.shelf if one is not left_out)
            one = self._case(told, told.rebuilt(everything, replace(told.full, shelf=shelf)))
            if not only_quoted or (one.copied < full.copied).any():
                lacking[left_out.item] = one
        return lacking

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

        def score(rows: np.ndarray, held: Prepared | None = None) -> np.ndarray:
            return _last(self._scoring([self._case(told, told.rebuilt(kept, held)) for kept in rows], reply, memory))

        return told.words, score, lambda rows: score(rows, told.full)

    def _ablation(self, conversation: Conversation, message: str, reply: Reply, tone: str) -> _Ablation:
        """
        Raises:
            InputError: there is nothing to explain.
        """
        conversation, message = self._taken(conversation, message, but_for={item.id for item in reply.items})
        prepare = partial(
            self._prepare,
            language=reply.language,
            tone=tone,
            sampling=reply.sampling,
            retriever=self._retriever.remembering(),
        )
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
        known: dict[bytes, tuple[Conversation, str, Prepared]] = {}

        def rebuilt(kept: np.ndarray, held: Prepared | None = None) -> Prepared:
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

    def tokens(self, reply: Reply) -> list[Token]:
        """The pieces of a reply, with how likely the model finds each after what stands before.

        Raises:
            EngineError: the model cannot score a given text.
        """
        scores = self.engine.score([reply.messages], reply.text)[0]  # (num_tokens,), nats
        spans = self.engine.spans(reply.text)
        choices: Sequence[Choice | None] = self.engine.choices(reply.messages, reply.text) or [None] * len(spans)
        return [
            Token(reply.text[start:end], float(np.exp(score)), choice)
            for (start, end), score, choice in zip(spans, scores, choices, strict=True)
        ]


def _found(prepared: Prepared) -> tuple[object, ...]:
    """What a prompt tells of what was found: the items on the shelf, and what had to give."""
    items = [(one.item.id, bool(one.parts), one.telling) for one in prepared.shelf]
    return (*items, prepared.ranking.relaxed, prepared.ranking.unanswered)


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


def _last(steps: Generator[float, None, T]) -> T:
    """What steps return when they are through."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


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


def _sentence_at(shown: Sequence[Sentence], position: int) -> int:
    """The index of the sentence a character belongs to."""
    return next((index for index, sentence in enumerate(shown) if position < sentence.end), len(shown) - 1)
