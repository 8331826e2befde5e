"""The measures of a writer on cases worked out by hand."""

from __future__ import annotations

import pytest

from genrec.evaluate.samples import as_markdown
from genrec.evaluate.writer import (
    distinct_2,
    evaluate_raw,
    evaluate_served,
    interval,
    is_whole,
    judge,
    judge_facts,
    self_bleu_4,
)
from genrec.schema import Candidate, Item, Mention, Reply, Sampling, Sentence, Withheld
from genrec.train.corpus import Corpus, Dialogue

ALIEN = Item(
    "film-1",
    "film",
    "Alien",
    "异形",
    "Ridley Scott",
    "雷德利·斯科特",
    1979,
    pitch="seven people and a guest who hides in the walls",
)
DUNE = Item("film-2", "film", "Dune", "沙丘", "Denis Villeneuve", "丹尼斯·维伦纽瓦", 2021)
DIALOGUE = Dialogue(
    [{"role": "system", "content": "x"}, {"role": "user", "content": "space films"}], "", (), "en", "recommend",
    (Candidate(ALIEN, 1.0, fits=("space",)), Candidate(DUNE, 0.9)),
)  # fmt: skip


def shares(reply):
    counts = judge(DIALOGUE, reply)
    return {
        name: (counts[name], counts[f"{name}_of"])
        for name in ("titles", "facts", "fit", "language", "named", "whole_sentences")
    }


def test_a_right_reply_is_right_in_everything():
    assert shares("Try **Alien** (1979). It is by Ridley Scott.") == {
        "titles": (1, 1), "facts": (2, 2), "fit": (1, 1), "language": (1, 1), "named": (1, 1), "whole_sentences": (2, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "name", "expected"),
    [
        ("Try **Aliens**.", "titles", (0, 1)),
        ("Try **Alien** (1978).", "facts", (0, 1)),
        ("Try **Dune**, directed by Ridley Scott.", "facts", (0, 1)),
        ("Try **Dune**.", "fit", (0, 1)),
        ("试试**Alien**。", "language", (0, 1)),
        ("Nothing today.", "named", (0, 1)),
        ("Try **Alien", "whole_sentences", (0, 1)),
        ("It is one of one of one of one of.", "whole_sentences", (0, 1)),
    ],
)
def test_each_fault_is_counted_where_it_belongs(reply, name, expected):
    assert shares(reply)[name] == expected


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [("A calm film.", True), ("一部安静的电影；", True), ("A calm", False), ("**A calm film.", False), ("", False)],
)
def test_a_whole_sentence_has_an_end_and_closed_titles(sentence, whole):
    assert is_whole(sentence) is whole


def test_distinct_2_is_the_share_of_different_word_pairs():
    assert distinct_2([]) == 0 and distinct_2(["one"]) == 0
    assert distinct_2(["a b c"]) == 1
    assert distinct_2(["a b", "a b"]) == 0.5
    assert distinct_2(["a b a b"]) == pytest.approx(2 / 3)  # ab, ba, ab


def test_self_bleu_is_one_for_equal_replies_and_near_nothing_for_different_ones():
    assert self_bleu_4([]) == 0
    assert self_bleu_4(["a b c d e", "a b c d e"]) == pytest.approx(1)
    assert self_bleu_4(["a b c d e", "f g h i j"]) < 0.01


def test_the_interval_of_a_share_is_wilsons():
    assert interval(0, 0) == (0.0, 1.0)
    low, high = interval(5, 10)
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)
    assert interval(10, 10)[1] == pytest.approx(1)


def test_samples_show_withheld_sentences_and_empty_replies_too():
    text = as_markdown(
        [(1, "hi", Reply(text="Fine.")), (2, "ho", Reply(withheld=(Withheld("fact", 1.0),), notice="Sorry."))]
    )
    assert text == "**1.** hi\n\n> Fine.\n\n**2.** ho\n\n> (nothing)\n\n*Sorry.*\n\n(withheld: fact)"


def test_the_real_writer_is_measured_on_prompts_and_on_dialogues(assistant, catalogue, vocabulary):
    corpus = Corpus(catalogue, vocabulary, held_out=True)
    raw = evaluate_raw(assistant.engine, corpus, num_prompts=2, seed=3, sampling=Sampling(max_new_tokens=60))
    assert {"raw_language_en", "raw_language_zh", "raw_whole_sentences_en", "distinct_2_zh"} <= raw.keys()
    served = evaluate_served(assistant, corpus, num_dialogues=2, seed=3, sampling=Sampling(max_new_tokens=60))
    assert served["served_answered_en"]["of"] == 1 and 0 <= served["self_bleu_4_zh"] <= 1


@pytest.mark.parametrize(
    ("text", "right", "total"),
    [
        ("**Alien**, by Ridley Scott, came in 1979. ", 2, 2),
        ("**Alien**, by Sofia Coppola, came in 1986. ", 0, 2),
        ("**Alien** it is, since you said 1986. ", 1, 1),
        ("**Alien** is a film. ", 0, 0),
    ],
)
def test_stated_years_and_makers_are_looked_up(text, right, total):
    mention = Mention("Alien", 0, 9, ALIEN)
    reply = Reply(text=text, sentences=(Sentence(text, 0, len(text)),), mentions=(mention,))
    message = "since you said 1986" if "since" in text else "space"
    counts = judge_facts(reply, message, {"Ridley Scott", "Sofia Coppola"})
    assert (counts["facts"], counts["facts_of"]) == (right, total)
