"""One contract for every local engine: tiny random Qwen3, Llama, Gemma 3 and Mistral models with the oddities of their families, and the bundled writer.

The tiny models are built here; their expected prompts are written out by hand. All compute in float32, so that sums agree to 1e-4.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from genrec.engines.decoder import LeanDecoder
from genrec.engines.filters import hide_thoughts, stop_before
from genrec.engines.local import LocalEngine
from genrec.errors import EngineError
from genrec.load import load_compared
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings

WINDOW = 320
CONTROL = ["<|pad|>", "<|end|>", "<|stop|>", "<|im_start|>", "<bos>", "<think>", "</think>", "pondering"]
TEXTS = [
    "I like slow jazz and long films. Please recommend something calm for two.",
    "我喜欢慢热的科幻片，不要恐怖片。",
    "Be kind. The system text. User: Assistant:",
] * 4
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I like slow jazz."}]
OTHERS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "我喜欢慢热的科幻片"}]
TEMPLATES = {
    # opens a thought, as reasoning models do
    "qwen3": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if not loop.last or add_generation_prompt %}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}",
    "llama": None,
    # refuses the system role, as Gemma's does
    "gemma": "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}<bos>"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}",
    # silently drops the system role
    "mistral": "<bos>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content }}<|end|>{% endif %}{% endfor %}",
}
PROMPTS = {  # what the model must read for MESSAGES, by hand
    "qwen3": "<|im_start|>system\nBe kind.<|end|>\n<|im_start|>user\nI like slow jazz.<|end|>\n<|im_start|>assistant\n<think>",
    "llama": "System: Be kind.\nUser: I like slow jazz.\nAssistant:",
    "gemma": "<bos><|im_start|>user\nBe kind.\n\nI like slow jazz.<|end|>\n<|im_start|>model\n",
    "mistral": "<bos>[INST] Be kind.\n\nI like slow jazz. [/INST]",
}
KINDS = [*PROMPTS, "writer"]


def tiny_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 420 entries; <think>, </think> and "pondering" are added tokens but not special ones, as in Qwen's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=412, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(CONTROL[:5])
    tokenizer.add_tokens(CONTROL[5:])
    pad = {} if kind in ("llama", "mistral") else {"pad_token": "<|pad|>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<bos>", clean_up_tokenization_spaces=False, **pad
    )
    fast.chat_template = TEMPLATES[kind]
    return fast


def tiny_model(kind: str, tokenizer: PreTrainedTokenizerFast):
    torch.manual_seed(7)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in CONTROL}
    common = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "max_position_embeddings": WINDOW, "initializer_range": 0.3, "bos_token_id": ids["<bos>"], "eos_token_id": ids["<|end|>"],
        "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": False,
    }  # fmt: skip
    match kind:
        case "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**common))
            _make_it_think(model, ids)
        case "llama":
            model = LlamaForCausalLM(LlamaConfig(**common))
        case "gemma":
            model = Gemma3ForCausalLM(
                Gemma3TextConfig(**common, sliding_window=16, layer_types=["sliding_attention", "full_attention"])
            )
        case "mistral":
            model = MistralForCausalLM(MistralConfig(**common, sliding_window=16))
    ends = [ids["<|end|>"], ids["<|stop|>"]] if kind in ("gemma", "llama") else ids["<|end|>"]
    model.generation_config = GenerationConfig(
        eos_token_id=ends, bos_token_id=ids["<bos>"], pad_token_id=tokenizer.pad_token_id
    )
    return model.eval()


def _make_it_think(model, ids: dict[str, int]) -> None:
    """After <think> the model writes "pondering", then </think>, then anything: the first two channels carry only that."""
    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embedding[:, :2] = 0
        embedding[ids["<think>"], 0] = embedding[ids["pondering"], 1] = 50
        head[ids["pondering"]] = head[ids["</think>"]] = 0
        head[ids["pondering"], 0] = head[ids["</think>"], 1] = 50
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[:2] = 0
            layer.mlp.down_proj.weight[:2] = 0


@dataclass
class Case:
    """An engine, and its model and tokenizer for reckoning by hand."""

    kind: str
    engine: LocalEngine
    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerFast

    def prompt(self, messages) -> str:
        if self.kind == "writer":
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        system, user = (message["content"] for message in messages)
        return PROMPTS[self.kind].replace("Be kind.", system).replace("I like slow jazz.", user)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def text(self, messages=MESSAGES, **options) -> str:
        return "".join(
            self.engine.stream(messages, Sampling(**{"temperature": 1.0, "max_new_tokens": 24, "seed": 1, **options}))
        )


@pytest.fixture(scope="module")
def folders(tmp_path_factory, assets):
    """A saved model for each kind."""
    found = {"writer": assets / "models" / "writer"}
    for kind in PROMPTS:
        found[kind] = tmp_path_factory.mktemp(kind)
        tokenizer = tiny_tokenizer(kind)
        tokenizer.save_pretrained(found[kind])
        tiny_model(kind, tokenizer).save_pretrained(found[kind])
    return found


@pytest.fixture(scope="module", params=KINDS)
def case(request, folders) -> Case:
    folder = folders[request.param]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    is_plain = request.param == "writer"
    engine = LocalEngine.load_plain(folder, name="writer") if is_plain else LocalEngine.of(model, tokenizer, name="")
    return Case(request.param, engine, model, tokenizer)


@pytest.fixture
def read(case, monkeypatch):
    """What the model has read after each step: lists of ids."""
    calls: list[list[int]] = []
    decoder = case.engine.decoder
    forward = decoder.forward

    def noted(runs):
        calls.extend(run.cache.ids + run.ids for run in runs)
        return forward(runs)

    monkeypatch.setattr(decoder, "forward", noted)
    return calls


class Parrot(LlamaForCausalLM):
    """Wants to write given ids one after another, whatever it reads, and raises what stands among them."""

    def __init__(self, config, script):
        super().__init__(config)
        self.script, self.step = script, 0

    def forward(self, input_ids, **options):
        wanted = self.script[self.step % len(self.script)]
        self.step += 1
        if isinstance(wanted, Exception):
            raise wanted
        output = super().forward(input_ids, **options)
        output.logits = torch.nn.functional.one_hot(torch.tensor([[wanted]]), self.config.vocab_size).float()
        return output


def parrot(script) -> LocalEngine:
    tokenizer = tiny_tokenizer("llama")
    if isinstance(script, str):
        script = tokenizer(script, add_special_tokens=False)["input_ids"]
    config = tiny_model("llama", tokenizer).config
    return LocalEngine.of(Parrot(config, script), tokenizer, name="parrot")


# Writing


def test_the_model_reads_what_its_template_makes_of_the_messages(case, read):
    case.text(max_new_tokens=1)
    assert read[0] == case.ids(case.prompt(MESSAGES))


def test_the_same_seed_writes_the_same_text(case):
    texts = [case.text(seed=seed) for seed in (5, 6)]
    assert any(texts) and texts == [case.text(seed=seed) for seed in (5, 6)]


def test_another_seed_writes_another_text(case):
    assert len({case.text(seed=seed, temperature=1.5) for seed in range(4)}) == 4


def test_no_seed_draws_a_fresh_one(case):
    assert len({case.text(seed=None, temperature=1.5) for _ in range(4)}) > 1


def test_at_temperature_zero_the_seed_does_not_matter(case):
    assert case.text(temperature=0, seed=1) == case.text(temperature=0, seed=2) != ""


def test_temperature_zero_takes_the_likeliest_token_each_time(case, read, monkeypatch):
    monkeypatch.setattr("genrec.engines.scheduler._NUM_GUESSED", 0)  # then each step reads the token drawn before
    case.text(temperature=0, max_new_tokens=5)
    drawn = [call[-1] for call in read[1:]]
    with torch.inference_mode():
        logits = case.model(input_ids=torch.tensor([read[0] + drawn])).logits[0, len(read[0]) - 1 : -1]
    assert drawn == logits.argmax(1).tolist()


def test_a_reply_is_the_same_without_guessing_how_it_goes_on(case, monkeypatch):
    prompt = [*MESSAGES[:1], {"role": "user", "content": "slow slow jazz, slow jazz and slow jazz " * 4}]
    options = [{"temperature": temperature, "max_new_tokens": 40} for temperature in (0.0, 0.3, 1.0)]
    guessed = [case.text(prompt, **one) for one in options]
    monkeypatch.setattr("genrec.engines.scheduler._NUM_GUESSED", 0)
    assert guessed == [case.text(prompt, **one) for one in options]


@pytest.mark.parametrize("limit", [1, 7])
def test_no_more_than_max_new_tokens_are_drawn(case, read, limit):
    text = case.text(max_new_tokens=limit)
    assert 1 <= len(read) <= limit  # each call of the model draws one token
    assert case.text(max_new_tokens=40).startswith(text)


def test_a_stop_string_ends_the_text_and_is_left_out(case, read, monkeypatch):
    forward = case.engine.decoder.forward
    # as long as a step of a real model, so that whoever hears the stop string can cancel before the reply ends of itself
    monkeypatch.setattr(case.engine.decoder, "forward", lambda runs: time.sleep(0.003) or forward(runs))
    whole = case.text(max_new_tokens=60)
    stop = next(
        whole[start : start + 2] for start in range(3, len(whole)) if whole.index(whole[start : start + 2]) == start
    )
    num_calls = len(read)
    assert case.text(max_new_tokens=60, stop=("never written", stop)) == whole[: whole.index(stop)]
    assert len(read) - num_calls < num_calls


def test_closing_the_iterator_stops_the_model(case, monkeypatch):
    steps, decoder = [], case.engine.decoder
    forward = decoder.forward

    def slow(runs):
        steps.append(time.sleep(0.01))
        return forward(runs)

    monkeypatch.setattr(decoder, "forward", slow)
    stream = case.engine.stream(MESSAGES, Sampling(temperature=1.0, max_new_tokens=200, seed=1))
    next(stream)
    stream.close()
    num_steps = len(steps)
    assert next(stream, None) is None
    time.sleep(0.1)
    assert len(steps) <= num_steps + 1


def test_a_prompt_as_long_as_the_window_is_refused_with_both_numbers(case):
    window = case.engine.describe().window
    messages = [MESSAGES[0], {"role": "user", "content": "jazz " * window}]
    num_tokens = len(case.ids(case.prompt(messages)))
    with pytest.raises(EngineError, match=rf"\b{num_tokens}\b.*\b{window}\b"):
        next(case.engine.stream(messages, Sampling()))


def test_prompt_and_reply_together_never_exceed_the_window(case, read):
    window, user = case.engine.describe().window, "x"
    while len(case.ids(case.prompt([MESSAGES[0], {"role": "user", "content": user}]))) < window - 6:
        user += " x"
    case.text([MESSAGES[0], {"role": "user", "content": user}], max_new_tokens=500)
    assert len(read[-1]) < window  # the last token drawn is read no more


def test_a_reply_that_would_never_end_fills_the_window_exactly():
    engine = parrot("x")
    num_prompt = engine.count_tokens(PROMPTS["llama"])
    assert engine.describe().window == WINDOW
    assert "".join(engine.stream(MESSAGES, Sampling(max_new_tokens=10_000, temperature=0))) == "x" * (
        WINDOW - num_prompt
    )


def test_two_interleaved_replies_are_the_same_as_alone(case):
    sampling = Sampling(temperature=1.2, max_new_tokens=16, seed=3)
    alone = ["".join(case.engine.stream(messages, sampling)) for messages in (MESSAGES, OTHERS)]
    streams, texts = [case.engine.stream(messages, sampling) for messages in (MESSAGES, OTHERS)], ["", ""]
    for _ in range(16):
        for number, stream in enumerate(streams):
            texts[number] += next(stream, "")
    assert texts == alone


def test_replies_written_in_threads_are_the_same_as_alone(case):
    jobs = [(MESSAGES, 1), (OTHERS, 2), (MESSAGES, 3)]
    alone = [case.text(messages, seed=seed, max_new_tokens=12) for messages, seed in jobs]
    texts, start = [""] * len(jobs), threading.Barrier(len(jobs))

    def write(number):
        start.wait()
        for piece in case.engine.stream(
            jobs[number][0], Sampling(temperature=1.0, max_new_tokens=12, seed=jobs[number][1])
        ):
            texts[number] += piece

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == alone


def test_control_tokens_typed_in_a_message_are_read_as_text(case, read):
    names = [name for name in [*case.tokenizer.all_special_tokens, *case.tokenizer.get_added_vocab()] if name.strip()]
    typed = [
        {"role": role, "content": "I like " + "".join(names) + "<" + names[0] + "jazz"} for role in ("system", "user")
    ]
    control = {case.tokenizer.convert_tokens_to_ids(name) for name in names}
    case.text(max_new_tokens=1)
    case.text(typed, max_new_tokens=1)
    plain, tricked = ([id for id in call if id in control] for call in read)
    assert tricked == plain


def test_a_last_message_of_the_assistant_is_continued(case, read):
    case.text([*MESSAGES, {"role": "assistant", "content": "Try this"}], max_new_tokens=1)
    text = case.tokenizer.decode(read[0], skip_special_tokens=False)
    assert text.endswith("Try this") and "slow jazz" in text


def test_thoughts_are_not_shown(case):
    shown = "".join(case.text(seed=seed) for seed in range(4))
    assert shown
    if case.kind == "qwen3":  # the others are random, and now and then write a mark that closes nothing
        assert "think>" not in shown and "pondering" not in shown


def test_the_thinking_model_did_think(folders):
    tokenizer = AutoTokenizer.from_pretrained(folders["qwen3"], local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folders["qwen3"], dtype=torch.float32, local_files_only=True)
    ids = tokenizer(PROMPTS["qwen3"], add_special_tokens=False, return_tensors="pt")["input_ids"]
    written = model.generate(ids, do_sample=False, max_new_tokens=2, attention_mask=torch.ones_like(ids))[0, -2:]
    assert tokenizer.decode(written) == "pondering</think>"


@pytest.mark.parametrize("end", ["<|end|>", "<|stop|>"])
def test_every_end_token_of_a_list_ends_the_reply(end):
    tokenizer = tiny_tokenizer("gemma")
    model = Parrot(
        tiny_model("llama", tokenizer).config, tokenizer("calm" + end + "jazz", add_special_tokens=False)["input_ids"]
    )
    model.generation_config = tiny_model("gemma", tokenizer).generation_config
    assert "".join(LocalEngine.of(model, tokenizer, name="").stream(MESSAGES, Sampling(temperature=0))) == "calm"


def test_a_character_of_several_tokens_is_shown_only_whole():
    text = "ok 👩‍🚀 é 恐怖 🦊!"
    engine = parrot(text)
    assert engine.count_tokens("🦊") >= 4
    pieces = list(engine.stream(MESSAGES, Sampling(temperature=0, max_new_tokens=engine.count_tokens(text))))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("num_missing", [1, 2, 3])
def test_a_character_cut_off_by_the_limit_is_not_shown(num_missing):
    engine = parrot("ok 🦊")
    assert (
        "".join(
            engine.stream(MESSAGES, Sampling(temperature=0, max_new_tokens=engine.count_tokens("ok 🦊") - num_missing))
        )
        == "ok "
    )


def test_a_model_that_fails_in_the_middle_raises_one_line_after_what_it_wrote():
    engine = parrot(
        [*parrot("x").stream(MESSAGES, Sampling(max_new_tokens=0)), 70, 71, RuntimeError("out of memory\ndetails")]
    )
    pieces = []
    with pytest.raises(EngineError, match=r"^The model stopped: out of memory$"):
        pieces.extend(engine.stream(MESSAGES, Sampling(temperature=0)))
    stream = parrot([70, 71, RuntimeError("x")]).stream(MESSAGES, Sampling(temperature=0))
    assert next(stream) + next(stream) == engine.tokenizer.backend.decode([70, 71])


def test_a_conversation_that_the_template_refuses_raises_one_line():
    tokenizer = tiny_tokenizer("gemma")
    engine = LocalEngine.of(tiny_model("gemma", tokenizer), tokenizer, name="gemma")
    with pytest.raises(EngineError, match="Roles must alternate") as raised:
        next(engine.stream([MESSAGES[0], MESSAGES[1], MESSAGES[1]], Sampling()))
    assert "\n" not in str(raised.value)


# Scoring

REPLY = "Try **Blue Train**: 慢热, calm and long 🦊."


def by_hand(case: Case, messages, reply: str) -> np.ndarray:
    """The log-softmax of one full forward, read at the reply's tokens."""
    prompt, answer = case.ids(case.prompt(messages)), case.ids(reply)
    with torch.inference_mode():
        logits = case.model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
    return torch.log_softmax(logits, 1)[len(prompt) - 1 : -1].gather(1, torch.tensor(answer)[:, None])[:, 0].numpy()


