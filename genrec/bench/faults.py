"""Whether the engine stays whole: the same seed in company, cancelled replies, clients that vanish, faults in a step, memory over many replies.

Each check returns how many replies were not as they had to be. Nothing here is about speed.
"""

from __future__ import annotations

import argparse
import gc
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from genrec.engines import Message
from genrec.engines.local import LocalEngine
from genrec.errors import EngineError
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings

Prompt = Sequence[Message]
_MESSAGES = ("slow science fiction", "a cosy board game for two", "by the sea in winter", "慢热的科幻片", "简单的素菜")
_LIMIT_S = 120.0  # a stream that gives nothing for so long is lost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=200, help="replies alone and in company (default: %(default)s)")
    parser.add_argument("--cancels", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--vanished", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument(
        "--short", type=int, default=2000, help="short replies of the leak check (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    from genrec.load import load_assistant

    assistant = load_assistant(Settings(model="bundled", database=":memory:"))
    engine = assistant.engine
    assert isinstance(engine, LocalEngine)
    prompts = []
    for message in _MESSAGES:
        *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1, max_new_tokens=1))
        prompts.append(reply.messages)
    dtype, wrong = engine.describe().dtype, 0
    for name, num_wrong, total in (
        (f"another text in company ({dtype})", differing(engine, prompts, args.seeds), args.seeds),
        ("slots lost by cancelled replies", cancelled(engine, prompts, args.cancels), args.cancels),
        ("slots lost by clients that vanish", vanished(engine, prompts, args.vanished), args.vanished),
        ("replies harmed by a failed step", failed_step(engine, prompts), 1),
        ("replies harmed by another's fault", failed_neighbour(engine, prompts), 1),
    ):
        wrong += num_wrong
        print(f"{name:42} {num_wrong} of {total}", flush=True)
    print(f"{'memory grown over short replies':42} {leaked_mib(engine, prompts, args.short):.1f} MiB in {args.short}")
    return int(wrong > 0)


def write_all(
    engine: LocalEngine, prompts: Sequence[Prompt], seeds: Sequence[int], sampling: Sampling
) -> list[str | EngineError]:
    """The replies to prompts that are written at once; an error where one broke off or gave nothing for too long."""
    found: list[str | EngineError] = [EngineError("lost")] * len(seeds)

    def chat(number: int) -> None:
        try:
            prompt = prompts[seeds[number] % len(prompts)]
            found[number] = "".join(engine.stream(prompt, replace(sampling, seed=seeds[number])))
        except EngineError as error:
            found[number] = error

    threads = [threading.Thread(target=chat, args=(number,), daemon=True) for number in range(len(seeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LIMIT_S)
    return found


def differing(
    engine: LocalEngine, prompts: Sequence[Prompt], count: int, *, company: int = 16, max_new_tokens: int = 60
) -> int:
    """How many of `count` seeds write another text among others than alone."""
    sampling = Sampling(max_new_tokens=max_new_tokens)
    num_wrong = 0
    for begin in range(0, count, company):
        seeds = range(begin, min(begin + company, count))
        together = write_all(engine, prompts, seeds, sampling)
        alone = [write_all(engine, prompts, [seed], sampling)[0] for seed in seeds]
        num_wrong += sum(one != other for one, other in zip(together, alone, strict=True))
    return num_wrong


def cancelled(engine: LocalEngine, prompts: Sequence[Prompt], count: int, *, seed: int = 0) -> int:
    """Streams closed after a random number of pieces, eight at a time; how many places were not given back."""
    generator = random.Random(seed)

    def chat(number: int, num_pieces: int) -> None:
        stream = engine.stream(prompts[number % len(prompts)], Sampling(seed=number))
        for _ in range(num_pieces):
            next(stream, None)
        stream.close()

    for begin in range(0, count, 8):
        numbers = range(begin, min(begin + 8, count))
        threads = [threading.Thread(target=chat, args=(number, generator.randrange(40))) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_LIMIT_S)
    return still_open(engine)


def vanished(engine: LocalEngine, prompts: Sequence[Prompt], count: int) -> int:
    """Streams that nobody reads after the first piece, and nobody closes; how many places were not given back."""
    streams = []
    for number in range(count):
        stream = engine.stream(prompts[number % len(prompts)], Sampling(seed=number, max_new_tokens=40))
        next(stream, None)
        streams.append(stream)  # held, so that no garbage collection closes them
    return still_open(engine)


def still_open(engine: LocalEngine) -> int:
    """Places that are taken although nobody reads, after a while."""
    deadline = time.monotonic() + _LIMIT_S
    while engine.num_open and time.monotonic() < deadline:
        time.sleep(0.01)
    return engine.num_open


def failed_step(engine: LocalEngine, prompts: Sequence[Prompt], *, company: int = 4) -> int:
    """Memory that cannot be had while several replies are fed at once must be nobody's loss; how many replies it changed."""
    sampling, seeds = Sampling(max_new_tokens=30), range(company)
    alone = [write_all(engine, prompts, [seed], sampling)[0] for seed in seeds]

    def fail(runs) -> None:
        if len(runs) > 1:
            raise RuntimeError("not enough memory (forced)")

    with steps_through(engine, fail):
        together = write_all(engine, prompts, seeds, sampling)
    return sum(one != other for one, other in zip(together, alone, strict=True))


def failed_neighbour(engine: LocalEngine, prompts: Sequence[Prompt], *, company: int = 4) -> int:
    """One reply's step fails again and again; how many others it changed, plus one if it did not end in an error itself."""
    sampling, seeds = Sampling(max_new_tokens=30), range(company)
    alone = [write_all(engine, prompts, [seed], sampling)[0] for seed in seeds]
    victim = engine.prompt_ids(prompts[0])

    def fail(runs) -> None:
        if any((run.cache.ids + run.ids)[: len(victim)] == victim and len(run.cache.ids) > len(victim) for run in runs):
            raise RuntimeError("a broken device (forced)")

    with steps_through(engine, fail):
        together = write_all(engine, prompts, seeds, sampling)
    num_wrong = sum(one != other for one, other in list(zip(together, alone, strict=True))[1:])
    return num_wrong + (not isinstance(together[0], EngineError))


@contextmanager
def steps_through(engine: LocalEngine, before) -> Iterator[None]:
    """Calls `before` with the runs of each step."""
    decoder = engine.decoder
    forward = decoder.forward

    def checked(runs):
        before(runs)
        return forward(runs)

    decoder.forward = checked  # type: ignore[method-assign]
    try:
        yield
    finally:
        del decoder.forward


def leaked_mib(engine: LocalEngine, prompts: Sequence[Prompt], count: int) -> float:
    """MiB by which the process grew between the first quarter of `count` short replies and the last."""
    before = 0.0
    for number in range(count):
        if number == count // 4:
            before = _resident_mib()
        "".join(engine.stream(prompts[number % len(prompts)], Sampling(seed=number, max_new_tokens=3)))
    return _resident_mib() - before


def _resident_mib() -> float:
    gc.collect()
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:  # not on Linux
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found.group(1)) / 2**10 if found else 0.0
