"""What is found and in which order: known answers on a small shelf, and both wishes of a message on the real catalogue."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from genrec.catalogue import Catalogue
from genrec.constraints import is_met
from genrec.errors import AssetError
from genrec.interests import named_items, understand
from genrec.load import check_asset
from genrec.retrieval import (
    FEATURES,
    NUM_RANKED,
    Retriever,
    SentenceEncoder,
    read_weights,
    scaled,
    standardised,
)
from genrec.schema import Constraint, Interest, Item, Profile
from genrec.vocabulary import Vocabulary

TOPICS = ("space", "cooking", "ghosts", "jazz", "love")


class TopicEncoder:
    """A unit vector that counts the topics a text names: meaning that can be worked out by hand."""

    def encode(self, texts):
        counts = np.array([[text.lower().count(topic) for topic in TOPICS] + [0.01] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


ITEMS = (
    Item(
        "space-film",
        "film",
        "Far Out",
        year=1995,
        tags=("space",),
        pitch="alone in space",
        attributes={"runtime_min": 90},
    ),
    Item(
        "space-epic",
        "film",
        "Farther Out",
        year=2015,
        tags=("space", "war"),
        pitch="a war in space",
        attributes={"runtime_min": 180},
    ),
    Item(
        "space-book",
        "book",
        "Star Log",
        year=1970,
        tags=("space",),
        pitch="letters from space",
        attributes={"pages": 200},
    ),
    Item(
        "cook-film",
        "film",
        "Broth",
        year=1999,
        tags=("cooking",),
        pitch="cooking for a village",
        attributes={"runtime_min": 110},
    ),
    Item(
        "ghost-film",
        "film",
        "Boo",
        year=1990,
        tags=("ghosts", "horror"),
        pitch="ghosts in the attic",
        attributes={"runtime_min": 80},
    ),
    Item("jazz-course", "course", "Swing", tags=("jazz",), pitch="jazz for beginners", attributes={"hours": 2}),
    Item("love-film", "film", "Yours", year=2001, tags=("romance",), country="France", pitch="love by letter"),
    Item(
        "party-game", "game", "Shout", year=2010, tags=("party",), pitch="a loud evening", attributes={"players_max": 6}
    ),
)


def liked(text, *tags, turn=0):
    return Interest(text, True, tags, turn=turn)


def disliked(text, *tags):
    return Interest(text, False, tags)


def ids(ranking, count=None):
    return [candidate.item.id for candidate in ranking.candidates[:count]]


@pytest.fixture(scope="module")
def small(vocabulary, weights):
    return Retriever(Catalogue(ITEMS), TopicEncoder(), vocabulary, weights)


@pytest.mark.parametrize(
    ("profile", "message", "best"),
    [
        (Profile(), "cooking, something about cooking", "cook-film"),
        (Profile((liked("ghosts", "ghosts"),)), "ghosts", "ghost-film"),
        (Profile((liked("space", "space"),), kinds=("book",)), "a book about space", "space-book"),
        (Profile((liked("from France", "France"),)), "from France", "love-film"),
        (Profile(liked=("space-film",)), "more like it", "space-epic"),
        (Profile((liked("jazz", "jazz", turn=0), liked("ghosts", "ghosts", turn=6))), "ghosts", "ghost-film"),
    ],
)
def test_the_obvious_item_comes_first(small, profile, message, best):
    turn = max((interest.turn for interest in profile.interests), default=0)
    assert ids(small.rank(profile, message, turn=turn), 1) == [best]


def test_of_equal_items_the_better_known_comes_first(vocabulary, weights):
    twins = tuple(
        Item(f"t{popularity}", "film", "Twin", tags=("space",), pitch="space", popularity=popularity)
        for popularity in (1.0, 5.0, 3.0)
    )
    assert ids(Retriever(Catalogue(twins), TopicEncoder(), vocabulary, weights).rank(Profile(), "space"), 1) == ["t5.0"]


@pytest.mark.parametrize(
    ("constraint", "left"),
    [
        (Constraint("year", ">=", 1995), {"space-film", "space-epic", "cook-film", "love-film", "party-game"}),
        (Constraint("year", "<=", 1990), {"space-book", "ghost-film"}),
        (Constraint("minutes", "<=", 90), {"space-film", "ghost-film"}),
        (Constraint("minutes", "<=", 120), {"space-film", "ghost-film", "cook-film", "jazz-course"}),
        (Constraint("pages", "<=", 200), {"space-book"}),
        (Constraint("players", ">=", 6), {"party-game"}),
        (Constraint("runtime_min", "==", 80), {"ghost-film"}),
    ],
)
def test_a_constraint_lets_through_exactly_what_meets_it(small, constraint, left):
    ranking = small.rank(Profile(constraints=(constraint,)), "space")
    assert set(ids(ranking)) == left
    assert ranking.relaxed == ""
    assert all(is_met(candidate.item, constraint) for candidate in ranking.candidates)


def test_a_remembering_retriever_ranks_alike_and_no_message_twice(small, monkeypatch):
    wish = Interest("space", tags=("space",), start=5, end=10)
    short = Constraint("minutes", "<=", 100, "short", 12, 17)
    profiles = [
        Profile(interests=(wish,)),
        Profile(interests=(wish, Interest("cooking", False, ("cooking",)))),
        Profile(interests=(wish,), constraints=(short,)),
        Profile(liked=("love-film",), constraints=(short, Constraint("year", ">=", 2300, "soon", 18, 22))),
        Profile(),
    ]
    remembering = small.remembering()
    asked = []
    monkeypatch.setattr(small._encoder, "encode", lambda texts: asked.append(texts) or TopicEncoder().encode(texts))
    for profile in profiles * 2:
        for message in ("some space now", "a ghosts film"):
            assert remembering.rank(profile, message) == small.rank(profile, message)
    asked.clear()
    moved = Profile(interests=(replace(wish, start=0, end=5),))
    assert remembering.rank(moved, "space now, please") == small.rank(profiles[0], "some space now")
    assert len(asked) == 1  # by the one that does not remember


def test_a_constraint_that_nothing_meets_is_dropped_and_named(small):
    old, short, never = (
        Constraint("year", "<=", 1990, "before 1991"),
        Constraint("minutes", "<=", 90, "under 90 minutes"),
        Constraint("pages", "<=", 3, "under 3 pages"),
    )
    ranking = small.rank(Profile(constraints=(old, short, never)), "space")
    assert (ids(ranking), ranking.relaxed) == (["ghost-film"], "under 3 pages")
    assert small.rank(Profile(constraints=(never,)), "space").relaxed == "under 3 pages"
    assert len(ids(small.rank(Profile(constraints=(never,)), "space"))) == len(ITEMS)


def test_every_constraint_that_had_to_be_dropped_is_named(small):
    never, short = Constraint("pages", "<=", 3, "under 3 pages"), Constraint("minutes", "<=", 10, "under 10 minutes")
    relaxed = small.rank(Profile(constraints=(never, short)), "space").relaxed
    assert relaxed == "under 3 pages; under 10 minutes"


def test_no_more_constraints_are_dropped_than_must_be_and_the_nearest_item_comes_first(small):
    never, long = Constraint("pages", "<=", 3, "under 3 pages"), Constraint("minutes", ">=", 100, "over 100 minutes")
    ranking = small.rank(Profile(constraints=(never, long)), "space")
    assert (ranking.relaxed, set(ids(ranking))) == ("under 3 pages", {"space-epic", "cook-film", "jazz-course"})
    longest = Constraint("minutes", ">=", 200, "over 200 minutes")
    ranking = small.rank(Profile((liked("cooking", "cooking"),), (longest,)), "cooking")
    assert (ids(ranking, 1), ranking.relaxed) == (["space-epic"], "over 200 minutes")


@pytest.mark.parametrize("list_name", ["shown", "seen", "disliked", "liked"])
def test_what_the_visitor_knows_never_comes_again(small, list_name):
    profile = Profile((liked("space", "space"),), **{list_name: ("space-film", "space-epic")})
    assert not {"space-film", "space-epic"} & set(ids(small.rank(profile, "space")))


def test_when_everything_was_shown_it_begins_again_with_what_was_not_turned_down(small):
    everything = tuple(item.id for item in ITEMS)
    again = ids(small.rank(Profile(shown=everything, disliked=everything[:1], seen=everything[1:2]), "space"))
    assert set(again) == set(everything[2:])


def test_an_item_of_a_disliked_tag_is_left_out_while_there_is_another(small):
    profile = Profile((liked("space", "space"), disliked("war", "war")))
    ranked = ids(small.rank(profile, "space"))
    assert set(ranked[:2]) == {"space-film", "space-book"}
    assert "space-epic" not in ranked


def test_where_all_are_disliked_the_one_with_fewest_disliked_tags_comes_first(small):
    others = tuple(item.id for item in ITEMS if item.id not in ("space-epic", "space-film"))
    profile = Profile((disliked("war", "war"), disliked("space", "space")), shown=others)
    assert ids(small.rank(profile, "a war in space")) == ["space-film", "space-epic"]


def test_a_wish_that_nothing_answers_is_named(small):
    ranking = small.rank(Profile((liked("a western", "western"),)), "a western")
    assert ranking.unanswered == "a western"
    assert small.rank(Profile((liked("space", "space"),)), "space").unanswered == ""


def test_a_candidate_says_which_wishes_it_answers_and_what_its_score_is_made_of(small):
    best = small.rank(Profile((liked("in space", "space"), liked("a war", "war"))), "a war in space").candidates[0]
    assert (best.item.id, best.fits) == ("space-epic", ("in space", "a war"))
    assert best.parts["tags"] == pytest.approx(1.0) and best.parts["like_tags"] == 0


def test_ranking_twice_gives_the_same(retriever, read_profile):
    for message in ("I like jazz and hiking", "我喜欢侦探和喜剧", ""):
        profile = read_profile(message)
        assert retriever.rank(profile, message) == retriever.rank(profile, message)


@pytest.fixture(scope="module")
def read_profile(vocabulary, catalogue):
    return lambda message: understand(message, Profile(), vocabulary=vocabulary, by_title=catalogue.by_title).profile


@pytest.mark.parametrize(
    ("message", "has_drinks"),
    [
        ("a quick vegetarian dish", False),
        ("想学一道简单的素菜", False),
        ("a coffee recipe", True),
        ("想喝鸡尾酒", True),
    ],
)
def test_who_asks_for_a_dish_gets_a_drink_only_where_he_asks_for_one(retriever, read_profile, message, has_drinks):
    found = [candidate.item for candidate in retriever.rank(read_profile(message), message).candidates[:10]]
    assert any("drinks" in item.tags for item in found) == has_drinks


@pytest.mark.parametrize(
    "message",
    [
        "I like jazz and hiking",
        "films about space, and about cooking",
        "I want dragons and also a heist",
        "我喜欢爵士和徒步",
        "ghosts; robots; tea",
    ],
)
def test_each_of_several_wishes_is_answered_near_the_top(retriever, read_profile, message):
    profile = read_profile(message)
    wishes = [set(interest.tags) for interest in profile.likes]
    assert len(wishes) >= 2 and all(wishes)
    top = [
        {*candidate.item.tags, *candidate.item.moods} for candidate in retriever.rank(profile, message).candidates[:3]
    ]
    assert all(any(wish & terms for terms in top) for wish in wishes)


def test_the_real_catalogue_fills_the_ranking_without_repeats_or_what_is_disliked(retriever, read_profile):
    message = "I love science fiction but no aliens"
    ranking = retriever.rank(read_profile(message), message)
    assert len(ids(ranking)) == len(set(ids(ranking))) == NUM_RANKED
    assert all(
        "science fiction" in candidate.item.tags and "aliens" not in candidate.item.tags
        for candidate in ranking.candidates[:5]
    )
    assert not any("aliens" in candidate.item.tags for candidate in ranking.candidates)


def test_the_real_encoder_finds_an_item_by_what_happens_in_it(retriever):
    for message, title in (
        ("a girl works in a bathhouse for gods", "Spirited Away"),
        ("在神灵的澡堂里干活的小女孩", "Spirited Away"),
    ):
        assert title in [candidate.item.title for candidate in retriever.rank(Profile(), message).candidates[:5]]


def test_an_encoder_that_is_not_there_is_an_asset_error(tmp_path):
    with pytest.raises(AssetError, match="encoder"):
        SentenceEncoder.load(tmp_path)


def test_the_ranker_is_what_its_card_describes(assets, weights):
    check_asset(assets / "models" / "ranker")
    assert set(weights) <= set(FEATURES) and all(weight > 0 for weight in weights.values())


@pytest.mark.parametrize("text", ["{}[", '{"meaning": "much"}', '{"luck": 1}', "[1]"])
def test_weights_that_cannot_be_used_are_an_asset_error(tmp_path, text):
    (tmp_path / "weights.json").write_text(text, "utf-8")
    with pytest.raises(AssetError, match="weights"):
        read_weights(tmp_path)


def test_a_feature_counts_in_deviations_over_the_items_that_may_come():
    allowed = np.array([True, True, True, False])
    values = np.array([1.0, 2.0, 3.0, 100.0], np.float32)
    deviation = (2 / 3) ** 0.5
    assert standardised(values, allowed)[:3] == pytest.approx([-1 / deviation, 0, 1 / deviation])
    assert standardised(values, allowed)[3] == 6.0  # clipped
    assert not standardised(np.array([2.0, 2.0, 2.0, 9.0], np.float32), allowed).any()
    assert not standardised(values, np.zeros(4, bool)).any()


def test_only_popularity_that_stands_out_counts():
    allowed, popularity = np.ones(5, bool), np.array([1, 3, 3, 3, 5], np.float32)
    deviation = 1.6**0.5
    assert scaled("popularity", popularity, allowed) == pytest.approx([0, 0, 0, 0, 2 / deviation - 0.5])
    assert scaled("words", popularity, allowed)[0] == pytest.approx(-2 / deviation)


@pytest.mark.parametrize(
    ("wish", "ids"), [("Robin Williams", {"n1"}), ("Williams", {"n1"}), ("Ann Lee", {"n1", "n2"}), ("宫崎骏", {"n3"})]
)
def test_a_wish_for_a_maker_is_answered_by_what_he_made(people, wish, ids):
    of_its_words = ("comedy",) if " " in wish else ()  # "imagine dragons" are no dragons
    candidates = people.rank(Profile(interests=(Interest(wish, tags=of_its_words),)), wish).candidates
    assert {one.item.id for one in candidates if wish in one.fits} == ids


def test_a_word_for_a_kind_says_nothing_of_what_it_is_about(retriever, people):
    shared = [people.features(Profile(), text)["words"] for text in ("French films", "French")]
    assert shared[0] == pytest.approx(shared[1])
    assert (
        retriever.features(Profile(), "a board game")["words"].any()
        and not people.features(Profile(), "a film")["words"].any()
    )


PEOPLE = (
    Item("n1", "film", "One", 
         creator="Ann Lee, Robin Williams", year=1990, tags=("comedy",), attributes={"stars": "Zoe Ek"}),
    Item("n2", "film", "Two", creator="Bo Ray", year=1991, tags=("comedy",), attributes={"stars": "Ann Lee"}),
    Item("n3", "film", "Three", title_zh="三", creator="Cy Fox", creator_zh="宫崎骏", year=2010, tags=("comedy",), attributes={"stars": "Di Day"}),
    Item("n4", "film", "Four", creator="Ed Orr", year=2011, tags=("comedy",), attributes={"stars": "Al Poe", "language": "French"}),
    Item("n5", "film", "Four Strikes Back", creator="Flo Nash", year=2020, tags=("comedy",), attributes={"stars": "Jo Bell", "language": "French"}),
    Item("n6", "film", "Six", creator="Gus Hill", year=1950, tags=("sci-fi",), attributes={"stars": "Ida May", "language": "French"}),
    Item("n7", "film", "Seven", creator="Hal Wade", year=1951, attributes={"stars": "Ian Kent", "language": "French"}),
)  # fmt: skip


@pytest.fixture(scope="module")
def people(vocabulary, weights):
    catalogue = Catalogue(PEOPLE)
    return Retriever(catalogue, TopicEncoder(), vocabulary.with_terms(catalogue.tags()), weights)


@pytest.mark.parametrize(
    ("message", "feature", "ids_with_it"),
    [
        ("a film by robin williams", "named", {"n1"}),
        ("anything with Robin Wiliams in it", "named", {"n1"}),
        ("Ann Lee please", "named", {"n1", "n2"}),
        ("想看宫崎骏的电影", "named", {"n3"}),
        ("in French", "named", set()),  # a category, nobody's name
        ("French", "words", {"n4", "n5", "n6", "n7"}),
    ],
)
def test_makers_and_players_are_found_by_name_typing_errors_aside(people, message, feature, ids_with_it):
    values = people.features(Profile(), message)[feature]
    assert {item.id for item, value in zip(PEOPLE, values, strict=True) if value > 0} == ids_with_it


@pytest.mark.parametrize(
    ("feature", "best"),
    [("like_people", "n2"), ("like_tags", "n2"), ("like_years", "n2")],
)
def test_what_is_like_a_liked_item_has_its_people_tags_and_years(people, feature, best):
    values = people.features(Profile(liked=("n1",)), "more")[feature]
    others = [(value, item.id) for item, value in zip(PEOPLE, values, strict=True) if item.id != "n1"]
    assert max(others, key=lambda one: one[0])[1] == best


def test_a_sequel_is_like_it_in_title(people):
    values = people.features(Profile(liked=("n4",)), "more")["like_title"]
    assert values[4] > 0.2 and values[[0, 1, 2, 5, 6]].max() == 0


def test_the_latest_of_the_liked_items_counts_most(people):
    values = people.features(Profile(liked=("n4", "n2")), "more")["like_people"]
    assert values[1] > values[3] > 0


def test_a_tag_is_found_by_the_word_the_vocabulary_has_for_it(people, vocabulary):
    profile = Profile((liked("science fiction", "science fiction"),))
    assert people.features(profile, "science fiction")["tags"].argmax() == 5


def test_who_only_agrees_is_taken_to_want_what_was_offered(people):
    features = lambda previous: people.features(Profile(), "Yes, please!", previous=previous)["named"]  # noqa: E731
    assert features("How about something by Bo Ray?").argmax() == 1 and not features("Anything else?").any()


def test_of_surprise_comes_less_known_and_more_varied(retriever, read_profile):
    profile = read_profile("a film about love")

    def known(surprise):
        ranking = retriever.rank(profile, "a film about love", surprise=surprise)
        return np.mean([one.item.popularity for one in ranking.candidates])

    assert known(0.0) > known(0.5) > known(1.0)
    default = retriever.rank(profile, "a film about love")
    assert default == retriever.rank(profile, "a film about love", surprise=0.5)


NAMESAKES = Catalogue(
    (
        Item("j95", "film", "Jumanji", year=1995, popularity=3.0),
        Item("j17", "film", "Jumanji", year=2017, popularity=4.0),
        Item("orwell", "film", "1984", year=1956),
        Item("ghosts", "film", "Ghostbusters", year=1984),
    )
)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("I liked Jumanji (1995) a lot", ["j95"]),
        ("I liked Jumanji (2017) a lot", ["j17"]),
        ("I liked Jumanji a lot", ["j17"]),
        ("I liked Ghostbusters (1984) a lot", ["ghosts"]),
        ("I liked 1984 (1956)", ["orwell"]),
    ],
)
def test_a_year_tells_namesakes_apart_and_is_no_title_itself(message, named):
    assert [item.id for item, _, _ in named_items(message, NAMESAKES.by_title)] == named


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("I loved Spirted Away", ["Spirited Away"]),
        ("something like Farewel My Concubin (1993)", ["Farewell My Concubine"]),
        ("我喜欢《霸王别鸡》", ["Farewell My Concubine"]),
        ("I loved Spirted Away (1999)", []),  # another year: another film
        ("my friend Robin Williamson likes Old Bricks", []),
    ],
)
def test_a_title_with_typing_errors_is_found_where_a_title_must_stand(catalogue, message, named):
    assert [item.title for item, _, _ in named_items(message, catalogue.by_title)] == named


def test_a_word_of_a_script_the_encoder_does_not_know_has_no_say(encoder):
    known, mixed, foreign = encoder.encode(["a quiet drama", "a quiet drama فيلم عربي قديم", "فيلم عربي قديم"])
    assert mixed == pytest.approx(known, abs=1e-5) and not foreign.any()


def test_titles_in_an_unknown_script_do_not_crowd_the_first_places(encoder, vocabulary, weights):
    foreign = [
        Item(f"f{n}", "film", title) for n, title in enumerate(["فيلم الليل", "ليلة طويلة", "หนังเก่า", "ภาพยนตร์"])
    ]
    wanted = Item("w", "film", "Harbour", pitch="an old sailor and the sea")
    shelf = Retriever(Catalogue((*foreign, wanted)), encoder, vocabulary, weights)
    for message in ("a story of an old sailor", "qwrtzx old sailor ꙮꙮ"):
        assert shelf.rank(Profile(), message).candidates[0].item == wanted


def test_what_others_like_together_with_what_he_likes_ranks_higher(retriever):
    liked = Profile(kinds=("film",), liked=("film-026",))
    first = [candidate.item.id for candidate in retriever.rank(liked, "").candidates]
    ranked = [candidate.item.id for candidate in retriever.rank(liked, "", together={first[-1]: 0.8}).candidates]
    assert ranked.index(first[-1]) < len(first) - 1
    assert retriever.rank(liked, "", together={"no such item": 1.0}).candidates == retriever.rank(liked, "").candidates


def test_who_has_said_nothing_gets_the_well_known_of_every_kind(retriever, catalogue):
    first = [candidate.item for candidate in retriever.rank(Profile(), "").candidates[:10]]
    assert {item.kind for item in first} == set(catalogue.kinds()) and min(item.popularity for item in first) == 5


def test_beside_one_well_known_item_comes_what_fits_better_but_is_less_known():
    known = [Item(f"known{n}", "film", f"Known {n}", pitch="space, cooking", popularity=5.0) for n in range(3)]
    quiet = [Item(f"quiet{n}", "film", f"Quiet {n}", pitch="space", popularity=3.0) for n in range(3)]
    others = [Item(f"other{n}", "film", f"Other {n}", pitch="jazz", popularity=3.0) for n in range(4)]
    retriever = Retriever(
        Catalogue((*known, *quiet, *others)), TopicEncoder(), Vocabulary({}), {"meaning": 1.0, "popularity": 1.0}
    )

    def first(surprise):
        return [one.item.id[:-1] for one in retriever.rank(Profile(), "space", surprise=surprise).candidates[:3]]

    assert first(0.5) == ["known", "quiet", "quiet"]
    assert first(0.0) == ["known"] * 3 and first(1.0) == ["quiet"] * 3


def test_what_is_like_those_before_comes_later_than_what_is_not(retriever):
    retriever = copy(retriever)
    score, none = -np.arange(9.0), np.zeros((0, 9), bool)
    retriever._vectors = np.eye(3, dtype=np.float32)[np.arange(9) // 3]
    assert retriever._diverse(score, none, 3, 9.0, fame=np.zeros(9), fading=0.0) == [0, 3, 6]
    assert retriever._diverse(score, none, 3, 0.0, fame=np.zeros(9), fading=0.0) == [0, 1, 2]


def test_a_small_catalogue_of_well_known_items_is_offered_whole(weights):
    known = Catalogue(
        tuple(Item(f"f{n}", "film", f"Twin {n}", tags=("space",), popularity=3 + n % 3) for n in range(5))
    )
    retriever = Retriever(known, TopicEncoder(), Vocabulary({}), weights)
    rank = retriever.rank(Profile((Interest("space", tags=("space",)),)), "space")
    assert sorted(one.item.id for one in rank.candidates) == [f"f{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("message", "same"),
    [
        ("underrated board games", "board games"),
        ("冷门的科幻片", "科幻片"),
        ("lesser-known jazz", "jazz"),
        ("小众音乐", "音乐"),
    ],
)
def test_what_few_know_comes_first_where_it_is_asked_for(retriever, read_profile, message, same):
    def top(text):
        candidates = retriever.rank(read_profile(text), text).candidates[:10]
        return [one.item for one in candidates]

    rare, usual = top(message), top(same)
    assert np.mean([item.popularity for item in rare]) <= 2.5 < np.mean([item.popularity for item in usual])
    kinds = read_profile(message).kinds
    assert not kinds or all(item.kind in kinds for item in rare)


def test_a_wish_for_what_few_know_is_answered_by_what_few_know(retriever, read_profile):
    for one in retriever.rank(read_profile("underrated board games"), "underrated board games").candidates:
        assert ("underrated" in one.fits) == (one.item.popularity <= 2)


def test_who_knows_the_film_is_not_told_of_it_as_a_book(retriever, read_profile, catalogue):
    namesakes = {item.id for item in catalogue.titled("Dune")}
    assert len({catalogue.by_id[id].kind for id in namesakes}) > 1
    ranking = retriever.rank(read_profile("i loved dune and arrival"), "i loved dune and arrival", count=200)
    assert not namesakes & set(ids(ranking))


def test_what_is_asked_for_by_its_title_comes_first_and_alone_answers_the_wish(retriever, read_profile):
    first, *others = retriever.rank(read_profile("solution climbing shoes?"), "solution climbing shoes?").candidates
    assert first.item.title == "Solution Climbing Shoes" and first.fits == ("solution climbing shoes",)
    assert not any(one.fits for one in others)


@pytest.mark.parametrize("wish", ["western", "thriller", "horror", "romance"])
def test_a_genre_of_films_brings_films_first_where_no_kind_is_named(retriever, wish):
    first = retriever.rank(Profile((liked(wish, wish),)), wish).candidates[:3]
    assert [one.item.kind for one in first] == ["film"] * 3 and all(wish in one.item.tags for one in first)


def test_a_kind_or_another_topic_leaves_the_order_to_what_fits(retriever):
    books = retriever.rank(Profile((liked("horror", "horror"),), kinds=("book",)), "horror")
    assert {one.item.kind for one in books.candidates[:3]} == {"book"}


def test_another_topic_beside_a_genre_leaves_the_kind_open(vocabulary, weights):
    film, album = (
        Item(kind, kind, "Dust", tags=("western",), pitch="love", popularity=p)
        for kind, p in (("film", 1.0), ("album", 5.0))
    )
    own = Retriever(Catalogue((film, album)), TopicEncoder(), vocabulary, weights)
    western = liked("western", "western")
    assert ids(own.rank(Profile((western,)), "western"), 1) == ["film"]
    assert ids(own.rank(Profile((western, liked("jazz", "jazz"))), "western and jazz"), 1) == ["album"]
