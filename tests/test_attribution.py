"""Known truths: what a linear scorer adds for each word is what the fit must find, and nothing where there is nothing."""

import numpy as np
import pytest

from genrec.attribution import MIN_SPREAD, draw_rows, fit_words, keep_words
from genrec.text import words

WEIGHTS = np.array([4.0, -3.0, 0.0, 2.0, 0.0, -1.0, 0.0, 3.0])  # nats


@pytest.mark.parametrize("num_rows", [32, 48, 96])
def test_the_weights_of_a_linear_scorer_are_recovered_with_sign_and_order(num_rows):
    rows = draw_rows(len(WEIGHTS), num_rows, seed=3)
    scores, errors, fit = fit_words(rows, -40 + rows @ WEIGHTS)
    assert np.abs(scores - WEIGHTS).max() < 0.6
    strong = np.abs(WEIGHTS) >= 1
    assert (np.sign(scores[strong]) == np.sign(WEIGHTS[strong])).all()
    assert list(np.argsort(scores)[[-1, -2, -3, 0]]) == [0, 7, 3, 1]
    assert fit > 0.9
    assert (errors >= 0).all() and errors.max() < 1


def test_noise_makes_the_errors_larger_and_the_fit_worse_but_keeps_the_strongest_word():
    rows = draw_rows(len(WEIGHTS), 64, seed=5)
    values = rows @ WEIGHTS
    noise = np.random.default_rng(0).normal(0, 2, len(rows))
    _, errors, fit = fit_words(rows, values)
    noisy_scores, noisy_errors, noisy_fit = fit_words(rows, values + noise)
    assert noisy_errors.mean() > 1.5 * errors.mean()
    assert 0.4 < noisy_fit < fit <= 1
    assert noisy_scores.argmax() == 0 and noisy_scores.argmin() == 1
    assert (np.abs(noisy_scores - WEIGHTS) < 4 * noisy_errors + 0.5).all()


@pytest.mark.parametrize("spread", [0.0, 0.9 * MIN_SPREAD])
def test_a_scorer_that_hardly_moves_gives_zeros(spread):
    rows = draw_rows(6, 32)
    values = -10 + spread * np.resize([-1.0, 1.0], len(rows))
    scores, errors, fit = fit_words(rows, values)
    assert not scores.any() and not errors.any() and fit == 0


def test_pure_noise_is_not_trusted():
    rows = draw_rows(8, 48, seed=1)
    assert fit_words(rows, np.random.default_rng(1).normal(0, 3, len(rows)))[2] < 0.3


def test_the_same_rows_and_values_give_the_same_scores():
    rows = draw_rows(8, 40, seed=2)
    values = rows @ WEIGHTS
    for one, other in zip(fit_words(rows, values), fit_words(rows, values), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(draw_rows(8, 40, seed=2), rows)
    assert not np.array_equal(draw_rows(8, 40, seed=3), rows)


@pytest.mark.parametrize(("num_words", "num_rows"), [(8, 32), (3, 8), (20, 64), (30, 6)])
def test_rows_come_in_complementary_pairs_and_none_twice(num_words, num_rows):
    rows = draw_rows(num_words, num_rows, seed=4)
    assert rows.shape == (num_rows, num_words) and rows.dtype == bool
    assert rows[0].all() and not rows[1].any()
    assert (rows[0::2] == ~rows[1::2]).all()
    assert len(np.unique(rows, axis=0)) == num_rows


@pytest.mark.parametrize(("num_words", "expected"), [(1, 2), (2, 4), (3, 8), (4, 16)])
def test_a_short_message_has_only_as_many_rows_as_there_are_choices(num_words, expected):
    assert len(draw_rows(num_words, 100)) == expected


def test_one_word_gets_the_exact_difference_it_makes():
    rows = draw_rows(1, 32)
    scores, errors, fit = fit_words(rows, rows @ np.array([5.0]))
    assert (scores.tolist(), errors.tolist(), fit) == ([5.0], [0.0], 1.0)


@pytest.mark.parametrize(
    ("message", "left_out", "expected"),
    [
        ("I love slow, sad films!", {2}, "I love, sad films!"),
        ("I love slow, sad films!", {0}, "love slow, sad films!"),
        ("I love slow, sad films!", {4}, "I love slow, sad!"),
        ("I love slow, sad films!", set(), "I love slow, sad films!"),
        ("I love films", {0, 1, 2}, ""),
        ("我喜欢科幻电影，谢谢", {1}, "我科幻电影，谢谢"),
        ("a\nb", {1}, "a"),
    ],
)
def test_a_message_is_read_without_the_words_left_out(message, left_out, expected):
    found = words(message)
    kept = np.array([index not in left_out for index in range(len(found))])
    assert keep_words(message, found, kept) == expected