def test_choices_are_the_likeliest_tokens_and_the_entropy_of_a_full_forward(case):
    reply = "Blue Train is warm and slow."
    choices = case.engine.choices(MESSAGES, reply)
    prompt, ids = case.ids(case.prompt(MESSAGES)), case.ids(reply)
    with torch.no_grad():
        logits = case.model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].double()
    shares = torch.softmax(logits, -1)
    entropies = torch.special.entr(shares).sum(-1).numpy()
    assert np.allclose([choice.entropy for choice in choices], entropies, atol=1e-4)
    top = shares.topk(4).values.numpy()
    assert np.allclose([[share for _, share in choice.likeliest] for choice in choices], top, atol=1e-5)
    likeliest = shares.argmax(-1).tolist()
    assert [choice.likeliest[0][0] for choice in choices] == [case.engine.tokenizer.decoder()(one) for one in likeliest]
    assert case.engine.choices(MESSAGES, "") == []


def test_scores_are_the_log_probabilities_of_a_full_forward(case):
    scores = case.engine.score([MESSAGES, OTHERS], REPLY)
    assert scores.shape == (2, len(case.ids(REPLY)))
    assert (scores <= 0).all()
    np.testing.assert_allclose(scores, [by_hand(case, MESSAGES, REPLY), by_hand(case, OTHERS, REPLY)], atol=1e-4)


