"""How fast one chat is: start, first sentence, tokens a second; beside transformers' `generate` with a streamer, as a ratio in the same run."""

from __future__ import annotations

import argparse
import resource
import statistics
import threading
import time

from genrec.engines.local import LocalEngine
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings

_MESSAGES = (
    "I love slow-burn science fiction and moody jazz", "a cosy board game for two", "somewhere by the sea in winter", "我喜欢慢热的科幻片", "想学一道简单的素菜",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=3, help="runs over the messages (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    from genrec.load import load_assistant

    assistant = load_assistant(Settings(model="bundled", database=":memory:"))
    print(f"start to ready             {time.perf_counter() - started:.2f} s (imports and models)")
    first, rates, seconds = [], [], []
    for seed in range(args.repeats):
        for message in _MESSAGES:
            *_, reply = assistant.reply(Conversation(), message, Sampling(seed=seed))
            first.append(reply.first_sentence_s)
            seconds.append(reply.seconds)
            rates.append(reply.num_tokens / reply.seconds)
    print(f"first sentence             median {statistics.median(first):.2f} s, worst {max(first):.2f} s")
    print(f"whole reply                median {statistics.median(seconds):.2f} s")
    print(f"tokens/s, whole flow       median {statistics.median(rates):.0f}")
    assert isinstance(assistant.engine, LocalEngine)
    ours, theirs = [], []
    for seed in range(args.repeats):
        for message in _MESSAGES:
            *_, reply = assistant.reply(Conversation(), message, Sampling(seed=seed, max_new_tokens=1))
            sampling = Sampling(seed=seed, max_new_tokens=100)
            begun = time.perf_counter()
            num_tokens = sum(1 for _ in assistant.engine.stream(reply.messages, sampling))
            ours.append(num_tokens / (time.perf_counter() - begun))
            theirs.append(_generate_rate(assistant.engine, reply.messages, sampling))
    print(f"tokens/s, engine           median {statistics.median(ours):.0f}")
    print(f"tokens/s, generate+stream  median {statistics.median(theirs):.0f}")
    print(f"ratio                      {statistics.median(ours) / statistics.median(theirs):.2f}")
    print(f"resident memory, peak      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 0


def _generate_rate(engine: LocalEngine, messages, sampling: Sampling) -> float:
    """Tokens a second of `generate` in a thread with a TextIteratorStreamer, as demos do it."""
    import torch
    from transformers import TextIteratorStreamer

    model, tokenizer = engine.model, engine.tokenizer
    ids = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    counted: list[int] = []

    def write() -> None:
        torch.manual_seed(sampling.seed or 0)
        output = model.generate(
            **ids,
            streamer=streamer,
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_new_tokens=sampling.max_new_tokens,
        )
        counted.append(output.shape[1] - ids["input_ids"].shape[1])

    begun = time.perf_counter()
    thread = threading.Thread(target=write)
    thread.start()
    for _ in streamer:
        pass
    thread.join()
    return counted[0] / (time.perf_counter() - begun)
