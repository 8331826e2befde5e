"""The training of classifiers on made-up token ids."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from genrec.train import classifier
from genrec.train.classifier import Shape, Tokens

CPU = torch.device("cpu")
SPECIAL = (0, 2, 3, 4)
TINY = Shape(vocabulary=40, hidden=16, layers=1, heads=2, intermediate=32, max_tokens=12)


def tokens(*texts: list[int]) -> Tokens:
    ids = np.zeros((len(texts), 12), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text) + 2] = [2, *text, 3]
    return Tokens(torch.from_numpy(ids), np.array([len(text) + 2 for text in texts]), SPECIAL, 40)


def test_texts_are_read_with_their_ends_and_cut_to_the_window() -> None:
    vocabulary = {
        piece: number for number, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    found = Tokens.read(["a b", "", "b b b b b a"], tokenizer, max_tokens=6, device=CPU)
    assert found.ids.tolist() == [[2, 5, 6, 3, 0, 0], [2, 3, 0, 0, 0, 0], [2, 6, 6, 6, 6, 3]]
    assert found.lengths.tolist() == [4, 2, 6] and found.special == SPECIAL and found.num_pieces == 7


def test_an_epoch_holds_each_row_as_often_as_it_weighs_and_no_longer_than_its_longest() -> None:
    own = tokens(*([10 + row % 7] * (1 + row % 9) for row in range(60)))
    weights = np.array([1.0] * 30 + [2.0] * 20 + [0.0] * 10)
    rng = np.random.default_rng(1)
    batches = list(own.batches(weights, 8, rng))
    rows = torch.cat([part for part, _ in batches]).tolist()
    assert sorted(rows) == sorted([*range(30), *range(30, 50), *range(30, 50)])
    assert all(longest == own.lengths[part.numpy()].max() for part, longest in batches)
    assert rows != torch.cat([part for part, _ in own.batches(weights, 8, rng)]).tolist()
    again = torch.cat([part for part, _ in own.batches(weights, 8, np.random.default_rng(1))]).tolist()
    assert again == rows
    halves = sum(len(part) for part, _ in own.batches(np.full(60, 0.5), 8, rng))
    assert 10 < halves < 50


def test_only_texts_that_may_be_cut_are_and_each_keeps_its_end() -> None:
    torch.manual_seed(1)
    own = tokens(*[list(range(10, 20))] * 200)
    for may_cut in (False, True):
        lengths = torch.from_numpy(own.lengths)
        ids, seen = classifier.noised(own.ids, lengths, torch.full((200,), may_cut), SPECIAL, 0.0)
        found = seen.sum(1)
        assert (found < 12).any() == may_cut and found.min() >= 4
        for row, number in zip(ids, found, strict=True):
            assert row[number - 1] == 3 and (row[number:] == 0).all()
            assert (row[: number - 1] == own.ids[0, : number - 1]).all()


def test_a_share_of_the_tokens_is_masked_but_no_end() -> None:
    torch.manual_seed(1)
    own = tokens(*[list(range(10, 20))] * 300)
    ids, _ = classifier.noised(own.ids, torch.from_numpy(own.lengths), torch.zeros(300, dtype=torch.bool), SPECIAL, 0.2)
    assert (ids[:, 0] == 2).all() and (ids[:, 11] == 3).all()
    assert (ids == 4).float().mean().item() == pytest.approx(0.2 * 10 / 12, abs=0.03)


def test_a_missing_label_adds_nothing_to_the_loss() -> None:
    logits = torch.zeros(1, 6)
    by_label = torch.ones(6)
    unknown = torch.tensor([[1.0] + [math.nan] * 5])
    assert classifier.masked_loss(logits, unknown, by_label).item() == pytest.approx(math.log(2))
    logits[0, 3] = 50.0
    assert classifier.masked_loss(logits, unknown, by_label).item() == pytest.approx(math.log(2))
    assert classifier.masked_loss(logits, torch.full((1, 6), math.nan), by_label).item() == 0
    known = torch.tensor([[1.0, 1.0] + [math.nan] * 4])
    logits[0, 1] = 50.0  # right: no loss
    weighted = classifier.masked_loss(logits, known, torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 1.0])).item()
    assert weighted == pytest.approx(0.75 * math.log(2))


def test_a_classifier_learns_which_token_tells_and_says_it_in_any_order() -> None:
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    texts = [[int(token) for token in rng.integers(10, 20, rng.integers(2, 9))] for _ in range(200)]
    for text in texts[:100]:
        text[rng.integers(len(text))] = 30
    own = tokens(*texts)
    targets = np.repeat(np.array([[1.0]] * 100 + [[0.0]] * 100), 2, axis=1)
    targets[:, 1] = np.nan
    model = classifier.new_model(TINY, ("told", "unknown"), 0)
    steps = classifier.fit(
        model, own, targets, np.ones(200), np.zeros(200, bool), label_weight=(1.0, 1.0), name="test", seconds=1, num_steps=200,
        batch_size=20, learning_rate=1e-2, seed=1,
    )  # fmt: skip
    assert steps == 200
    found = classifier.logits(model, own)
    assert (found[:100, 0] > 0).mean() > 0.95 and (found[100:, 0] < 0).mean() > 0.95
    some = np.array([150, 3, 77])
    assert classifier.logits(model, own, some) == pytest.approx(found[some], abs=1e-4)
    assert classifier.logits(model, own, np.array([], int)).shape == (0, 2)


def test_the_masked_lm_phase_moves_the_encoder_of_the_model_it_is_for() -> None:
    torch.manual_seed(1)
    own = tokens(*([10, 11, 12, 13, 14, 15] for _ in range(40)))
    model = classifier.new_model(TINY, ("one",), 0)
    before = model.bert.encoder.layer[0].attention.self.query.weight.detach().clone()
    steps = classifier.pretrain(
        model, own, np.ones(40), seconds=1, num_steps=3, batch_size=10, learning_rate=1e-2, seed=1
    )
    assert steps == 3
    assert not torch.equal(before, model.bert.encoder.layer[0].attention.self.query.weight)


def test_a_phase_without_time_makes_a_step(tmp_path) -> None:
    own = tokens([10, 11], [12, 13])
    model = classifier.new_model(TINY, ("one",), 0)
    steps = classifier.fit(
        model, own, np.zeros((2, 1)), np.ones(2), np.zeros(2, bool), label_weight=(1.0,), name="test", seconds=-5,
        batch_size=2, learning_rate=1e-2, seed=1,
    )  # fmt: skip
    assert steps >= 1
