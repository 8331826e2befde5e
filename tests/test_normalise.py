"""What the filter reads: hidden words come out, clean text stays as it was."""

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.safety.normalise import aligned, normalise


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        ("You 1d10t", "you idiot"),
        ("b1tch", "bitch"),
        ("a$$h0le", "asshole"),
        ("5hit, st00pid", "shit, stoopid"),
        ("k1ll them", "kill them"),
        ("sh!t!!", "shit!!"),
        ("b@stard", "bastard"),
    ],
)
def test_leet_is_read_as_letters(hidden: str, plain: str) -> None:
    assert normalise(hidden) == plain


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        ("you i d i o t", "you idiot"),
        ("y o u  i d i o t", "you idiot"),
        ("f.u.c.k off", "fuck off"),
        ("h-a-t-e", "hate"),
        ("傻*逼", "傻逼"),
    ],
)
def test_spaced_out_letters_are_joined(hidden: str, plain: str) -> None:
    assert normalise(hidden) == plain


@pytest.mark.parametrize("gap", [" ", "*", "-", "~", "·", "|", "_", ".", "@", "☆", "★★", "❤", "🌸", "\u200b", "+"])
def test_a_sign_between_chinese_characters_is_looked_through(gap: str) -> None:
    assert normalise(f"你这个白{gap}痴").replace(" ", "") == "你这个白痴"


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [("f**k", "fuck"), ("sh*t", "shit"), ("f***ing", "fucking"), ("b***h", "bitch"), ("f***", "fuck")],
)
def test_censored_words_are_read_out(hidden: str, plain: str) -> None:
    assert normalise(hidden) == plain


@pytest.mark.parametrize(
    "hidden",
    [
        "i\u200bd\u200di\u2060o\ufefft",  # zero-width characters
        "\u202eidiot\u202c",  # bidi controls
        "id\u00adiot",  # soft hyphen
        "idi\U000e0061\U000e0062ot",  # Unicode tag characters
        "іdіоt",  # Cyrillic i and o
        "idiοt",  # Greek omicron
        "𝐢𝐝𝐢𝐨𝐭",
        "ⓘⓓⓘⓞⓣ",
        "ｉｄｉｏｔ",
        "ɪᴅɪᴏᴛ",
        "i̷d̷i̷o̷t̷",
        "IDIOT",
    ],
)
def test_one_word_in_any_disguise_is_the_same_word(hidden: str) -> None:
    assert normalise(hidden) == "idiot"


@pytest.mark.parametrize(
    ("drawn_out", "plain"),
    [
        ("stuuuupid", "stupid"),
        ("fuuuckkkk", "fuck"),
        ("sooooo goooood", "so good"),
        ("assss", "ass"),
        ("哈哈哈哈哈哈", "哈哈哈"),
        ("no!!!!!!", "no!!!"),
    ],
)
def test_drawn_out_letters_are_shortened(drawn_out: str, plain: str) -> None:
    assert normalise(drawn_out) == plain


@pytest.mark.parametrize(
    "clean",
    [
        "in 1984 i read 2001: a space odyssey",
        "tickets cost $20 or us$15, or 5.99$ online",
        "the 90s, the 1980s, the 3rd and the 21st",
        "at 7pm in 4k on ps5, mp3 or h1n1",
        "u2, maroon5, blink-182, se7en, 50cent, r2d2",
        "s01e05 is the best of rocky iii and world war ii",
        "write to me@mail.com or @john",
        "plan a or b, 4*5 stars, **bold**, 9/10",
        "great!you will like it, oh!so good",
        "pizza, coffee, bookkeeper, hello, assess, committee",
        "café and naïve",
        "1 2 3 4 5",
    ],
)
def test_clean_english_is_left_alone(clean: str) -> None:
    assert normalise(clean) == clean


@pytest.mark.parametrize(
    "clean",
    [
        "我在2019年看了5场《无间道》,票价30元。",
        "《居里夫人》和《一九八四》",
        "好吃,推荐你去...真的不错",
        "北京到上海的火车",
    ],
)
def test_clean_chinese_is_left_alone(clean: str) -> None:
    assert normalise(clean) == clean


