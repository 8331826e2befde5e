"""How many replicas of a model a number of visitors needs: a queueing simulation from measured rates.

A replica decodes all its open replies as one batch: a step gives each of them a token and takes longer the more there are. What is open at one replica never
exceeds its slots; the rest waits, each message at the replica that had the fewest when it came. Messages come as a Poisson process, reply lengths are
gamma-distributed. Everything else (network, the filter, retrieval) belongs to the app's processes, whose cores are counted apart.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from genrec.errors import EngineError, InputError
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings

_DAY_S = 86_400
_SIMULATED = 8  # replicas at most; a larger fleet at the same load for each waits no longer
_SIMULATED_S = (
    60.0  # or as long as the fewest messages take; the first fifth, which finds an idle fleet, does not count
)
_FEWEST, _MOST = 2_000, 20_000  # messages simulated
_MOST_BUSY = 0.001  # share of messages that may be turned away
_SIZES = (1, 4, 16)
_MESSAGES = (
    "I love slow-burn science fiction and moody jazz",
    "a cosy board game for two",
    "我喜欢慢热的科幻片",
    "想学一道简单的素菜",
)


@dataclass(frozen=True)
class Rates:
    """What one replica does: tokens a second together by the number of open replies, and seconds in which it reads one prompt and does nothing else."""

    tokens_per_s: Mapping[int, float]
    prompt_s: float

    def step_s(self, num_open: int) -> float:
        """Seconds for one more token of each open reply: between measured sizes in proportion, above the largest at its rate."""
        sizes = sorted(self.tokens_per_s)
        steps = [size / self.tokens_per_s[size] for size in sizes]
        if num_open > sizes[-1]:
            return num_open / self.tokens_per_s[sizes[-1]]
        return float(np.interp(num_open, sizes, steps))


@dataclass(frozen=True)
class Load:
    """What comes in: messages a second at all replicas, mean tokens of a reply and of its first sentence, and how much lengths vary (standard deviation as
    a share of the mean)."""

    messages_per_s: float
    reply_tokens: float
    sentence_tokens: float
    spread: float = 0.5


@dataclass(frozen=True)
class Waits:
    """Seconds of each message that counts, (num_messages,): until its prompt was begun, until its first sentence, until its end; the share that was
    turned away, and the share of their slots that replicas had in use."""

    queued: np.ndarray
    first: np.ndarray
    whole: np.ndarray
    turned_away: float
    used: float


@dataclass
class _Replica:
    """One replica in simulated time. `steps` counts the steps it has made, in fractions too."""

    rates: Rates
    slots: int
    clock: float = 0.0
    steps: float = 0.0
    num_open: int = 0
    slot_seconds: float = 0.0
    waiting: deque[int] = field(default_factory=deque)
    marks: list[tuple[float, int, bool]] = field(default_factory=list)  # heap: (step, message, whether it ends there)

    @property
    def num_here(self) -> int:
        return self.num_open + len(self.waiting)

    def go(
        self, until: float, start: Callable[[int, float], tuple[float, float]], end: Callable[[int, float, bool], None]
    ) -> None:
        """Decodes up to a moment. `start` says how many steps a message that gets a slot takes to its first sentence and to its end; `end` hears when those are
        reached."""
        while self.marks and self.clock < until:
            step_s = self.rates.step_s(self.num_open)
            to_mark = self.marks[0][0] - self.steps
            done = min(to_mark, (until - self.clock) / step_s)
            self.clock += done * step_s
            self.slot_seconds += done * step_s * self.num_open
            self.steps += done
            if done < to_mark:
                break
            _, message, is_end = heapq.heappop(self.marks)
            end(message, self.clock, is_end)
            if is_end:
                self.num_open -= 1
                if self.waiting:
                    self._admit(self.waiting.popleft(), start)
        self.clock = max(self.clock, until) if not self.marks else self.clock

    def take(self, message: int, start: Callable[[int, float], tuple[float, float]]) -> None:
        """Gives a message a slot, or lets it wait."""
        if self.num_open < self.slots:
            self._admit(message, start)
        else:
            self.waiting.append(message)

    def _admit(self, message: int, start: Callable[[int, float], tuple[float, float]]) -> None:
        first, whole = start(message, self.clock)
        self.clock += self.rates.prompt_s
        self.slot_seconds += self.rates.prompt_s * self.num_open
        self.num_open += 1
        heapq.heappush(self.marks, (self.steps + first, message, False))
        heapq.heappush(self.marks, (self.steps + whole, message, True))


def simulate(
    load: Load,
    rates: Rates,
    num_replicas: int,
    *,
    slots: int = 64,
    queue: int = 64,
    num_messages: int = 0,
    seed: int = 0,
) -> Waits:
    """The waits of `num_messages` messages (0: as many as come in a minute, within bounds). A message that finds `queue` others waiting at the replica with the fewest is turned away."""
    simulated = min(num_replicas, _SIMULATED)
    num_messages = num_messages or int(
        np.clip(load.messages_per_s * simulated / num_replicas * _SIMULATED_S, _FEWEST, _MOST)
    )
    rng = np.random.default_rng(seed)
    came = np.cumsum(rng.exponential(num_replicas / (load.messages_per_s * simulated), num_messages))
    lengths = np.full(num_messages, load.reply_tokens)
    if load.spread:
        shape = load.spread**-2
        lengths = np.maximum(rng.gamma(shape, load.reply_tokens / shape, num_messages).round(), 1)
    begun, first, whole = (np.full(num_messages, np.nan) for _ in range(3))

    def start(message: int, now: float) -> tuple[float, float]:
        begun[message] = now
        return min(load.sentence_tokens, lengths[message]), lengths[message]

    def end(message: int, now: float, is_end: bool) -> None:
        (whole if is_end else first)[message] = now

    replicas = [_Replica(rates, slots) for _ in range(simulated)]
    for message, now in enumerate(came):
        for one in replicas:
            one.go(float(now), start, end)
        chosen = min(replicas, key=lambda one: one.num_here)
        if len(chosen.waiting) < queue:
            chosen.take(message, start)
    used = sum(one.slot_seconds for one in replicas) / (simulated * slots * came[-1])
    for one in replicas:
        one.go(math.inf, start, end)
    counted = np.arange(num_messages) >= num_messages // 5
    served = counted & ~np.isnan(whole)
    turned_away = 1 - float(served.sum() / counted.sum())
    return Waits(
        begun[served] - came[served], first[served] - came[served], whole[served] - came[served], turned_away, used
    )


def needed(load: Load, rates: Rates, *, slots: int, queue: int, first_s: float) -> int:
    """The fewest replicas with which 95 of 100 first sentences come within `first_s` and hardly a message is turned away.

    Raises:
        InputError: no number of them is enough.
    """

    def is_enough(num: int) -> bool:
        waits = simulate(load, rates, num, slots=slots, queue=queue)
        return waits.turned_away <= _MOST_BUSY and float(np.percentile(waits.first, 95)) <= first_s

    alone_s = rates.prompt_s + load.sentence_tokens * rates.step_s(1)
    if alone_s > first_s:
        raise InputError(f"A first sentence takes {alone_s:.2f} s even alone; --first-sentence must be more than that.")
    enough = 1
    while not is_enough(enough):
        enough *= 2
    low = enough // 2
    while enough - low > max(1, enough // 50):
        middle = (low + enough) // 2
        low, enough = (low, middle) if is_enough(middle) else (middle, enough)
    return enough


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--visitors", type=float, default=100_000, help="a day (default: %(default)s)")
    parser.add_argument(
        "--messages", type=float, default=4, help="of each visitor (default: %(default)s; an assumption)"
    )
    parser.add_argument(
        "--peak",
        type=float,
        default=3,
        help="the busiest hour beside the mean one (default: %(default)s; an assumption)",
    )
    parser.add_argument("--rate", type=float, help="messages a second, instead of the three above")
    parser.add_argument(
        "--rates",
        metavar="SIZE:TOKENS,…",
        help="tokens a second of one replica by open replies, such as 1:300,16:980; without it they are measured",
    )
    parser.add_argument("--engine-url", default="", help="measure this server instead of the bundled writer")
    parser.add_argument(
        "--prompt",
        type=float,
        help="seconds in which a replica reads one prompt (default: measured; with --rates 0.03)",
    )
    parser.add_argument("--reply-tokens", type=float, help="of a reply (default: measured; with --rates 90)")
    parser.add_argument(
        "--sentence-tokens", type=float, default=28, help="of its first sentence (default: %(default)s)"
    )
    parser.add_argument(
        "--slots", type=int, default=64, help="replies open at one replica at once (default: %(default)s)"
    )
    parser.add_argument(
        "--queue", type=int, default=64, help="messages that may wait for one replica (default: %(default)s)"
    )
    parser.add_argument(
        "--first-sentence",
        type=float,
        default=2.0,
        metavar="S",
        help="95 of 100 come within this (default: %(default)s)",
    )
    parser.add_argument("--price", type=float, help="of one replica for an hour, for the cost")


def run(args: argparse.Namespace) -> int:
    for name in (
        "visitors",
        "messages",
        "peak",
        "rate",
        "prompt",
        "reply_tokens",
        "sentence_tokens",
        "slots",
        "queue",
        "first_sentence",
    ):
        value = getattr(args, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"--{name.replace('_', '-')} must be more than 0, but is {value}.")
    app_s = None
    if args.rates:
        rates, reply_tokens = Rates(parse_rates(args.rates), 0.03), 90.0
    else:
        rates, reply_tokens, app_s = measure(args.engine_url)
    rates = replace(rates, prompt_s=args.prompt or rates.prompt_s)
    rate = args.rate or args.visitors * args.messages / _DAY_S * args.peak
    load = Load(rate, args.reply_tokens or reply_tokens, args.sentence_tokens)
    told = ", ".join(f"{rates.tokens_per_s[size]:,.0f} with {size}" for size in sorted(rates.tokens_per_s))
    print(
        f"one replica       tokens/s by open replies: {told} ({'given' if args.rates else 'measured'}); {rates.prompt_s * 1000:.0f} ms a prompt"
    )
    print(
        f"the busiest hour  {rate:,.1f} messages/s, {load.reply_tokens:.0f} tokens a reply: {rate * load.reply_tokens:,.0f} tokens/s"
    )
    fewest = needed(load, rates, slots=args.slots, queue=args.queue, first_s=args.first_sentence)
    print("\nreplicas   slots used   waiting p50 / p95   first sentence p50 / p95   whole reply p95   turned away")
    for num in sorted({max(1, round(fewest * share)) for share in (0.7, 0.85, 1, 1.25, 1.5)}):
        waits = simulate(load, rates, num, slots=args.slots, queue=args.queue)
        queued, first = (np.percentile(values, [50, 95]) for values in (waits.queued, waits.first))
        print(
            f"{num:8,}   {waits.used:10.0%}   {queued[0]:7.2f} / {queued[1]:5.2f} s   {first[0]:12.2f} / {first[1]:7.2f} s"
            f"   {np.percentile(waits.whole, 95):13.2f} s   {waits.turned_away:11.1%}{'   enough' if num == fewest else ''}"
        )
    if app_s:
        print(
            f"\nthe app itself    {app_s:.2f} CPU seconds a message: {math.ceil(rate * app_s / 0.6):,} cores at 60 % load"
        )
    if args.price:
        print(
            f"cost              {fewest * args.price:,.2f} an hour, {fewest * args.price * _DAY_S / 3600 * 30:,.0f} a month, if replicas run day and night"
        )
    return 0


def parse_rates(text: str) -> dict[int, float]:
    """Tokens a second by open replies.

    Raises:
        InputError: it is not in the form 1:300,16:980.
    """
    try:
        rates = {int(size): float(rate) for size, rate in (pair.split(":") for pair in text.split(","))}
    except ValueError as error:
        raise InputError(f"--rates must be like 1:300,16:980, but is {text!r}.") from error
    if not all(size > 0 and rate > 0 and math.isfinite(rate) for size, rate in rates.items()):
        raise InputError(f"--rates must be sizes and rates above 0, but is {text!r}.")
    return rates


def measure(engine_url: str = "") -> tuple[Rates, float, float]:
    """The rates of the bundled writer on this machine, or of a server; the mean length of replies in tokens; and the CPU seconds that everything but the
    model takes for a message."""
    from genrec.load import load_assistant

    assistant = load_assistant(
        Settings(model="auto" if engine_url else "bundled", engine_url=engine_url, database=":memory:")
    )
    replies = []
    for message in _MESSAGES:
        *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
        if reply.status == "lost":
            raise InputError(reply.notice)
        replies.append(reply)
    engine = assistant.engine
    prompts = [reply.messages for reply in replies]
    rates = {size: _together(engine, prompts, size) for size in _SIZES}
    prompt_s = statistics.median(_first_token_s(engine, prompt) for prompt in prompts) - 1 / rates[1]
    assistant.engine = _Repeating(engine, [reply.text for reply in replies])
    begun = time.process_time()
    for message in _MESSAGES:
        for _ in assistant.reply(Conversation(), message, Sampling(seed=1)):
            pass
    app_s = (time.process_time() - begun) / len(_MESSAGES)
    return Rates(rates, max(prompt_s, 1e-4)), statistics.mean(reply.num_tokens for reply in replies), app_s


class _Repeating:
    """An engine that says given texts again, so that what remains is the cost of all else."""

    def __init__(self, engine, texts: Sequence[str]):
        self._engine = engine
        self._texts = itertools.cycle(texts)

    def stream(self, messages, sampling, titles=None, min_titles=0):
        yield next(self._texts)

    def score(self, prompts, reply):
        return np.zeros((len(prompts), len(self._engine.spans(reply))))

    def __getattr__(self, name: str):
        return getattr(self._engine, name)


def _together(engine, prompts: Sequence, size: int, *, num_tokens: int = 64) -> float:
    """Tokens a second of `size` replies that are written at once, from the first token of the last of them on."""
    counts = [0] * size
    is_open = threading.Barrier(size + 1)

    def write(number: int) -> None:
        sampling = Sampling(seed=number, max_new_tokens=num_tokens)
        try:
            with closing(engine.stream(prompts[number % len(prompts)], sampling)) as pieces:
                next(pieces, None)
                is_open.wait()
                counts[number] = sum(1 for _ in pieces)
        except EngineError:
            is_open.abort()

    threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(size)]
    for thread in threads:
        thread.start()
    try:
        is_open.wait()
    except threading.BrokenBarrierError:
        raise InputError(f"The model cannot write {size} replies at once.") from None
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return max(sum(counts), 1) / (time.perf_counter() - begun)


def _first_token_s(engine, prompt) -> float:
    begun = time.perf_counter()
    with closing(engine.stream(prompt, Sampling(seed=2, max_new_tokens=4))) as pieces:
        next(pieces, None)
    return time.perf_counter() - begun
