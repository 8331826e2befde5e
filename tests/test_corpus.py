"""What the writer is trained on: dialogues whose every fact stands on the shelf beside the item it is said of."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import pytest

from genrec.evaluate.writer import judge
from genrec.interests import asked_number
from genrec.schema import Item
from genrec.train.corpus import Corpus, is_held_out

FRAMES = Path(__file__).parents[1] / "genrec" / "train" / "frames"
NUMBERS = {"one": 1, "two": 2, "three": 3, "一": 1, "两": 2, "三": 3}


@pytest.fixture(scope="module")
def corpus(catalogue, vocabulary):
    return Corpus(catalogue, vocabulary)


@pytest.fixture(scope="module")
def held_out(catalogue, vocabulary):
    return Corpus(catalogue, vocabulary, held_out=True)


def some(corpus, count=400, **options):
    return list(itertools.islice(corpus.dialogues(3, **options), count))


def test_equal_seeds_give_equal_dialogues_and_other_seeds_others(corpus):
    first, again = (some(corpus, 20) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(corpus.dialogues(4), 20))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_replies_pass_the_measures_that_the_writer_is_judged_by(corpus, language):
    dialogues = some(corpus, 1200, languages=(language,))
    counts = sum((judge(one, one.reply) for one in dialogues), start=judge(dialogues[0], ""))
    assert counts["titles"] == counts["titles_of"] > 300
    assert counts["facts"] >= 0.97 * counts["facts_of"] > 10
    assert counts["whole_sentences"] >= 0.98 * (counts["whole_sentences_of"])


def test_no_item_is_told_with_anothers_pitch(corpus):
    """Items without a pitch were once described with the pitch of the item before them."""
    checked = 0
    for dialogue in some(corpus, 800):
        for match in re.finditer(r"\*\*([^*]+)\*\*(?:: |\. |：|。)", dialogue.reply):
            told = dialogue.reply[match.end() :].lower()
            for candidate in dialogue.candidates:
                for pitch in candidate.item.pitches_in(dialogue.language):
                    if told.startswith(pitch.lower()):
                        checked += 1
                        assert candidate.item.title_in(dialogue.language) == match.group(1), dialogue.reply
    assert checked > 100


def test_labels_said_of_an_item_are_its_own(corpus, vocabulary):
    found = 0
    for dialogue in some(corpus, 1500, languages=("en",)):
        match = re.search(r"Think ([^.]+ meets [^.]+)\.", dialogue.reply)
        if match:
            found += 1
            before = dialogue.reply[: match.start()]
            title = re.findall(r"\*\*(.+?)\*\*", before)[-1]
            (item,) = [one.item for one in dialogue.candidates if one.item.title == title]
            tags = [vocabulary.translate(tag, "en") for tag in item.tags]
            assert match.group(1) in {f"{one} meets {other}" for one in tags for other in tags}
    assert found >= 5


def test_no_english_frame_opens_a_sentence_with_a_pitch():
    """A pitch begins with a small letter; its capital would be guessed."""
    rows = [json.loads(line) for line in (FRAMES / "en.jsonl").read_text("utf-8").splitlines()]
    assert [row["text"] for row in rows if re.search(r"(^|[.!?] )\{pitch\d?\}", row["text"])] == []


def test_the_prompt_says_how_many_items_the_reply_names(corpus):
    checked = 0
    for dialogue in some(corpus):
        line = dialogue.messages[0]["content"].split("\n\n", 1)[1].split("\n")[-1]
        told = re.search(r"(one|two|three) picks?|荐([一两三])样", line)
        if told:
            checked += 1
            titles = set(re.findall(r"\*\*(.+?)\*\*", dialogue.reply))
            number = NUMBERS[told.group(1) or told.group(2)]
            assert len(titles) == number
            assert asked_number(dialogue.messages[-1]["content"]) in (0, number)
    assert checked > 200


def test_neighbours_that_share_a_system_text_differ_in_what_follows(corpus):
    groups = [
        list(group)
        for _, group in itertools.groupby(
            some(corpus, 60, num_exchanges=4), key=lambda dialogue: dialogue.messages[0]["content"]
        )
    ]
    assert max(len(group) for group in groups) == 4
    exchanges = [{(one.messages[-1]["content"], one.reply) for one in group} for group in groups if len(group) > 1]
    assert sum(len(different) > 1 for different in exchanges) >= 0.9 * len(exchanges)


def test_held_out_items_and_messages_never_enter_training(corpus, held_out):
    assert {item.id for item in corpus.items}.isdisjoint(item.id for item in held_out.items)
    assert all(is_held_out(item.id) for item in held_out.items) and len(held_out.items) > 150
    real = {candidate.item.id for one in some(corpus) for candidate in one.candidates}
    assert real.isdisjoint(item.id for item in held_out.items)


def test_messages_about_an_item_name_it(held_out):
    item = Item("x", "film", "Quiet Harbour", "静港", tags=("sea",), moods=("quiet",))
    for language, title in (("en", "harbour"), ("zh", "静港")):
        rng = random.Random(1)
        asked = [held_out.asks("about", item, language, rng).lower() for _ in range(20)]
        assert sum(title in message for message in asked) > 8, asked


def test_a_reply_says_no_wish_or_fact_twice_of_one_item(corpus):
    """ "Adding historical drama to historical drama", and a year told by the pick and again by the reason for it."""
    years = 0
    for dialogue in some(corpus, 1500):
        for candidate in dialogue.candidates:
            for pitch in candidate.item.pitches_in(dialogue.language):
                assert dialogue.reply.lower().count(pitch.lower()) <= 1, dialogue.reply
        copied = [dialogue.reply[start:end] for start, end in dialogue.copied]
        if len(dialogue.candidates) == 1 and (year := dialogue.candidates[0].item.year):
            years += str(year) in copied
            assert copied.count(str(year)) <= 1, dialogue.reply
    assert years >= 5


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_question_when_or_by_whom_is_answered_with_that(corpus, language):
    asked = 0
    for dialogue in some(corpus, 3000, languages=(language,)):
        if dialogue.intent != "maker":
            continue
        message, item = dialogue.messages[-1]["content"], dialogue.candidates[0].item
        bare = message.lower().replace(item.title_in(language).lower(), "")
        if re.search(r"\bwhen\b|\byear\b|哪年|什么时候", bare):
            asked += 1
            assert str(item.year) in dialogue.reply
        if re.search(r"\bwho\b|谁", bare):
            assert item.creator_in(language) in dialogue.reply
    assert asked > 10


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_visitor_always_asks_something(held_out, language):
    rng = random.Random(1)
    for intent in ("recommend", "mood", "occasion", "about", "reject", "more", "maker"):
        assert all(held_out.asks(intent, item, language, rng) for item in rng.sample(held_out.items, 20))
