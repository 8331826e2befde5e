"""Known truths: what a scorer does with each word is what the fit must find, and nothing where there is nothing; a word that only changes what is
retrieved, or only the wording, gets its weight there."""

import argparse
import json
import re
import zlib
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from scripted import ScriptedEngine

from genrec.attribution import (
    BLOCK,
    MIN_SPREAD,
    Guesses,
    Quotes,
    check_rows,
    every_choice,
    fit_parts,
    fit_words,
    keep_words,
    sample,
)
from genrec.bench.attribution import PEERS, add_arguments, first_messages, measure, planted_messages, run
from genrec.errors import InputError
from genrec.explaining import Explained, _Case, _spread
from genrec.schema import Conversation, Sampling
from genrec.text import has_cjk, words

WEIGHTS = np.array([4.0, -3.0, 0.0, 2.0, 0.0, -1.0, 0.0, 3.0])  # nats


def sampled(score, num_words, num_rows, *, seed=0):
    """Rows chosen for a scorer of one sentence, and their values (num_rows,)."""
    rows, values = sample(lambda rows: score(rows)[:, None], num_words, num_rows, seed=seed)
    return rows, values[:, 0]


def linear(rows):
    return -40 + rows @ WEIGHTS


@pytest.mark.parametrize("num_rows", [24, 32, 64])
def test_the_weights_of_a_linear_scorer_are_recovered(num_rows):
    fit = fit_words(*sampled(linear, len(WEIGHTS), num_rows, seed=3))
    assert np.abs(fit.effects - WEIGHTS).max() < 0.2
    assert fit.share > 0.95 and (fit.errors >= 0).all() and np.median(fit.errors) < 0.2
    assert num_rows < 32 or fit.errors.max() < 0.1  # with fewer, two words can go together in all rows but an eighth
    assert np.abs(fit.pairs).max() < 0.3