def test_a_batch_of_prompts_scores_as_each_alone(case):
    prompts = [
        MESSAGES,
        OTHERS,
        [MESSAGES[0], {"role": "user", "content": "x"}],
        [MESSAGES[0], {"role": "user", "content": "jazz " * 12}],
    ]
    singles = np.concatenate([case.engine.score([prompt], REPLY) for prompt in prompts])
    np.testing.assert_allclose(case.engine.score(prompts, REPLY), singles, atol=1e-4)


def test_equal_prompts_get_equal_rows_in_their_order(case):
    scores = case.engine.score([MESSAGES, OTHERS, MESSAGES, OTHERS], REPLY)
    assert (scores[0] == scores[2]).all() and (scores[1] == scores[3]).all() and (scores[0] != scores[1]).any()


def test_scoring_nothing_gives_empty_arrays_of_the_right_shape(case):
    assert case.engine.score([], REPLY).shape == (0, len(case.ids(REPLY)))
    assert case.engine.score([MESSAGES], "").shape == (1, 0)


def test_spans_tell_where_each_scored_token_stands_in_the_reply(case):
    spans = case.engine.spans(REPLY)
    assert len(spans) == case.engine.score([MESSAGES], REPLY).shape[1] == case.engine.count_tokens(REPLY)
    assert all(0 <= start <= end <= len(REPLY) for start, end in spans)
    assert all(before[0] <= after[0] for before, after in pairwise(spans))
    covered = {position for start, end in spans for position in range(start, end)}
    assert [
        character for position, character in enumerate(REPLY) if position not in covered and not character.isspace()
    ] == []


