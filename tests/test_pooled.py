"""The decoder for CUDA, step by step as it is recorded there, with attention that any processor computes: it finds what the lean decoder finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from genrec.engines.decoder import LeanDecoder, decoder_for
from genrec.engines.locks import Locks, NumberLock, TitleLock
from genrec.engines.pooled import SIZES, PooledDecoder, _size, pooled_decoders
from genrec.engines.runs import FarLogits, Run
from genrec.engines.sampling import draw, draw_near
from genrec.engines.scheduler import Scheduler
from genrec.engines.tasks import Ends, ReplyTask, ScoreTask
from genrec.schema import Sampling

VOCABULARY = 700
SIZE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def model(request):
    torch.manual_seed(5)
    is_llama = request.param == "llama"
    model = LlamaForCausalLM(LlamaConfig(**SIZE)) if is_llama else Qwen3ForCausalLM(Qwen3Config(**SIZE, head_dim=16))
    return model.eval()


def looped_attention(queries, keys, values, where):
    """What FlashAttention is asked for, one sequence after the other."""
    seen = torch.full_like(queries, torch.nan)
    bounds = where.bounds.tolist()
    for begin, end, start, length in zip(bounds, bounds[1:], where.starts.tolist(), where.lengths.tolist()):
        assert 0 <= end - begin <= where.max_new and length <= where.max_length
        if begin < end:
            stretch = slice(start, start + length)
            mask = torch.ones(end - begin, length, dtype=torch.bool).tril(length - (end - begin))
            of_heads = [part.transpose(0, 1)[None] for part in (queries[begin:end], keys[stretch], values[stretch])]
            seen[begin:end] = F.scaled_dot_product_attention(*of_heads, attn_mask=mask, enable_gqa=True)[0].transpose(
                0, 1
            )
    return seen


def pooled(model, num_tokens: int = 1024) -> PooledDecoder:
    bytes_per_token = LeanDecoder(model).bytes_per_token
    return PooledDecoder(model, cache_bytes=num_tokens * bytes_per_token, attention=looped_attention)


def rows_of(logits) -> np.ndarray:
    return np.stack([logits[row] for row in range(len(logits))])


STEPS = ([150, 1, 40], [1, 1, 1], [5, 1, 2], [1, 1, 1], [60, 60, 1], [3, 90, 40])  # tokens of each sequence


def test_sequences_get_the_logits_of_the_lean_decoder_whatever_a_step_is_filled_up_with(model):
    ids = [Random(number).choices(range(VOCABULARY), k=sum(step[number] for step in STEPS)) for number in range(3)]
    decoders = [LeanDecoder(model), pooled(model)]
    caches = [[decoder.new_cache(300) for _ in ids] for decoder in decoders]
    for step in STEPS:
        found = []
        for decoder, of_decoder in zip(decoders, caches):
            runs = [
                Run(cache, row[len(cache.ids) :][:size], max(1, size - 1))
                for cache, row, size in zip(of_decoder, ids, step)
            ]
            found.append(decoder.forward(runs))
        lean, far = found
        np.testing.assert_allclose(rows_of(far), lean, atol=2e-5)
        np.testing.assert_allclose(far.values, -np.sort(-lean, 1)[:, :256], atol=2e-5)
        np.testing.assert_allclose(far.values, np.take_along_axis(lean, far.ids, 1), atol=2e-5)
        np.testing.assert_allclose(far.scale, torch.tensor(lean).logsumexp(1).numpy(), atol=2e-5)


def test_a_step_takes_the_smallest_size_that_holds_it():
    assert [_size(num, True) for num in (1, 2, 3, 33, 64, 65)] == [1, 2, 4, 64, 64, 0]
    assert [_size(num, False) for num in (2, 8, 9, 128, 129)] == [8, 8, 16, 128, 0]
    assert len({(size, single) for size in SIZES for single in (True, False) if _size(size, single) == size}) == 12


def test_sequences_that_share_a_beginning_or_are_moved_together_keep_what_they_hold(model):
    decoder, ids = pooled(model, 4 * 64 - 1), Random(3).choices(range(VOCABULARY), k=60)
    caches = [decoder.new_cache(64) for _ in range(4)]
    with pytest.raises(MemoryError, match="room for 64 more"):
        decoder.new_cache(1)
    wanted = LeanDecoder(model)
    wanted = wanted.forward([Run(wanted.new_cache(64), ids, 20)])
    decoder.forward([Run(caches[1], ids, 0)])
    decoder.share(caches[1], 40, caches[3])
    found = decoder.forward([Run(caches[3], ids[40:], 20)])
    np.testing.assert_allclose(rows_of(found), wanted, atol=2e-5)
    del caches[2], caches[0]
    long = decoder.new_cache(2 * 64)  # only once the two that are left stand side by side
    assert [cache.state for cache in (*caches, long)] == [0, 64, 128]
    for cache in caches:
        cache.cut(40)
        np.testing.assert_allclose(rows_of(decoder.forward([Run(cache, ids[40:], 20)])), wanted, atol=2e-5)


def test_a_token_that_the_model_lacks_is_refused_before_it_reaches_the_device(model):
    decoder = pooled(model)
    cache = decoder.new_cache(8)
    with pytest.raises(IndexError, match="no token 700"):
        decoder.forward([Run(cache, [3, VOCABULARY], 1)])
    assert cache.ids == []


def test_a_faster_decoder_is_taken_only_where_it_finds_what_the_model_finds(model, caplog):
    def fails(model):
        raise RuntimeError("no compiler")

    def wrong(model):
        decoder = pooled(model)
        decoder._attention = lambda queries, keys, values, where: looped_attention(queries, keys, values, where) * 1.1
        return decoder

    caplog.set_level("INFO")
    assert type(decoder_for(model, [fails, wrong])) is LeanDecoder
    assert "no compiler" in caplog.text and "logits are off by" in caplog.text
    assert type(decoder_for(model, [pooled])) is PooledDecoder
    assert pooled_decoders(model, 2**20) == [], "without a device"


def test_a_decoder_whose_steps_cannot_be_recorded_says_so_and_goes_on(model, monkeypatch, caplog):
    def fails():
        raise RuntimeError("out of memory")

    decoder = pooled(model)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", fails)
    decoder._steps[1, True] = None
    decoder._record()
    assert "not recorded" in caplog.text and "out of memory" in caplog.text and not decoder._steps
    assert np.isfinite(decoder.forward([Run(decoder.new_cache(8), [3, 4], 1)]).values).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device_recorded_steps_and_fused_kernels_find_what_the_model_finds():
    torch.manual_seed(5)
    sizes = {**SIZE, "hidden_size": 256, "intermediate_size": 512}
    model = Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=64)).to("cuda", torch.bfloat16).eval()
    ids = Random(1).choices(range(VOCABULARY), k=200)
    with torch.inference_mode():
        wanted = model(torch.tensor([ids], device="cuda")).logits[0].float().cpu().numpy()
    for is_fused in (True, False):
        decoder = PooledDecoder(model, cache_bytes=2**26, is_fused=is_fused)
        assert decoder._steps
        cache, found = decoder.new_cache(200), []
        for size in [150, 20, *[1] * 30]:
            begin = len(cache.ids)
            found.append(rows_of(decoder.forward([Run(cache, ids[begin : begin + size], size)])))
        found = np.concatenate(found)
        assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)
        assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.9


TITLES = [[frozenset({71}), frozenset({72, 74}), frozenset({73})], [frozenset({82}), frozenset({81})]]


def reply(scheduler: Scheduler, ids, sampling) -> list[int]:
    written = []
    locks = Locks(TitleLock(TITLES, bad_openers=frozenset(range(0, 60))), NumberLock((), {}))
    marks = {number for number in range(60, VOCABULARY) if number % 5 == 0} | {73, 81}
    decode = lambda token: written.append(token) or ("**" if token in marks else f"{token} ")
    task = ReplyTask(ids, sampling, limit=25, locks=locks, ends=Ends(frozenset({2}), []), decode=decode)
    scheduler.submit(task)
    "".join(task.pieces())
    return written


def test_the_same_seed_writes_the_same_reply_with_either_decoder(model):
    prompts = [Random(number).choices(range(60, VOCABULARY), k=90) for number in range(10)]
    samplings = [
        Sampling(seed=1),
        Sampling(seed=2, temperature=0),
        Sampling(seed=3, top_k=20),
        Sampling(seed=4, temperature=1.3),
        *(Sampling(seed=seed, repetition_penalty=9.0) for seed in range(5, 11)),
    ]
    replies = []
    for decoder in (LeanDecoder(model), pooled(model)):
        scheduler = Scheduler(decoder, cache_bytes=1024 * decoder.bytes_per_token)
        with ThreadPoolExecutor() as executor:
            found = list(executor.map(partial(reply, scheduler), prompts, samplings))
        scheduler.submit(task := ScoreTask(prompts[0], found[0]))
        replies.append((found, task.scores()))
    (lean, lean_scores), (far, far_scores) = replies
    assert lean == far and all(len(written) > 1 for written in far)
    named = [(one, other) for written in far for one, other in pairwise(written) if one in (71, 82)]
    assert len(named) > 4 and set(named) <= {(71, 72), (71, 74), (82, 81)}
    np.testing.assert_allclose(far_scores, lean_scores, atol=1e-4)


# Drawing from the likeliest alone


def known(logits: np.ndarray, num_known: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    ids = np.argsort(-logits, kind="stable")[:num_known]
    scale = float(np.logaddexp.reduce(logits.astype(np.float64)))
    return logits[ids], ids, scale, 1 - np.exp(logits[ids] - scale).sum()


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=1.0, top_p=0.8), Sampling(top_k=12), Sampling(temperature=0.0)]
)
@pytest.mark.parametrize("banned", [frozenset(), frozenset(range(0, 500, 2))])
def test_what_is_drawn_from_the_likeliest_is_what_is_drawn_from_all(sampling, banned):
    num_drawn, rng = 0, np.random.default_rng(4)
    for seed in range(300):
        logits = (rng.normal(size=3000) * 4).astype(np.float32)
        held = logits.copy()
        held[list(banned)] = -np.inf
        generator, other = Random(seed), Random(seed)
        token = draw_near(*known(logits, 256), sampling, generator, banned)
        if token is None:
            assert generator.random() == other.random(), "nothing was taken from the generator"
        else:
            num_drawn += 1
            assert token == draw(held, sampling, other, [])
    assert num_drawn > 100


def test_nothing_is_drawn_from_the_likeliest_where_others_might_matter():
    flat, peaked = np.zeros(3000, np.float32), np.linspace(8, -8, 3000, dtype=np.float32)
    assert draw_near(*known(flat, 256), Sampling(), Random(1), frozenset()) is None
    assert draw_near(*known(peaked * 20, 256), Sampling(), Random(1), frozenset()) is not None
    for sampling in (
        Sampling(temperature=1.3),
        Sampling(repetition_penalty=1.2),
        Sampling(top_k=400),
        Sampling(top_p=1.0),
    ):
        assert draw_near(*known(peaked * 20, 256), sampling, Random(1), frozenset()) is None
    assert draw_near(*known(peaked * 20, 256), Sampling(), Random(1), frozenset(range(256))) is None


def test_logits_that_stay_on_the_device_are_indexed_like_an_array():
    whole = np.random.default_rng(2).normal(size=(3, 50)).astype(np.float32)
    ids = np.argsort(-whole, 1)[:, :5]
    summary = np.array([[1.0, 0], [2.0, 0], [3.0, 0]], np.float32)
    far = FarLogits(torch.tensor(whole), summary, np.take_along_axis(whole, ids, 1), ids)
    assert len(far) == 3 and len(far[1:]) == 2 and far[-1:].scale == [3]
    np.testing.assert_array_equal(far[1:][1:][np.arange(1), [7]], whole[2, [7]])
    np.testing.assert_array_equal(far[1:][0], whole[1])
    np.testing.assert_array_equal(far[np.arange(3), [4, 9, 2]], whole[np.arange(3), [4, 9, 2]])
    for token in (int(ids[2, 3]), int(whole[2].argmin())):
        assert far[1:].score(1, token) == pytest.approx(float(whole[2, token]) - 3, abs=1e-6)
