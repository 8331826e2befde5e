"""The next token: the nucleus against a brute-force one, top-k, temperature, the repetition penalty, and how often what is drawn."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genrec.engines.sampling import draw, nucleus
from genrec.schema import Sampling

NOTHING: list[int] = []
logits_lists = st.lists(st.integers(-60, 60), min_size=1, max_size=40).map(
    lambda values: [value / 10 for value in values]
)


def softmax(logits) -> np.ndarray:
    weights = np.exp(np.array(logits, np.float64))
    return weights / weights.sum()


def brute_force(logits: list[float], top_p: float, top_k: int) -> np.ndarray:
    """The kept probabilities in falling order, by going through all tokens one by one in float64."""
    probabilities = np.sort(np.exp(np.array(logits, np.float64) - np.max(logits)))[::-1]
    if top_k:
        probabilities = probabilities[:top_k]
    probabilities /= probabilities.sum()
    kept, total = [], 0.0
    for probability in probabilities:
        assume(abs(total - top_p) > 1e-5)  # float32 may see a hair's breadth otherwise
        if total >= top_p:
            break
        kept.append(probability)
        total += probability
    return np.array(kept) / sum(kept)


@given(logits_lists, st.floats(0.05, 1.0), st.integers(0, 50))
def test_the_nucleus_is_the_one_that_brute_force_finds(logits, top_p, top_k):
    wanted = brute_force(logits, top_p, top_k)
    probabilities, ids = nucleus(np.array(logits, np.float32), top_p=top_p, top_k=top_k)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    assert len(set(ids.tolist())) == len(ids)
    assert [logits[id] for id in ids] == sorted(logits, reverse=True)[: len(ids)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 1.0), st.sampled_from([0, 100, 256, 300, 900]), st.floats(0.0, 2.0))
def test_a_nucleus_larger_than_the_first_cut_is_found_in_full(seed, top_p, top_k, spread):
    logits = (np.random.default_rng(seed).normal(size=1000) * spread).astype(np.float32).tolist()
    probabilities, ids = nucleus(np.array(logits, np.float32), top_p=top_p, top_k=top_k)
    wanted = brute_force(logits, top_p, top_k)
    assert abs(len(probabilities) - len(wanted)) <= 1  # equal sums of many float32 terms
    np.testing.assert_allclose(probabilities[:200], wanted[:200], rtol=2e-2)


def test_a_flat_distribution_keeps_its_share_of_a_thousand_tokens():
    probabilities, ids = nucleus(np.zeros(1000), top_p=0.9, top_k=0)
    assert len(ids) in (900, 901)
    np.testing.assert_allclose(probabilities, 1 / len(ids), rtol=1e-4)


def test_the_whole_vocabulary_is_kept_at_top_p_one():
    assert len(nucleus(np.zeros(1000), top_p=1.0, top_k=0)[1]) == 1000


@pytest.mark.parametrize("top_k", [1, 3, 300])
def test_top_k_keeps_that_many_and_no_more_than_there_are(top_k):
    ids = nucleus(np.arange(280.0) / 1000, top_p=1.0, top_k=top_k)[1]
    assert ids.tolist() == list(range(279, -1, -1))[:top_k]


def test_top_p_applies_to_what_top_k_has_left():
    logits = np.log(np.float32([0.4, 0.3, 0.2, 0.1]))
    assert nucleus(logits, top_p=0.5, top_k=2)[1].tolist() == [0]  # 0.4 of 0.7 is over a half
    assert nucleus(logits, top_p=0.5, top_k=0)[1].tolist() == [0, 1]


def test_the_token_that_reaches_top_p_is_kept():
    logits = np.log(np.float32([0.25, 0.25, 0.25, 0.25]))
    assert len(nucleus(logits, top_p=0.3, top_k=0)[1]) == 2
    assert len(nucleus(logits, top_p=0.01, top_k=0)[1]) == 1


def test_temperature_zero_takes_the_likeliest_whatever_else_is_set():
    logits = np.array([0.0, 2.0, 1.9])
    tokens = {draw(logits, Sampling(temperature=0, top_p=0.1, top_k=3), Random(seed), NOTHING) for seed in range(20)}
    assert tokens == {1}


def frequencies(logits: np.ndarray, sampling: Sampling, written=NOTHING, count: int = 4000) -> np.ndarray:
    generator = Random(1)
    return (
        np.bincount([draw(logits, sampling, generator, written) for _ in range(count)], minlength=len(logits)) / count
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature):
    logits = np.array([1.0, 0.0, -1.0, 2.0])
    wanted = softmax(logits / temperature)
    # 4000 draws: five standard deviations are at most 0.04
    np.testing.assert_allclose(frequencies(logits, Sampling(temperature=temperature, top_p=1.0)), wanted, atol=0.04)


def test_tokens_outside_the_nucleus_are_never_drawn():
    logits = np.log(np.float32([0.05, 0.5, 0.4, 0.05]))
    found = frequencies(logits, Sampling(temperature=1.0, top_p=0.85), count=1000)
    assert found[0] == found[3] == 0
    np.testing.assert_allclose(found[1], 0.5 / 0.9, atol=0.08)


def test_the_same_generator_state_draws_the_same_tokens():
    logits = np.linspace(0, 2, 50)
    first, second = (
        [draw(logits, Sampling(), generator, NOTHING) for _ in range(20)] for generator in [Random(4), Random(4)]
    )
    assert first == second


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_written_tokens_only():
    logits = np.array([2.0, -1.0, 1.5, -0.5])
    wanted = softmax([2.0 / 1.5, -1.0 * 1.5, 1.5, -0.5])
    written = [0, 1, 0, 0]  # said three times, punished once
    np.testing.assert_allclose(
        frequencies(logits, Sampling(temperature=1.0, top_p=1.0, repetition_penalty=1.5), written), wanted, atol=0.04
    )


def test_the_repetition_penalty_also_holds_at_temperature_zero():
    sampling = Sampling(temperature=0, repetition_penalty=2.0)
    assert draw(np.array([2.0, 1.5]), sampling, Random(1), NOTHING) == 0
    assert draw(np.array([2.0, 1.5]), sampling, Random(1), [0]) == 1


def test_the_logits_handed_in_are_left_as_they_were():
    logits = np.array([2.0, 1.5])
    draw(logits, Sampling(repetition_penalty=2.0), Random(1), [0])
    assert logits.tolist() == [2.0, 1.5]


def test_the_title_lock_lets_only_known_titles_stand_between_the_marks():
    from genrec.engines.locks import TitleLock

    close = frozenset({9, 10})  # "**" and "**:"
    five, six, seven, eight = (frozenset({id}) for id in (5, 6, 7, 8))
    lock = TitleLock([[five, six, close], [five, seven, eight, close]])
    lock.heard("Try ")
    assert lock.allowed() == frozenset()
    lock.heard("**")
    assert lock.allowed() == {5}
    lock.took(5)
    assert lock.allowed() == {6, 7}
    lock.took(7)
    lock.took(8)
    assert lock.allowed() == {9, 10}
    lock.took(10)
    lock.heard("Some Title**")
    assert lock.allowed() == frozenset()
    lock.heard(" and **")
    assert lock.allowed() == {5}


def test_the_title_lock_without_titles_holds_nothing_back():
    from genrec.engines.locks import TitleLock

    lock = TitleLock([])
    lock.heard("**")
    assert lock.allowed() == frozenset()


def test_the_title_lock_bans_marks_that_open_no_title_until_one_is_open():
    from genrec.engines.locks import TitleLock

    lock = TitleLock([[frozenset({5}), frozenset({9})]], bad_openers=frozenset({10, 11}))
    assert lock.banned() == {10, 11}
    lock.heard("Try **")
    assert lock.banned() == frozenset() and lock.allowed() == {5}


DIGITS = {100 + digit: str(digit) for digit in range(10)}


def written(lock, text):
    """What the lock lets through of a text, digit by digit, up to what it refuses."""
    for position, character in enumerate(text):
        if character.isdigit() and 100 + int(character) in lock.banned():
            return text[:position]
        lock.heard(character)
    return text


@pytest.mark.parametrize(
    ("text", "let_through"),
    [
        ("from 1979.", "from 1979."),
        ("from 1972.", "from 197"),
        ("from 19793", "from 1979"),
        ("the 1970s", "the 1970s"),
        ("the 1980s", "the 19"),
        ("the 19th century", "the 19th century"),
        ("116 minutes", "116 minutes"),
        ("117 minutes", "11"),
        ("3 of 36 in 2042", "3 of 36 in 2042"),  # nothing like it was told: left whole for the gate
        ("1979年和116分钟", "1979年和116分钟"),
    ],
)
def test_the_number_lock_keeps_the_copy_of_a_number_on_its_way(text, let_through):
    from genrec.engines.locks import NumberLock

    assert written(NumberLock(("1979", "116", "2"), DIGITS), text) == let_through


def test_the_number_lock_holds_nothing_where_digits_are_joined():
    from genrec.engines.locks import NumberLock

    assert written(NumberLock(("1979",), {}), "in 1972") == "in 1972"


def test_the_locks_leave_a_titles_own_digits_alone_and_forbid_the_rest():
    from genrec.engines.locks import Locks, NumberLock, TitleLock

    title_lock = TitleLock([[frozenset({101}), frozenset({9})]], bad_openers=frozenset({10}))
    locks = Locks(title_lock, NumberLock(("1979",), DIGITS))
    logits = np.zeros(120)
    assert locks.hold(logits)[10] == -np.inf and locks.hold(logits)[101] == 0
    locks.heard("in 19")
    assert locks.hold(logits)[102] == -np.inf and locks.hold(logits)[107] == 0 and locks.hold(logits)[0] == 0
    locks.heard(" **")
    held = locks.hold(logits)
    assert held[101] == 0 and np.isinf(held).sum() == 119


def test_titles_named_in_the_part_that_is_continued_count_towards_those_asked_for():
    from genrec.engines.locks import TitleLock

    titles = [[frozenset({5}), frozenset({9})], [frozenset({6}), frozenset({9})]]
    assert not TitleLock(titles, 2, named=[0]).may_end()
    assert TitleLock(titles, 1, named=[0]).may_end()


def test_the_weakest_stretch_is_the_lowest_mean_of_four_tokens_that_are_not_copied():
    import numpy as np

    from genrec.engines import weakest_stretch

    scores = np.array([-9.0, 0, 0, 0, -4, -4, -4, -4, -1, -1])
    spans = [(position, position + 1) for position in range(10)]
    assert weakest_stretch(scores, spans, (0, 10), ()) == -4
    assert weakest_stretch(scores, spans, (0, 4), ()) == -2.25  # only the part asked for
    assert weakest_stretch(scores, spans, (0, 10), [(4, 8)]) == -2.25  # 0, 0, -1, -1 and so on are higher
    assert weakest_stretch(scores, spans, (0, 3), ()) == 0 and weakest_stretch(scores[:0], [], (0, 3), ()) == 0
