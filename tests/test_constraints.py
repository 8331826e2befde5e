"""Conditions read off any catalogue's columns, checked exactly, relaxed when nothing meets them: known answers on small shelves."""

import json

import numpy as np
import pytest

from genrec.catalogue.columns import infer_columns
from genrec.catalogue.items import read_item
from genrec.constraints import Demands, Fields, is_met, miss, nearest, number_of, parse_constraints, role_of
from genrec.evaluate.constraints import evaluate_crosswoz, evaluate_taurec, meets, message_of
from genrec.interests import understand
from genrec.retrieval import Ranking
from genrec.schema import Candidate, Constraint, Item, Profile
from genrec.vocabulary import Vocabulary


def shelf(*rows):
    columns = infer_columns(rows)
    return tuple(
        read_item(row, columns=columns, default_id=str(number), default_kind="item") for number, row in enumerate(rows)
    )


HOTELS = shelf(
    {"name": "望海楼", "domain": "酒店", "价格": 420, "评分": 4.6, "酒店类型": "经济型", "酒店设施": ["无烟房", "公共区域提供wifi", "行李寄存"]},
    {"name": "松间居", "domain": "酒店", "价格": 650, "评分": 4.2, "酒店类型": "高档型", "酒店设施": ["无烟房", "24小时热水"]},
    {"name": "云上", "domain": "酒店", "价格": 980, "评分": 5.0, "酒店类型": "高档型", "酒店设施": ["部分房间提供wifi"]},
)  # fmt: skip
SIGHTS = shelf(
    {"name": "石桥公园", "domain": "景点", "门票": 0, "游玩时间": "1小时 - 2小时", "评分": 4.5, "周边景点": ["钟楼"]},
    {"name": "钟楼", "domain": "景点", "门票": 40, "游玩时间": "1小时", "评分": 4.8, "周边景点": []},
    {"name": "远山", "domain": "景点", "门票": 120, "游玩时间": "3天", "评分": 4.0, "周边景点": ["钟楼"]},
)
MEALS = shelf(
    {"name": "三味", "domain": "餐馆", "人均消费": 80, "评分": 4.5, "推荐菜": ["干煸豆角", "烤梨", "米糕"]},
    {"name": "四季", "domain": "餐馆", "人均消费": 150, "评分": 4.0, "推荐菜": ["烤梨", "没有"]},
)
FILMS = shelf(
    {"title": "Low Tide", "kind": "film", "year": 2025, "runtime": 95, "director": "Ada Storm", "cast": ["Nils Berg", "Ida Falk"], "rating": 6.4, "content_rating": "R", "streaming": ["Netflix"], "language": "English", "country": "Canada"},
    {"title": "High Tide", "kind": "film", "year": 2026, "runtime": 140, "director": "Oskar Lind", "cast": ["Ida Falk"], "rating": 7.9, "content_rating": "PG-13", "streaming": ["Hulu", "Apple TV+"], "language": "French", "country": "France"},
    {"title": "No Tide", "kind": "film", "year": 1974, "runtime": 80, "director": "Ada Storm", "cast": [], "rating": 5.0, "content_rating": "NR", "streaming": [], "language": "Italian", "country": "Italy"},
)  # fmt: skip
INNS = shelf(
    {"name": "The Anchor", "kind": "inn", "price_per_night": 90, "has_wifi": True, "pets_allowed": False, "location": "Port Ellis", "num_stars": 3},
    {"name": "The Plough", "kind": "inn", "price_per_night": 140, "has_wifi": False, "pets_allowed": True, "location": "Great Marrow", "num_stars": 4},
)  # fmt: skip


def demands(items, message, kinds=()):
    found = parse_constraints(message, fields=Fields.of(items), kinds=kinds)
    for one in found:
        assert message[one.start : one.end] == one.text
    return [(one.field, one.op, one.value) for one in found]


def fitting(items, message, read=None):
    """Titles of the items that meet all that a message demands."""
    found = read(items, message) if read else parse_constraints(message, fields=Fields.of(items))
    assert found, message
    return {item.title for item in items if all(is_met(item, one) for one in found)}


