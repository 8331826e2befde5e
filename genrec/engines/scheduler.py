"""One thread runs the model for everybody: all open replies take their next token in one step.

A task (a reply, or a text to be scored) is a sequence of tokens to read and something that takes the logits. Each step feeds the next token of every
reply, a chunk of the prompts that are not read yet, and, seldom while somebody waits for words, a slice of the text to be scored (chunked
prefill and mixed batches as in Sarathi-Serve, arXiv 2403.02310). A sequence begins where an earlier one already has its keys and values: the
prefix it shares with an open or a recently ended sequence is copied or taken over. A reply that begins to copy its prompt is fed some tokens further at once: they
are drawn one by one as ever, and count as far as what is drawn is what was fed (prompt lookup decoding, https://github.com/apoorvumang/prompt-lookup-decoding). What a reply's tokens scored when they were drawn is
kept beside them, so that looking for garbled sentences costs next to nothing.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from typing import Protocol

import numpy as np

from genrec.engines.runs import Cache, Decoder, FarLogits, Run
from genrec.errors import EngineError

MAX_OPEN = 16  # replies in a step; more wait
MAX_WAITING = 64
# Tokens in a step with a prompt, while others write and, for each thread, while none does. 16 chats that begin at once wait 21.6 ms for 95 of 100 tokens with 48, 31.9 with 64.
_CHUNK, _LONG_CHUNK = 48, 512
# Steps from one slice of what is to be scored to the next, and its tokens, while somebody reads a reply: 95 of 100 tokens are as fast as without it, and few
# long slices take less time than many short ones.
_SCORE_EVERY, _SLICE = 24, 64
# Tokens that are guessed for a reply: the most and, among many, the least while there are any left of those for all. Of 80 replies of the bundled writer a step took 1.75 tokens
# with 7 guessed, 1.59 with 3, 1.34 with 1; of 7 that were fed 4 counted, of 3 more than 2. 16 chats: 879 tokens a CPU
# second without guesses, 1,151 with 8 for all, 1,112 with 12, 1,048 with no end, where a step in which many guess is late for everybody (p95 18, 20, 23, 26 ms).
_NUM_GUESSED, _LEAST_GUESSED, _ALL_GUESSED = 7, 3, 8
_FEW = 8  # tokens for which alone no step is made: half of a step of as many is for reading the weights
# Texts in a step, for each thread that shares it: 48 tokens take 8.6 ms beside seven other texts, 11.3 alone.
_SCORED_AT_ONCE = 8
_SCALED_AT_ONCE = 32  # rows of logits, to stay in a processor's cache
_IDLE_S = 10.0  # after which the thread ends; the next task starts another
_LOG = logging.getLogger(__name__)


class Task(Protocol):
    """A sequence of tokens for the model."""

    ids: list[int]  # to be read first
    max_tokens: int  # that the sequence will have at most
    first_wanted: int  # the place in `ids` from which on logits are wanted
    is_reply: bool  # goes before those that are not
    wants_logits: bool  # of every wanted place, also where its log-probability is known
    is_cancelled: bool

    def take(self, logits: np.ndarray | FarLogits, scale: np.ndarray) -> list[int]:
        """Takes logits (num_wanted, V), in order and in as many parts as it pleases the scheduler; less `scale` (num_wanted,) they are log-probabilities. Returns the tokens to read after all
        that were given so far; none once there is nothing more to read."""
        ...

    def guess(self, num_tokens: int) -> list[int]:
        """What may be taken next, at most so many tokens: asked of a reply before it is fed its last one."""
        ...

    def skip(self, scores: list[float]) -> None:
        """Is given the log-probabilities of the first tokens in `ids` after `first_wanted`, whose logits it then does not get."""
        ...

    def hand_on(self) -> None:
        """Lets readers have what was taken. Is called once every task of a step has taken its logits: a reader that wakes earlier keeps the others from drawing."""
        ...

    def fail(self, error: EngineError) -> None:
        """Is told that there will be no more logits."""
        ...

    def end(self) -> None:
        """Is told that all was taken."""
        ...


class _Open:
    """A task with its place in the model's memory."""

    def __init__(self, task: Task, cache: Cache):
        self.task, self.cache = task, cache
        self.pending = task.ids[len(cache.ids) :]

    def next_run(self, limit: int) -> Run:
        ids = self.pending[:limit]
        wanted_before = max(0, self.task.first_wanted - len(self.cache.ids))
        return Run(self.cache, ids, max(0, len(ids) - wanted_before))

    def guessing_run(self, most: int) -> Run:
        """The next token of a reply, and at most so many that may follow it."""
        room = self.task.max_tokens - len(self.cache.ids) - 2  # the last token drawn is read no more
        ids = [*self.pending, *self.task.guess(max(0, min(most, room)))]
        return Run(self.cache, ids, len(ids))


