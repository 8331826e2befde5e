"""Which language a message is in, and which one to answer in. langdetect for texts, a look at the script for short ones.

langdetect (a port of Shuyo's naive Bayes over character n-grams) draws at random while it samples; it is seeded here, so one
text always gives one answer. It guesses wildly on a few words, so under eight words the script decides.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from genrec.schema import Language
from genrec.text import has_cjk, words

_MIN_WORDS = 8
_CONFIDENT = 0.9
_ENGLISH = frozenset(
    "the a an i me my you is are was it to of in on for and or "
    "with like love want looking please that this some any can do not".split()
)
_KANA = range(0x3040, 0x3100)
_HANGUL = range(0xAC00, 0xD7A4)
_lock = threading.Lock()  # langdetect's factory is filled on first use


@dataclass(frozen=True, slots=True)
class Detected:
    """The code of the message's language (ISO 639-1, "zh" for all Chinese) and the language to answer in."""

    code: str
    answer: Language

    @property
    def is_supported(self) -> bool:
        return self.code in ("en", "zh")


def detect_language(message: str, *, previous: Language = "en", wanted: Language | None = None) -> Detected:
    """The language of a message. `wanted` fixes the answer's language; a message without words keeps the `previous` one."""
    code = _code(message) or previous
    answer: Language = wanted or ("zh" if code == "zh" else "en")
    return Detected(code, answer)


def _code(message: str) -> str:
    found = words(message)
    if not found:
        return ""
    letters = [character for character in message if character.isalpha()]
    if any(ord(character) in _KANA for character in letters):
        return "ja"
    if sum(ord(character) in _HANGUL for character in letters) > len(letters) / 3:
        return "ko"
    # One Chinese character says as much as three Latin letters: "推荐 Blade Runner 那样的电影" is a Chinese message.
    num_han = sum(has_cjk(character) for character in letters)
    if num_han * 3 > len(letters) - num_han:
        return "zh"
    if len(found) < _MIN_WORDS:
        is_latin = all(ord(character) < 0x250 for character in letters)
        return "en" if is_latin else _langdetect(message) or "en"
    if sum(word.text.lower() in _ENGLISH for word in found) * 4 >= len(found):
        return "en"  # titles and names mislead langdetect: "no I like Bad Moms (2016)" is not Spanish
    return _langdetect(message) or "en"


def _langdetect(message: str) -> str:
    """langdetect's answer where it is sure of it, else ""."""
    from langdetect import DetectorFactory, LangDetectException, detect_langs

    with _lock:
        DetectorFactory.seed = 0
        try:
            best = detect_langs(message[:2000])[0]
        except LangDetectException:
            return ""
    return best.lang.split("-")[0] if best.prob >= _CONFIDENT else ""
