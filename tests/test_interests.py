"""What a message says: wishes and dislikes with their words, conditions, named items, kinds and what it asks for."""

import pytest

from genrec.interests import MAX_INTERESTS, understand
from genrec.schema import Profile


@pytest.fixture(scope="module")
def read(vocabulary, catalogue):
    """Understands a message, after others where there are some."""

    def read(*messages, last_items=()):
        profile = Profile()
        for turn, message in enumerate(messages):
            result = understand(
                message, profile, vocabulary=vocabulary, by_title=catalogue.by_title, last_items=last_items, turn=turn
            )
            profile = result.profile
        return result

    return read


def tags(interests):
    return {tag for interest in interests for tag in interest.tags}


@pytest.mark.parametrize(
    ("message", "likes", "dislikes"),
    [
        ("I love science fiction", {"science fiction"}, set()),
        ("Jazz", {"jazz"}, set()),
        ("Hi, something cozy and romantic please", {"cozy", "romantic"}, set()),
        ("I like horror, comedy and jazz", {"horror", "comedy", "jazz"}, set()),
        ("I can't get enough of horror", {"horror"}, set()),
        ("not only horror", {"horror"}, set()),
        ("why not comedy?", {"comedy"}, set()),
        ("no horror please", set(), {"horror"}),
        ("I don't like horror", set(), {"horror"}),
        ("I do not like horror", set(), {"horror"}),
        ("I hated horror", set(), {"horror"}),
        ("I didn't enjoy the horror", set(), {"horror"}),
        ("I'd rather not watch horror", set(), {"horror"}),
        ("I'm tired of superheroes", set(), {"superheroes"}),
        ("anything but horror", set(), {"horror"}),
        ("don't give me anything with zombies", set(), {"zombies"}),
        ("I like jazz but I hate horror", {"jazz"}, {"horror"}),
        ("I love comedy, but not zombies", {"comedy"}, {"zombies"}),
        ("nothing scary but funny", {"funny"}, {"horror"}),
        ("I want a funny movie, nothing scary", {"comedy"}, {"horror"}),
        ("a book about dragons without romance", {"dragons"}, {"romance"}),
        ("fantasy with no romance", {"fantasy"}, {"romance"}),
        ("comedy not horror", {"comedy"}, {"horror"}),
        ("我喜欢科幻", {"science fiction"}, set()),
        ("不错的喜剧", {"comedy"}, set()),
        ("不要恐怖片", set(), {"horror"}),
        ("除了恐怖片都可以", set(), {"horror"}),
        ("我喜欢科幻但是不要恐怖", {"science fiction"}, {"horror"}),
        ("喜欢爵士，讨厌摇滚", {"jazz"}, {"rock"}),
        ("我想看喜剧，不想看恐怖片", {"comedy"}, {"horror"}),
    ],
)
def test_what_is_liked_and_what_is_not(read, message, likes, dislikes):
    profile = read(message).profile
    assert likes <= tags(profile.likes) and dislikes <= tags(profile.dislikes)
    assert bool(profile.likes) == bool(likes) and bool(profile.dislikes) == bool(dislikes)
    assert not tags(profile.likes) & tags(profile.dislikes)


@pytest.mark.parametrize(
    ("message", "phrases"),
    [
        ("Hello! I'm looking for science fiction, please", ["science fiction"]),
        ("I can't get enough of horror", ["horror"]),
        ("I'd rather not watch horror", ["horror"]),
        ("你好，请推荐一部科幻片吧", ["科幻片"]),
        ("除了恐怖片都可以", ["恐怖片"]),
        ("I want jazz and also a heist", ["jazz", "heist"]),
    ],
)
def test_a_wish_is_kept_in_the_visitors_words_without_the_filler(read, message, phrases):
    assert [interest.text for interest in read(message).profile.interests] == phrases


@pytest.mark.parametrize(
    "message",
    [
        "Hi, I love slow jazz, though no horror: and a heist before 1990!",
        "你好，我喜欢科幻和喜剧，但是不要恐怖片，两小时以内",
        "films like Alien (1979) with dragons, under 2 hours",
    ],
)
def test_every_span_points_at_its_words(read, message):
    profile = read(message).profile
    assert profile.interests and profile.constraints
    for found in (*profile.interests, *profile.constraints):
        assert message[found.start : found.end].strip() == found.text


def test_a_later_statement_wins_over_an_earlier_one(read):
    profile = read("I love horror and jazz", "actually no horror").profile
    assert (tags(profile.likes), tags(profile.dislikes)) == ({"jazz"}, {"horror"})
    back = read("no horror", "well, I like horror after all").profile
    assert (tags(back.likes), tags(back.dislikes)) == ({"horror"}, set())
    years = read("films from the 90s", "or from the 80s").profile.constraints
    assert [(one.op, one.value) for one in years] == [(">=", 1980), ("<=", 1989)]
    assert read("a film", "rather a book").profile.kinds == ("book",)


def test_saying_a_thing_again_keeps_one_wish_with_the_latest_turn(read):
    profile = read("I love jazz", "I love dragons", "I love jazz").profile
    assert [(interest.text, interest.turn) for interest in profile.interests] == [("dragons", 1), ("jazz", 2)]


