"""Titles, years and makers in the prose against the facts: set right, marked, or the sentence is not shown."""

import pytest

from genrec.catalogue import Catalogue
from genrec.grounding import ground, turns_away
from genrec.schema import Item

RUNNER = Item("film-1", "film", "Blade Runner", "银翼杀手", "Ridley Scott", "雷德利·斯科特", 1982)
ODYSSEY = Item("film-2", "film", "2001: A Space Odyssey", "2001太空漫游", "Stanley Kubrick", "斯坦利·库布里克", 1968)
WALL = Item("place-1", "place", "Mutianyu Great Wall", "慕田峪长城", country="China")
AMELIE = Item("film-3", "film", "Amélie", "天使爱美丽", "Jean-Pierre Jeunet", "让-皮埃尔·热内", 2001)
SOLARIS = Item(
    "film-4", "film", "Solaris", "飞向太空", "Andrei Tarkovsky", "安德烈·塔可夫斯基", 1972, pitch="set in 1999"
)
CATALOGUE = Catalogue((RUNNER, ODYSSEY, WALL, AMELIE, SOLARIS))


def check(sentence, *shelf, language="en", **options):
    grounded = ground(sentence, shelf or (RUNNER,), CATALOGUE.titled, language=language, **options)
    for mention in grounded.mentions:
        assert grounded.text[mention.start : mention.end] == f"**{mention.title}**"
    return grounded


@pytest.mark.parametrize(
    "sentence",
    [
        "Watch **Blade Runner** (1982) by Ridley Scott.",
        "**Blade Runner** is directed by Scott.",
        "Loved by everyone, **Blade Runner** still glows.",
        "A 1980s classic, **Blade Runner** still glows.",
        "**Blade Runner** by night, by the sea.",
        "Nothing to check here.",
        "",
    ],
)
def test_a_true_sentence_is_left_as_it_is(sentence):
    grounded = check(sentence)
    assert (grounded.text, grounded.is_false) == (sentence, False)
    assert [mention.item for mention in grounded.mentions] == ([RUNNER] if "**" in sentence else [])


@pytest.mark.parametrize(
    ("written", "title", "item"),
    [
        ("Blade Runer", "Blade Runner", RUNNER),  # one letter missing
        ("Blaed Runner", "Blade Runner", RUNNER),  # two letters swapped: two edits
        ("blade runner!", "Blade Runner", RUNNER),
        ("Amelie", "Amélie", AMELIE),
        ("银翼杀手", "银翼杀手", RUNNER),
        ("Mutianyu Great Wal", "Mutianyu Great Wall", WALL),
        ("Solaris", "Solaris", SOLARIS),  # not on the shelf, but in the catalogue
    ],
)
def test_a_title_with_up_to_two_errors_is_set_right(written, title, item):
    grounded = check(f"Try **{written}** now.", RUNNER, AMELIE, WALL)
    assert grounded.text == f"Try **{title}** now."
    assert [(mention.title, mention.item) for mention in grounded.mentions] == [(title, item)]


@pytest.mark.parametrize("written", ["Heat", "Blde Runer X", "Blade Runner 2049", "Alone"])
def test_a_title_that_is_not_in_the_catalogue_is_marked(written):
    grounded = check(f"Try **{written}** now.")
    assert grounded.text == f"Try **{written}** (not in the catalogue) now."
    assert [mention.is_matched for mention in grounded.mentions] == [False]


def test_two_edits_do_not_turn_one_short_title_into_another():
    assert check("**Up** is fun.", Item("u", "film", "Us")).mentions[0].item is None


@pytest.mark.parametrize(
    ("sentence", "language", "is_false"),
    [
        ("Stanley Kubrick is the whole point of it.", "en", True),
        ("Stanley Kubrick would have liked **Blade Runner**.", "en", True),
        ("**2001: A Space Odyssey**, since Stanley Kubrick took his time.", "en", False),
        ("出自斯坦利·库布里克之手，细腻是它的底色。", "zh", True),
        ("**银翼杀手**，大卫·格恩，慢慢下雨。", "zh", True),
        ("**银翼杀手**，雷德利·斯科特的手笔。", "zh", False),
    ],
)
def test_no_item_is_given_the_maker_of_another_or_one_that_nobody_knows(sentence, language, is_false):
    assert check(sentence, RUNNER, ODYSSEY, language=language, about=[RUNNER]).is_false == is_false
    assert not check(sentence, RUNNER, ODYSSEY, language=language, about=[RUNNER], known_text=sentence).is_false