class Scheduler:
    """Safe to share between threads."""

    def __init__(self, decoder: Decoder, *, cache_bytes: int, max_open: int = 0, max_waiting: int = 0):
        """`cache_bytes` are for keys and values; 0 `max_open` and `max_waiting` leave both to the decoder's width."""
        self.decoder = decoder
        self._max_open = max_open or MAX_OPEN * decoder.width
        self._max_waiting = max_waiting or MAX_WAITING * decoder.width
        self._long_chunk = _LONG_CHUNK * decoder.width * decoder.num_threads
        self._scored_at_once = _SCORED_AT_ONCE * decoder.num_threads if decoder.can_share else 1
        self._max_tokens = cache_bytes // decoder.bytes_per_token
        self._changed = threading.Condition()
        self._waiting: list[Task] = []
        self._thread: threading.Thread | None = None
        # what follows is the thread's own
        self._open: list[_Open] = []
        self._kept: OrderedDict[int, Cache] = OrderedDict()  # of ended replies, the oldest first
        self._scored: list[Cache] = []  # of the last texts that were scored; the next often begin like them
        self._spare: list[Cache] = []  # of those before, for their memory
        self._steps_since_score = 0

    def submit(self, task: Task) -> None:
        """Puts a task in line.

        Raises:
            EngineError: too many wait already, or the task is larger than the memory.
        """
        if task.max_tokens > self._max_tokens:
            raise EngineError(f"This needs memory for {task.max_tokens} tokens; there is room for {self._max_tokens}.")
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                raise EngineError(
                    "The model is busy: too many replies are being written. Please try again in a moment."
                )
            self._waiting.append(task)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
                self._thread.start()

    @property
    def num_open(self) -> int:
        """Tasks that are under way or wait."""
        with self._changed:
            return len(self._open) + len(self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._open and not self._waiting and not self._changed.wait_for(lambda: self._waiting, _IDLE_S):
                    self._thread = None
                    return
            try:
                self._step()
            except Exception as error:  # the outermost boundary of this thread: whatever happens, no stream stays open
                _LOG.exception("A step of the scheduler failed.")
                self._fail_all(error)

    def _step(self) -> None:
        for one in [one for one in self._open if one.task.is_cancelled]:
            self._close(one)
        self._admit()
        if not (chosen := self._choose()):
            return
        for group in [chosen] if self.decoder.can_batch else [[each] for each in chosen]:
            self._forward(group)

    def _choose(self) -> list[tuple[_Open, Run]]:
        """What the next step feeds: the replies' next tokens, then prompts, then what is to be scored."""
        replies = [one for one in self._open if one.task.is_reply]
        writing = [one for one in replies if len(one.pending) == 1]
        width = self.decoder.width
        chosen = []
        num_left = width * _ALL_GUESSED if self.decoder.can_share else 0
        num_guessed = min(_NUM_GUESSED, max(_LEAST_GUESSED, num_left // max(1, len(writing))))
        for one in writing:
            run = one.guessing_run(min(num_guessed, num_left))
            num_left -= len(run.ids) - 1
            chosen.append((one, run))
        room = width * max(_CHUNK // 2, _CHUNK - len(writing)) if writing else self._long_chunk
        chosen += self._read([one for one in replies if len(one.pending) > 1], room)
        self._steps_since_score += 1
        scored = [one for one in self._open if not one.task.is_reply]
        if scored and not (replies and self._steps_since_score <= _SCORE_EVERY):
            chosen += self._read(scored, width * _SLICE if replies else self._long_chunk)
            self._steps_since_score = 0
        return chosen

    def _read(self, some: list[_Open], room: int) -> list[tuple[_Open, Run]]:
        """What of some prompts and texts is fed in a step with room for so many tokens, and a few more where that ends one."""
        chosen = []
        for one in some:
            if room <= 0:
                break
            is_whole = not self.decoder.can_batch or len(one.pending) <= room + _FEW
            run = one.next_run(len(one.pending) if is_whole else room)
            chosen.append((one, run))
            room -= len(run.ids)
        return chosen

    def _forward(self, group: list[tuple[_Open, Run]]) -> None:
        """Feeds some runs; if that fails, each alone, so that only those at fault end."""
        try:
            logits = self.decoder.forward([run for _, run in group])
        except Exception as error:  # out of memory, a device lost, a token that the model does not have
            if len(group) > 1:
                for each in group:
                    self._forward([each])
            else:
                self._fail(group[0][0], error)
            return
        scale = logits.scale if isinstance(logits, FarLogits) else log_sum_exp(logits)
        end = 0
        ended = []
        for one, run in group:
            begin, end = end, end + run.num_wanted
            one.pending = one.pending[len(run.ids) :]
            try:
                if run.num_wanted:
                    self._take(one, run, logits[begin:end], scale[begin:end])
            except Exception as error:  # a fault in one task must leave the others alone
                _LOG.exception("A task failed.")
                self._fail(one, error)
                continue
            if not one.pending:
                self._close(one)
                ended.append(one.task)
        for one, _ in group:
            one.task.hand_on()
        for task in ended:
            task.end()

    @staticmethod
    def _take(one: _Open, run: Run, logits: np.ndarray | FarLogits, scale: np.ndarray) -> None:
        if not one.task.is_reply:
            one.pending += one.task.take(logits, scale)
            return
        guessed = run.ids[len(run.ids) - len(logits) + 1 :]
        place = len(one.cache.ids) - len(guessed)  # of the token that is drawn
        for row in range(len(logits)):
            tokens = one.task.take(logits[row : row + 1], scale[row : row + 1])
            if tokens:
                one.cache.scores[place] = (
                    logits.score(row, tokens[0])
                    if isinstance(logits, FarLogits)
                    else float(logits[row, tokens[0]] - scale[row])
                )
            if tokens != guessed[row : row + 1] or not tokens:
                break
            place += 1
        one.cache.forget(place)
        one.pending += tokens

    # Memory

    def _admit(self) -> None:
        """Opens waiting tasks as far as there is room, replies first. A text to be scored waits while another reads what its own prompt begins with, too."""
        while True:
            with self._changed:
                self._waiting = [task for task in self._waiting if not task.is_cancelled]
                task = self._next_waiting()
                if task is None or not self._make_room(task.max_tokens):
                    return
                self._waiting.remove(task)
            try:
                self._open.append(_Open(task, self._cache_for(task)))
            except Exception as error:  # out of memory
                task.fail(EngineError(f"The model stopped: {first_line(error)}"))
            if not task.is_reply and any(one.task.is_reply for one in self._open):
                return  # to find what another begins with takes as long as a token of a reply

    def _next_waiting(self) -> Task | None:
        """The next task that may be opened."""
        num_scoring = sum(not one.task.is_reply for one in self._open)
        num_replies = len(self._open) - num_scoring
        replies = (task for task in self._waiting if task.is_reply and num_replies < self._max_open)
        may_score = num_scoring < self._scored_at_once
        texts = (task for task in self._waiting if may_score and not task.is_reply and not self._awaits(task))
        return next(itertools.chain(replies, texts), None)

    def _awaits(self, task: Task) -> bool:
        """Whether much of what a text begins with is being read for another."""
        coming = [shared_length(one.task.ids, task.ids) for one in self._open if not one.task.is_reply]
        many = max(coming, default=0) - _LONG_CHUNK // _SCORED_AT_ONCE
        return many > 0 and all(shared_length(cache.ids, task.ids) < many for cache in self._caches())

    def _caches(self) -> list[Cache]:
        return [*self._scored, *(one.cache for one in self._open), *self._kept.values()]

    def _make_room(self, num_tokens: int) -> bool:
        """Forgets the oldest ended sequences until so many tokens fit; False if they do not even then."""
        taken = sum(cache.capacity for cache in [*(one.cache for one in self._open), *self._ended()])
        if sum(cache.capacity for cache in self._spare) + taken + num_tokens > self._max_tokens:
            self._spare.clear()
        while taken + num_tokens > self._max_tokens and (ended := self._ended()):
            self._forget(ended[0])
            taken -= ended[0].capacity
        return taken + num_tokens <= self._max_tokens or not self._open

    def _ended(self) -> list[Cache]:
        return [*self._scored, *self._kept.values()]

    def _forget(self, cache: Cache) -> None:
        if cache in self._scored:
            self._scored.remove(cache)
        else:
            del self._kept[id(cache)]

    def _cache_for(self, task: Task) -> Cache:
        """A cache that begins with what an earlier sequence shares with the task."""
        ended = self._ended()
        longest, source = 0, None
        if self.decoder.can_share:
            # of equals the first; what is left of a scored text is taken over without a copy
            for cache in self._caches():
                if (num_shared := shared_length(cache.ids, task.ids)) > longest:
                    longest, source = num_shared, cache
        if source is None:
            return self._new_cache(task.max_tokens)
        scores: list[float] = []
        if not task.wants_logits:
            while (place := task.first_wanted + 1 + len(scores)) < longest and place in source.scores:
                scores.append(source.scores[place])
        longest = min(longest, task.first_wanted + len(scores))
        if scores:
            task.skip(scores)
        # What an ended sequence holds beyond the shared part is little, or is not needed again: its place is taken over.
        is_most = (4 if task.is_reply else 2) * longest >= (3 if task.is_reply else 1) * len(source.ids)
        if is_most and source in (ended if task.is_reply else self._scored):
            self._forget(source)
            if source.capacity >= task.max_tokens:
                source.cut(longest)
                return source
        cache = self._new_cache(task.max_tokens, source)
        self.decoder.share(source, longest, cache)
        return cache

    def _new_cache(self, num_tokens: int, source: Cache | None = None) -> Cache:
        """An empty cache: a spare one, or that of the reply that ended longest ago once there are many, except `source`. A virtual machine takes 8 ms to find the memory for a new one."""
        if spare := next((cache for cache in self._spare if cache.capacity >= num_tokens), None):
            self._spare.remove(spare)
            spare.cut(0)
            return spare
        if len(self._open) + len(self._kept) >= 2 * self._max_open:
            oldest = next((cache for cache in self._kept.values() if cache is not source), None)
            if oldest and oldest.capacity >= num_tokens:
                self._forget(oldest)
                oldest.cut(0)
                return oldest
        return self.decoder.new_cache(num_tokens)

    def _close(self, one: _Open) -> None:
        """Gives the place of a task back; its keys and values are kept for those that go on from them."""
        self._open.remove(one)
        if not self.decoder.can_share:
            return
        if not one.task.is_reply:
            self._scored.append(one.cache)
            self._spare += self._scored[:-_SCORED_AT_ONCE]
            del self._scored[:-_SCORED_AT_ONCE], self._spare[:-_SCORED_AT_ONCE]
            return
        self._kept[id(one.cache)] = one.cache
        while len(self._open) + len(self._kept) > 2 * self._max_open:
            self._kept.popitem(last=False)

    # Faults

    def _fail(self, one: _Open, error: Exception) -> None:
        self._open.remove(one)
        one.task.fail(EngineError(f"The model stopped: {first_line(error)}"))

    def _fail_all(self, error: Exception) -> None:
        for one in list(self._open):
            self._fail(one, error)
        self._kept.clear()
        self._scored.clear()
        self._spare.clear()


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """What logits (N, V) have to be less to be log-probabilities, float32 (N,)."""
    highest = logits.max(1, keepdims=True, initial=-np.inf)
    total = np.empty(len(logits), np.float32)
    memory = np.empty((min(len(logits), _SCALED_AT_ONCE), *logits.shape[1:]), np.float32)
    for begin in range(0, len(logits), _SCALED_AT_ONCE):
        rows = slice(begin, begin + _SCALED_AT_ONCE)
        weights = memory[: len(logits[rows])]
        np.exp(np.subtract(logits[rows], highest[rows], out=weights), out=weights)
        weights.sum(1, out=total[rows])
    return highest[:, 0] + np.log(total)


def shared_length(first: list[int], second: list[int]) -> int:
    """How many tokens two sequences have in common from their beginning on."""
    low, high = 0, min(len(first), len(second))
    while low < high:  # slices compare in C; a loop over a prompt would take longer than a token
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