@pytest.fixture(scope="module")
def read(vocabulary):
    """The constraints of a message as a conversation reads them, refusals and titles included."""

    def read(items, *messages):
        profile, fields = Profile(), Fields.of(items)
        for turn, message in enumerate(messages):
            profile = understand(message, profile, vocabulary=vocabulary, by_title={}, fields=fields, turn=turn).profile
        return profile.constraints

    return read


@pytest.mark.parametrize(
    ("items", "message", "titles"),
    [
        (HOTELS, "评分4.5分以上的酒店", {"望海楼", "云上"}),
        (HOTELS, "评分是5分的酒店", {"云上"}),
        (HOTELS, "价格在400-500元之间", {"望海楼"}),
        (HOTELS, "想订个400到700元的", {"望海楼", "松间居"}),
        (HOTELS, "不超过七百块", {"望海楼", "松间居"}),
        (HOTELS, "六百元以上", {"松间居", "云上"}),
        (HOTELS, "高档型酒店", {"松间居", "云上"}),
        (HOTELS, "有无烟房和行李寄存的", {"望海楼"}),
        (HOTELS, "有24小时热水的酒店", {"松间居"}),
        (HOTELS, "能提供Wi-Fi的酒店", {"望海楼", "云上"}),
        (SIGHTS, "门票免费的景点", {"石桥公园"}),
        (SIGHTS, "不要门票的地方", {"石桥公园"}),
        (SIGHTS, "无需门票的景点", {"石桥公园"}),
        (SIGHTS, "sights without an entry fee", {"石桥公园"}),
        (SIGHTS, "能玩1小时的景点", {"钟楼"}),
        (SIGHTS, "游玩时间1小时 - 2小时", {"石桥公园"}),
        (SIGHTS, "能玩1、2个小时的", {"石桥公园"}),
        (SIGHTS, "玩三天左右", {"远山"}),
        (SIGHTS, "游玩两小时以内", {"石桥公园", "钟楼"}),
        (SIGHTS, "能玩1小时、4.5分以上的景点", {"钟楼"}),
        (SIGHTS, "钟楼附近的景点", {"石桥公园", "远山"}),
        (MEALS, "人均50-100元，评分4.5分以上", {"三味"}),
        (MEALS, "人均一百五左右的餐馆", {"四季"}),
        (MEALS, "想吃烤梨", {"三味", "四季"}),
        (MEALS, "想吃烤梨、米糕", {"三味"}),
        (MEALS, "人均80元左右", {"三味"}),
        (FILMS, "under two hours", {"Low Tide", "No Tide"}),
        (FILMS, "at most an hour and a half", {"No Tide"}),
        (FILMS, "no longer than 1h35", {"Low Tide", "No Tide"}),
        (FILMS, "at least 90 minutes but no more than 100", {"Low Tide"}),
        (FILMS, "between 90 and 150 minutes", {"Low Tide", "High Tide"}),
        (FILMS, "rated 6 or higher", {"Low Tide", "High Tide"}),
        (FILMS, "rated at least 7.0", {"High Tide"}),
        (FILMS, "rated R or NR", {"Low Tide", "No Tide"}),
        (FILMS, "a PG-13 rated film", {"High Tide"}),
        (FILMS, "something on Netflix or Hulu", {"Low Tide", "High Tide"}),
        (FILMS, "on Apple TV+", {"High Tide"}),
        (FILMS, "directed by Ada Storm", {"Low Tide", "No Tide"}),
        (FILMS, "a film by Lind", {"High Tide"}),
        (FILMS, "A film by Lind. Maybe an old one.", {"High Tide"}),
        (FILMS, "starring Ida Falk", {"Low Tide", "High Tide"}),
        (FILMS, "in French or in Italian", {"High Tide", "No Tide"}),
        (FILMS, "before 1980", {"No Tide"}),
        (FILMS, "from the 70s and the 80s", {"No Tide"}),
        (FILMS, "70到90年代的电影", {"No Tide"}),
        (FILMS, "from the 60s to the 80s", {"No Tide"}),
        (FILMS, "from before 1800", set()),
        (FILMS, "from the seventies", {"No Tide"}),
        (FILMS, "a 2026 film", {"High Tide"}),
        (INNS, "under $100", {"The Anchor"}),
        (INNS, "for a hundred and forty dollars or more", {"The Plough"}),
        (INNS, "it has Wi-Fi", {"The Anchor"}),
        (INNS, "an inn in Great Marrow", {"The Plough"}),
        (INNS, "I can bring my dog, a place where pets are welcome", {"The Plough"}),
        (INNS, "a 4 star inn", {"The Plough"}),
    ],
)
def test_what_is_demanded_lets_through_exactly_what_meets_it(items, message, titles):
    assert fitting(items, message) == titles
    demands(items, message)


