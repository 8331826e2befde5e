"""Known truths: what a scorer does with each word is what the fit must find, and nothing where there is nothing; a word that only changes what is
retrieved, or only the wording, gets its weight there."""

import json

import numpy as np
import pytest
from conftest import ScriptedEngine

from genrec.attribution import MIN_SPREAD, check_rows, draw_rows, fit_parts, fit_words, keep_words
from genrec.bench.attribution import first_messages, measure
from genrec.schema import Conversation, Sampling
from genrec.text import words

WEIGHTS = np.array([4.0, -3.0, 0.0, 2.0, 0.0, -1.0, 0.0, 3.0])  # nats


@pytest.mark.parametrize("num_rows", [24, 32, 64])
def test_the_weights_of_a_linear_scorer_are_recovered(num_rows):
    rows = draw_rows(len(WEIGHTS), num_rows, seed=3)
    fit = fit_words(rows, -40 + rows @ WEIGHTS)
    assert np.abs(fit.effects - WEIGHTS).max() < 0.2
    assert fit.share > 0.95 and (fit.errors >= 0).all() and fit.errors.max() < 0.5
    assert np.abs(fit.pairs).max() < 0.3


def test_what_only_words_together_do_is_shared_among_them_and_told_as_a_pair():
    def score(rows):
        return 12.0 * (rows[:, 0] & rows[:, 1]) + 8.0 * (rows[:, 2] | rows[:, 3]) - 5.0 * rows[:, 4]

    rows = draw_rows(16, 64, seed=1)
    fit = fit_words(rows, score(rows))
    assert np.abs(fit.effects - np.array([6, 6, 4, 4, -5] + [0] * 11)).max() < 1.0
    assert fit.pairs[0, 1] > 6 and fit.pairs[2, 3] < -4 and np.abs(fit.pairs[5:]).max() < 1
    fresh = np.random.default_rng(0).random((100, 16)) < 0.5
    assert np.corrcoef(fit.predict(fresh), score(fresh))[0, 1] > 0.95


def test_four_words_that_work_only_together_are_found_among_twenty():
    needed = [0, 3, 5, 7]
    rows = draw_rows(20, 64, seed=1)
    fit = fit_words(rows, 200.0 * rows[:, needed].all(1))
    assert sorted(np.argsort(-fit.effects)[:4]) == needed
    assert np.abs(fit.effects[needed] - 50).max() < 10  # an equal share of the 200


def test_where_every_choice_is_scored_the_shapley_values_are_exact():
    rows = draw_rows(3, 8)
    fit = fit_words(rows, 6.0 * rows.all(1) + 2.0 * rows[:, 1])
    assert fit.effects == pytest.approx([2, 4, 2]) and fit.share == 1 and not fit.errors.any()
    assert fit.pairs[0, 1] == pytest.approx(3) and np.array_equal(
        fit.predict(rows), 6.0 * rows.all(1) + 2.0 * rows[:, 1]
    )


@pytest.mark.parametrize("seed", range(4))
def test_noise_makes_the_errors_larger_and_the_fit_worse_but_the_intervals_hold(seed):
    rows = draw_rows(len(WEIGHTS), 64, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 1.5, len(rows))
    clean, noisy = fit_words(rows, rows @ WEIGHTS), fit_words(rows, rows @ WEIGHTS + noise)
    assert noisy.errors.mean() > 2 * clean.errors.mean() and 0.4 < noisy.share < clean.share
    assert noisy.effects.argmax() in (0, 7) and noisy.effects.argmin() == 1
    assert (np.abs(noisy.effects - WEIGHTS) < 3 * noisy.errors).mean() >= 0.75


@pytest.mark.parametrize("spread", [0.0, 0.9 * MIN_SPREAD])
def test_a_scorer_that_hardly_moves_gives_zeros(spread):
    rows = draw_rows(6, 32)
    fit = fit_words(rows, -10 + spread * np.resize([-1.0, 1.0], len(rows)))
    assert not fit.effects.any() and not fit.errors.any() and fit.share == 0
    assert fit.predict(rows) == pytest.approx(-10)


def test_pure_noise_is_called_null_nine_times_of_ten():
    rows = draw_rows(12, 32, seed=1)
    shares = [fit_words(rows, np.random.default_rng(seed).normal(0, 3, len(rows))).share for seed in range(10)]
    assert sum(share == 0 for share in shares) >= 9


def test_the_same_rows_and_values_give_the_same_scores():
    rows = draw_rows(8, 40, seed=2)
    values = rows @ WEIGHTS
    one, other = fit_words(rows, values), fit_words(rows, values)
    assert np.array_equal(one.effects, other.effects) and np.array_equal(one.errors, other.errors)
    assert np.array_equal(draw_rows(8, 40, seed=2), rows)
    assert not np.array_equal(draw_rows(8, 40, seed=3), rows)


