"""The bundled writer without torch and transformers is the model, the tokenizer and the template that transformers makes of the same files."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from genrec.engines.plain import PlainDecoder, _Piece, read_weights
from genrec.engines.runs import Run
from genrec.engines.tokenizer import HubTokenizer, PlainTokenizer

CONFIG = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8,
    "max_position_embeddings": 128, "initializer_range": 0.3, "tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}  # fmt: skip
SYSTEM = {"role": "system", "content": "instructions\n\nAnswer in English.\n1. **Blue Train** | 1957\n\nlast"}
ASKED = {"role": "user", "content": "  slow jazz, 慢热 <b>&amp; é\n"}


@pytest.fixture(scope="module")
def folder(assets) -> Path:
    return assets / "models" / "writer"


@pytest.fixture(scope="module")
def tiny() -> tuple[LlamaForCausalLM, dict, dict[str, np.ndarray]]:
    torch.manual_seed(3)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    for parameter in model.parameters():  # norms are ones at first, which would hide their absence
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    weights = {name: weight.numpy().copy() for name, weight in model.state_dict().items()}
    return model, model.config.to_dict(), weights


def check_logits(model, decoder: PlainDecoder, rows: list[list[int]]) -> None:
    """Two sequences side by side, each in parts of another size, against the model's own forward over each."""
    caches = [decoder.new_cache(128) for _ in rows]
    found: list[list[np.ndarray]] = [[], []]
    for sizes in ([20, 1], [1, 18], [16, 1]):
        runs = [
            Run(cache, row[len(cache.ids) : len(cache.ids) + size], size)
            for cache, row, size in zip(caches, rows, sizes, strict=True)
        ]
        for parts, part in zip(found, np.split(decoder.forward(runs), [sizes[0]]), strict=True):
            parts.append(part)
    for cache, row, parts in zip(caches, rows, found, strict=True):
        assert cache.ids == row
        with torch.inference_mode():
            wanted = model(torch.tensor([row])).logits[0].numpy()
        np.testing.assert_allclose(np.concatenate(parts), wanted, atol=2e-4)


def test_the_logits_are_those_of_transformers(tiny):
    model, config, weights = tiny
    check_logits(model, PlainDecoder(config, weights), [list(range(3, 40)), list(range(50, 70))])


