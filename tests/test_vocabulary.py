"""Which catalogue words a text uses, and where."""

import pytest

from genrec.errors import AssetError
from genrec.vocabulary import GROUPS, Vocabulary, not_held


def found(vocabulary, text):
    return [(one.group, one.term, text[one.start : one.end]) for one in vocabulary.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a Sci-Fi story", [("tags", "science fiction", "Sci-Fi")]),
        ("scary and cozy", [("tags", "horror", "scary"), ("moods", "cozy", "cozy")]),
        ("DRAGONS, heists", [("tags", "dragons", "DRAGONS"), ("tags", "heist", "heists")]),
        ("two activities", [("kinds", "activity", "activities")]),
        ("来点科幻片吧", [("tags", "science fiction", "科幻片")]),
        ("films from Japan", [("kinds", "film", "films"), ("countries", "Japan", "Japan")]),
        ("dark humour", [("tags", "dark comedy", "dark humour")]),  # the longest wins over "dark"
        ("jazzercise crimeless", []),
        ("", []),
    ],
)
def test_terms_are_found_with_the_words_that_say_them(vocabulary, text, expected):
    assert found(vocabulary, text) == expected


def test_every_term_is_found_by_its_own_name_in_both_languages(vocabulary):
    missing = []
    for group in GROUPS:
        for term in vocabulary.terms[group]:
            for way in (term, vocabulary.translate(term, "zh")):
                spans = vocabulary.find(way)
                if not any(one.start == 0 and one.end == len(way) for one in spans):
                    missing.append((group, term, way))
    assert missing == []


def test_unknown_terms_translate_to_themselves(vocabulary):
    assert vocabulary.translate("science fiction", "zh") == "科幻"
    assert vocabulary.translate("science fiction", "en") == "science fiction"
    assert vocabulary.translate("zorbing", "zh") == "zorbing"


def test_another_catalogues_tags_are_found_too_and_the_old_ones_still(vocabulary):
    more = vocabulary.with_terms(["zorbing", "x", "horror"])
    assert found(more, "zorbing x scary 科幻") == [
        ("tags", "zorbing", "zorbing"),
        ("tags", "horror", "scary"),
        ("tags", "science fiction", "科幻"),
    ]
    assert found(vocabulary, "zorbing") == []
    assert more.translate("horror", "zh") == "恐怖"


def test_a_term_with_regex_characters_is_only_text():
    vocabulary = Vocabulary({"tags": {"c++ (fast)": {"zh": "快", "also": [".*"]}}})
    assert found(vocabulary, "some c++ (fast) code") == [("tags", "c++ (fast)", "c++ (fast)")]
    assert found(vocabulary, "anything") == []


def test_a_missing_or_broken_file_is_an_asset_error(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for name in ("none.json", "broken.json"):
        with pytest.raises(AssetError, match=name):
            Vocabulary.load(tmp_path / name)


def test_a_short_name_may_be_a_kind_and_more_at_once(vocabulary):
    assert found(vocabulary, "kdramas") == [
        ("countries", "South Korea", "kdramas"),
        ("kinds", "series", "kdramas"),
        ("tags", "korean drama", "kdramas"),
    ]
    assert found(vocabulary.with_terms(["zorbing"]), "kdramas") == found(vocabulary, "kdramas")


@pytest.mark.parametrize(
    ("text", "kinds", "wanted", "name"),
    [
        ("a hotel in Rome", ("film", "place"), ("place",), "hotels"),
        ("a hotel in Rome", ("film", "hotel"), ("hotel",), None),
        ("想住酒店", ("酒店",), (), None),
        ("a film about a hotel", ("film", "place"), ("film",), None),
        ("a restaurant", ("dish",), ("dish",), "restaurants"),
        ("a lake", ("place",), ("place",), None),
    ],
)
def test_a_kind_that_a_catalogue_does_not_have_is_named(text, kinds, wanted, name):
    assert not_held(text, kinds, wanted) == name if name is None else not_held(text, kinds, wanted)[0] == name
