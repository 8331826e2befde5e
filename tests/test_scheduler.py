"""One thread for everybody: what a reply is must not depend on who else writes, what fails, or what was written before."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from genrec.bench import faults, speed
from genrec.engines.decoder import LeanDecoder, ModuleDecoder, decoder_for
from genrec.engines.local import LocalEngine
from genrec.engines.runs import Run
from genrec.engines.scheduler import Scheduler, log_sum_exp, shared_length
from genrec.engines.tasks import ScoreTask
from genrec.errors import EngineError
from genrec.schema import Sampling

SYSTEM = {
    "role": "system",
    "content": "x\n\nAnswer in English, warm, one pick.\n1. **Blue Train** | album | 1957 | jazz",
}
PROMPTS = [
    [SYSTEM, {"role": "user", "content": text}] for text in ("slow jazz", "我喜欢爵士", "brass", "a quiet evening")
]
VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 256, "initializer_range": 0.3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def tiny(kind: str = "llama"):
    torch.manual_seed(3)
    match kind:
        case "llama":
            model = LlamaForCausalLM(LlamaConfig(**SIZES))
        case "llama with biases":
            model = LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True))
        case "llama with scaled positions":
            scaling = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 64}
            model = LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=scaling))
        case "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**SIZES))
        case "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16))
        case "mistral":
            model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None))
        case "mistral that forgets":
            model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16))
    for parameter in model.parameters():  # norms and biases are ones and zeros at first, which would hide their absence
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model.eval()


class Note:
    """A task that takes its logits down; the next tokens come from a script, or what is in it is raised."""

    def __init__(self, ids, script=(), *, is_reply=True, first_wanted=None, pause=None, guesses=None):
        self.ids, self.is_reply, self.is_cancelled = list(ids), is_reply, False
        self.wants_logits = is_reply
        self.first_wanted = len(self.ids) - 1 if first_wanted is None else first_wanted
        self.script, self.max_tokens = list(script), len(self.ids) + len(script)
        self.logits, self.ended, self.error = [], threading.Event(), None
        self.guesses = guesses  # by the number of tokens taken so far
        self.pause = pause  # an event that is waited for in the midst of writing

    def take(self, logits, scale):
        self.logits.append(logits)
        if self.pause and len(self.logits) == 4:
            assert self.pause.wait(30)
        if not self.script:
            return []
        wanted = self.script.pop(0)
        if isinstance(wanted, Exception):
            raise wanted
        return [wanted]

    def guess(self, num_tokens):
        return (self.guesses or {}).get(len(self.logits), [])[:num_tokens]

    def skip(self, scores):
        self.first_wanted += len(scores)

    def hand_on(self):
        pass

    def fail(self, error):
        self.error = error
        self.ended.set()

    def end(self):
        self.ended.set()

    def wait(self):
        assert self.ended.wait(30)
        return self


@pytest.fixture
def scheduler():
    return Scheduler(LeanDecoder(tiny()), cache_bytes=2**20)


@pytest.fixture
def fed(scheduler, monkeypatch):
    """The runs of each step, as (tokens in the cache, tokens fed)."""
    steps, forward = [], scheduler.decoder.forward

    def noted(runs):
        steps.append([(len(run.cache.ids), len(run.ids)) for run in runs])
        return forward(runs)

    monkeypatch.setattr(scheduler.decoder, "forward", noted)
    return steps


def whole(ids) -> np.ndarray:
    with torch.inference_mode():
        return tiny()(torch.tensor([ids])).logits[0].numpy()


# The lean decoder


LEAN = ["llama", "llama with biases", "llama with scaled positions", "qwen2", "qwen3", "mistral"]


@pytest.mark.parametrize("kind", LEAN)
def test_sequences_side_by_side_get_the_logits_of_the_model_itself(kind):
    model, ids = tiny(kind), [list(range(3, 40)), list(range(50, 70))]
    decoder = decoder_for(model)
    assert isinstance(decoder, LeanDecoder)
    caches, found = [decoder.new_cache(64) for _ in ids], [[], []]
    for sizes in ([20, 1], [1, 18], [16, 1]):
        runs = [
            Run(cache, row[len(cache.ids) : len(cache.ids) + size], size)
            for cache, row, size in zip(caches, ids, sizes, strict=True)
        ]
        logits = decoder.forward(runs)
        for rows, part in zip(found, np.split(logits, np.cumsum(sizes)[:-1]), strict=True):
            rows.append(part)
    for row, logits in zip(ids, found, strict=True):
        with torch.inference_mode():
            wanted = model(torch.tensor([row])).logits[0]
        np.testing.assert_allclose(np.concatenate(logits), wanted.numpy(), atol=2e-4)


def test_a_model_that_the_lean_decoder_does_not_know_runs_through_its_own_module():
    assert isinstance(decoder_for(tiny("mistral that forgets")), ModuleDecoder)


def test_a_model_that_computes_something_else_than_its_family_is_found_out():
    model = tiny()
    for layer in model.model.layers:
        layer.self_attn.scaling = 1.0
    assert isinstance(decoder_for(model), ModuleDecoder)


def test_a_model_of_which_there_may_be_no_copy_computes_the_same_and_can_still_be_saved(monkeypatch, tmp_path):
    monkeypatch.setattr("genrec.engines.decoder._SMALL", 0)
    model, ids = tiny("qwen3"), list(range(3, 40))
    decoder = decoder_for(model)
    assert isinstance(decoder, LeanDecoder)
    fused = decoder._layers[0].qkv.weight.untyped_storage().data_ptr()
    assert model.model.layers[0].self_attn.k_proj.weight.untyped_storage().data_ptr() == fused
    with torch.inference_mode():
        np.testing.assert_allclose(
            model(torch.tensor([ids])).logits.numpy(), tiny("qwen3")(torch.tensor([ids])).logits.numpy(), atol=1e-4
        )


# Prefixes


def test_a_sequence_begins_where_an_earlier_one_has_its_keys_and_values(scheduler, fed):
    first = Note(range(3, 33), script=[40, 41])
    scheduler.submit(first)
    first.wait()
    fed.clear()
    second = Note([*range(3, 33), 40, 41, 50, 51])
    scheduler.submit(second)
    second.wait()
    assert fed == [[(32, 2)]] or fed == [[(31, 3)]]
    np.testing.assert_allclose(second.logits[0][0], whole(second.ids)[-1], atol=2e-4)


def test_guessed_tokens_count_as_far_as_they_are_drawn(scheduler, fed):
    prompt, script = list(range(3, 33)), [40, 41, 42, 43, 44, 45]
    guesses = {1: [41, 42, 90], 4: [91, 92], 5: [45, 93]}  # two right, none, and one beyond the end
    note = Note(prompt, script, guesses=guesses)
    note.max_tokens = 60
    scheduler.submit(note)
    note.wait()
    assert fed == [[(0, 30)], [(30, 4)], [(33, 3)], [(34, 3)]]
    assert [cache.ids for cache in scheduler._kept.values()] == [[*prompt, *script]]
    wanted = whole([*prompt, *script])
    assert len(note.logits) == 7
    np.testing.assert_allclose(np.concatenate(note.logits), wanted[len(prompt) - 1 :], atol=2e-4)
    log_probabilities = torch.log_softmax(torch.tensor(wanted), 1).numpy()
    scheduler.submit(task := ScoreTask(prompt, script))
    places = np.arange(len(script))
    np.testing.assert_allclose(task.scores(), log_probabilities[len(prompt) - 1 + places, script], atol=1e-4)
    assert fed[4:] == [[(34, 1)]], "the last token only is read again"


def test_no_more_is_guessed_than_the_reply_may_be_long(scheduler, fed):
    note = Note([3, 4, 5], script=[40, 41, 42], guesses=dict.fromkeys(range(9), [90] * 9))
    scheduler.submit(note)
    note.wait()
    assert fed == [[(0, 3)], [(3, 2)], [(4, 1)], [(5, 1)]] and note.max_tokens == 6


@pytest.mark.parametrize(("num_writing", "sizes"), [(1, [8]), (2, [5, 5]), (4, [4, 4, 3, 1])])
def test_less_is_guessed_for_each_of_many_and_no_more_than_a_step_bears(scheduler, fed, num_writing, sizes):
    notes = [Note([number, 5], [40, 41], guesses={1: [90] * 9}) for number in range(10, 10 + num_writing)]
    with scheduler._changed:  # all wait before the first step
        for note in notes:
            note.max_tokens = 60
            scheduler.submit(note)
    for note in notes:
        assert note.wait().error is None
    assert [[size for _, size in step] for step in fed] == [[2] * num_writing, sizes, [1] * num_writing]


def test_two_sequences_from_one_beginning_leave_each_other_alone(scheduler):
    beginning = list(range(3, 33))
    scheduler.submit(first := Note(beginning, script=[40]))
    first.wait()
    notes = [Note([*beginning, token, token], script=[token]) for token in (60, 70)]
    for note in notes:
        scheduler.submit(note)
    for note in notes:
        note.wait()
        np.testing.assert_allclose(note.logits[-1][0], whole([*note.ids, note.ids[-1]])[-1], atol=2e-4)


def test_among_many_ended_replies_the_oldest_gives_its_memory_to_the_next(scheduler, monkeypatch):
    scheduler._max_open = 2
    made, new_cache = [], scheduler.decoder.new_cache
    monkeypatch.setattr(scheduler.decoder, "new_cache", lambda num_tokens: made.append(1) or new_cache(num_tokens))
    beginning = list(range(30, 50))
    for ids in [[number, 5, 6] for number in range(10, 14)] + [
        beginning,
        [*beginning, 7],
        [*beginning[:9], 8, 9],
        [11, 5, 7],
    ]:
        scheduler.submit(note := Note(ids, script=[40]))
        assert note.wait().error is None
        np.testing.assert_allclose(note.logits[-1][0], whole([*ids, 40])[-1], atol=2e-4)
    assert len(made) == 4 and len(scheduler._kept) == 4


def test_a_reply_just_written_is_scored_by_what_it_scored_when_it_was_drawn(scheduler, fed):
    prompt, text = list(range(3, 33)), [40, 41, 42, 43, 44]
    scheduler.submit(note := Note(prompt, script=text))
    note.wait()
    fed.clear()
    log_probabilities = torch.log_softmax(torch.tensor(whole([*prompt, *text])), 1)
    wanted = [float(log_probabilities[len(prompt) - 1 + place, token]) for place, token in enumerate(text)]
    for ids, num_fed in ((text, 1), (text[:3], 1), ([*text[:3], 70, 71], 2)):
        scheduler.submit(task := ScoreTask(prompt, ids))
        found = task.scores()
        same = min(len(ids), 3)
        np.testing.assert_allclose(found[:same], wanted[:same], atol=1e-4)
        assert len(found) == len(ids) and [sum(size for _, size in step) for step in fed] == [num_fed]
        fed.clear()


def test_logits_become_log_probabilities_whatever_their_number():
    logits = np.random.default_rng(0).normal(0, 30, (70, 11)).astype(np.float32)
    for num_rows in (0, 1, 32, 33, 70):
        wanted = torch.logsumexp(torch.tensor(logits[:num_rows]), 1).numpy()
        np.testing.assert_allclose(log_sum_exp(logits[:num_rows]), wanted, rtol=1e-6)


def test_nobody_hears_of_a_step_before_all_have_drawn(scheduler):
    notes = [Note([number, 5], script=[40, 41]) for number in range(10, 14)]
    heard = []
    for note in notes:
        note.hand_on = lambda: heard.append([len(each.logits) for each in notes])
    with scheduler._changed:  # all wait before the first step
        for note in notes:
            scheduler.submit(note)
    for note in notes:
        assert note.wait().error is None
    assert heard == [[number] * 4 for number in (1, 2, 3) for _ in notes]


def test_what_is_shared_is_counted_from_the_beginning():
    assert shared_length([1, 2, 3, 4], [1, 2, 4, 4]) == 2
    assert shared_length([1, 2], [1, 2, 3]) == 2 and shared_length([], [1]) == 0 and shared_length([2], [1]) == 0


# Order and room


def test_a_long_prompt_is_read_in_parts_while_others_write(scheduler, fed):
    writing = Note([3, 4], script=[5] * 60, pause=threading.Event())
    scheduler.submit(writing)
    while len(writing.logits) < 4:
        time.sleep(0.001)
    scheduler.submit(long := Note(list(range(3, 90)) * 2))
    writing.pause.set()
    long.wait()
    writing.wait()
    shared = [step for step in fed if len(step) > 1]
    assert len(shared) >= 2 and all(sum(size for _, size in step[1:]) <= 48 for step in shared)
    np.testing.assert_allclose(long.logits[0][0], whole(long.ids)[-1], atol=2e-4)


def test_less_of_a_prompt_is_read_while_many_write(scheduler, fed):
    gate = threading.Event()
    writing = [Note([3, number], script=[5] * 30, pause=gate) for number in range(8)]
    with scheduler._changed:  # all wait before the first step
        for note in writing:
            scheduler.submit(note)
    while len(writing[0].logits) < 4:
        time.sleep(0.001)
    scheduler.submit(long := Note(list(range(60, 90)) * 6))
    gate.set()
    assert long.wait().error is None
    parts = [size for step in fed for start, size in step if size > 2]
    assert sum(parts) == len(long.ids) and parts[0] == 48 - len(writing)


def test_texts_are_scored_together_once_the_first_has_read_what_they_share(scheduler, fed):
    prompt, texts = [*range(3, 90)] * 2, [[number, 40, 41, 42] for number in range(50, 60)]
    tasks = [ScoreTask(prompt, text) for text in texts]
    with scheduler._changed:  # all wait before the first step
        for task in tasks:
            scheduler.submit(task)
    found = [task.scores() for task in tasks]
    assert [[size for _, size in step] for step in fed] == [[177], [4] * 8, [4]]
    assert len(scheduler._scored) == 8
    for text, scores in zip(texts, found, strict=True):
        log_probabilities = torch.log_softmax(torch.tensor(whole([*prompt, *text])), 1)
        wanted = [float(log_probabilities[len(prompt) - 1 + place, token]) for place, token in enumerate(text)]
        np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_two_threads_take_on_twice_as_much_that_nobody_waits_for(scheduler, monkeypatch):
    monkeypatch.setattr(scheduler.decoder, "num_threads", 2)
    double = Scheduler(scheduler.decoder, cache_bytes=2**21)
    steps, forward = [], double.decoder.forward
    monkeypatch.setattr(
        double.decoder, "forward", lambda runs: steps.append([len(run.ids) for run in runs]) or forward(runs)
    )
    tasks = [ScoreTask([number, *range(3, 90)], [40, 41, 42]) for number in range(3, 23)]
    with double._changed:  # all wait before the first step
        for task in tasks:
            double.submit(task)
    for task in tasks:
        task.scores()
    assert [(len(step), sum(step)) for step in steps] == [(12, 1024), (9, 776)]


def test_texts_are_read_into_the_memory_of_those_before(scheduler, monkeypatch):
    made, new_cache = [], scheduler.decoder.new_cache
    monkeypatch.setattr(scheduler.decoder, "new_cache", lambda size: made.append(size) or new_cache(size))
    for number in range(3, 43):
        scheduler.submit(task := ScoreTask([number, *range(3, 60)], [40, 41]))
        found = task.scores()
        wanted = torch.log_softmax(torch.tensor(whole(task.ids)), 1)[-2:, [40, 41]].diagonal()
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert len(made) == 9


def test_texts_that_begin_otherwise_are_read_at_once(scheduler, fed):
    prompts = [[*range(3, 90)] * 2, [*range(89, 2, -1)] * 2]
    tasks = [ScoreTask(prompt, [number, 41]) for prompt in prompts for number in (50, 51)]
    with scheduler._changed:  # all wait before the first step
        for task in tasks:
            scheduler.submit(task)
    for task in tasks:
        task.scores()
    assert [[size for _, size in step] for step in fed] == [[175, 175], [2, 2]]


def test_a_text_that_shares_little_with_a_scored_one_leaves_its_keys_and_values(scheduler, fed):
    first = [*range(3, 90)] * 2
    for prompt in (first, [*first[:30], *range(89, 30, -1)], first):
        scheduler.submit(task := ScoreTask(prompt, [50, 41]))
        task.scores()
    assert [step[0][0] for step in fed] == [0, 30, 173]


@pytest.mark.parametrize(("length", "parts"), [(80, [64, 16]), (72, [72])])
def test_scoring_waits_while_others_write_but_not_for_ever(scheduler, fed, length, parts):
    writing = Note([3, 4], script=[5] * 100, pause=threading.Event())
    scheduler.submit(writing)
    while len(writing.logits) < 4:
        time.sleep(0.001)
    scheduler.submit(scored := Note([9] * length, is_reply=False, first_wanted=10))
    writing.pause.set()
    scored.wait()
    writing.wait()
    np.testing.assert_allclose(np.concatenate(scored.logits), whole(scored.ids)[10:], atol=2e-4)
    with_score = [number for number, step in enumerate(fed) if len(step) > 1]
    assert [fed[number][1][1] for number in with_score] == parts
    assert all(np.diff(with_score) >= 24)


def test_no_two_texts_are_begun_between_two_tokens_of_a_reply(scheduler, monkeypatch):
    begun, admit = [], scheduler._admit

    def noted():
        before = len(scheduler._open)
        admit()
        begun.append(len(scheduler._open) - before)

    writing = Note([3, 4], script=[5] * 60, pause=threading.Event())
    scheduler.submit(writing)
    while len(writing.logits) < 4:
        time.sleep(0.001)
    monkeypatch.setattr(scheduler, "_admit", noted)
    tasks = [ScoreTask([*range(3, 30)], [number, 40, 41, 42]) for number in range(50, 58)]
    with scheduler._changed:  # all wait before the next step
        for task in tasks:
            scheduler.submit(task)
    writing.pause.set()
    for task in tasks:
        task.scores()
    assert sum(begun) == len(tasks) and max(begun) == 1


def test_more_replies_than_there_is_memory_for_wait_their_turn():
    scheduler = Scheduler(decoder := LeanDecoder(tiny()), cache_bytes=0)
    scheduler._max_tokens = 2 * decoder.new_cache(1).capacity
    sizes, forward = [], decoder.forward
    decoder.forward = lambda runs: sizes.append(len(runs)) or forward(runs)
    notes = [Note([number + 3] * 30, script=[5] * 10) for number in range(5)]
    for note in notes:
        scheduler.submit(note)
    for note in notes:
        assert note.wait().error is None and len(note.logits) == 11
    assert max(sizes) == 2


def test_a_full_line_is_told_so_and_a_task_beyond_the_memory_too(scheduler, monkeypatch):
    gate = threading.Event()
    forward = scheduler.decoder.forward
    monkeypatch.setattr(scheduler.decoder, "forward", lambda runs: gate.wait(30) and forward(runs))
    scheduler._max_open, scheduler._max_waiting = 1, 1
    notes = [Note([3, 4]) for _ in range(3)]
    scheduler.submit(notes[0])
    deadline = time.monotonic() + 10
    while scheduler._waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    scheduler.submit(notes[1])
    with pytest.raises(EngineError, match="busy"):
        scheduler.submit(notes[2])
    gate.set()
    assert notes[0].wait().error is None and notes[1].wait().error is None
    with pytest.raises(EngineError, match="memory for 900000 tokens"):
        scheduler.submit(Note([3] * 900_000))


# Faults


def test_a_task_that_raises_ends_alone(scheduler):
    notes = [Note([3, 4], script=[5, ValueError("odd\nlines"), 6]), Note([7, 8], script=[5] * 10)]
    for note in notes:
        scheduler.submit(note)
    assert str(notes[0].wait().error) == "The model stopped: odd"
    assert notes[1].wait().error is None and len(notes[1].logits) == 11
    assert scheduler.num_open == 0


def test_a_token_that_the_model_does_not_have_ends_one_reply_only(scheduler):
    notes = [Note([3, VOCABULARY + 5]), Note([7, 8], script=[5] * 10)]
    for note in notes:
        scheduler.submit(note)
    assert "index" in str(notes[0].wait().error)
    assert notes[1].wait().error is None


def test_a_bug_in_the_scheduler_itself_leaves_no_stream_open(scheduler, monkeypatch):
    monkeypatch.setattr(scheduler, "_choose", lambda: 1 / 0)
    scheduler.submit(note := Note([3, 4]))
    assert "division" in str(note.wait().error)
    monkeypatch.undo()
    scheduler.submit(note := Note([3, 4]))
    assert note.wait().error is None


def test_the_thread_ends_when_there_is_nothing_to_do_and_comes_back(scheduler, monkeypatch):
    monkeypatch.setattr("genrec.engines.scheduler._IDLE_S", 0.02)
    for _ in range(2):
        scheduler.submit(note := Note([3, 4]))
        note.wait()
        deadline = time.monotonic() + 10
        while scheduler._thread is not None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert scheduler._thread is None


# The bundled writer, by the checks of `python -m genrec bench faults`


@pytest.fixture(scope="module")
def engine(assets) -> LocalEngine:
    return LocalEngine.load_plain(assets / "models" / "writer", name="writer")


def test_the_same_seed_writes_the_same_text_in_company(engine):
    assert faults.differing(engine, PROMPTS, 6, company=6, max_new_tokens=16) == 0


def test_cancelled_and_forgotten_streams_give_their_places_back(engine):
    assert faults.cancelled(engine, PROMPTS, 10) == 0
    assert faults.vanished(engine, PROMPTS, 4) == 0


def test_a_failed_step_is_nobodys_loss_and_a_failing_reply_only_its_own(engine):
    assert faults.failed_step(engine, PROMPTS, company=3) == 0
    assert faults.failed_neighbour(engine, PROMPTS, company=3) == 0


def test_the_speed_of_a_reply_counts_its_tokens_and_its_waits():
    written = [speed.Written(0.0, 4, [1.0, 1.5, 2.0]), speed.Written(1.0, 6, [1.2, 5.0])]
    assert speed.rate(written) == 10 / 5
    assert speed.gaps_of([written]) == [0.5, 0.5, pytest.approx(3.8)]


def test_a_second_turn_reads_only_what_is_new(engine):
    reply = "".join(engine.stream(PROMPTS[0], Sampling(seed=1, max_new_tokens=12)))
    second = [*PROMPTS[0], {"role": "assistant", "content": reply}, {"role": "user", "content": "another one?"}]
    fed = []
    with faults.steps_through(engine, lambda runs: fed.extend(len(run.ids) for run in runs)):
        next(engine.stream(second, Sampling(seed=1)))
    assert fed[0] < 0.4 * len(engine.prompt_ids(second))


def test_a_second_turn_mostly_goes_on_in_the_memory_of_the_first(engine, monkeypatch):
    made, new_cache = [], engine.decoder.new_cache
    monkeypatch.setattr(
        engine.decoder, "new_cache", lambda num_tokens: made.append(num_tokens) or new_cache(num_tokens)
    )
    for seed in range(3):
        first = [{"role": "user", "content": f"{seed} quiet books"}]
        reply = "".join(engine.stream(first, Sampling(seed=seed, max_new_tokens=30)))
        made.clear()
        second = [*first, {"role": "assistant", "content": reply}, {"role": "user", "content": "Something shorter?"}]
        assert "".join(engine.stream(second, Sampling(seed=seed, max_new_tokens=30))) and made == []