def test_what_only_words_together_do_is_shared_among_them_and_told_as_a_pair():
    def score(rows):
        return 12.0 * (rows[:, 0] & rows[:, 1]) + 8.0 * (rows[:, 2] | rows[:, 3]) - 5.0 * rows[:, 4]

    fit = fit_words(*sampled(score, 16, 64, seed=1))
    assert np.abs(fit.effects - np.array([6, 6, 4, 4, -5] + [0] * 11)).max() < 1.0
    assert fit.pairs[0, 1] > 6 and fit.pairs[2, 3] < -4 and np.abs(fit.pairs[5:]).max() < 1
    fresh = np.random.default_rng(0).random((100, 16)) < 0.5
    assert np.corrcoef(fit.predict(fresh), score(fresh))[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_four_words_that_work_only_together_are_found_among_twenty_in_32_rows(seed):
    needed = [0, 3, 5, 7]
    fit = fit_words(*sampled(lambda rows: 200.0 * rows[:, needed].all(1), 20, 32, seed=seed))
    assert sorted(np.argsort(-fit.effects)[:4]) == needed
    assert np.abs(fit.effects[needed] - 50).max() < 15  # an equal share of the 200
    assert np.abs(np.delete(fit.effects, needed)).max() < 10


def test_where_every_choice_is_scored_the_shapley_values_are_exact():
    rows = every_choice(3)
    fit = fit_words(rows, 6.0 * rows.all(1) + 2.0 * rows[:, 1])
    assert fit.effects == pytest.approx([2, 4, 2]) and fit.share == 1 and not fit.errors.any()
    assert fit.pairs[0, 1] == pytest.approx(3) and np.array_equal(
        fit.predict(rows), 6.0 * rows.all(1) + 2.0 * rows[:, 1]
    )


@pytest.mark.parametrize("seed", range(4))
def test_noise_makes_the_errors_larger_and_the_fit_worse_but_the_intervals_hold(seed):
    rows, values = sampled(linear, len(WEIGHTS), 64, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 1.5, len(rows))
    clean, noisy = fit_words(rows, values), fit_words(rows, values + noise)
    assert noisy.errors.mean() > 2 * clean.errors.mean() and 0.4 < noisy.share < clean.share
    assert noisy.effects.argmax() in (0, 7) and noisy.effects.argmin() in (1, 5)
    assert (np.abs(noisy.effects - WEIGHTS) < 3 * noisy.errors).mean() >= 0.75


@pytest.mark.parametrize("spread", [0.0, 0.9 * MIN_SPREAD])
def test_a_scorer_that_hardly_moves_gives_zeros(spread):
    rows, _ = sampled(lambda rows: np.zeros(len(rows)), 6, 32)
    fit = fit_words(rows, -10 + spread * np.resize([-1.0, 1.0], len(rows)))
    assert not fit.effects.any() and not fit.errors.any() and fit.share == 0
    assert fit.predict(rows) == pytest.approx(-10)


def test_pure_noise_is_called_null_nine_times_of_ten():
    rows, _ = sampled(lambda rows: 9.0 * rows[:, 0], 12, 32, seed=1)
    shares = [fit_words(rows, np.random.default_rng(seed).normal(0, 3, len(rows))).share for seed in range(10)]
    assert sum(share == 0 for share in shares) >= 9


def test_the_same_rows_and_values_give_the_same_scores():
    rows, values = sampled(linear, 8, 40, seed=2)
    one, other = fit_words(rows, values), fit_words(rows, values)
    assert np.array_equal(one.effects, other.effects) and np.array_equal(one.errors, other.errors)
    assert np.array_equal(sampled(linear, 8, 40, seed=2)[0], rows)
    assert not np.array_equal(sampled(linear, 8, 40, seed=3)[0], rows)


def test_each_sentence_and_each_part_has_its_own_words():
    def written(rows):
        return np.stack([3.0 * rows[:, 0], np.zeros(len(rows))], axis=1)

    def whole(rows):
        return written(rows) + np.stack([np.zeros(len(rows)), 20.0 * (rows[:, 4] & rows[:, 5])], axis=1)

    rows, values = sample(whole, 10, 32)
    parts = fit_parts(rows, values, written(rows))
    assert parts.effects[0] == pytest.approx([3] + [0] * 9, abs=0.2)
    assert parts.written[0].effects[0] == pytest.approx(3, abs=0.2) and not parts.found[0].effects.any()
    assert parts.found[1].effects[[4, 5]] == pytest.approx([10, 10], abs=1) and not parts.written[1].effects.any()
    assert parts.shares.min() > 0.9 and parts.share > 0.9


@pytest.mark.parametrize(
    ("num_words", "num_rows"), [(8, 32), (20, 64), (30, 6), (5, 4), (3, 7), (5, 31), (9, 24), (40, 40)]
)
@pytest.mark.parametrize("moving", [[], [1], [0, 1, 2, 3, 4]])
def test_there_are_as_many_rows_as_asked_for_and_none_twice(num_words, num_rows, moving):
    score = lambda rows: 9.0 * rows[:, [at for at in moving if at < num_words]].sum(1)  # noqa: E731
    rows, _ = sampled(score, num_words, num_rows, seed=4)
    assert rows.shape == (num_rows, num_words) and rows.dtype == bool
    assert rows[0].all() and not rows[1].any()
    assert len(np.unique(rows, axis=0)) == num_rows


def test_words_are_sifted_before_rows_are_drawn():
    moving = [2, 17]
    rows, _ = sampled(lambda rows: 9.0 * rows[:, moving].sum(1), 24, 32)
    left_out = [tuple(np.flatnonzero(~row)) for row in rows]
    assert left_out[4:12] == [tuple(range(at, at + 3)) for at in range(0, 24, 3)]  # neighbours, every word once
    alone = {words[0] for words in left_out if len(words) == 1}
    assert alone == {0, 1, 2, 15, 16, 17}  # of the two groups that changed something
    assert tuple(at for at in range(24) if at not in moving) in left_out
    drawn = np.concatenate([rows[2:4], rows[12 + len(alone) + 1 :]])
    assert len(drawn) == 15 and (drawn[0:14:2] == ~drawn[1:14:2]).all() and 0.4 < drawn.mean() < 0.6


def test_where_every_word_matters_a_quarter_of_the_rows_is_left_for_chance():
    rows, _ = sampled(lambda rows: 9.0 * rows.sum(1), 30, 32)
    sizes = rows.sum(1)
    assert (sizes == 29).sum() == 11 and (sizes[23:] < 25).all()  # the strongest groups' words, one by one


def test_a_sentence_that_gains_what_another_loses_still_shows_that_a_word_moves_them():
    def score(rows):
        return np.stack([9.0 * rows[:, 3], -9.0 * rows[:, 3]], axis=1)

    rows, _ = sample(score, 20, 32)
    assert {int(np.flatnonzero(~row)[0]) for row in rows if row.sum() == 19} >= {3}


@pytest.mark.parametrize(("num_words", "expected"), [(1, 2), (2, 4), (3, 8), (4, 16)])
def test_a_short_message_has_only_as_many_rows_as_there_are_choices(num_words, expected):
    rows, _ = sampled(lambda rows: rows.sum(1), num_words, 100)
    assert len(rows) == len(np.unique(rows, axis=0)) == expected and rows[0].all()


def test_one_word_gets_the_exact_difference_it_makes():
    fit = fit_words(*sampled(lambda rows: rows @ np.array([5.0]), 1, 32))
    assert (fit.effects.tolist(), fit.errors.tolist(), fit.share) == ([5.0], [0.0], 1.0)


def test_checks_leave_out_the_strongest_words_and_all_others():
    effects = np.array([0.1, -9, 5, 4, 3, 2, 0])
    left_out = [tuple(np.flatnonzero(~row)) for row in check_rows(effects, 8)]
    assert left_out[:4] == [(1, 2, 3), (0, 5, 6), (1,), (1, 2, 3, 4, 5)] and set(left_out[4:]) == {
        (2,),
        (3,),
        (4,),
        (5,),
    }
    assert np.array_equal(check_rows(effects, 2), check_rows(effects, 8)[:2])
    assert [row.tolist() for row in check_rows(np.array([2.0]), 8)] == [[False]]


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


# End to end


class Reader(ScriptedEngine):
    """Scores a reply by what stands in its prompt: 6 nats for each of `on_shelf` in the candidate lines and each of `in_message` in what the visitor said."""

    on_shelf: tuple[str, ...] = ()
    in_message: tuple[str, ...] = ()

    def score(self, prompts, reply):
        scores = np.zeros((len(prompts), len(reply)))
        for row, prompt in enumerate(prompts):
            lines = [line for line in prompt[0]["content"].split("\n") if line[:2] in ("1.", "2.", "3.")]
            said = " ".join(part["content"] for part in prompt[1:] if part["role"] == "user")
            scores[row, 0] = 6.0 * sum(word in line for word in self.on_shelf for line in lines[:1])
            scores[row, 0] += 6.0 * sum(word in said for word in self.in_message)
        return scores


def explained(make_assistant, message, *, on_shelf=(), in_message=(), start=Conversation(), num_rows=32):
    engine = Reader(["Here you are."])
    engine.on_shelf, engine.in_message = on_shelf, in_message
    assistant = make_assistant(engine)
    *_, reply = assistant.reply(start, message, Sampling(seed=1))
    return assistant.explain(start, message, reply, num_rows=num_rows), reply


@pytest.mark.parametrize(
    ("message", "retrieving", "wording"),
    [
        ("jazz, I ask kindly for tonight", "jazz", "kindly"),
        ("游戏，麻烦帮个忙", "游戏", "麻烦"),
    ],
)
def test_a_word_weighs_through_what_was_found_or_through_the_wording(make_assistant, message, retrieving, wording):
    kind = "| 游戏 |" if retrieving == "游戏" else "| album |"
    attribution, _ = explained(make_assistant, message, on_shelf=(kind,), in_message=(wording,))
    scores = {score.word.text: score for score in attribution.whole}
    assert scores[retrieving].found == pytest.approx(6, abs=1.5) and abs(scores[retrieving].written) < 0.5
    assert scores[wording].written == pytest.approx(6, abs=0.5) and abs(scores[wording].found) < 1.5
    assert scores[retrieving].is_certain and scores[wording].is_certain
    others = [score for word, score in scores.items() if word not in (retrieving, wording)]
    assert all(abs(score.score) < 1.5 for score in others)
    assert all(score.score == pytest.approx(score.found + score.written, abs=0.002) for score in attribution.whole)


def test_checks_are_the_exact_drops(make_assistant):
    attribution, _ = explained(make_assistant, "jazz, I ask kindly for tonight", in_message=("kindly",))
    drops = {tuple(word.text for word in check.without): check.exact for check in attribution.checks}
    assert list(drops.values()) == pytest.approx([6]) and "kindly" in next(iter(drops))


def test_a_sentence_cites_the_candidate_without_which_it_is_unlikely(make_assistant):
    message = "moody jazz"
    _, reply = explained(make_assistant, message)
    read = reply.messages[0]["content"]
    title = re.search(r"^1\. \*\*(.+?)\*\*", read, re.MULTILINE)[1]
    attribution, _ = explained(make_assistant, message, on_shelf=(title,))
    assert [[one.item.title for one in sentence] for sentence in attribution.citations] == [[title]]
    assert attribution.citations[0][0].score == pytest.approx(6)


def test_words_of_earlier_turns_that_the_model_still_reads_count_too(make_assistant, assistant):
    *_, first = assistant.reply(Conversation(), "moody jazz", Sampling(seed=1))
    message = "something shorter please"
    attribution, _ = explained(
        make_assistant, message, in_message=("moody", "shorter"), start=first.conversation, num_rows=24
    )
    assert attribution.message == f"moody jazz\n{message}"
    assert all(attribution.message[one.word.start : one.word.end] == one.word.text for one in attribution.whole)
    scores = {score.word.text: score.score for score in attribution.whole}
    assert scores["moody"] == pytest.approx(6, abs=1) and scores["shorter"] == pytest.approx(6, abs=1)
    assert abs(scores["please"]) < 0.5 and abs(scores["jazz"]) < 0.5


def test_conditions_of_an_earlier_turn_are_heard_as_they_were_when_it_was_said(make_assistant, scripted):
    assistant = make_assistant(scripted(["Fine."]))
    *_, first = assistant.reply(Conversation(), "a film in French", Sampling(seed=1))
    assert any(one.field == "language" for one in first.conversation.profile.constraints)
    assert assistant._heard(first.conversation.turns).constraints == first.conversation.profile.constraints


def test_what_an_earlier_turn_asked_for_is_forgotten_with_its_words(make_assistant, assistant):
    *_, first = assistant.reply(Conversation(), "films about dinosaurs", Sampling(seed=1))
    conversation = assistant.rate(first.conversation, first.items[0].id, "like")
    heard = assistant._heard(conversation.turns)
    without = assistant._retold(conversation, heard, {0: "about"})
    assert not without.profile.interests and without.profile.liked == conversation.profile.liked
    assert without.profile.shown == conversation.profile.shown
    assert assistant._retold(conversation, heard, {0: "films about dinosaurs"}) is conversation


def test_with_every_word_kept_both_scores_are_the_same_prompt(assistant):
    for message in ("I love slow-burn science fiction and moody jazz", "想看忧伤的爵士乐和慢热的科幻片"):
        full = assistant._prepare(Conversation(), message, "en", "warm", Sampling(seed=3))
        held = assistant._prepare(Conversation(), message, "en", "warm", Sampling(seed=3), held=full)
        assert held.messages == full.messages
        other = assistant._prepare(Conversation(), "a", "en", "warm", Sampling(seed=3), held=full)
        assert [one.item for one in other.shelf] == [one.item for one in full.shelf]
        assert not any(one.fits for one in other.shelf)


def test_the_bundled_writer_leans_on_what_the_words_found(assistant):
    message = "忧伤的爵士乐"
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
    attribution = assistant.explain(Conversation(), message, reply, num_rows=8)
    scores = {score.word.text: score for score in attribution.whole}
    assert scores["爵士乐"].found > 10 and scores["爵士乐"].found > scores["爵士乐"].written
    assert attribution.fit > 0.9
    cited = {one.item.id for sentence in attribution.citations for one in sentence}
    assert cited >= {item.id for item in reply.items[:1]}


# What need not be scored


@pytest.mark.parametrize(
    ("text", "prompt", "share"),
    [("a slow, sad film", "1. a slow, sad film", 1), ("abcdefghij", "xx abcdefghi", 2 / 3), ("short", "short", 0), ("忧伤的爵士乐", "想听爵士乐", 1 / 4), ("two\nlines here", "of two\nlines here\nand more", 1)],
)  # fmt: skip
def test_how_much_of_a_text_a_prompt_holds(text, prompt, share):
    assert Quotes([text]).share(prompt) == pytest.approx([share])


def test_what_prompts_hold_of_a_sentence_tells_what_it_scores():
    rng = np.random.default_rng(0)
    copied, noise = rng.random((12, 2)), rng.normal(0, 0.5, (12, 2))
    guesses = Guesses(copied, -90 + copied * [80, 0] + noise, list("aaabbbcccddd"))
    assert guesses.are_good and (guesses.doubts < 1.5).all()
    assert guesses.values(np.array([1.0, 1.0]), "e") == pytest.approx([-10, -90], abs=2)
    shelf = (
        -90 + copied * [80, 0] + 30.0 * np.repeat(np.arange(4) == 1, 3)[:, None]
    )  # what has nothing to do with copying
    apart = Guesses(copied, shelf, list("aaabbbcccddd"))
    assert not apart.are_good
    assert apart.values(copied[4], "b") - apart.values(copied[4], "a") == pytest.approx([30, 30], abs=12)


def test_what_was_guessed_is_less_certain_than_what_was_scored():
    rows, values = sample(lambda rows: linear(rows)[:, None], len(WEIGHTS), 32)
    scored = fit_parts(rows, values, np.zeros_like(values))
    few = np.arange(32) < 8
    guessed = fit_parts(rows, values, np.zeros_like(values), is_scored=few, doubts=np.array([2.0]))
    assert guessed.shares[0] == pytest.approx(scored.shares[0] * (1 - 0.75 * 4 / values.var()))
    assert np.array_equal(guessed.effects, scored.effects) and (guessed.errors > scored.errors + 0.2).all()
    assert np.array_equal(fit_parts(rows, values, np.zeros_like(values), doubts=np.array([2.0])).errors, scored.errors)


def test_prompts_with_what_no_other_has_on_the_shelf_are_scored_first():
    cases = {
        name: _Case([], name.encode(), (name[0],), np.zeros(1)) for name in ("a0", "a1", "a2", "b1", "b2", "c1", "a3")
    }
    spread = _spread(list(cases.values()), [cases["a0"]])
    assert [one.key.decode() for one in spread] == ["b1", "c1", "a1", "b2", "a2", "a3"]


class Copier(ScriptedEngine):
    """Scores a text by how much of it stands in the candidate lines; if it reads the message, by how many words that has, too; if it wobbles, its end by
    nothing that anybody could guess."""

    reads = wobbles = False

    def __init__(self, replies):
        super().__init__(replies)
        self.batches = []  # sizes

    @property
    def num_scored(self):
        return sum(self.batches)

    def score(self, prompts, reply):
        self.batches.append(len(prompts))
        scores = np.zeros((len(prompts), len(reply)))
        for row, prompt in enumerate(prompts):
            scores[row, 0] = -200 + 200 * Quotes([reply]).share(prompt[0]["content"])[0]
            scores[row, 0] += 2.0 * self.reads * len(words(prompt[-1]["content"]))
            scores[row, -1] = 30.0 * self.wobbles * (zlib.crc32(prompt[0]["content"].encode()) % 2)
        return scores


def copying(make_assistant, *, reads=False, wobbles=False):
    """A Copier, an assistant that has it, and what it is to explain: a reply that is one candidate's pitch and two words."""
    message = "Would you have some moody jazz for tonight, my friend, as it was such a long day"
    assistant = make_assistant(Copier(["Fine."]))
    *_, first = assistant.reply(Conversation(), message, Sampling(seed=1))
    pitch = first.messages[0]["content"].split("\n1. ")[1].split("\n")[0].split(" | ")[-1]
    engine = Copier([f"{pitch}. Enjoy it."])
    engine.reads, engine.wobbles = reads, wobbles
    assistant = make_assistant(engine)
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
    return engine, assistant, (Conversation(), message, reply)


@pytest.mark.parametrize("reads", [False, True])
def test_of_a_reply_that_only_quotes_what_was_found_most_is_guessed(make_assistant, reads):
    engine, assistant, told = copying(make_assistant, reads=reads)
    fit = assistant.weigh(*told)
    assert len(fit.rows) == 32 and (engine.num_scored > 32 if reads else engine.num_scored < 16)
    found, score, score_written = assistant.scorers(*told)
    exact = fit_parts(fit.rows, score(fit.rows), score_written(fit.rows))
    assert fit.is_scored.all() == reads and fit.is_scored[0]
    assert fit.effects == pytest.approx(exact.effects, abs=8) and np.abs(exact.effects).max() > 40
    if not reads:
        assert found[int(fit.effects[0].argmax())].text in ("jazz", "moody")


def test_what_is_scored_in_any_case_is_scored_at_once(make_assistant):
    engine, assistant, told = copying(make_assistant)
    assistant.weigh(*told)
    (num_scored,) = (
        engine.batches
    )  # as written, without the message, without the one candidate that is quoted, three rows
    assert num_scored == 6
    attribution = assistant.explain(*told)
    ((cited,),) = [sentence for sentence in attribution.citations if sentence]
    assert any(pitch[1:] in told[2].text for pitch in (cited.item.pitch, cited.item.other_pitch))
    assert engine.batches[1:] == [6, 1]  # and a check


def test_a_sentence_that_cannot_be_guessed_costs_three_rows_where_the_whole_reply_can(make_assistant):
    engine, assistant, told = copying(make_assistant, wobbles=True)
    fit = assistant.weigh(*told)
    assert engine.batches == [6, 3] and not fit.is_scored.all()
    assert fit.shares[0] > 0.5 > fit.shares[1]


def test_where_the_fit_is_poor_twice_the_rows_are_guessed(make_assistant, monkeypatch):
    engine, assistant, told = copying(make_assistant)
    monkeypatch.setattr("genrec.explaining._POOR_FIT", 1.1)
    fit = assistant.weigh(*told)
    assert len(fit.rows) == 64 and 0 < fit.is_scored.sum() < 12 and engine.num_scored < 16


# Asked again, stopped, without probabilities, without a word


class Counting(Reader):
    """A Reader that counts the prompts it scores."""

    num_scored = 0

    def score(self, prompts, reply):
        self.num_scored += len(prompts)
        return super().score(prompts, reply)


@pytest.fixture
def explainable(make_assistant):
    """An engine that counts, an assistant that has it, and what it is to explain."""
    engine = Counting(["Here you are."])
    engine.in_message = ("kindly",)
    assistant = make_assistant(engine)
    message = "jazz, I ask kindly for tonight"
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
    return engine, assistant, (Conversation(), message, reply)


@pytest.fixture
def counted(explainable):
    engine, assistant, told = explainable
    return engine, lambda **options: assistant.explain(*told, **options)


def test_an_explanation_asked_for_again_scores_nothing_and_a_larger_one_only_what_is_new(counted):
    engine, explain = counted
    memory = Explained()
    first = explain(memory=memory)
    scored = engine.num_scored
    assert explain(memory=memory) is first and engine.num_scored == scored
    explain(num_rows=64, memory=memory)
    with_memory, engine.num_scored = engine.num_scored, 0
    explain(num_rows=64)
    assert scored < engine.num_scored and with_memory <= engine.num_scored + 8  # checks of the smaller one apart


def test_what_was_scored_before_a_stop_is_not_scored_again(explainable, counted):
    engine, assistant, told = explainable
    _, explain = counted
    memory = Explained()
    with closing(assistant.explaining(*told, memory=memory)) as steps:
        while next(steps) <= 0.4:
            pass
    done = engine.num_scored
    explain(memory=memory)
    total, engine.num_scored = engine.num_scored, 0
    explain()
    assert 0 < done < total == engine.num_scored


def test_a_running_explanation_can_be_closed_after_every_few_prompts(explainable):
    engine, assistant, told = explainable
    memory = Explained()
    steps = assistant.explaining(*told, memory=memory)
    shares, counts = [], [0]
    for share in steps:
        shares.append(share)
        counts.append(engine.num_scored)
        if share > 0.6:
            break
    assert max(np.diff(counts)) <= 8 and shares[-1] < 1
    steps.close()
    assert engine.num_scored == counts[-1] > 0 and not memory.attributions
    attribution = assistant.explain(*told, memory=memory)  # the rest
    total, engine.num_scored = engine.num_scored, 0
    assert assistant.explain(*told).whole == attribution.whole and engine.num_scored == total


def test_the_share_that_is_done_only_grows_and_ends_with_all(explainable):
    _, assistant, told = explainable
    for num_rows in (4, 24, 64):
        shares = list(assistant.explaining(*told, num_rows=num_rows))
        assert min(shares) > 0 and shares[-1] == 1 and (np.diff(shares) >= 0).all()


class Silent(ScriptedEngine):
    """Gives no probabilities; writes of rain where the visitor does."""

    def describe(self):
        return replace(super().describe(), can_score=False)

    def stream(self, messages, sampling, titles=None, min_titles=0):
        yield "A song about heavy rain. " if "rain" in messages[-1]["content"] else "Some music for you. "
        yield "Enjoy it."


def test_without_probabilities_likeness_says_which_words_the_reply_hangs_on(make_assistant):
    assistant, message = make_assistant(Silent([])), "please some rain music tonight"
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
    attribution = assistant.explain(Conversation(), message, reply)
    assert attribution.scorer == "similarity" and [len(scores) > 0 for scores in attribution.by_sentence] == [
        True,
        False,
    ]
    scores = {score.word.text: score.score for score in attribution.by_sentence[0]}
    assert scores["rain"] == pytest.approx(100, abs=5) and all(abs(scores[word]) < 3 for word in ("please", "music"))


def test_a_rewrite_leaves_the_word_out_and_keeps_all_else(make_assistant):
    assistant, message = make_assistant(Silent([])), "Rain music, some rain tonight"
    *_, reply = assistant.reply(Conversation(), message, Sampling(seed=1))
    rewrite = assistant.rewrite(Conversation(), message, reply, "rain")
    assert [(word.start, word.end) for word in rewrite.without] == [(0, 4), (17, 21)]
    assert rewrite.shortened.text.startswith("Some music for you")
    assert rewrite.same_seed.text == rewrite.original.text == reply.text
    seeds = [one.sampling.seed for one in (rewrite.shortened, rewrite.same_seed, rewrite.other_seed)]
    assert seeds == [1, 1, 2]
    with pytest.raises(InputError, match="opera"):
        assistant.rewrite(Conversation(), message, reply, "opera")


def test_the_bundled_writer_repeats_itself_with_the_same_seed(assistant):
    message, sampling = "忧伤的爵士乐", Sampling(seed=1, max_new_tokens=12)
    *_, reply = assistant.reply(Conversation(), message, sampling)
    assert assistant.rewrite(Conversation(), message, reply, "忧伤").same_seed.text == reply.text


def test_more_rows_begin_with_the_same_rows():
    def score(rows):
        return 9.0 * rows.sum(1)

    fewer, more = sampled(score, 20, BLOCK, seed=5)[0], sampled(score, 20, 3 * BLOCK, seed=5)[0]
    assert np.array_equal(more[:BLOCK], fewer)


# The measures


def test_the_measures_of_a_scorer_with_a_known_truth():
    weights = np.array([9.0, 0, 0, -2, 0, 4, 0, 0, 0, 1])

    def score(rows):
        return (rows @ weights)[:, None]

    def explain(num_rows, seed):
        rows, values = sample(score, len(weights), num_rows, seed=seed)
        return fit_parts(rows, values, np.zeros_like(values))

    measured = dict(measure(score, explain, len(weights), (32,), num_held_out=50, seed=1))
    assert measured["ours, 32 rows: LDS"] > 0.95 and measured["ContextCite, 128 rows: LDS"] > 0.9
    assert measured["ours, 32 rows: top-1 drop"] == pytest.approx(9)
    assert measured["ours, 32 rows: top-3 drop"] == pytest.approx(14)
    assert measured["ours, 32 rows: lost with the top 4 only"] == pytest.approx(-2)
    assert measured["ours, 32 rows: certain words keep their sign"] == 1
    assert measured["ours, 32 rows: words that are certain"] == 0.4
    assert measured["ours, 32 rows: null sentences called null"] == 1


def test_what_only_the_posterior_takes_for_granted_makes_words_uncertain():
    """Ten words that each change what is found a little: fits to fresh rows disagree on many, and the words called certain are not among them."""
    found = kept = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weights, titles = rng.normal(0, 1, (10, 30)), rng.normal(0, 10, 30)

        def score(rows, weights=weights, titles=titles):
            return titles[np.argsort(-(rows @ weights), 1)[:, :3]].sum(1)

        one, other = (fit_words(*sampled(score, 10, 32, seed=at)) for at in (0, 1))
        sure = (np.abs(one.effects) > 1.96 * one.errors) & (one.effects != 0)
        found += sure.sum()
        kept += (one.effects * other.effects >= 0)[sure].sum()  # a fit that is called null says nothing against it
    assert found >= 3 and kept >= 0.8 * found


def test_planted_themes_are_words_of_their_messages(catalogue, vocabulary):
    planted = planted_messages(catalogue, vocabulary, 6)
    assert [len(theme) for _, theme in planted] == [4] * 6 and len({text for text, _ in planted}) == 6
    assert [has_cjk(text) for text, _ in planted] == [False] * 3 + [True] * 3
    for text, theme in planted:
        assert theme < {(word.start, word.end) for word in words(text)} and len(words(text)) >= 16


def test_a_stopped_measurement_goes_on_where_it_was(tmp_path, monkeypatch, make_assistant, catalogue):
    row = {"context": [{"role": "user", "text": "one two three four five six seven eight"}]}
    (tmp_path / "x_en_dev.jsonl").write_text(json.dumps(row), "utf-8")
    results, calls = tmp_path / "results.jsonl", []

    def one(*args):
        calls.append(args)
        return {"a": 1.0}

    monkeypatch.setattr("genrec.bench.attribution._of_message", one)
    monkeypatch.setattr("genrec.load.load_assistant", lambda settings: make_assistant(ScriptedEngine([])))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    asked = ["--data", str(tmp_path), "--messages", "2", "--planted", "0", "--results", str(results)]
    assert run(parser.parse_args(asked)) == 0 and run(parser.parse_args(asked)) == 0 and len(calls) == 1
    with results.open("a") as file:
        file.write('{"key": "half a li')  # as a stop in the middle of a line leaves it
    assert run(parser.parse_args(asked)) == 0 and len(calls) == 1
    assert run(parser.parse_args([*asked, "--held-out", "7"])) == 0 and len(calls) == 2


@pytest.mark.parametrize("name", ["lime", "shap", "captum"])
def test_other_explainers_find_the_strongest_word(name):
    pytest.importorskip(name)
    weights = np.array([0.0, 9, 0, -4, 0, 1])
    for peer, explain in PEERS.items():
        if peer.startswith(name):
            effects = explain(lambda rows: rows @ weights, 6, 0)
            assert (effects.argmax(), effects.argmin()) == (1, 3), peer


def test_first_messages_are_the_visitors_own_and_neither_short_nor_long(tmp_path):
    rows = [
        {
            "context": [
                {"role": "system", "text": "what would you like to see tonight, if I may ask you"},
                {"role": "user", "text": text},
            ]
        }
        for text in ("one two three four five six seven eight", "too short", "w " * 41)
    ]
    (tmp_path / "x_en_dev.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert first_messages(tmp_path, "en", 5) == ["one two three four five six seven eight"]
    assert first_messages(tmp_path, "zh", 5) == []
