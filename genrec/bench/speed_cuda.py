"""How fast the engine writes on a GPU, beside `generate` and transformers' continuous batching with the same weights in the same run.

The bundled writer, and Qwen3 in its published sizes with random weights: what a token costs does not depend on what the weights are. Two things that would
are set right: the last norm is scaled so that the next token is about as certain as in a trained model, and no token is guessed ahead, since
random models repeat themselves. The floor is what reading every weight once a token takes at the device's own copy bandwidth.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from genrec.bench import speed
from genrec.bench.speed import Prompt, chats, gaps_of, rate
from genrec.engines import scheduler
from genrec.engines.local import LocalEngine
from genrec.engines.runs import Run
from genrec.errors import InputError
from genrec.schema import Sampling
from genrec.settings import ASSETS

_QWEN3: dict[str, Any] = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936, "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}  # fmt: skip
SIZES = {  # https://huggingface.co/Qwen/Qwen3-0.6B and Qwen3-4B, config.json
    "Qwen3-0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "Qwen3-4B": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
}
_SPREAD = 8.0  # standard deviation of the logits; nine tenths of the probability then lie on a few tokens
_NUM_TOKENS = 100  # of a reply
# Tokens of a reply by the others, which are so slow that more would take minutes: `generate` alone, in threads, and continuous batching.
_BY_GENERATE, _BY_THREADS, _BY_BATCHING = 24, 6, 48


def run(args: argparse.Namespace) -> int:
    import torch

    names = args.models.split(",")
    if unknown := [name for name in names if name != "bundled" and name not in SIZES]:
        raise InputError(f"There is no {unknown[0]} to measure; choose among bundled, {', '.join(SIZES)}.")
    if not torch.cuda.is_available():
        raise InputError("No CUDA device is there; leave out --device cuda.")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("genrec").setLevel(logging.INFO)
    for name in ("transformers", "ContinuousBatchingLogger"):
        logging.getLogger(name).setLevel(logging.ERROR)
    started = time.perf_counter()
    device = torch.device("cuda")
    bandwidth, flops = copy_bandwidth(device), product_rate(device)
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}: copies move {bandwidth / 1e12:.2f} TB/s, bf16 products take {flops / 1e12:.0f} TFLOP/s"
    )
    for name in names:
        print(f"\n{name} (at {time.perf_counter() - started:.0f} s)")
        measure(name, device, bandwidth, flops, num_chats=args.chats, repeats=args.repeats)
        gc.collect()
        torch.cuda.empty_cache()
    return 0


def measure(name: str, device: Any, bandwidth: float, flops: float, *, num_chats: int, repeats: int) -> None:
    """Prints the rows of one model."""
    import torch

    model, tokenizer = bundled(device) if name == "bundled" else randomly_initialised(SIZES[name], device)
    prompts = (catalogue_prompts if name == "bundled" else number_prompts)(max(64, num_chats))
    begun = time.perf_counter()
    engine = LocalEngine.of(model, tokenizer, name=name)
    num_bytes = sum(one.numel() * one.element_size() for one in model.parameters())
    floor = bandwidth / num_bytes
    print(
        f"{num_bytes / 1e9:.2f} GB of weights: at most {floor:.0f} steps/s; {type(engine.decoder).__name__} ready in {time.perf_counter() - begun:.1f} s"
    )
    with guessing(name == "bundled"):
        check(engine, model, prompts)
        latencies(engine, model, prompts, flops, repeats)
        speeds(engine, model, tokenizer, prompts, floor, num_chats=num_chats, repeats=repeats)
    print(f"device memory, peak            {torch.cuda.max_memory_allocated() / 2**30:8.2f} GiB", flush=True)


def check(engine: LocalEngine, model: Any, prompts: Sequence[Prompt], num_new: int = 32) -> None:
    """Prints how far the engine's logits lie from those of the model itself, for 1, 5 and 16 sequences that go on token by token."""
    import torch

    rows = [engine.prompt_ids(prompt) for prompt in prompts[:16]]
    length = min(200, *map(len, rows))
    rows = [row[-length:] for row in rows]
    with torch.inference_mode():
        wanted = torch.stack([model(input_ids=torch.tensor([row], device=model.device)).logits[0, -num_new:].float() for row in rows])  # fmt: skip
    for size in (1, 5, 16):
        decoder = engine.decoder
        caches = [decoder.new_cache(length) for _ in range(size)]
        begin = length - num_new
        first = decoder.forward([Run(cache, row[: begin + 1], 1) for cache, row in zip(caches, rows)])
        found = [np.stack([first[row] for row in range(size)])]
        for place in range(begin + 1, length):
            logits = decoder.forward([Run(cache, row[place : place + 1], 1) for cache, row in zip(caches, rows)])
            found.append(np.stack([logits[row] for row in range(size)]))
        theirs = wanted[:size].cpu().numpy().transpose(1, 0, 2)
        ours = np.stack(found)
        same = float((ours.argmax(2) == theirs.argmax(2)).mean())
        error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
        print(
            f"{size:2} sequences, {num_new} steps        same likeliest token {100 * same:.1f} %, relative error of the logits {error:.4f}"
        )