def test_each_sentence_and_each_part_has_its_own_words():
    rows = draw_rows(10, 32, seed=0)
    written = np.stack([3.0 * rows[:, 0], np.zeros(len(rows))], axis=1)
    found = np.stack([np.zeros(len(rows)), 20.0 * (rows[:, 4] & rows[:, 5])], axis=1)
    parts = fit_parts(rows, written + found, written)
    assert parts.effects[0] == pytest.approx([3] + [0] * 9, abs=0.2)
    assert parts.written[0].effects[0] == pytest.approx(3, abs=0.2) and not parts.found[0].effects.any()
    assert parts.found[1].effects[[4, 5]] == pytest.approx([10, 10], abs=1) and not parts.written[1].effects.any()
    assert parts.shares.min() > 0.9 and parts.share > 0.9


@pytest.mark.parametrize(("num_words", "num_rows"), [(8, 32), (3, 8), (20, 64), (30, 6)])
def test_rows_come_in_complementary_pairs_and_none_twice(num_words, num_rows):
    rows = draw_rows(num_words, num_rows, seed=4)
    assert rows.shape == (num_rows, num_words) and rows.dtype == bool
    assert rows[0].all() and not rows[1].any()
    assert (rows[0::2] == ~rows[1::2]).all()
    assert len(np.unique(rows, axis=0)) == num_rows


def test_the_fuller_rows_leave_out_from_one_word_to_half_of_them_and_each_word_equally_often():
    fuller = draw_rows(20, 32, seed=0)[2::2]
    sizes = fuller.sum(1)
    assert sizes.max() == 19 and sizes.min() == 10 and 14 <= np.median(sizes) <= 15
    assert np.ptp(fuller.sum(0)) <= 1


@pytest.mark.parametrize(("num_words", "expected"), [(1, 2), (2, 4), (3, 8), (4, 16)])
def test_a_short_message_has_only_as_many_rows_as_there_are_choices(num_words, expected):
    assert len(draw_rows(num_words, 100)) == expected


def test_one_word_gets_the_exact_difference_it_makes():
    rows = draw_rows(1, 32)
    fit = fit_words(rows, rows @ np.array([5.0]))
    assert (fit.effects.tolist(), fit.errors.tolist(), fit.share) == ([5.0], [0.0], 1.0)


def test_checks_leave_out_the_strongest_words_and_all_others():
    left_out = {tuple(np.flatnonzero(~row)) for row in check_rows(np.array([0.1, -9, 5, 4, 3, 2, 0]))}
    assert left_out == {(1,), (2,), (3,), (4,), (5,), (1, 2, 3), (1, 2, 3, 4, 5), (0, 5, 6)}
    assert [row.tolist() for row in check_rows(np.array([2.0]))] == [[False]]


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
        ("专辑，麻烦帮个忙", "专辑", "麻烦"),
    ],
)
def test_a_word_weighs_through_what_was_found_or_through_the_wording(make_assistant, message, retrieving, wording):
    kind = "| 专辑 |" if retrieving == "专辑" else "| album |"
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
    assert drops[("kindly",)] == pytest.approx(6) and all(
        exact == pytest.approx(6 * ("kindly" in without)) for without, exact in drops.items()
    )


def test_a_sentence_cites_the_candidate_without_which_it_is_unlikely(make_assistant):
    message = "moody jazz"
    _, reply = explained(make_assistant, message)
    title = reply.candidates[0].item.title
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
    assert attribution.fit == 1.0
    cited = {one.item.id for sentence in attribution.citations for one in sentence}
    assert cited >= {item.id for item in reply.items[:1]}


# The measures


def test_the_measures_of_a_scorer_with_a_known_truth():
    weights = np.array([9.0, 0, 0, -2, 0, 4, 0, 0, 0, 1])

    def score(rows):
        return (rows @ weights)[:, None]

    def score_written(rows):
        return np.zeros((len(rows), 1))

    measured = dict(measure(score, score_written, len(weights), (32,), num_held_out=50, seed=1))
    assert measured["ours, 32 rows: LDS"] > 0.95 and measured["ContextCite, 128 rows: LDS"] > 0.9
    assert measured["ours, 32 rows: top-1 drop"] == pytest.approx(9)
    assert measured["ours, 32 rows: top-3 drop"] == pytest.approx(14)
    assert measured["ours, 32 rows: lost with the top 4 only"] == pytest.approx(-2)
    assert measured["ours, 32 rows: certain words keep their sign"] == 1


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