@pytest.mark.parametrize(
    ("sentence", "corrected"),
    [
        ("**Blade Runner** (1984) glows.", "**Blade Runner** (1982) glows."),
        ("A 1984 film, **Blade Runer** glows.", "A 1982 film, **Blade Runner** glows."),
        ("From the 1990s comes **Blade Runner**.", "From the 1980s comes **Blade Runner**."),
        ("**Blade Runner** by James Cameron glows.", "**Blade Runner** by Ridley Scott glows."),
        ("**Blade Runner** (1984), by Jean-Luc Godard.", "**Blade Runner** (1982), by Ridley Scott."),
        ("Director James Cameron made **Blade Runner**.", "Director Ridley Scott made **Blade Runner**."),
        (
            "**Blade Runner** (1968) and **2001: A Space Odyssey** (1982).",
            "**Blade Runner** (1982) and **2001: A Space Odyssey** (1968).",
        ),
        ("**Blade Runner**（1984）", "**Blade Runner**（1982）"),
    ],
)
def test_a_wrong_year_or_maker_is_corrected(sentence, corrected):
    grounded = check(sentence, RUNNER, ODYSSEY)
    assert (grounded.text, grounded.is_false) == (corrected, False)


@pytest.mark.parametrize(
    "sentence",
    [
        "**Blade Runner** and **2001: A Space Odyssey** came out in 1975.",
        "Both **Blade Runner** and **2001: A Space Odyssey** are by Steven Spielberg.",
        "It came out in 1990.",
        "**Mutianyu Great Wall** was built in 1505.",
        "**Mutianyu Great Wall** was built by Albert Speer.",
        "**Heat** (1995) by Michael Mann is good.",
    ],
)
def test_a_falsehood_that_cannot_be_set_right_is_not_shown(sentence):
    assert check(sentence, RUNNER, ODYSSEY, WALL).is_false


def test_a_year_in_a_title_is_left_alone():
    for sentence in (
        "**2001: A Space Odyssey** is calm.",
        "**2001: A Space Odyssey** (1968) by Stanley Kubrick.",
        "2001 is the year in which it plays, **Blade Runner** is not.",
    ):
        grounded = check(sentence, ODYSSEY, RUNNER)
        assert (grounded.text, grounded.is_false) == (sentence, False)


def test_a_sentence_that_says_it_is_held_to_the_item_before():
    assert check("It came out in 1990.", about=[RUNNER]).text == "It came out in 1982."
    assert check("It is by James Cameron.", about=[RUNNER]).text == "It is by Ridley Scott."
    assert check("It came out in 1982.", about=[RUNNER]).text == "It came out in 1982."


def test_what_the_visitor_or_the_pitch_said_may_be_repeated():
    said = "You asked for something of 1990 by Wong Kar-wai: **Blade Runner**."
    assert check(said, known_text="1990, Wong Kar-wai").text == said
    assert check("**Solaris** is set in 1999.", SOLARIS).text == "**Solaris** is set in 1999."


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "推荐**银翼杀手**，1982年的电影，导演是雷德利·斯科特。",
            "推荐**银翼杀手**，1982年的电影，导演是雷德利·斯科特。",
        ),
        ("推荐**银翼杀手**，1984年的电影。", "推荐**银翼杀手**，1982年的电影。"),
        ("1990年代的**银翼杀手**。", "1980年代的**银翼杀手**。"),
        ("**银翼杀手**，导演是詹姆斯·卡梅隆，很好。", "**银翼杀手**，导演是雷德利·斯科特，很好。"),
        ("**银翼刹手**好看。", "**银翼杀手**好看。"),
        ("**无名片**很好。", "**无名片**（不在目录中）很好。"),
    ],
)
def test_chinese_prose_is_held_to_the_same_facts(sentence, expected):
    grounded = check(sentence, language="zh")
    assert (grounded.text, grounded.is_false) == (expected, False)


# Pitches

JURY = Item(
    "film-5", "film", "12 Angry Men", "十二怒汉", pitch="sweat drips, the fan will not turn, and the knife comes out again", pitch_zh="半夜有人丢下两个麻袋，吓坏的农民只好养到过年",
)  # fmt: skip
SHIP = Item(
    "film-6", "film", "Alien", "异形", pitch="seven people wake far too early and let a guest aboard their ship"
)


@pytest.mark.parametrize(
    ("written", "shown", "language"),
    [
        ("Seaat drips, the fan will not turn, and the knife comes out again. ", "Sweat drips, the fan will not turn, and the knife comes out again. ", "en"),
        ("**12 Angry Men**: sweat drips, the fan will trn, and the knife comes out again.", "**12 Angry Men**: sweat drips, the fan will not turn, and the knife comes out again.", "en"),
        ("**十二怒汉**：半夜有人丢下两个麻袋，吓坏的农民只好样到过年。", "**十二怒汉**：半夜有人丢下两个麻袋，吓坏的农民只好养到过年。", "zh"),
        ("Sweat drips from nobody here, and it is another sentence altogether, honestly.", "Sweat drips from nobody here, and it is another sentence altogether, honestly.", "en"),
    ],
)  # fmt: skip
def test_a_pitch_quoted_with_slips_is_quoted_exactly(written, shown, language):
    assert check(written, JURY, SHIP, language=language).text == shown