@pytest.mark.parametrize(
    ("items", "message", "titles"),
    [
        (FILMS, "a film, but not from France", {"Low Tide", "No Tide"}),
        (FILMS, "films that are not from Canada or Italy", {"High Tide"}),
        (FILMS, "想看电影，不要法国的", {"Low Tide", "No Tide"}),
        (FILMS, "French or Italian films", {"High Tide", "No Tide"}),
        (FILMS, "any language but English", {"High Tide", "No Tide"}),
        (FILMS, "英语以外没关系，想看法语的电影", {"High Tide"}),
        (FILMS, "nothing on Netflix", {"High Tide", "No Tide"}),
        (FILMS, "nothing older than 2026", {"High Tide"}),
        (FILMS, "nothing longer than 100 minutes", {"Low Tide", "No Tide"}),
        (FILMS, "not directed by Ada Storm", {"High Tide"}),
        (INNS, "an inn without wifi", {"The Plough"}),
        (MEALS, "不吃米糕", {"四季"}),
    ],
)
def test_what_is_refused_is_kept_out(read, items, message, titles):
    assert fitting(items, message, read) == titles
    for one in read(items, message):
        assert message[one.start : one.end] == one.text


def test_a_refusal_is_quoted_with_the_word_that_refuses(read):
    assert [one.text for one in read(FILMS, "films, but not from France")] == ["not from France"]
    assert [one.text for one in read(FILMS, "nothing older than 2026")] == ["nothing older than 2026"]


@pytest.mark.parametrize(
    ("items", "messages", "titles"),
    [
        (FILMS, ("before 1980", "actually, after 2000"), {"Low Tide", "High Tide"}),
        (FILMS, ("on Netflix", "on Hulu then"), {"High Tide"}),
        (FILMS, ("not from France", "well, from France after all"), {"High Tide"}),
        (FILMS, ("rated at least 7", "under 100 minutes", "rated at least 6"), {"Low Tide"}),
        (FILMS, ("from the 80s, no wait, the 70s",), {"No Tide"}),
        (HOTELS, ("高档型酒店", "还是经济型吧"), {"望海楼"}),
        (SIGHTS, ("能玩3天的景点", "两小时以内吧"), {"石桥公园", "钟楼"}),
    ],
)
def test_a_later_statement_on_a_field_wins(read, items, messages, titles):
    assert {item.title for item in items if all(is_met(item, one) for one in read(items, *messages))} == titles


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (FILMS, "I have seen 3 films with 2 friends"),
        (FILMS, "something like what Ada Storm does"),
        (FILMS, "the last one was good"),
        (FILMS, "a film about France"),
        (FILMS, "I like to speak French"),
        (FILMS, "an R in the month"),
        (FILMS, "my 1 and only wish"),
        (INNS, "I stayed for 3 nights with 2 people"),
        (HOTELS, "住三天，两个人"),
        (MEALS, "有好的地方吗"),
        (MEALS, "有没有好吃的"),
        ((), "rated at least 7 on Netflix for under $20"),
    ],
)
def test_what_is_no_demand_on_this_catalogue_is_left_alone(items, message):
    assert demands(items, message) == []