def test_a_word_of_look_alikes_is_latin_only_beside_a_word_that_mixes_scripts() -> None:
    assert normalise("а stupid іdіоt") == "a stupid idiot"
    assert normalise("сор is a word here") == "сор is a word here"


def test_a_word_wholly_in_another_script_is_not_turned_into_latin() -> None:
    assert normalise("Оно is the Russian title, Ψ a letter") == "оно is the russian title, ψ a letter"


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_nothing_gives_nothing(text: str) -> None:
    assert normalise(text) == ""


def test_normalising_twice_changes_nothing_more() -> None:
    for text in ("You 1d10t!!!!", "f.u.c.k off", "傻*逼 你好", "іdіоt f**k", "Rocky III in 1982"):
        assert normalise(normalise(text)) == normalise(text)


def test_any_mix_of_signs_is_read_without_an_error() -> None:
    dice = random.Random(1)
    signs = "aabif01345!!@$€*#%.-_ \n\u200bо傻逼。é+"
    for _ in range(20_000):
        normalise("".join(dice.choices(signs, k=dice.randint(1, 12))))
    assert normalise("wow !!-a") == "wow !!-a"


def test_a_hostile_text_takes_linear_time() -> None:
    started = time.process_time()
    for text in [
        unit * 25_000 for unit in ("a", "ab", "a.", "a*", "a%", "1a", "!", "a1 ", "a!", "@", "a a", "傻*", "*", "і")
    ]:
        normalise(text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("written", "word", "hidden"),
    [
        ("You are an i d i o t, sir", "idiot", "i d i o t"),
        ("ＹＯＵ　ＩＤＩＯＴ", "idiot", "ＩＤＩＯＴ"),
        ("what a 1d10t you are", "idiot", "1d10t"),
        ("f**k this", "fuck", "f**k"),
        ("i\u200bd\u200biot", "idiot", "i\u200bd\u200biot"),
        ("你这个傻*逼", "傻逼", "傻*逼"),
        ("sooo stuuuupid", "stupid", "stuuuupid"),
        ("\ufb01ne idiot", "idiot", "idiot"),
    ],
)
def test_a_word_that_was_read_is_found_where_it_was_written(written: str, word: str, hidden: str) -> None:
    read = aligned(written)
    start = read.text.index(word)
    low, high = read.written(start, start + len(word))
    assert written[low:high] == hidden


SIGNS = st.sampled_from(list("aabif01345!!@$€*#%.-_ \n\u200bо傻逼。é+ﬁİ\u0301ＡςᎪ👩\u200d🚀"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=60), st.lists(SIGNS, max_size=40).map("".join)))
def test_any_text_is_read_and_every_character_of_the_reading_has_its_place(text: str) -> None:
    read = aligned(text)
    assert read.text == normalise(text)
    assert len(read.spans) == len(read.text)
    assert all(0 <= start < end <= len(text) for start, end in read.spans)
    assert all(one <= other for one, other in itertools.pairwise(read.spans))
    assert not read.text.startswith(" ") and "  " not in read.text


@pytest.mark.parametrize("text", ["le5bian5 and immigr4nts", "th3y sh0uld lik3 it", "$h17 h3ad, d34d"])
def test_in_a_text_written_in_leet_every_word_is_read(text: str) -> None:
    assert not set("0134567$") & set(normalise(text))


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [("sh-t", "shit"), ("st*pid", "stupid"), ("fu*ck", "fuck"), ("f@ck", "fuck"), ("M*slims", "muslims"), ("аѕѕ", "ass"), ("ᎥdᎥօt", "idiot")],
)  # fmt: skip
def test_a_word_behind_one_sign_or_look_alikes_is_read(hidden: str, plain: str) -> None:
    assert normalise(hidden) == plain


@pytest.mark.parametrize(
    "clean",
    ["his girl💆 laughed", "a well-made, so-called x-ray", "the women- and men", "rock'n'roll & jazz", "a f-ing"],
)
def test_signs_beside_a_word_hide_nothing(clean: str) -> None:
    assert normalise(clean) == clean