TOLD = "Seven people wake far too early and let a guest aboard their ship."


@pytest.mark.parametrize(
    ("sentence", "options", "is_false"),
    [
        (f"**Alien**: {TOLD.lower()}", {}, False),
        (f"**12 Angry Men**: {TOLD.lower()}", {}, True),  # told as another
        (TOLD, {}, False),  # named next
        ("That's **Alien**.", {"before": TOLD}, False),
        ("That's **12 Angry Men**.", {"before": TOLD}, True),  # another is named next
        (f"**Alien** again: {TOLD.lower()}", {"before": TOLD, "mentioned": [SHIP]}, True),  # told twice
        (TOLD, {"about": [SHIP], "mentioned": [SHIP]}, False),
        (TOLD, {"about": [JURY], "mentioned": [SHIP, JURY]}, True),  # the talk is of another by now
        (TOLD, {"about": [JURY], "mentioned": [JURY]}, True),  # heard as the story of the one just named
        (f"What it brings: {TOLD.lower()}", {"about": [JURY], "mentioned": [JURY]}, True),
        (TOLD, {"about": [JURY], "mentioned": [JURY], "before": JURY.pitch}, False),  # which was told already
    ],
)
def test_an_item_told_as_another_or_again_is_not_shown(sentence, options, is_false):
    assert check(sentence, JURY, SHIP, **options).is_false == is_false


def test_a_quoted_pitch_is_not_begun_twice(catalogue):
    item = next(item for item in catalogue.items if item.title_zh == "小鞋子")
    slipped = f"**小鞋子**：{item.pitch_zh[0]}{item.pitch_zh}。"
    assert ground(slipped, [item], lambda title: (), language="zh").text == f"**小鞋子**：{item.pitch_zh}。"
    item = catalogue.titled("Pub Quiz Night")[0]
    pitch = next(pitch for pitch in item.pitches_in("en") if pitch.startswith("the "))
    assert (
        ground(f"**Pub Quiz Night**: the {pitch}.", [item], lambda title: (), language="en").text.count("the the") == 0
    )


@pytest.mark.parametrize(
    ("sentence", "is_false"),
    [
        ("**Alien** has 117 minutes.", False),
        ("**Alien** has 3 minutes.", True),
        ("**Alien** has about 2 hours, you said.", False),
        ("**Alien** for 2 nights.", False),
        ("**异形**，一次大约3分钟，排进周末不难。", True),
        ("**异形**，片长117分钟。", False),
    ],
)
def test_an_amount_must_be_a_fact_of_what_the_sentence_speaks_of(catalogue, sentence, is_false):
    alien = catalogue.titled("Alien")[0]
    other = next(item for item in catalogue.items if item.attributes.get("seasons") == 3)
    language = "zh" if "异形" in sentence else "en"
    known = "I have 2 hours"
    assert ground(sentence, [alien, other], catalogue.titled, language=language, known_text=known).is_false == is_false


CAR = Item(
    "film-5",
    "film",
    "Back to the Future",
    "回到未来",
    pitch="a teenager in a borrowed sports car must make his own parents fall in love in 1955",
    pitch_zh="少年误闯1955年，得先撮合自己的爸妈才能回家",
)


@pytest.mark.parametrize(
    ("written", "shown", "language"),
    [
        (
            "You said 1980's teenager in a borrowed sports car must make his own parents fall in love in 1955.",
            "You said 1980's a teenager in a borrowed sports car must make his own parents fall in love in 1955.",
            "en",
        ),
        (
            "In it, a teenager in a borrowed sports car must make his parents fall in love in 1955, as you asked.",
            "In it, a teenager in a borrowed sports car must make his own parents fall in love in 1955, as you asked.",
            "en",
        ),
        (
            "你要的老少年误闯1955年，得先撮合自己爸妈才能回家。",
            "你要的老少年误闯1955年，得先撮合自己的爸妈才能回家。",
            "zh",
        ),
    ],
)
def test_a_pitch_set_right_takes_no_word_beside_it(written, shown, language):
    assert check(written, CAR, language=language, known_text="1980's 1955").text == shown


@pytest.mark.parametrize(
    ("sentence", "said", "language", "is_false"),
    [
        ("You said 1980's {} movies.", "any 1980's movies?", "en", True),
        ("You said 1980's movies: {}.", "any 1980's movies?", "en", False),
        ("Of the 1980's {}, and movies like it.", "any 1980's movies?", "en", False),
        ("你说想看老{}电影。", "想看老电影", "zh", True),
        ("你想看老电影：{}。", "想看老电影", "zh", False),
    ],
)
def test_a_pitch_in_the_middle_of_a_wish_is_not_shown(sentence, said, language, is_false):
    grounded = check(sentence.format(CAR.pitch_in(language)), CAR, language=language, known_text=f"{said} 1955")
    assert grounded.is_false == is_false


