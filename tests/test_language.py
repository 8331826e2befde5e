"""Which language a message is in, and which one it is answered in."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from genrec.language import detect_language


@pytest.mark.parametrize(
    ("message", "code", "answer"),
    [
        ("hello", "en", "en"),
        ("I want a slow film about memory and loss, please", "en", "en"),
        ("no I like Bad Moms (2016)", "en", "en"),
        ("sci-fi", "en", "en"),
        ("推荐一部电影", "zh", "zh"),
        ("推薦一部電影給我", "zh", "zh"),
        ("推荐 Blade Runner 那样的电影", "zh", "zh"),
        ("I like 花样年华 and other slow romantic films from Hong Kong, please", "en", "en"),
        ("映画をおすすめして", "ja", "en"),
        ("영화 추천해줘", "ko", "en"),
        ("bonjour mon ami, je cherche un film drôle pour ce soir avec ma famille", "fr", "en"),
        ("Ich suche einen spannenden Film für heute Abend mit meiner Familie zusammen", "de", "en"),
    ],
)
def test_the_language_is_recognised(message, code, answer):
    detected = detect_language(message)
    assert (detected.code, detected.answer) == (code, answer)
    assert detected.is_supported == (code in ("en", "zh"))


@pytest.mark.parametrize("message", ["", "!!!", "🎬", "   "])
def test_a_message_without_words_keeps_the_language_of_the_conversation(message):
    assert detect_language(message, previous="zh").answer == "zh"
    assert detect_language(message).answer == "en"


def test_a_wanted_language_decides_the_answer_but_not_what_was_recognised():
    detected = detect_language("I love jazz", wanted="zh")
    assert (detected.code, detected.answer) == ("en", "zh")


def test_one_text_always_gives_one_language_even_from_many_threads():
    text = "je voudrais regarder quelque chose de vraiment drôle avec mes enfants demain"
    with ThreadPoolExecutor(4) as pool:
        codes = set(pool.map(lambda _: detect_language(text).code, range(16)))
    assert codes == {"fr"}
