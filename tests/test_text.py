"""Sentences and words: the same however a stream is cut, with spans that point at the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.text import (
    MAX_SENTENCE_WORDS,
    ends_whole,
    names_twice,
    normalise,
    one_line,
    plain,
    repeats,
    second_person,
    sentences,
    stutters,
    units,
    with_article,
    words,
)

PIECES = st.sampled_from(
    [
        "One",
        "two",
        " ",
        "  ",
        ".",
        "...",
        "!",
        "?",
        "…",
        "\n",
        "\n\n",
        "**",
        '"',
        ")",
        "”",
        "Dr.",
        "e.g.",
        "3.5",
        "1,000",
        "我喜欢",
        "。",
        "！",
        "；",
        "，",
        "》",
        "「",
        "」",
        "U.S.",
        "No.",
        "etc.",
        "1.",
        "The",
        "……",
        "I",
        "x",
    ]
)
STREAMS = st.one_of(st.text(max_size=120), st.lists(PIECES, max_size=60).map("".join))


@st.composite
def cut_streams(draw):
    """A text and the same text in chunks."""
    text = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return text, [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(cut_streams())
def test_any_chunking_gives_the_same_sentences_and_they_join_back(case):
    text, chunks = case
    found = list(sentences(chunks))
    assert found == list(sentences([text])) == list(sentences(text))
    assert "".join(found) == text
    assert all(found)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(STREAMS)
def test_every_word_stands_where_its_span_says_and_no_two_overlap(text):
    found = words(text)
    assert [word.text for word in found] == [text[word.start : word.end] for word in found]
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_one_line_leaves_nothing_that_could_break_a_prompt_line(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not set("|*") & set(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("He met Dr. Smith, e.g. at St. Mary. They left.", ["He met Dr. Smith, e.g. at St. Mary. ", "They left."]),
        ("It is by J. R. R. Tolkien. Read it.", ["It is by J. R. R. Tolkien. ", "Read it."]),
        ("So do I. Yes.", ["So do I. ", "Yes."]),
        ("It runs 3.5 hours. Good.", ["It runs 3.5 hours. ", "Good."]),
        ("Wait... what? Yes.", ["Wait... what? ", "Yes."]),
        ("Wait... What? Yes.", ["Wait... ", "What? ", "Yes."]),
        ('Say "yes." Then go.', ['Say "yes." ', "Then go."]),
        ("Great!!! Next.", ["Great!!! ", "Next."]),
        ("Try **Mr. Robot. Or not** (2015). It is tense.", ["Try **Mr. Robot. Or not** (2015). ", "It is tense."]),
        ("Watch it. **Alien** is next.", ["Watch it. ", "**Alien** is next."]),
        ("First\n\nSecond", ["First\n\n", "Second"]),
        ("我喜欢科幻。你呢？好的！", ["我喜欢科幻。", "你呢？", "好的！"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("推荐**你好。再见**。很好看。", ["推荐**你好。再见**。", "很好看。"]),
        ("", []),
        # abbreviations: before a name, before a number, at an end
        ("See No. 5 first. No. It is short.", ["See No. 5 first. ", "No. ", "It is short."]),
        ("Vol. 2 is by Capt. Ross. Good.", ["Vol. 2 is by Capt. Ross. ", "Good."]),
        ("It is set in the U.S. The cast is small.", ["It is set in the U.S. ", "The cast is small."]),
        ("The U.S. Army helps. Fine.", ["The U.S. Army helps. ", "Fine."]),
        ("It starts at 7 p.m. Then eat.", ["It starts at 7 p.m. ", "Then eat."]),
        ("Made by Acme Inc. in 1990. Good.", ["Made by Acme Inc. in 1990. ", "Good."]),
        (
            "He has a Ph.D. in art, Sammy Davis Jr. and co. too.",
            ["He has a Ph.D. in art, Sammy Davis Jr. and co. too."],
        ),
        ("Plan B. It works. J. R. R. Tolkien wrote it.", ["Plan B. ", "It works. ", "J. R. R. Tolkien wrote it."]),
        ("They would be d e a d. Next one.", ["They would be d e a d. ", "Next one."]),
        ("Tea, cake, etc. Then rest.", ["Tea, cake, etc. ", "Then rest."]),
        # lists
        ("1. Alien is tense.\n2. Heat is long.", ["1. Alien is tense.\n", "2. Heat is long."]),
        ("It came out in 1999. Then came more.", ["It came out in 1999. ", "Then came more."]),
        ("- one\n- two", ["- one\n", "- two"]),
        # decimals, prices, versions
        ("It costs $1.50. Rated 8.5/10. Good.", ["It costs $1.50. ", "Rated 8.5/10. ", "Good."]),
        ("Version 2.0.1 is out. Ok.", ["Version 2.0.1 is out. ", "Ok."]),
        # pauses
        ("Well… okay. Fine… Then go.", ["Well… okay. ", "Fine… ", "Then go."]),
        ("他走了……然后回来。好。", ["他走了……然后回来。", "好。"]),
        ("真好……！下一句。", ["真好……！", "下一句。"]),
        # what somebody says
        ('"Really?" he asked. "Yes!" she said.', ['"Really?" he asked. ', '"Yes!" she said.']),
        ("“Go.” They went.", ["“Go.” ", "They went."]),
        ("他问：“好吗？”我说：“好！”", ["他问：“好吗？”", "我说：“好！”"]),
        ("(It is short.) It is good.", ["(It is short.) ", "It is good."]),
        ("Is it good?! Yes. 好的！OK. 走吧", ["Is it good?! ", "Yes. ", "好的！", "OK. ", "走吧"]),
        ("真的吗?!好。", ["真的吗?!", "好。"]),
    ],
)
def test_a_sentence_ends_where_a_reader_would_say(text, expected):
    assert list(sentences([text])) == expected


def test_a_sentence_is_given_out_as_soon_as_the_next_one_begins():
    read = []

    def chunks():
        for chunk in ("It is fun. ", "B", "ut long."):
            read.append(chunk)
            yield chunk

    stream = sentences(chunks())
    assert next(stream) == "It is fun. "
    assert read == ["It is fun. ", "B"]


def test_a_run_on_is_shown_in_parts():
    parts = list(sentences(["word " * 100]))
    assert [len(words(part)) for part in parts] == [MAX_SENTENCE_WORDS, MAX_SENTENCE_WORDS, 20]
    assert max(map(len, sentences(["不" * 500]))) <= 3 * MAX_SENTENCE_WORDS


def test_a_bold_mark_that_is_never_closed_does_not_hold_back_the_rest():
    parts = list(sentences(["A **bold start. " + "This goes on. " * 20]))
    assert len(parts) > 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't like slow-burn sci-fi!", ["I", "don't", "like", "slow-burn", "sci-fi"]),
        ("under 1,000 pages at 12:30, 3.5 stars", ["under", "1,000", "pages", "at", "12:30", "3.5", "stars"]),
        ("我想看科幻电影 today", ["我", "想", "看", "科幻电影", "today"]),
        ("naïve Amélie", ["naïve", "Amélie"]),
        ("?! …", []),
    ],
)
def test_words_are_those_a_reader_would_count(text, expected):
    assert [word.text for word in words(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amélie!", "amelie"),
        ("  L'Été — Ⅳ ", "l ete iv"),
        ("ＷＡＬＬ·Ｅ", "wall e"),
        ("千与千寻！", "千与千寻"),
        ("", ""),
    ],
)
def test_titles_are_compared_without_case_accents_and_punctuation(text, expected):
    assert normalise(text) == expected


def test_outside_text_loses_controls_bold_marks_and_separators():
    assert one_line("a\nb\t|c** \u202ed\x00\u200b  e") == "a b /c d e"
    assert plain("Try **Alien**.") == "Try Alien."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("films for my daughter", "films for your daughter"),
        ("My daughter's favourites", "your daughter's favourites"),
        ("while I'm ironing", "while you're ironing"),
        ("what I’d like", "what you'd like"),
        ("适合我妈妈的书", "适合你妈妈的书"),
        ("我们全家", "你们全家"),
    ],
)
def test_a_phrase_is_said_back_to_the_one_who_said_it(text, expected):
    assert second_person(text) == expected


@pytest.mark.parametrize(
    "text", ["Call Me by Your Name", "My Neighbor Totoro", "I, Robot", "I Am Legend", "made in the US", "自我成长"]
)
def test_titles_and_names_are_said_back_as_they_are(text):
    assert second_person(text) == text


@pytest.mark.parametrize(
    ("text", "is_looping"),
    [
        ("后者，医院游戏机前认识的两个人合做了半生游戏机前认识的两个人合做了半生", True),
        ("a a failed wallpaper cleaner", True),
        ("She had had enough, and that that was so is known.", False),
        ("高高兴兴，慢慢来，一点一点地走。", False),
        ("a plan, a plan", False),
        ("**Alien** has 1979 and dates from 1979.", True),
        ("**1917** is from 2019, set in 1917.", False),
    ],
)
def test_long_runs_said_twice_and_doubled_articles_are_loops(text, is_looping):
    assert stutters(text) == is_looping


def test_units_are_words_in_lower_case_and_chinese_characters():
    assert units("you mentioned s4.") == {"you", "mentioned", "s", "s4"}
    assert units("Don't stop 2 read《活着》, VelázquezIt!") == {"don", "t", "stop", "read", "活", "着", "velázquezit"}


@pytest.mark.parametrize(
    ("text", "before", "wishes", "is_repeated"),
    [
        ("It is quiet first and everything else second.", "It is quiet first and everything else second. ", [], True),
        ("It is quiet first and everything else third.", "It is loud first and everything else second. ", [], False),
        ("For slow films about the sea at night, this.", "Slow films about the sea at night? ", ["slow films about the sea at night"], False),
        ("**The Man Who Fell to Earth Once Again** it is.", "**The Man Who Fell to Earth Once Again**. ", [], False),
        ("如果其中一个你早就熟了就说一声。", "如果其中一个你早就熟了，就换。", [], False),
        ("如果其中一个你早就熟了说一声。", "如果其中一个你早就熟了说一声。", [], True),
    ],
)  # fmt: skip
def test_a_phrase_said_before_is_found_but_for_titles_and_wishes(text, before, wishes, is_repeated):
    assert repeats(text, before, wishes) == is_repeated


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("It rains.", True),
        ('"Come in!" ', True),
        ("慢慢下雨。”", True),
        ("and a neighbour in the", False),
        ("还有一个", False),
    ],
)
def test_a_sentence_that_was_cut_off_has_no_mark_at_its_end(text, is_whole):
    assert ends_whole(text) == is_whole


@pytest.mark.parametrize(
    ("words", "said"),
    [("hour", "an"), ("one-drop beat", "a"), ("unique place", "a"), ("uninteresting one", "an"), ("old film", "an"), ("usual", "a"), ("book", "a")],
)  # fmt: skip
def test_the_article_goes_by_the_sound(words, said):
    assert with_article(words) == f"{said} {words}"


@pytest.mark.parametrize(
    ("text", "is_twice"),
    [
        ("Two words put me on to it: thriller and thriller.", True), ("A science fiction and science fiction film.", True), ("我看中的是科幻和科幻这个搭配。", True), ("童年、童年，再加一点温暖。", True),
        ("Thriller and science fiction.", False), ("Again and again a thriller.", False), ("科幻和惊悚都有。", False), ("A thriller, and thrillers age well.", False),
    ],
)  # fmt: skip
def test_a_label_named_as_two_is_noticed(text, is_twice):
    assert names_twice(text, {"thriller", "science fiction", "科幻", "童年", "惊悚"}) == is_twice


def test_a_latin_name_inside_chinese_is_a_word():
    assert units("是PFU的，Beat Games做的") >= {"pfu", "games", "beat", "是", "的"}
    assert not units("是PFU的") & set("PFU")