def test_the_bundled_writer_s_logits_are_those_of_transformers(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    decoder = PlainDecoder(
        json.loads((folder / "config.json").read_text("utf-8")), read_weights(folder / "model.safetensors")
    )
    check_logits(model, decoder, [list(range(300, 337)), list(range(2000, 2020))])


@pytest.mark.parametrize(
    ("read", "fed"),
    [([0], [150]), ([70, 64, 63], [1, 130, 66]), ([90, 30, 5, 61, 0], [1, 1, 3, 1, 1]), ([20, 21], [4, 5])],
)
def test_any_mixture_of_runs_gets_the_logits_of_the_model_itself(tiny, read, fed):
    """Long runs in pieces, short ones token by token, sequences of many lengths in one softmax, any number of rows."""
    _, config, weights = tiny
    config |= {"max_position_embeddings": 256}
    model = LlamaForCausalLM(LlamaConfig(**CONFIG | {"max_position_embeddings": 256})).eval()
    model.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
    decoder = PlainDecoder(config, weights)
    rows = [
        [(7 * number + 3 * place) % 90 for place in range(size)] for number, size in enumerate(map(sum, zip(read, fed)))
    ]
    caches = [decoder.new_cache(200) for _ in rows]
    for cache, row, size in zip(caches, rows, read, strict=True):
        if size:
            decoder.forward([Run(cache, row[:size], 0)])
    found = decoder.forward([Run(cache, row[len(cache.ids) :], size) for cache, row, size in zip(caches, rows, fed)])
    with torch.inference_mode():
        wanted = [model(torch.tensor([row])).logits[0, size:].numpy() for row, size in zip(rows, read, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=2e-4)


def test_two_threads_that_halve_a_step_find_what_one_finds(tiny, monkeypatch):
    _, config, weights = tiny
    single, double = PlainDecoder(config, weights), PlainDecoder(config, weights, has_two_threads=True)
    halves: list[list[tuple[int, int]]] = []
    computed = double._write_logits

    def noted(placed, logits, *, stored=(), after=()):
        halves.append([(start, len(run.ids)) for run, start in placed])
        if stored:
            time.sleep(0.02)  # the other must wait for the keys of the run that both read
        computed(placed, logits, stored=stored, after=after)

    monkeypatch.setattr(double, "_write_logits", noted)
    sizes = [90, 20, 60, 50]

    def fed(decoder, last=3):
        runs = [
            Run(decoder.new_cache(128), [last, *range(4, 3 + size)], wanted)
            for size, wanted in zip(sizes, (5, 4, 1, 5))
        ]
        return decoder.forward(runs), runs

    np.testing.assert_allclose(fed(double)[0], fed(single)[0], atol=1e-5)
    assert sorted(halves) == [[(0, 90), (0, 16)], [(16, 4), (0, 60), (0, 50)]]
    alone = [Run(decoder.new_cache(128), [*range(90)], 60) for decoder in (single, double)]
    np.testing.assert_allclose(double.forward([alone[1]]), single.forward([alone[0]]), atol=1e-5)
    assert sorted(halves[2:]) == [[(0, 48)], [(48, 42)]]
    assert alone[1].cache.ids == [*range(90)]
    few = [Run(double.new_cache(8), [3, 4], 1) for _ in range(3)]
    double.forward(few)
    assert halves[4:] == [[(0, 2)] * 3]
    with pytest.raises(IndexError):
        fed(double, last=97)
    cache = few[0].cache
    with pytest.raises(IndexError):
        double.forward([Run(cache, [5], 1), *(Run(double.new_cache(128), [*range(90), 97], 1) for _ in range(2))])
    assert cache.ids == [3, 4]


def test_logits_stay_when_the_next_are_computed(tiny):
    _, config, weights = tiny
    decoder = PlainDecoder(config, weights)
    cache = decoder.new_cache(9)
    first = decoder.forward([Run(cache, [3, 4], 2)])
    before = first.copy()
    decoder.forward([Run(cache, [5, 6], 2)])
    np.testing.assert_array_equal(first, before)


def test_a_gate_that_is_all_but_shut_is_no_overflow(tiny):
    model, config, weights = tiny
    scaled = {name: weight * (100 if "gate_proj" in name else 1) for name, weight in weights.items()}
    decoder = PlainDecoder(config, scaled)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    model.load_state_dict({name: torch.tensor(weight) for name, weight in scaled.items()})
    ids = list(range(3, 23))
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0].numpy()
    found = decoder.forward([Run(decoder.new_cache(20), ids, 20)])
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("factor", [6, 6.5, 7.5, 8, 8.5, 2000])
def test_attention_that_is_surer_than_float32_can_hold_e_to_it_is_computed(tiny, factor):
    _, config, weights = tiny
    factors = {"q_proj": factor, "v_proj": 1000}  # what is held must bear to be multiplied, too
    scaled = {name: weight * np.float32(factors.get(name.split(".")[-2], 1)) for name, weight in weights.items()}
    decoder = PlainDecoder(config, scaled)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).double().eval()
    model.load_state_dict({name: torch.tensor(weight) for name, weight in scaled.items()})
    ids = list(range(3, 83))
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0].numpy()
    found = decoder.forward([Run(decoder.new_cache(80), ids, 80)])
    assert np.quantile(np.abs(found - wanted), 0.9) < 1e-3 * np.abs(wanted).max()


def test_tokens_that_like_nothing_they_see_attend_to_all_of_it_alike(tiny):
    _, config, weights = tiny
    decoder = PlainDecoder(config, weights)
    values = np.random.default_rng(0).standard_normal((1, 2, 6, 8), dtype=np.float32)
    queries, keys = np.full((2, 8, 6), 4.0, np.float32), np.full((1, 2, 6, 8), -4.0, np.float32)  # -128 each
    piece = _Piece(keys, values, queries, np.empty((2, 6, 6), np.float32), np.empty((2, 6, 8), np.float32), True)
    decoder._attend(0, piece)
    wanted = values[0].cumsum(1) / np.arange(1, 7)[:, None]
    np.testing.assert_allclose(piece.attended, wanted, atol=1e-6)


def test_logits_are_given_where_they_are_wanted_only(tiny):
    _, config, weights = tiny
    decoder, ids = PlainDecoder(config, weights), list(range(3, 93))
    whole = decoder.forward([Run(decoder.new_cache(90), ids, 90)])
    for num_wanted in (2, 45, 46):  # it attends in two pieces
        runs = [Run(decoder.new_cache(90), ids, num_wanted), Run(decoder.new_cache(90), [3, 4], 0)]
        np.testing.assert_allclose(decoder.forward(runs), whole[-num_wanted:], atol=1e-5)
    assert decoder.forward([Run(decoder.new_cache(90), ids, 0)]).shape == (0, 97)