@pytest.mark.parametrize("message", ["a film about France", "关于法国的电影", "films set in France"])
def test_what_a_film_is_about_is_not_where_it_is_from(read, message):
    assert read(FILMS, message) == ()
    assert read(FILMS, "a film from France") != ()


def test_a_field_that_the_kind_wanted_does_not_have_is_not_demanded():
    both = (*FILMS, *HOTELS, *SIGHTS)
    assert demands(both, "住三天以内的酒店", kinds=("酒店",)) == []
    assert demands(both, "玩三天以内的景点", kinds=("景点",)) == [("minutes", "<=", 4320)]


def test_a_price_limit_is_heard_even_where_no_item_tells_its_price():
    """So that the visitor learns that it could not be kept."""
    assert demands(FILMS, "a film under $5") == [("price", "<=", 5)]


def test_what_only_this_catalogue_counts_goes_by_the_columns_name():
    items = shelf({"title": "A", "kind": "series", "seasons": 2}, {"title": "B", "kind": "series", "seasons": 5})
    assert fitting(items, "a series with two seasons") == {"A"}
    assert fitting(items, "at least 3 seasons") == {"B"}


@pytest.mark.parametrize(
    ("message", "titles"),
    [
        ("not too long", {"Low Tide", "No Tide"}),
        ("别太长的电影", {"Low Tide", "No Tide"}),
        ("a highly rated film", {"Low Tide", "High Tide"}),
    ],
)
def test_a_vague_amount_is_measured_by_the_items_of_the_kind(message, titles):
    found = parse_constraints(message, fields=Fields.of(FILMS), kinds=("film",))
    assert {item.title for item in FILMS if all(is_met(item, one) for one in found)} == titles
    assert found and parse_constraints(message, fields=Fields.of(FILMS)) == []  # not without a kind


def test_an_item_for_all_seasons_meets_any_of_them():
    items = shelf(
        {"title": "A", "season": "any"}, {"title": "B", "season": "summer"}, {"title": "C", "season": "winter"}
    )
    assert fitting(items, "in summer") == {"A", "B"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7), ("1,200.5", 1200.5), ("twelve", 12), ("two hundred and fifty", 250), ("one thousand two hundred", 1200), ("a hundred", 100),
        ("twenty-five", 25), ("half an", 0.5), ("two and a half", 2.5), ("十", 10), ("二十五", 25), ("一百五", 150), ("一百零五", 105),
        ("一百五十", 150), ("三千二百", 3200), ("两", 2), ("半", 0.5), ("一九八四", 1984), ("", None), ("cow", None), ("many hundred", None),
    ],
)  # fmt: skip
def test_numbers_are_read_in_digits_and_words_of_both_languages(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("runtime", "minutes"), ("duration_min", "minutes"), ("游玩时间", "minutes"), ("营业时间", ""), ("price_per_night", "price"),
        ("price_level", ""), ("price_range", ""), ("人均消费", "price"), ("avg_rating", "rating"), ("content_rating", "certificate"),
        ("ratings_count", ""), ("vote_count", ""), ("star_rating", "rating"), ("stage", ""), ("周边景点", "near"),
    ],
)  # fmt: skip
def test_a_columns_name_tells_what_it_measures(name, role):
    assert role_of(name) == role


ITEM = Item(
    "a", "film", "A", year=1999, attributes={"hours": 2, "标签": ("x", "y"), "ok": True, "span": "1小时 - 3小时"}
)