CLAUDIUS = Item("series-1", "series", "I, Claudius", "我，克劳狄乌斯", "Herbert Wise", "赫伯特·怀斯", 1976)
LOGIC = Item("course-1", "course", "Plain Logic", "朴素逻辑", "Ann Lee", "李安", pitch="a film directed by nobody")


@pytest.mark.parametrize(
    ("sentence", "language"),
    [
        ("**I, Claudius** is taught by Herbert Wise.", "en"),
        ("**Plain Logic**, directed by Ann Lee, is short.", "en"),
        ("Taught by Herbert Wise, **I, Claudius** is long.", "en"),
        ("**I, Claudius** is for tonight, taught by Herbert Wise; **Plain Logic** can wait.", "en"),
        ("《朴素逻辑》之后是**我，克劳狄乌斯**，由赫伯特·怀斯主讲。", "zh"),
    ],
)
def test_a_sentence_with_a_word_of_making_that_belongs_to_another_kind_is_withheld(sentence, language):
    assert check(sentence, CLAUDIUS, LOGIC, language=language).is_false


@pytest.mark.parametrize(
    ("sentence", "language"),
    [
        ("**I, Claudius** is directed by Herbert Wise.", "en"),
        ("**Plain Logic** is taught by Ann Lee, **I, Claudius** directed by Herbert Wise.", "en"),
        ("**Plain Logic**: a film directed by nobody.", "en"),
        ("**朴素逻辑**由李安主讲。", "zh"),
    ],
)
def test_a_word_of_making_of_its_own_kind_is_left(sentence, language):
    assert not check(sentence, CLAUDIUS, LOGIC, language=language).is_false


def test_a_word_of_making_without_a_title_speaks_of_what_the_talk_is_of():
    assert check("It is taught by Herbert Wise.", CLAUDIUS, about=(CLAUDIUS,)).is_false
    assert not check("It is directed by Herbert Wise.", CLAUDIUS, about=(CLAUDIUS,)).is_false


PARIS = Item("place-2", "place", "Paris", "巴黎", tags=("art", "old town"), moods=("elegant",))
BWINDI = Item("place-3", "place", "Bwindi Forest", "布温迪森林", tags=("animals", "forest"), moods=("adventurous",))
CHINESE = {
    "art": "艺术",
    "old town": "古城",
    "elegant": "优雅",
    "animals": "动物",
    "forest": "森林",
    "adventurous": "爱冒险",
}


def lent(sentence, language="en", **options):
    def labels(item):
        return [CHINESE[term] if language == "zh" else term for term in (*item.tags, *item.moods)]

    return check(sentence, PARIS, BWINDI, language=language, labels=labels, **options).is_false


def test_a_label_of_another_item_on_the_shelf_is_withheld():
    assert lent("**Paris** has its share of animals.") and lent("**巴黎**，动物的味道更重一些。", "zh")
    assert lent("**Bwindi Forest** is elegant.") and lent("**布温迪森林**气质偏优雅。", "zh")


@pytest.mark.parametrize(
    ("sentence", "options"),
    [
        ("**Paris** has its share of art.", {}),
        ("**Paris** for art, **Bwindi Forest** for animals.", {}),
        ("Is **Paris** too far from animals?", {}),
        ("You said animals: **Paris**.", {"known_text": "I like animals"}),
        ("Let's go and see animals.", {}),
    ],
)
def test_its_own_labels_those_that_were_wished_and_questions_are_left(sentence, options):
    assert not lent(sentence, **options)


@pytest.mark.parametrize(
    ("sentence", "asked", "language", "is_false"),
    [
        ("黑人音乐退散，其余的往前站。", "黑人音乐推荐", "zh", True),
        ("恐怖片退散，其余的往前站。", "别来恐怖片", "zh", False),
        ("I've locked gay romance in the cellar.", "gay romance films", "en", True),
        ("I've locked horror in the cellar.", "anything, I can't stand horror", "en", False),
        ("No horror in it, only calm.", "calm films", "en", False),
    ],
)
def test_nothing_is_said_to_be_ruled_out_that_was_not(sentence, asked, language, is_false):
    assert turns_away(sentence, asked, language) == is_false


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("**Blade Runner** has a adventurous side.", "**Blade Runner** has an adventurous side."),
        ("**Blade Runner** has a unique, one-off side.", "**Blade Runner** has a unique, one-off side."),
        ("A old wish: **Blade Runner**.", "An old wish: **Blade Runner**."),
    ],
)
def test_an_english_article_is_set_right(written, told):
    assert check(written).text == told
    assert check(written, language="zh").text == written
