"""An explanation as a page, a fragment and JSON: escaped, without script or network, signed by more than colour, and with the right words in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from genrec import report
from genrec.schema import (
    Attribution,
    Check,
    Citation,
    Item,
    Reply,
    Rewrite,
    Sampling,
    Sentence,
    Word,
    WordPair,
    WordScore,
)

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def word_scores(message, **values):
    scores = []
    for text, value in values.items():
        start = message.index(text)
        score, error = value if isinstance(value, tuple) else (value, 0.01)
        scores.append(WordScore(Word(text, start, start + len(text)), score, error, found=score / 2, written=score / 2))
    return tuple(scores)


def attribution(message, whole, *by_sentence, fit=0.8, **more):
    words = tuple(score.word for score in whole)
    fits = tuple(0.7 if scores else 0.0 for scores in by_sentence)
    more = {"citations": ((),) * len(by_sentence)} | more
    return Attribution(message, words, whole, by_sentence, fit, fits, 32, 1.5, **more)


def reply(*texts, **more):
    spans, text = [], ""
    for one in texts:
        spans.append(Sentence(one, len(text), len(text) + len(one)))
        text += one
    return Reply(text=text, sentences=tuple(spans), model="a writer", **more)


def text_of(html):
    return re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", html, flags=re.S))


class Views(HTMLParser):
    """The text of each view by its id, and what every label points at."""

    def __init__(self, html):
        super().__init__()
        self.views, self.targets, self.ids, self._depth, self._name = {}, [], [], 0, ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.append(found.get("id"))
        if tag == "label":
            self.targets.append(found["for"])
        if found.get("class") == "view":
            self._name = found["id"].split("-v")[-1]
            self.views[self._name] = ""

    def handle_data(self, data):
        if self._name:
            self.views[self._name] += data

    def handle_endtag(self, tag):
        if tag == "div":
            self._name = ""


SLOW_JAZZ = "slow jazz, please!"
SCORES = word_scores(SLOW_JAZZ, slow=4.6, jazz=-1.15, please=(0.5, 2.0))


def test_everything_from_outside_is_escaped():
    scores = (WordScore(Word(EVIL, 0, len(EVIL)), 3.0, 0.1),)
    item = Item("a", "album", EVIL)
    told = attribution(
        EVIL, scores, scores, citations=((Citation(item, 4.2),),), checks=(Check((scores[0].word,), 1.0, 2.0),)
    )
    answer = reply(EVIL)
    page = report.page(EVIL, answer, told, [Rewrite((scores[0].word,), answer, answer, answer, answer)])
    assert "<script" not in page and "<img" not in page and page.count("&lt;script") >= 6
    between = report.explanation(
        attribution(f"jazz {EVIL} slow", word_scores(f"jazz {EVIL} slow", jazz=3.0, slow=1.0)), answer
    )
    assert "<script" not in between and "<img" not in between and "&lt;script" in between


def test_a_page_needs_no_network_and_no_script():
    page = report.page(SLOW_JAZZ, reply("Fine."), attribution(SLOW_JAZZ, SCORES, SCORES))
    assert page.startswith("<!DOCTYPE html>") and "default-src 'none'" in page
    assert not re.search(r"https?://|<script|<link|@import|url\(|\bsrc=| on\w+=", page)
    assert "prefers-color-scheme: dark" in page


def test_sign_is_shown_by_underline_class_and_hint_and_the_uncertain_word_stays_plain():
    html = report.explanation(attribution(SLOW_JAZZ, SCORES, SCORES), reply("Fine."))
    assert re.search(r'class="up" style="--share:1.00" title="\+4.6 ± 0.0 nats[^"]*">slow<', html)
    assert re.search(r'class="down" style="--share:0.50" title="−1.1[^"]*">jazz<', html) or re.search(
        r'class="down" style="--share:0.50" title="−1.2[^"]*">jazz<', html
    )
    assert not re.search(r'class="(?:up|down)"[^>]*>please<', html) and "not certain" in html
    assert re.search(r"\.why \.up .*underline solid", report.STYLE) and re.search(
        r"\.why \.down .*underline dotted", report.STYLE
    )


def test_the_scale_of_colours_is_the_same_whatever_else_is_strong():
    def share(strong):
        scores = word_scores("slow jazz", slow=1.15, jazz=strong)
        html = report.explanation(attribution("slow jazz", scores, scores), reply("Fine."))
        return re.search(r'--share:([\d.]+)" title="[^"]*">slow<', html)[1]

    assert share(1.0) == share(40.0) == "0.50"


def test_every_sentence_and_every_sure_word_can_be_clicked_for_its_own_view():
    first, second = word_scores(SLOW_JAZZ, slow=4.6, jazz=0.0, please=0.0), ()
    html = report.explanation(attribution(SLOW_JAZZ, SCORES, first, second), reply("One.", " Two."))
    views = Views(html)
    assert set(views.views) == {"all", "s0", "s1", "w0", "w1"}
    assert set(views.targets) <= set(views.ids) and all(f"-{name}" in " ".join(views.targets) for name in views.views)
    assert all(SLOW_JAZZ in text and "One. Two." in text for text in views.views.values())
    assert "does not depend on your words" in views.views["s1"] and "explains 70%" in views.views["s0"]
    moved = html[html.index('-vw0"') : html.index('-vw1"')]
    assert re.search(r'class="up"[^>]*>One\.<', moved) and not re.search(r'class="up"[^>]*>Two\.<', moved)


def test_only_the_view_that_was_picked_is_shown():
    html = report.explanation(attribution(SLOW_JAZZ, SCORES, SCORES), reply("Fine."))
    name = re.search(r'class="why" id="(\w+)"', html)[1]
    assert f"#{name}-s0:checked ~ #{name}-vs0" in html and ".why .view {display: none}" in html
    assert html.count(" checked>") == 1


def test_neighbours_that_only_work_together_are_shown_as_one():
    message = "some slow jazz"
    scores = word_scores(message, some=0.0, slow=3.0, jazz=3.2)
    pair = WordPair(scores[1].word, scores[2].word, 6.0)
    told = attribution(message, scores, scores, pairs=(pair,))
    assert report.joint_words(told) == [[0], [1, 2]]
    html = report.explanation(told, reply("Fine."))
    assert re.search(r'title="\+6.2 ±[^"]*">slow jazz<', html)
    for other in (
        (WordPair(scores[1].word, scores[2].word, 2.0),),
        (WordPair(scores[0].word, scores[1].word, 6.0),),
        (),
    ):
        assert report.joint_words(attribution(message, scores, scores, pairs=other)) == [[0], [1], [2]]


def test_words_with_a_comma_between_them_are_never_one():
    scores = word_scores("slow, jazz", slow=3.0, jazz=3.0)
    told = attribution("slow, jazz", scores, scores, pairs=(WordPair(scores[0].word, scores[1].word, 6.0),))
    assert report.joint_words(told) == [[0], [1]]


def test_intervals_parts_checks_citations_and_a_weak_fit_are_told():
    scores = word_scores(SLOW_JAZZ, slow=(4.0, 0.5), jazz=0.0, please=0.0)
    told = attribution(
        SLOW_JAZZ, scores, scores, fit=-0.3,
        checks=(Check((scores[0].word,), 3.6, 4.2),), citations=((Citation(Item("a", "album", "Kind of Blue"), 4.2),),),
    )  # fmt: skip
    html = report.explanation(told, reply("Fine."))
    text = text_of(html)
    assert (
        'badge weak">explains 0%' in html
        and "+4.0 ± 1.0" in text
        and "leans on the facts of Kind of Blue (+4.2)" in text
    )
    assert "+2.0 through what was found, +2.0 through how it was written" in html
    assert re.search(r"slow</td><td class=number>4\.2</td><td class=number>3\.6", html)


def test_the_page_says_what_was_scored():
    scores = word_scores(SLOW_JAZZ, slow=9.0)
    nats = report.explanation(attribution(SLOW_JAZZ, scores, scores), reply("Fine."))
    points = report.explanation(attribution(SLOW_JAZZ, scores, scores, scorer="similarity"), reply("Fine."))
    assert "gives no probabilities" in points and "9.0 ± 0.0 points" in points and "nats" not in text_of(points)
    assert "gives no probabilities" not in nats and "9.0 ± 0.0 nats" in nats
    assert (
        report.attribution_json(attribution(SLOW_JAZZ, scores, scores, scorer="similarity"), reply("Fine."))["unit"]
        == "points"
    )


@pytest.mark.parametrize(("num_scored", "told_of"), [(9, True), (32, False), (0, False)])
def test_the_foot_says_how_many_rows_were_guessed(num_scored, told_of):
    told = attribution(SLOW_JAZZ, SCORES, SCORES, num_scored=num_scored)
    for language, text in (
        ("en", "from 32 shortened messages (9 of them scored"),
        ("zh", "试了 32 条删减过的消息（其中 9 条"),
    ):
        assert (text in report.as_text(told, reply("Fine."), language)) == told_of
        assert (text in text_of(report.explanation(told, reply("Fine."), language))) == told_of
    assert report.attribution_json(told, reply("Fine."))["scored"] == num_scored


def test_a_rewrite_shows_what_changed_beside_what_chance_changes():
    one, two = reply("Try **Blue**, a quiet album."), reply("Try **Red**, a quiet album.")
    rewrite = Rewrite((Word("slow", 0, 4),), one, two, one, two)
    html = report.rewritten(rewrite)
    assert "<del>Blue" in html and "<ins>Red" in html and "a quiet album" in text_of(html)
    assert report.rewrite_json(rewrite)["changed"] == pytest.approx(0.2)
    assert report.rewrite_json(rewrite)["changed_same_seed"] == 0
    assert "0% with the same seed, 20% with another" in text_of(html)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [("", "", 0), ("a b", "a b", 0), ("a b", "c d", 1), ("我喜欢爵士乐", "我喜欢电影", 1 / 3)],
)
def test_the_share_of_words_that_changed(one, other, share):
    assert report.changed_share(Reply(text=one), Reply(text=other)) == pytest.approx(share)


def chinese(scorer="log-probability"):
    """An explanation in which everything that can be told is told, of a Chinese reply."""
    message = "忧伤的爵士乐，谢谢"
    scores = word_scores(message, 忧伤=4.6, 爵士乐=(-1.2, 0.1), 谢谢=(0.5, 2.0))
    one, other = scores[0].word, scores[1].word
    item = Item("a", "album", "Kind of Blue", title_zh="泛蓝调调")
    told = attribution(
        message, scores, scores, (), citations=((Citation(item, 4.2),), ()), checks=(Check((one, other), 3.6, 4.2),),
        pairs=(WordPair(one, other, 6.0), WordPair(other, scores[2].word, -3.0)), scorer=scorer,
    )  # fmt: skip
    return message, reply("先听**泛蓝调调**。", "请慢慢听。", language="zh", sampling=Sampling(seed=1)), told


def words_in(text, alphabet):
    return re.findall(alphabet, re.sub(r"a writer|GenRec", "", text))


@pytest.mark.parametrize("scorer", ["log-probability", "similarity"])
def test_a_chinese_page_says_everything_in_chinese_and_an_english_one_in_english(scorer):
    message, answer, told = chinese(scorer)
    rewrite = Rewrite(told.words[:2], answer, answer, answer, answer)
    page = report.page(message, answer, told, [rewrite])
    spoken = text_of(page) + " ".join(re.findall(r'(?:title|aria-label)="([^"]*)"', page))
    assert '<html lang="zh">' in page and not words_in(spoken, r"[A-Za-z]{2,}")
    for told_of in (
        "经由找到的内容", "经由写法", "与你的用词无关", "合在一起", "有其中一个就够", "依据：泛蓝调调", "删去后重新打分", "忧伤、爵士乐",
    ):  # fmt: skip
        assert told_of in spoken
    english = report.page(message, answer, told, [rewrite], "en")
    assert '<html lang="en">' in english and "through what was found" in english and "经由" not in english
    assert "leans on the facts of 泛蓝调调" in english  # as the reply names it


def test_the_lines_for_a_terminal_say_the_same_in_both_languages():
    message, answer, told = chinese()
    lines = report.as_text(told, answer)
    assert not words_in(lines, r"[A-Za-z]{2,}") and "泛蓝调调 +4.2" in lines
    english = report.as_text(told, answer, "en")
    numbers = [re.findall(r"[+-]?\d+\.\d\d", text) for text in (lines, english)]
    assert numbers[0] == numbers[1] and len(numbers[0]) >= 12
    assert re.search(r"\+4\.60 ±  0\.01 .*忧伤\n", english) and re.search(r"\? .*谢谢\n", english)
    assert re.search(r"4\.20 \(3\.60\)  忧伤 爵士乐", english)
    rewrite = Rewrite(told.words[:1], answer, reply("再听。", language="zh"), answer, answer)
    assert report.rewrite_as_text(rewrite).startswith("去掉忧伤：再听。\n有 ")
    assert report.rewrite_as_text(rewrite, "en").startswith("Without 忧伤: 再听。\n")


def test_every_text_has_both_languages_and_the_same_places_for_values():
    for texts in report._TEXTS.values():
        places = [sorted(re.findall(r"\{[^}]*\}", text)) for text in (texts["en"], texts["zh"])]
        assert places[0] == places[1]


def test_chinese_sentences_stand_without_spaces_between_them():
    message, answer, told = chinese()
    assert "先听泛蓝调调。请慢慢听。" in text_of(report.explanation(told, answer))