@pytest.mark.parametrize(
    ("constraint", "is_kept", "distance"),
    [
        (Constraint("minutes", "<=", 120), True, 0.0),
        (Constraint("minutes", "<=", 100), False, 0.2),
        (Constraint("minutes", ">=", 1000), False, 0.88),
        (Constraint("minutes", "<=", 10), False, 1.0),
        (Constraint("year", ">=", 2009), False, 0.2),
        (Constraint("year", "==", (1998, 1999)), True, 0.0),
        (Constraint("标签", "==", "y"), True, 0.0),
        (Constraint("标签", "==", ("z", "y")), True, 0.0),
        (Constraint("标签", "!=", ("z", "y")), False, 1.0),
        (Constraint("标签", "==", "z"), False, 1.0),
        (Constraint("ok", "==", True), True, 0.0),
        (Constraint("ok", "!=", True), False, 1.0),
        (Constraint("none", "==", "z"), False, 2.0),
        (Constraint("none", "!=", "z"), True, 0.0),
        (Constraint("none", "<=", 3), False, 2.0),
        (Constraint("标签", "<=", 3), False, 1.0),
    ],
)
def test_a_constraint_is_checked_and_its_miss_measured(constraint, is_kept, distance):
    assert is_met(ITEM, constraint) == is_kept
    assert miss(ITEM, constraint) == pytest.approx(distance)
    demands, first = Demands((ITEM, ITEM)), np.array([0])
    for _ in range(2):  # asked again
        assert demands.met(constraint, first) == [is_kept]
        assert demands.missed(constraint, first) == pytest.approx([distance])


def test_of_equally_few_statements_those_go_by_which_the_nearest_item_is_nearest():
    cheap, good = Constraint("price", "<=", 100, "under 100"), Constraint("rating", ">=", 4.5, "4.5 at least")
    items = shelf({"title": "dear", "price": 110, "rating": 4.6}, {"title": "plain", "price": 90, "rating": 2.0})
    demands = Demands(items)
    offered, missed, relaxed = nearest(demands, np.ones(2, bool), (cheap, good))
    assert (list(offered), relaxed) == ([True, False], ("under 100",))
    assert missed == pytest.approx([0.1, 2.5 / 4.5])
    assert nearest(demands, np.array([False, True]), (cheap, good))[2] == ("4.5 at least",)
    assert nearest(demands, np.ones(2, bool), ())[2] == ()
    assert not nearest(demands, np.zeros(2, bool), (cheap,))[0].any()


def test_both_ends_of_a_range_are_one_statement():
    found = parse_constraints("人均300-400元、评分4.5分以上", fields=Fields.of(MEALS))
    offered, _, relaxed = nearest(Demands(MEALS), np.ones(2, bool), found)
    assert ([item.title for item, is_in in zip(MEALS, offered, strict=True) if is_in], relaxed) == (
        ["三味"],
        ("人均300-400元",),
    )


def test_the_bundled_catalogue_answers_conditions_in_both_languages(catalogue, vocabulary):
    fields = Fields.of(catalogue.items)

    def kept(message):
        constraints = understand(
            message, Profile(), vocabulary=vocabulary, by_title=catalogue.by_title, fields=fields
        ).profile.constraints
        return (
            {item.id for item in catalogue.items if all(is_met(item, one) for one in constraints)}
            if constraints
            else set()
        )

    for english, chinese in (
        ("a film before 1980 from Japan", "1980年以前的日本电影"),
        ("a vegan dish, under half an hour", "半小时以内的纯素菜"),
        ("a film directed by Hayao Miyazaki", "宫崎骏导演的电影"),
    ):
        assert 0 < len(kept(english)) < 40 and kept(english) == kept(chinese), english
    for_a_child = kept("a game for my 6-year-old")
    assert for_a_child and all(catalogue.by_id[id].attributes["age"] <= 6 for id in for_a_child)


def test_hostile_text_is_read_quickly_and_demands_nothing():
    fields = Fields.of((*FILMS, *HOTELS))
    for text in ("1 " * 2000, "one hundred and " * 400, "评分是的" * 700, "between 1 and " * 400, "(" * 3000):
        parse_constraints(text, fields=fields, kinds=("film",))
    assert parse_constraints("", fields=fields) == []