def speeds(
    engine: LocalEngine,
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    floor: float,
    *,
    num_chats: int,
    repeats: int,
) -> None:
    """Prints tokens a second, alone and among others."""
    ours, theirs = speed.engine_writer(engine), speed.generate_writer(model, tokenizer)

    def told(what: str, tokens_s: float, size: int, gaps: Sequence[float] = (), beside: float = 0.0) -> None:
        line = f"{what:34} {tokens_s:8.0f} tokens/s, {tokens_s / floor / size:6.3f} of the floor"
        if gaps:
            line += f"; between tokens p50 {1e3 * np.quantile(gaps, 0.5):.2f} ms, p95 {1e3 * np.quantile(gaps, 0.95):.2f} ms"
        if beside:
            line += f"; this engine {beside / tokens_s:.1f} times as many"
        print(line, flush=True)

    rates = {}
    for size in sorted({1, num_chats, 64}):
        chats(ours, prompts[:size], max_new_tokens=8)
        num_runs = max(3, repeats) if size == 1 else repeats
        many = [chats(ours, prompts[:size], seed=seed, max_new_tokens=_NUM_TOKENS) for seed in range(num_runs)]
        rates[size] = statistics.median(map(rate, many))
        told(f"{size} at once, this engine", rates[size], size, gaps_of(many))
    chats(theirs, prompts[:1], max_new_tokens=4)
    other = [chats(theirs, [prompts[seed]], seed=seed, max_new_tokens=_BY_GENERATE) for seed in range(repeats)]
    told("1 at once, generate", statistics.median(map(rate, other)), 1, gaps_of(other), rates[1])
    threads = chats(theirs, prompts[:num_chats], max_new_tokens=_BY_THREADS)
    told(f"{num_chats} at once, generate in threads", rate(threads), num_chats, gaps_of([threads]), rates[num_chats])
    if batched := batching_rate(model, tokenizer, prompts[:num_chats]):
        told(f"{num_chats} at once, continuous batching", batched, num_chats, beside=rates[num_chats])


def latencies(engine: LocalEngine, model: Any, prompts: Sequence[Prompt], flops: float, repeats: int) -> None:
    """Prints what a second turn waits for, what an explanation takes, and what it costs those who write."""
    ours = speed.engine_writer(engine)
    speed.follow_up_s(engine, prompts[0], repeats=1)
    fresh, followed = speed.follow_up_s(engine, prompts[1], repeats=3)
    print(f"first token of a second turn   {1e3 * followed:8.1f} ms, {followed / fresh:.2f} of that without reuse")
    reply = " ".join(str(number * 37 % 90) for number in range(30))
    rows = speed.shortened(prompts[0])
    num_read = sum(len(engine.prompt_ids(row)) for row in rows[:1]) + len(rows) * engine.count_tokens(reply)
    begun = time.perf_counter()
    engine.score(rows, reply)
    seconds = time.perf_counter() - begun
    least = 2 * model.num_parameters() * num_read / flops
    print(f"{len(rows)} rows of an explanation    {1e3 * seconds:8.0f} ms; arithmetic alone {1e3 * least:.0f} ms")
    before = [chats(ours, prompts[:4], seed=seed, max_new_tokens=_NUM_TOKENS) for seed in range(repeats)]
    with speed.explaining(engine, prompts[0]):
        during = [chats(ours, prompts[:4], seed=seed, max_new_tokens=_NUM_TOKENS) for seed in range(repeats)]
    p95 = [1e3 * np.quantile(gaps_of(runs), 0.95) for runs in (before, during)]
    print(f"p95 of 4 chats while explanations run {p95[1]:.1f} ms, {p95[1] / p95[0]:.2f} of that without", flush=True)