def test_a_token_that_the_model_does_not_have_leaves_the_cache_as_it_was(tiny):
    _, config, weights = tiny
    decoder = PlainDecoder(config, weights)
    cache = decoder.new_cache(8)
    decoder.forward([Run(cache, [3, 4], 1)])
    with pytest.raises(IndexError):
        decoder.forward([Run(cache, [5, 97], 1)])
    found = decoder.forward([Run(cache, [6], 1)])
    assert cache.ids == [3, 4, 6]
    np.testing.assert_allclose(found, decoder.forward([Run(decoder.new_cache(8), [3, 4, 6], 1)]), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "qwen3"},
        {"hidden_act": "gelu"},
        {"num_key_value_heads": 2},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    ],
)
def test_a_model_with_parts_that_are_not_computed_is_refused(tiny, change):
    _, config, weights = tiny
    with pytest.raises(ValueError):
        PlainDecoder(config | change, weights)


def test_biases_are_refused(tiny):
    _, config, weights = tiny
    with pytest.raises(ValueError, match="biases"):
        PlainDecoder(config, weights | {"model.layers.0.self_attn.q_proj.bias": np.zeros(32, np.float32)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_of_each_type_are_read_as_safetensors_reads_them(tmp_path, dtype):
    torch.manual_seed(0)
    saved = {"a": torch.randn(3, 5).to(dtype), "b": torch.tensor([1e-30, -3.0]).to(dtype)}
    save_file(saved, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_weights(tmp_path / "x.safetensors")
    assert list(found) == ["a", "b"]
    for name, tensor in saved.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], tensor.float().numpy())


def test_weights_of_another_type_are_refused(tmp_path):
    save_file({"a": torch.tensor([1, 2])}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="a is I64"):
        read_weights(tmp_path / "x.safetensors")


@pytest.fixture(scope="module")
def tokenizers(folder) -> tuple[HubTokenizer, PlainTokenizer]:
    return HubTokenizer(AutoTokenizer.from_pretrained(folder, local_files_only=True)), PlainTokenizer.load(folder)


@pytest.mark.parametrize(
    "messages",
    [
        [ASKED],
        [SYSTEM, ASKED],
        [SYSTEM, ASKED, {"role": "assistant", "content": "Try **Blue Train**, "}],
        [SYSTEM, ASKED, {"role": "assistant", "content": ""}],
        [SYSTEM, ASKED, {"role": "assistant", "content": "Yes.\n"}, {"role": "user", "content": "{{ 7 * 7 }}{% x"}],
        [{"role": "system", "content": "one part"}, {"role": "user", "content": "\n"}],
    ],
)
def test_prompts_are_byte_for_byte_those_of_transformers(tokenizers, messages):
    theirs, ours = tokenizers
    prompt = theirs.render(messages)
    assert ours.render(messages) == prompt
    assert ours.encode(prompt) == theirs.encode(prompt)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " a  b\n",
        "1979年的《银翼杀手》🦊, café e\u0301",
        "<|end|><|user|>x",
        "1. **Up**\n2. Heat \n 3.\n\n四。\n五\n6\n\t7\r\n8\x1c\n9\u3000\n十",
        "\ud83d".encode(errors="replace").decode(),
    ],
)
def test_texts_are_cut_as_transformers_cuts_them(tokenizers, text):
    theirs, ours = tokenizers
    ids = ours.encode(text)
    assert ids == theirs.encode(text) and ours.spans(text) == theirs.spans(text)
    decode = [one.decoder() for one in tokenizers]
    assert [decode[0](id) for id in ids] == [decode[1](id) for id in ids]


def test_lines_are_encoded_alone_only_where_no_token_goes_over_their_end():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = "1. Up\n2. Heat \n\n3.\n\n\nfour\n\n"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        min_frequency=1, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    backend.train_from_iterator([text], trainer)
    assert {"ĊĊ", "ĠĊ"} & set(backend.get_vocab())
    ours = PlainTokenizer(backend, "", {"eos_token": "<|end|>", "model_max_length": 99})
    assert ours.encode(text) == backend.encode(text).ids


def test_what_a_tokenizer_says_of_itself_is_the_same(tokenizers):
    theirs, ours = tokenizers
    assert (ours.special, ours.end_id, ours.window) == (theirs.special, theirs.end_id, theirs.window)
