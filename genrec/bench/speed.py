"""How fast the engine writes, for one chat and for many, beside what else one would take: `generate` with a streamer in a thread for each chat, and
transformers' continuous batching.

All with the same weights in the same run, in turn, so that ratios hold on a busy machine too. The floor is what reading the weights once a token takes.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genrec.engines import Message
from genrec.engines.local import LocalEngine
from genrec.engines.scheduler import shared_length
from genrec.schema import Conversation, Sampling
from genrec.settings import ASSETS, Settings

Prompt = Sequence[Message]
_MESSAGES = (
    "I love slow-burn science fiction and moody jazz", "a cosy board game for two", "somewhere by the sea in winter", "我喜欢慢热的科幻片", "想学一道简单的素菜",
)  # fmt: skip
_PERTURBED = 64  # prompts of an explanation
# What the best of our trials took to score a reply of 100 tokens under 64 prompts of 180: one core with AVX512-BF16, bf16, a Llama of that many parameters.
_TRIAL_S, _TRIAL_PARAMETERS = 2.54, 20_450_000


@dataclass
class Written:
    """One reply: its tokens, and the moments at which a part of it came, in seconds."""

    begun: float
    num_tokens: int = 0
    moments: list[float] = field(default_factory=list)

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.moments)]


Writer = Callable[[Prompt, Sampling], Written]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=3, help="runs over the messages (default: %(default)s)")
    parser.add_argument("--chats", type=int, default=16, help="chats at once (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda measures the engine alone")
    parser.add_argument(
        "--models",
        default="bundled,Qwen3-0.6B,Qwen3-4B",
        help="on cuda; Qwen3 with random weights (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    if args.device == "cuda":
        from genrec.bench import speed_cuda

        return speed_cuda.run(args)
    started = time.perf_counter()
    from genrec.load import load_assistant

    assistant = load_assistant(Settings(model="bundled", database=":memory:"))
    print(f"start to ready                 {time.perf_counter() - started:8.2f} s (imports and models)")
    first, rates, prompts = [], [], []
    for seed in range(args.repeats):
        for message in _MESSAGES:
            *_, reply = assistant.reply(Conversation(), message, Sampling(seed=seed))
            first.append(reply.first_sentence_s)
            rates.append(reply.num_tokens / reply.seconds)
            prompts.append(reply.messages)
    print(f"first sentence, whole flow     {statistics.median(first):8.2f} s, worst {max(first):.2f} s")
    print(f"whole flow                     {statistics.median(rates):8.0f} tokens/s")
    engine = assistant.engine
    assert isinstance(engine, LocalEngine)
    model, tokenizer = reference()
    floor = floor_rate(engine.describe().num_parameters)
    print(f"floor (weights read once)      {floor:8.0f} tokens/s")

    def told(name: str, rate: float, others: Sequence[float] = (), gaps: Sequence[float] = ()) -> None:
        line = f"{name:30} {rate:8.0f} tokens/s, {rate / floor:5.2f} of the floor"
        line += "".join(f", {rate / other:5.1f} times {what}" for what, other in zip(("generate", "batching"), others))
        if gaps:
            line += f"; between tokens p50 {1e3 * np.quantile(gaps, 0.5):.1f} ms, p95 {1e3 * np.quantile(gaps, 0.95):.1f} ms"
        print(line, flush=True)

    ours, theirs = engine_writer(engine), generate_writer(model, tokenizer)
    alone, other = [], []
    for seed, prompt in enumerate(prompts):
        alone.append(chats(ours, [prompt], seed=seed))
        other.append(chats(theirs, [prompt], seed=seed))
    single = statistics.median(rate(one) for one in alone)
    told("one chat, generate", statistics.median(rate(one) for one in other))
    told("one chat, this engine", single, [statistics.median(rate(one) for one in other)], gaps_of(alone))
    crowd = [prompts[number % len(prompts)] for number in range(args.chats)]
    many, threads = chats(ours, crowd), chats(theirs, crowd)
    told(f"{args.chats} chats, generate", rate(threads), gaps=gaps_of([threads]))
    others = [rate(threads)]
    if importlib.util.find_spec("psutil"):  # transformers asks it for the memory there is
        others.append(continuous_batching_rate(model, tokenizer, crowd))
        told(f"{args.chats} chats, continuous batching", others[-1])
    else:
        print("continuous batching is not measured: it needs `pip install psutil`")
    told(f"{args.chats} chats, this engine", rate(many), others, gaps_of([many]))

    fresh, followed = follow_up_s(engine, prompts[0])
    print(f"first token of a second turn   {1e3 * followed:8.1f} ms, {followed / fresh:.2f} of that without reuse")
    seconds, least = scoring_s(engine, shortened(prompts[0]), "Two that fit: something slow, and something moody. " * 4)
    print(
        f"{_PERTURBED} rows of an explanation    {seconds:8.2f} CPU s, {seconds / least:.2f} of the floor ({least:.2f} s)"
    )
    seconds, _ = scoring_s(engine, shortened(lengthened(engine, 180)), _reply_of(engine, 100))
    trial = _TRIAL_S * engine.describe().num_parameters / _TRIAL_PARAMETERS
    print(
        f"{_PERTURBED} of 180 tokens, a reply of 100 {seconds:8.2f} CPU s, {seconds / trial:.2f} of the trial's, for this size ({trial:.2f} s)"
    )
    before = gaps_of(alone)
    with explaining(engine, prompts[0]):
        during = gaps_of([chats(ours, [prompt], seed=seed) for seed, prompt in enumerate(prompts)])
    ratio = np.quantile(during, 0.95) / np.quantile(before, 0.95)
    print(f"p95 while explanations run     {1e3 * np.quantile(during, 0.95):8.1f} ms, {ratio:.2f} of that without")
    with busy_core():
        slowed = [chats(ours, [prompt], seed=seed) for seed, prompt in enumerate(prompts)]
    slow = statistics.median(rate(one) for one in slowed)
    longest = max(gaps_of(slowed))
    print(
        f"with one core taken            {slow:8.0f} tokens/s, {single / slow:.2f} times slower; longest wait {longest:.2f} s"
    )
    print(f"resident memory, peak          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GiB")
    return 0


def chats(write: Writer, prompts: Sequence[Prompt], *, seed: int = 0, max_new_tokens: int = 100) -> list[Written]:
    """Replies to all prompts at once, each read by a thread of its own."""
    written: list[Written | None] = [None] * len(prompts)

    def chat(number: int) -> None:
        written[number] = write(prompts[number], Sampling(seed=seed + number, max_new_tokens=max_new_tokens))

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for one in written if one is not None]


def rate(written: Sequence[Written]) -> float:
    """Tokens a second of replies that were written at once."""
    seconds = max([one.begun, *one.moments][-1] for one in written) - min(one.begun for one in written)
    return sum(one.num_tokens for one in written) / seconds


def gaps_of(runs: Sequence[Sequence[Written]]) -> list[float]:
    return [gap for written in runs for one in written for gap in one.gaps]


def engine_writer(engine: LocalEngine) -> Writer:
    def write(prompt: Prompt, sampling: Sampling) -> Written:
        written, pieces = Written(time.perf_counter()), []
        for piece in engine.stream(prompt, sampling):
            written.moments.append(time.perf_counter())
            pieces.append(piece)
        written.num_tokens = engine.count_tokens("".join(pieces))
        return written

    return write


def reference() -> tuple[Any, Any]:
    """The bundled writer's model and tokenizer as transformers loads them, with as many threads as the engine has."""
    import torch
    from threadpoolctl import threadpool_info
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ASSETS / "models" / "writer"
    torch.set_num_threads(min(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def generate_writer(model: Any, tokenizer: Any) -> Writer:
    """`generate` in a thread with a TextIteratorStreamer, as demos do it."""
    import torch
    from transformers import TextIteratorStreamer

    lock = threading.Lock()  # the tokenizer's

    def write(prompt: Prompt, sampling: Sampling) -> Written:
        with lock:
            ids = tokenizer.apply_chat_template(
                list(prompt), add_generation_prompt=True, return_tensors="pt", return_dict=True
            ).to(model.device)
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
        written = Written(time.perf_counter())

        def generate() -> None:
            torch.manual_seed(sampling.seed or 0)
            output = model.generate(
                **ids,
                streamer=streamer,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_new_tokens=sampling.max_new_tokens,
            )
            written.num_tokens = output.shape[1] - ids["input_ids"].shape[1]

        thread = threading.Thread(target=generate)
        thread.start()
        for piece in streamer:
            if piece:  # the streamer gives text by words; what it holds back is an empty piece
                written.moments.append(time.perf_counter())
        thread.join()
        return written

    return write


def continuous_batching_rate(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], *, max_new_tokens: int = 100
) -> float:
    """Tokens a second of transformers' continuous batching over all prompts, its start included."""
    from transformers import GenerationConfig
    from transformers.generation import ContinuousBatchingConfig

    ids = [
        tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True)["input_ids"]
        for prompt in prompts
    ]
    config = GenerationConfig(
        do_sample=True,
        temperature=Sampling().temperature,
        top_p=Sampling().top_p,
        max_new_tokens=max_new_tokens,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=model.generation_config.pad_token_id,
    )
    memory = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=1024)  # by default it takes most of the memory
    begun = time.perf_counter()
    found = model.generate_batch(ids, generation_config=config, continuous_batching_config=memory, warmup=False)
    return sum(len(one.generated_tokens) for one in found.values()) / (time.perf_counter() - begun)