def batching_rate(model: Any, tokenizer: Any, prompts: Sequence[Prompt]) -> float:
    """Tokens a second of transformers' continuous batching, started and warm; 0 where it cannot run."""
    from transformers import GenerationConfig
    from transformers.generation import ContinuousBatchingConfig

    ids = [tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True)["input_ids"] for prompt in prompts]  # fmt: skip
    sampling = Sampling()
    config = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_new_tokens=_BY_BATCHING,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=model.generation_config.pad_token_id,
    )
    num_blocks = len(ids) * (-(-(max(map(len, ids)) + _BY_BATCHING) // 256) + 1)
    memory = ContinuousBatchingConfig(num_blocks=num_blocks, max_batch_tokens=2048)
    try:
        for _ in range(2):  # the first run records its graphs
            begun = time.perf_counter()
            found = model.generate_batch(
                ids,
                generation_config=config,
                continuous_batching_config=memory,
                persistent_manager=True,
                progress_bar=False,
            )
            seconds = time.perf_counter() - begun
        return sum(len(one.generated_tokens) for one in found.values()) / seconds
    except Exception as error:  # whatever it lacks here, the other rows are worth having
        print(f"continuous batching does not run: {type(error).__name__} {str(error)[:200]}")
        return 0.0
    finally:
        model.destroy_cached_continuous_batching_manager()


# Models and prompts


def bundled(device: Any) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ASSETS / "models" / "writer"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def randomly_initialised(sizes: dict[str, int], device: Any) -> tuple[Any, Any]:
    """A Qwen3 in bf16, and a tokenizer whose words are the numbers of its vocabulary."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    config = Qwen3Config(**{**_QWEN3, **sizes}, eos_token_id=1, pad_token_id=0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = Qwen3ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    with torch.inference_mode():
        ids = torch.arange(64, device=device)[None] * 2371 % config.vocab_size
        model.model.norm.weight.mul_(_SPREAD / model(input_ids=ids).logits.float().std())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=number_tokenizer(config.vocab_size),
        eos_token="<end>",
        pad_token="<pad>",
        model_max_length=config.max_position_embeddings,
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    return model, tokenizer


def number_tokenizer(num_tokens: int) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = ["<pad>", "<end>", *map(str, range(num_tokens - 2))]
    tokenizer = Tokenizer(WordLevel({word: id for id, word in enumerate(words)}, "0"))  # every other word is 0
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


def number_prompts(num_prompts: int, highest: int = 90_000) -> list[Prompt]:
    """Messages of 420 tokens, of which 150 are the same in all, as instructions are."""
    source = random.Random(2)

    def numbers(size: int) -> str:
        return " ".join(str(source.randrange(100, highest)) for _ in range(size))

    shared = numbers(150)
    return [
        [{"role": "system", "content": f"{shared} {numbers(250)}"}, {"role": "user", "content": numbers(20)}]
        for _ in range(num_prompts)
    ]


def catalogue_prompts(num_prompts: int) -> list[Prompt]:
    """Messages with three items of the catalogue each."""
    lines = (ASSETS / "catalogue" / "film.jsonl").read_text("utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    found: list[Prompt] = []
    for number in range(num_prompts):
        chosen = [items[(3 * number + place) % len(items)] for place in range(3)]
        shelf = [
            f"{place}. **{item['title']}** | film | {item['year']} | by {item['creator']} | {', '.join(item['tags'])} | {item['pitch']}"
            for place, item in enumerate(chosen, 1)
        ]
        text = "\n".join(["Answer in English, warm, one to three picks.", "Wants: " + chosen[0]["tags"][0], *shelf])
        found.append([{"role": "system", "content": f"You recommend.\n\n{text}"}, {"role": "user", "content": f"I love {chosen[0]['tags'][0]} and {chosen[1]['tags'][0]}"}])  # fmt: skip
    return found


@contextmanager
def guessing(is_on: bool) -> Iterator[None]:
    """Whether replies are fed what may follow (`scheduler`)."""
    before = scheduler._NUM_GUESSED
    scheduler._NUM_GUESSED = before if is_on else 0
    try:
        yield
    finally:
        scheduler._NUM_GUESSED = before


# The device


def copy_bandwidth(device: Any) -> float:
    """Bytes a second that a copy of 2 GiB reads and writes."""
    import torch

    source = torch.randint(0, 255, (2**31,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _seconds(lambda: target.copy_(source))


def product_rate(device: Any) -> float:
    """Operations a second of a bf16 product of 8192 rows, columns and terms."""
    import torch

    left, right = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / _seconds(lambda: left @ right)


def _seconds(call: Callable[[], Any], repeats: int = 10) -> float:
    """Median time of a call on the device."""
    import torch

    times = []
    for _ in range(repeats + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times[3:])
