"""The first questions: every choice is a word of the catalogue, and what is chosen is understood like any other message."""

import pytest

from genrec.constraints import Fields
from genrec.interests import understand
from genrec.onboarding import message_of, onboarding, question_for
from genrec.schema import Interest, Item, Profile


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_choice_is_understood_when_it_is_said(catalogue, vocabulary, language):
    fields = Fields.of(catalogue.items)
    for question in onboarding(catalogue.items, vocabulary, language):
        for choice in question.choices:
            message = message_of({question.about: choice.words}, language)
            profile = understand(
                message, Profile(), vocabulary=vocabulary, by_title=catalogue.by_title, fields=fields
            ).profile
            if question.about == "kind":
                assert len(profile.kinds) == 1 and not profile.interests, message
            else:
                assert [tag for wish in profile.likes for tag in wish.tags], message


@pytest.mark.parametrize("language", ["en", "zh"])
def test_three_choices_make_one_message_with_all_of_them(catalogue, vocabulary, language):
    kind, mood, company = onboarding(catalogue.items, vocabulary, language, kind="game")
    words = (kind.choices[4].words, mood.choices[0].words, company.choices[-1].words)
    message = message_of(dict(zip(("kind", "mood", "company"), words, strict=True)), language)
    assert message == ("想要俏皮的游戏，和朋友一起。" if language == "zh" else "I'd like a playful game with friends.")
    profile = understand(message, Profile(), vocabulary=vocabulary, by_title=catalogue.by_title).profile
    assert profile.kinds == ("game",)
    assert {"playful", "for groups"} <= {tag for wish in profile.likes for tag in wish.tags}


def test_choices_depend_on_the_kind_that_is_chosen(catalogue, vocabulary):
    def company(kind):
        questions = onboarding(catalogue.items, vocabulary, "en", kind=kind)
        return [choice.label for question in questions if question.about == "company" for choice in question.choices]

    assert "friends" in company("game") and "friends" not in company("film")


def test_a_catalogue_without_moods_is_asked_by_its_topics(vocabulary):
    items = [Item(str(n), "tool", f"T{n}", tags=("metal" if n % 2 else "wood",)) for n in range(10)]
    (topic,) = onboarding(items, vocabulary, "en")
    assert topic.about == "topic" and {choice.label for choice in topic.choices} == {"metal", "wood"}
    assert "metal" in question_for(Profile(), items, vocabulary, "en")


def test_a_catalogue_with_nothing_to_choose_from_is_not_asked(vocabulary):
    items = [Item("1", "tool", "Saw")]
    assert onboarding(items, vocabulary, "en") == () and question_for(Profile(), items, vocabulary, "en") == ""


def test_who_has_said_something_is_not_asked(catalogue, vocabulary):
    known = Profile(interests=(Interest("jazz", tags=("jazz",)),))
    assert question_for(known, catalogue.items, vocabulary, "en") == ""
    assert question_for(Profile(liked=("film-001",)), catalogue.items, vocabulary, "en") == ""


def test_nothing_chosen_is_nothing_said():
    assert message_of({}, "en") == "" and message_of({"kind": ""}, "zh") == ""