def floor_rate(num_parameters: int) -> float:
    """Tokens a second if all that a token took were reading every weight (float32) once, at the bandwidth at which a sum reads as much memory."""
    memory = np.zeros(num_parameters, np.float32)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        memory.sum()
        times.append(time.perf_counter() - begun)
    return 1 / min(times)


def follow_up_s(engine: LocalEngine, prompt: Prompt, *, repeats: int = 5) -> tuple[float, float]:
    """Seconds to the first piece of a second turn (fresh, with the first turn's keys and values), medians."""
    fresh: list[float] = []
    followed: list[float] = []
    for number in range(repeats):
        system, *turns = prompt
        opened, other = (
            [
                {**system, "content": system["content"].replace("\n\n", f"\n\n{first}. ", 1)},
                *turns,
            ]  # the facts, which every model reads
            for first in (number, number + repeats)
        )
        reply = "".join(engine.stream(opened, Sampling(seed=number, max_new_tokens=60)))
        second = [*turns, {"role": "assistant", "content": reply}, {"role": "user", "content": "Something shorter?"}]
        for head, times in ((other[:1], fresh), (opened[:1], followed)):
            begun = time.perf_counter()
            next(engine.stream([*head, *second], Sampling(seed=number)))
            times.append(time.perf_counter() - begun)
            while engine.num_open:  # the step in which it is heard that nobody reads on is not the next one's
                time.sleep(1e-3)
    return statistics.median(fresh), statistics.median(followed)