def test_only_the_latest_wishes_are_kept(read, vocabulary):
    terms = [tag for tag in vocabulary.terms["tags"] if " " not in tag and "-" not in tag][:20]
    profile = read(*(f"I love {term}" for term in terms)).profile
    assert len(profile.interests) == MAX_INTERESTS
    assert profile.interests[-1].turn == 19


@pytest.mark.parametrize(
    ("message", "title", "kind"),
    [
        ("I loved Spirited Away", "Spirited Away", "film"),
        ("movies like spirited away (2001)", "Spirited Away", "film"),
        ("我喜欢《千与千寻》", "Spirited Away", "film"),
        ("有没有像千与千寻那样的电影", "Spirited Away", "film"),
        ("I loved Blade Runner (1982)", "Blade Runner", "film"),
        ("I loved Blade Runner (1994)", "Blade Runner", "album"),
        ('I liked "parasite"', "Parasite", "film"),
        ("I watched Once and liked it", "Once", "film"),
    ],
)
def test_a_named_item_is_liked_and_its_year_tells_namesakes_apart(read, catalogue, message, title, kind):
    result = read(message)
    assert [(item.title, item.kind) for item in result.named] == [(title, kind)]
    assert [catalogue.by_id[id].title for id in result.profile.liked] == [title]
    assert not result.profile.disliked


@pytest.mark.parametrize(
    "message", ["I hated Spirited Away", "I didn't like Spirited Away", "not Spirited Away", "我不喜欢《千与千寻》"]
)
def test_a_named_item_that_is_refused_is_disliked(read, catalogue, message):
    profile = read(message).profile
    assert [catalogue.by_id[id].title for id in profile.disliked] == ["Spirited Away"]
    assert not profile.liked


@pytest.mark.parametrize("message", ["once I saw a film", "Parasite", "I am at home", "the end of it all"])
def test_a_common_word_is_not_a_title_unless_it_is_marked(read, message):
    assert read(message).named == ()


def test_the_words_of_a_title_are_no_wish(read):
    profile = read("I loved A Brief History of Time").profile
    assert not profile.interests
    assert len(profile.liked) == 1


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ("a film", ("film",)),
        ("some movies or books", ("film", "book")),
        ("推荐一本书", ("book",)),
        ("想找一部电影", ("film",)),
        ("book me a table", ()),
        ("of course", ()),
        ("no films", ()),
        ("a book, not a film", ("book",)),
    ],
)
def test_the_kind_wanted_is_understood(read, message, kinds):
    assert read(message).profile.kinds == kinds


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("films from the 90s", [("year", ">=", 1990), ("year", "<=", 1999)]),
        ("the 2010s", [("year", ">=", 2010), ("year", "<=", 2019)]),
        ("90年代的电影", [("year", ">=", 1990), ("year", "<=", 1999)]),
        ("films before 1980", [("year", "<=", 1979)]),
        ("films after 2010", [("year", ">=", 2011)]),
        ("films since 2010", [("year", ">=", 2010)]),
        ("1980年以前的电影", [("year", "<=", 1979)]),
        ("a film under 2 hours", [("minutes", "<=", 120)]),
        ("at most 1.5 hours", [("minutes", "<=", 90)]),
        ("within an hour", [("minutes", "<=", 60)]),
        ("两小时以内的电影", [("minutes", "<=", 120)]),
        ("半小时以内的菜", [("minutes", "<=", 30)]),
        ("a book under 300 pages", [("pages", "<=", 300)]),
        ("a board game for four players", [("players", ">=", 4)]),
        ("四个人玩的游戏", [("players", ">=", 4)]),
        ("I have 300 books", []),
    ],
)
def test_hard_conditions_become_exact_limits(read, message, expected):
    assert [(one.field, one.op, one.value) for one in read(message).profile.constraints] == expected


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("hello there!", "greeting"), ("你好！", "greeting"), ("thanks a lot", "thanks"), ("谢谢", "thanks"),
        ("why this one?", "why"), ("为什么推荐这个", "why"), ("who directed it?", "maker"), ("谁导演的？", "maker"),
        ("which one is better?", "compare"), ("对比一下", "compare"), ("tell me more about it", "about"), ("讲讲这个", "about"),
        ("I've seen it", "reject"), ("something else", "reject"), ("看过了", "reject"), ("换一个", "reject"),
        ("more like this", "more"), ("再来一个", "more"), ("recommend a book", "recommend"), ("推荐一部电影", "recommend"),
        ("Hi, I want a comedy", "recommend"), ("why not a comedy?", "recommend"),
    ],
)  # fmt: skip
def test_what_a_message_asks_for(read, message, intent):
    assert read(message).intent == intent


def test_what_was_shown_and_refused_is_seen(read, catalogue):
    shown = catalogue.items[:2]
    assert read("I've seen those", last_items=shown).profile.seen == tuple(item.id for item in shown)
    assert read("tell me more about it", last_items=shown).profile.seen == ()


@pytest.mark.parametrize(
    "message", ["hi", "", "???", "it", "are you looking for something funny?", "123", "的", "(" * 300]
)
def test_a_message_without_a_wish_says_so(read, message):
    result = read(message)
    assert not result.has_wish
    assert result.profile == Profile()