# The evaluations


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two requests and two tasks whose answers are known: of each, one that can be met and one that cannot."""
    folder = tmp_path_factory.mktemp("data")

    def write(name, rows):
        (folder / name).write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")

    sights = [{"id": item.id, "name": item.title, "domain": item.kind, **dict(item.attributes)} for item in SIGHTS]
    write("items_crosswoz_zh.jsonl", sights)
    write(
        "crosswoz_travel_zh_dev.jsonl",
        [
            {"domain": "景点", "interest_turns": ["门票免费的景点"], "n_db_items_satisfying": 1, "db_items_satisfying": ["石桥公园"]},
            {"domain": "景点", "interest_turns": ["门票免费、评分5分的景点"], "n_db_items_satisfying": 0, "db_items_satisfying": []},
        ],
    )  # fmt: skip
    films = [
        {"id": f"taurec:{name}", "title": name, "genres": ["Drama"], "runtime": minutes, "rating": 6.0, "content_rating": "R", "streaming_services": ["Hulu"]}
        for name, minutes in (("Short", 80), ("Long", 150))
    ]  # fmt: skip
    write("items_taurec_movies.jsonl", films)
    short, never = ({"field": "runtime", "op": "<=", "value": value, "reveal": "on_ask"} for value in (100, 20))
    write(
        "taurec_tasks_en_dev.jsonl",
        [
            {"constraints": [short], "watched": [], "satisfying": [{"id": "taurec:Short"}]},
            {"constraints": [never], "watched": [], "satisfying": []},
        ],
    )
    return folder


@pytest.fixture(scope="module")
def make_rank(encoder, assets, weights):
    from genrec.retrieval import Retriever

    def make(catalogue):
        vocabulary = Vocabulary.load(assets / "catalogue" / "vocabulary.json")
        retriever, fields = Retriever(catalogue, encoder, vocabulary, weights), Fields.of(catalogue.items)

        def rank(turns, profile):
            for turn, message in enumerate(turns):
                profile = understand(
                    message, profile, vocabulary=vocabulary, by_title={}, fields=fields, turn=turn
                ).profile
            return retriever.rank(profile, turns[-1])

        return rank

    return make


def test_the_evaluations_count_what_is_met_and_what_is_said_to_fit_nothing(data, make_rank):
    figures = evaluate_crosswoz(data, make_rank)
    assert (figures["first_meets_all"], figures["nothing_fits_said"], figures["nothing_fits_wrongly_said"]) == (1, 1, 0)
    figures = evaluate_taurec(data, make_rank)
    assert (figures["first_meets_told"], figures["nothing_fits_said"], figures["nothing_fits_wrongly_said"]) == (
        1,
        1,
        0,
    )


def test_the_evaluations_notice_a_recommender_that_reads_nothing(data):
    def make(catalogue):
        return lambda turns, profile: Ranking((Candidate(catalogue.items[-1], 1.0),), relaxed="")

    for evaluate in (evaluate_crosswoz, evaluate_taurec):
        figures = evaluate(data, make)
        assert (
            figures.get("first_meets_all", figures.get("first_meets_told")) == 0 and figures["nothing_fits_said"] == 0
        )


def test_a_task_is_put_as_a_person_could_say_it():
    told = [
        {"field": "genres", "op": "contains", "value": "Action"},
        {"field": "genres", "op": "not_contains", "value": "Horror"},
        {"field": "runtime", "op": "<=", "value": 115},
        {"field": "rating", "op": ">=", "value": 5.5},
        {"field": "content_rating", "op": "in", "value": ["R", "NR"]},
        {"field": "streaming_services", "op": "contains_any", "value": ["Netflix", "Hulu"]},
    ]
    assert message_of(told) == (
        "I'd like an action film, at most 115 minutes long, rated at least 5.5, rated R or NR, available on Netflix or Hulu. No horror, please."
    )
    film = {"genres": ["Action"], "runtime": 100, "rating": 6, "content_rating": "R", "streaming_services": ["Hulu"]}
    assert meets(film, told)
    assert not meets({**film, "runtime": 120}, told) and not meets({**film, "genres": ["Action", "Horror"]}, told)
    assert not meets({**film, "rating": None}, told)


def test_a_value_that_meets_every_demand_is_none():
    trips = shelf(
        *(
            {"title": f"Trip {n}", "kind": "place", "season": season}
            for n, season in enumerate(["any", "autumn", "any"])
        )
    )
    assert not demands(trips, "Any good trips?") and demands(trips, "a trip in autumn")