def shortened(prompt: Prompt) -> list[Prompt]:
    """The prompts of an explanation: each leaves out some of the message's words."""
    *before, last = prompt
    words = last["content"].split() or ["x"]
    return [
        [*before, {**last, "content": " ".join(words[number % len(words) :]) + " " + str(number)}]
        for number in range(_PERTURBED)
    ]


def lengthened(engine: LocalEngine, num_tokens: int) -> Prompt:
    """A message of so many tokens, as the engine renders it."""
    message = {"role": "user", "content": "I love"}
    while len(engine.prompt_ids([message])) < num_tokens:
        message["content"] += " slow films and"
    return [message]


def _reply_of(engine: LocalEngine, num_tokens: int) -> str:
    reply = "Two that fit."
    while engine.count_tokens(reply) < num_tokens:
        reply += " Something slow."
    return reply


def scoring_s(engine: LocalEngine, prompts: Sequence[Prompt], reply: str) -> tuple[float, float]:
    """Processor seconds of scoring a reply under each prompt, median of three, and the least that its arithmetic takes: two operations for each weight and each token that has
    to be read, at the rate of a matrix product of 512 rows. A token that a prompt shares with its neighbour from the beginning on has not to be read again.
    """
    rows = sorted(engine.prompt_ids(prompt) for prompt in prompts)
    num_reply = engine.count_tokens(reply)
    num_read = sum(len(row) - shared_length(before, row) + num_reply - 1 for before, row in zip([[], *rows], rows))
    factor = np.ones((512, 512), np.float32)
    times = []
    for _ in range(20):
        begun = time.process_time()
        factor @ factor
        times.append(time.process_time() - begun)
    rate = 2 * 512**3 / min(times)
    spent = []
    for _ in range(3):
        begun = time.process_time()
        engine.score(prompts, reply)
        spent.append(time.process_time() - begun)
    return statistics.median(spent), 2 * engine.describe().num_parameters * num_read / rate


@contextmanager
def explaining(engine: LocalEngine, prompt: Prompt) -> Iterator[None]:
    """Scores a reply under shortened prompts again and again, as explanations do."""
    is_over = threading.Event()
    prompts = shortened(prompt)

    def explain() -> None:
        while not is_over.is_set():
            for begin in range(0, _PERTURBED, 8):
                if not is_over.is_set():
                    engine.score(prompts[begin : begin + 8], "Two that fit: something slow, and something moody.")

    thread = threading.Thread(target=explain)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