def test_writing_and_scoring_at_once_do_not_disturb_each_other(case):
    text, scores = case.text(), case.engine.score([MESSAGES, OTHERS], REPLY)
    stream, parts = case.engine.stream(MESSAGES, Sampling(temperature=1.0, max_new_tokens=24, seed=1)), []
    for piece in stream:
        parts.append(piece)
        if len(parts) == 2:
            np.testing.assert_allclose(case.engine.score([MESSAGES, OTHERS], REPLY), scores, atol=1e-4)
    assert "".join(parts) == text


# Loading


def test_a_saved_model_loads_from_its_folder_and_describes_itself(folders):
    engine = LocalEngine.load(str(folders["mistral"]))
    info = engine.describe()
    assert (info.model, info.device, info.window, info.can_score) == (
        str(folders["mistral"]),
        "cuda:0" if torch.cuda.is_available() else "cpu",
        WINDOW,
        True,
    )
    model = AutoModelForCausalLM.from_pretrained(folders["mistral"], local_files_only=True)
    assert info.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert "".join(engine.stream(MESSAGES, Sampling(seed=1, max_new_tokens=8)))


def test_a_model_in_eight_bits_says_nearly_the_same(folders):
    whole, small = (LocalEngine.load(str(folders["qwen3"]), quantize=bits) for bits in ("", "int8"))
    assert small.describe().dtype == "int8" and small.describe().num_parameters == whole.describe().num_parameters
    assert isinstance(small.decoder, LeanDecoder)
    found, wanted = (engine.score([MESSAGES], "calm jazz, a long walk") for engine in (small, whole))
    assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert "".join(small.stream(MESSAGES, Sampling(seed=1, max_new_tokens=8)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("bits", "allowed"), [("int8", 0.05), ("int4", 0.25)])
def test_a_model_in_few_bits_says_nearly_the_same_on_a_gpu(tmp_path, bits, allowed):
    tokenizer = tiny_tokenizer("llama")
    torch.manual_seed(7)
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=WINDOW, initializer_range=0.05)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    whole, small = (LocalEngine.load(str(tmp_path), quantize=few) for few in ("", bits))
    assert small.describe().dtype == bits
    found, wanted = (engine.score([MESSAGES], "calm jazz, a long walk") for engine in (small, whole))
    assert 0 < np.abs(found - wanted).max() < allowed * np.abs(wanted).max()
    assert "".join(small.stream(MESSAGES, Sampling(seed=1, max_new_tokens=8)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes with four bits")
def test_four_bits_without_a_gpu_are_refused_in_one_line(folders):
    with pytest.raises(EngineError, match="int4 needs a CUDA device"):
        LocalEngine.load(str(folders["qwen3"]), quantize="int4")


def test_the_bundled_writer_loads_and_writes(writer):
    assert writer.describe().model == "bundled writer"
    assert list(writer.stream(MESSAGES, Sampling(seed=1, max_new_tokens=8)))


@pytest.mark.parametrize("name", ["empty", "missing", "broken"])
def test_a_folder_without_a_model_raises_one_line_that_names_it(tmp_path, name):
    folder = tmp_path / name
    if name != "missing":
        folder.mkdir()
    if name == "broken":
        (folder / "config.json").write_text("{", "utf-8")
    with pytest.raises(EngineError, match=re.escape(str(folder))) as raised:
        LocalEngine.load(str(folder))
    assert "\n" not in str(raised.value)
    with pytest.raises(EngineError, match=re.escape(str(folder))) as raised:
        LocalEngine.load_plain(folder, name="")
    assert "\n" not in str(raised.value)


# Thoughts and stops: any chunking gives the same text


@st.composite
def chunked(draw, alphabet: list[str]):
    """A text of these parts, cut anywhere."""
    text = "".join(draw(st.lists(st.sampled_from(alphabet), max_size=14)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return text, [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


THOUGHTS = ["<think>", "</think>", "<", "think>", "/", " ", "\n", "a", "好"]


@given(chunked(THOUGHTS), st.booleans())
@example(("<think></think> <think>", ["<think></think> <think>"]), False)
def test_thoughts_are_hidden_however_the_text_is_cut(cut, is_thinking):
    text, chunks = cut
    wanted = re.sub(r"(?s)<think>.*?(?:</think>\s*|\Z)", "", "<think>" * is_thinking + text)
    assert "".join(hide_thoughts(chunks, is_thinking=is_thinking)) == wanted


@given(
    chunked(["a", "ab", "bc", "c", "\n\n", "b"]),
    st.lists(st.sampled_from(["abc", "b", "\n\n", "ca", "cab", "bcb"]), max_size=3),
)
@example(("abc", ["abc"]), ["abc", "b"])
def test_text_ends_before_the_stop_string_that_is_complete_first_however_it_is_cut(cut, stops):
    text, chunks = cut
    complete = [(end, end - len(stop)) for stop in stops for end in range(len(text) + 1) if text[:end].endswith(stop)]
    wanted = text[: min(complete)[1]] if complete else text
    assert "".join(stop_before(chunks, stops)) == wanted


def test_nothing_that_may_begin_a_stop_string_is_given_out_early():
    assert list(stop_before(["so", " EN", "ough", " EN", "D and on"], ["END"])) == ["so", " ", "ENough", " "]


def test_a_reply_is_compared_with_that_of_a_second_model(tmp_path, assistant):
    folder, tokenizer = str(tmp_path), tiny_tokenizer("llama")
    model = tiny_model("llama", tokenizer)
    model.config.max_position_embeddings = 8192  # room for a whole prompt
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    other = assistant.with_engine(load_compared(Settings(compare=folder, threads=1)))
    drawn = Sampling(seed=1, max_new_tokens=24)
    *_, mine = assistant.reply(Conversation(), "slow jazz", drawn)
    *_, theirs = other.reply(Conversation(), "slow jazz", drawn)
    assert (mine.model, theirs.model) == ("bundled writer", folder) and theirs.status == "done"
    assert [one.item.id for one in mine.candidates] == [one.item.id for one in theirs.candidates]
    assert mine.text != theirs.text and other.store is assistant.store
