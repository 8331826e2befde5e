"""The writer's trainer: rows that share a system text, and a training that goes on where it was broken off."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from genrec.errors import SettingsError
from genrec.settings import ASSETS
from genrec.train.corpus import Corpus
from genrec.train.writer import WINDOW, Recipe, batches, collate, encode, train, weighted_loss

WRITER = ASSETS / "models" / "writer"
TINY = Recipe(
    steps=6,
    vocabulary=600,
    hidden=64,
    layers=2,
    heads=4,
    intermediate=96,
    batch_tokens=600,
    exchanges=2,
    threads=1,
    tokenizer_dialogues=100,
    held_out_dialogues=6,
)


@pytest.fixture(scope="module")
def corpus(catalogue, vocabulary):
    return Corpus(catalogue, vocabulary)


@pytest.fixture(scope="module")
def tokenizer():
    return PreTrainedTokenizerFast.from_pretrained(WRITER)


def groups(corpus, count, num_exchanges=4):
    dialogues = corpus.dialogues(7, num_exchanges=num_exchanges)
    found = itertools.groupby(dialogues, key=lambda dialogue: dialogue.messages[0]["content"])
    return [list(group) for _, group in itertools.islice(found, count)]


@torch.no_grad()
def test_exchanges_side_by_side_lose_what_each_loses_alone(corpus, tokenizer):
    model = LlamaForCausalLM.from_pretrained(WRITER, dtype=torch.float32).eval()
    for group in groups(corpus, 3, num_exchanges=2):  # so few that all fit the window
        row = encode(tokenizer, group, Recipe())
        assert len(set(row.branches)) == len(group) + 1
        _, together = weighted_loss(model, collate([row], tokenizer.pad_token_id))
        total = count = 0.0
        for dialogue in group:
            alone = encode(tokenizer, [dialogue], Recipe())
            num_reply = sum(weight >= 1 for weight in alone.weights)
            _, loss = weighted_loss(model, collate([alone], tokenizer.pad_token_id))
            total, count = total + loss * num_reply, count + num_reply
        assert together == pytest.approx(total / count, rel=5e-4)


def test_a_row_reads_as_the_dialogue_that_the_engine_would_render(corpus, tokenizer):
    (dialogue,) = groups(corpus, 1, num_exchanges=1)[0]
    row = encode(tokenizer, [dialogue], Recipe())
    prompt = tokenizer.apply_chat_template(dialogue.messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(row.ids) == prompt + dialogue.reply + tokenizer.eos_token
    assert row.positions == list(range(len(row.ids)))


def test_copied_facts_weigh_more_and_the_prompt_less(corpus, tokenizer):
    dialogue = next(one for one in corpus.dialogues(7) if one.copied)
    recipe = Recipe()
    row = encode(tokenizer, [dialogue], recipe)
    num_reply = len(tokenizer(dialogue.reply, add_special_tokens=False)["input_ids"]) + 1
    assert set(row.weights[:-num_reply]) == {recipe.prompt_weight}
    assert recipe.copied_weight in row.weights[-num_reply:] and row.weights[-1] == 1.0


def test_batches_keep_to_their_size_and_the_window(corpus, tokenizer):
    recipe = replace(Recipe(), batch_tokens=1500)
    for batch in itertools.islice(batches(corpus, tokenizer, recipe, seed=1, max_candidates=3), 10):
        num_rows, length = batch.ids.shape
        assert num_rows == 1 or num_rows * length <= recipe.batch_tokens
        assert length <= WINDOW and int(batch.positions.max()) < WINDOW
        assert (
            batch.may_attend.shape == (num_rows, 1, length, length) and batch.may_attend.diagonal(dim1=2, dim2=3).all()
        )


def test_training_learns_stops_goes_on_and_leaves_a_writer_with_a_card(tmp_path, capsys):
    data, work, out = ASSETS / "catalogue", tmp_path / "work", tmp_path / "out"
    first = replace(TINY, steps=3)
    train(first, tmp_path / "early", work, data=data, log=False)
    steps_so_far = torch.load(work / "checkpoint.pt", weights_only=True)["step"]
    train(TINY, out, work, data=data, log=False)
    assert steps_so_far == 3 and torch.load(work / "checkpoint.pt", weights_only=True)["step"] == 6
    card = json.loads((out / "card.json").read_text("utf-8"))
    early = json.loads((tmp_path / "early" / "card.json").read_text("utf-8"))
    assert card["figures"]["held_out_reply_loss_nats"] < early["figures"]["held_out_reply_loss_nats"]
    assert card["recipe"]["steps"] == 6 and "--steps 6" in card["command"] and "model.safetensors" in card["sha256"]
    model = LlamaForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16 and model.config.num_hidden_layers == 2


def test_another_training_does_not_go_on_from_a_checkpoint_that_is_not_its_own(tmp_path):
    train(replace(TINY, steps=1), tmp_path / "out", tmp_path / "work", data=ASSETS / "catalogue", log=False)
    with pytest.raises(SettingsError, match="another training"):
        train(replace(TINY, seed=2), tmp_path / "out", tmp_path / "work", data=ASSETS / "catalogue", log=False)


def test_training_can_go_on_from_a_trained_writer(tmp_path, tokenizer):
    train(
        replace(TINY, steps=1, start="abc"),
        tmp_path / "out",
        tmp_path / "work",
        data=ASSETS / "catalogue",
        start=WRITER,
        log=False,
    )
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path / "out").get_vocab() == tokenizer.get_vocab()
    card = json.loads((tmp_path / "out" / "card.json").read_text("utf-8"))
    assert card["recipe"]["start"] == "abc" and "--start FOLDER" in card["command"]
