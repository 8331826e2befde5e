"""The gate over streams: no hurtful sentence in any snapshot, benign text whole and in order, for any chunking; and how that is measured."""

import json
import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec.evaluate.safety import PlantedEngine, Remembering, auc, measure_disguises, measure_personal
from genrec.evaluate.trials import DISGUISES
from genrec.safety.toxicity import LABELS
from genrec.schema import Conversation, Sampling

BENIGN = ["Here is a calm one. ", "It suits a rainy evening. ", "The ending is warm. ", "Enjoy it with tea. "]
HURTFUL = ["You are a stupid worthless idiot. ", "Shut up, you disgusting moron. "]


@dataclass
class Words:
    """A scorer for what real sentences do rarely: texts with all of some words in them hurt."""

    hurts: tuple[str, ...]

    def score(self, texts):
        return [dict.fromkeys(LABELS, 0.9 if all(word in text for word in self.hurts) else 0.0) for text in texts]


@pytest.fixture(scope="module")
def once(toxicity):
    return Remembering(toxicity)


def snapshots(make_assistant, engine, scorer=None):
    assistant = make_assistant(engine)
    if scorer:
        assistant._toxicity = scorer
    return list(assistant.reply(Conversation(), "a quiet film", Sampling(seed=1)))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), places=st.lists(st.integers(0, 3), max_size=2, unique=True), tries=st.integers(1, 4))
def test_planted_sentences_are_in_no_snapshot_and_benign_ones_stand_once_and_in_order(
    make_assistant, once, seed, places, tries
):
    rng = random.Random(seed)
    planted = {place: [rng.choice(HURTFUL) for _ in range(tries)] for place in places}
    engine = PlantedEngine(BENIGN, planted, rng)
    seen = snapshots(make_assistant, engine, once)
    assert bool(engine.heard) == bool(places)
    assert not any(text.strip() in one.text for one in seen for text in HURTFUL)
    found = [seen[-1].text.find(text.strip()) for text in BENIGN]
    assert found == sorted(found) and found[0] >= 0
    assert all(seen[-1].text.count(text.strip()) == 1 for text in BENIGN)
    assert all(after.text.startswith(before.text) for before, after in zip(seen[:-2], seen[1:-1]))


def test_two_sentences_that_hurt_only_together_are_parted(make_assistant, scripted):
    engine = scripted(["The first one. The second one. The end."])
    seen = snapshots(make_assistant, engine, Words(("first", "second")))
    assert "The first one." in seen[-1].text and not any("second" in one.text for one in seen)


def test_a_reply_that_hurts_only_as_a_whole_is_taken_back_with_a_word_on_what_to_do(make_assistant, scripted):
    engine = scripted(["The first one. A calm one. The third one."])
    last = snapshots(make_assistant, engine, Words(("first", "calm", "third")))[-1]
    assert (last.text, last.sentences, last.mentions) == ("", (), ()) and last.status == "done"
    assert "ask again" in last.notice and last.withheld[-1].category in (
        "insult",
        "threat",
        "identity_attack",
        "obscene",
    )


@pytest.mark.parametrize(
    ("language", "category", "todo"), [("en", "an insult", "ask again"), ("zh", "侮辱", "再问一次")]
)
def test_the_line_in_a_withheld_sentences_place_names_the_category_and_what_to_do(
    make_assistant, scripted, language, category, todo
):
    script = (
        "Here is one. You are a stupid worthless idiot. Fine."
        if language == "en"
        else "这部片子很安静。你这个白痴,闭嘴。很好看。"
    )
    asked = "a quiet film" if language == "en" else "安静的电影"
    *_, reply = make_assistant(scripted([script])).reply(Conversation(), asked, Sampling(seed=1))
    assert category in reply.text and todo in reply.text and "idiot" not in reply.text and "白痴" not in reply.text


def test_a_rewrite_goes_on_where_the_shown_text_ends():
    engine = PlantedEngine(BENIGN, {1: HURTFUL}, random.Random(1))
    first = "".join(engine.stream([{"role": "user", "content": "x"}], Sampling()))
    second = "".join(engine.stream([{"role": "assistant", "content": BENIGN[0].strip()}], Sampling()))
    third = "".join(engine.stream([{"role": "assistant", "content": BENIGN[0].strip()}], Sampling()))
    assert first == BENIGN[0] + HURTFUL[0] + "".join(BENIGN[1:])
    assert second == HURTFUL[1] + "".join(BENIGN[1:]) and third == "".join(BENIGN[1:])


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 1], [0.1, 0.9], 1.0),
        ([1, 0], [0.1, 0.9], 0.0),
        ([0, 1], [0.5, 0.5], 0.5),
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),
    ],
)
def test_auc_is_the_share_of_pairs_in_the_right_order(labels, scores, expected):
    assert auc([bool(one) for one in labels], scores) == expected


def test_auc_of_one_class_is_not_a_number():
    assert math.isnan(auc([True, True], [0.1, 0.2]))


def test_the_measure_of_personal_data_counts_both_sides():
    assert measure_personal(3, num_items=40) == {"personal_masked": 1.0, "ordinary_numbers_masked": 0.0}


def test_disguises_change_a_text_and_their_cost_is_the_recall_they_take(tmp_path):
    import gzip

    rows = [{"text": "a hurtful text here", "label": 1, "suite": "rec_toxic", "lang": "en", "functionality": "x"}]
    rows.append(rows[0] | {"text": "伤人的话", "lang": "zh"})
    with gzip.open(tmp_path / "suites_dev.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    figures = measure_disguises(Words(("hurtful text",)), tmp_path, 0, 1)
    assert figures["recall_en"] == 1.0 and figures["recall_zh"] == 0.0
    assert figures["lost_to_full_width_en"] == 1.0  # this scorer does not normalise
    for disguise in DISGUISES["en"].values():
        assert any(disguise("a hurtful text here", random.Random(seed)) != "a hurtful text here" for seed in range(9))
