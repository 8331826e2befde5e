"""Sentences, words and clean text, in English and Chinese. Plain functions; nothing here knows a model.

A sentence is what the gate holds back, checks and shows; a word is what an explanation scores.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator

from genrec.schema import Word

MAX_SENTENCE_WORDS = 40  # a longer sentence is shown in parts, so that the reader never waits for a run-on
_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_CJK_RE = re.compile(f"[{_CJK}]")
_CJK_END = "。！？；｡"
_LATIN_END = ".!?"
_CLOSERS = "\"'”’)]）】」』》*"
_DOTS = ("...", "…")
# Before a name ("Dr. Smith"), or inside a sentence whatever follows ("e.g. Alien"): no end.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st mt ft gen col sgt capt lt rev hon messrs mme mlle e.g i.e cf vs approx feat viz al".split()
)
# Before a number only: "No. 5" goes on, "No. It is short." ends.
_BEFORE_NUMBERS = frozenset("no nos vol vols fig figs ch pp p ep eps op".split())
# May end a sentence; whether it does, the next word says.
_MAYBE_LAST = frozenset(
    "jr sr inc ltd co corp etc u.s u.k a.m p.m u.s.a d.c ph.d b.a m.a m.d eds est ave blvd dept".split()
)
_STARTERS = frozenset(
    "the this that these those it its it's he she they we you i i'm there here his her their our your my if when while what who why how where "
    "and but or so for in on at as with from after before once still then also not no yes both each every some many most one two three try watch read "
    "see take give start expect think imagine perhaps maybe a an".split()
)
_LETTER = rf"(?:(?![{_CJK}])[^\W\d_])"  # of a script with spaces: "PFU的" is two words
_WORD_RE = re.compile(rf"[{_CJK}]+|\d+(?:[.,:]\d+)*|{_LETTER}+(?:['’\-]{_LETTER}+)*")
_TITLE = re.compile(r"\*\*.+?\*\*")
_LOOP = re.compile(r"(.{1,12}?)\1{4,}|([^\W\d_].{5,40}?)\2")
_DOUBLED = re.compile(r"\b(a|an|and|the|of|to|with|for) \1\b", re.IGNORECASE)
_SAME_YEAR = re.compile(
    r"(?<!\d)((?:1[4-9]|20)\d\d)(?!\d).*(?<!\d)\1(?!\d)", re.DOTALL
)  # "has 1979 and dates from 1979"
_SAME_WORDS, _SAME_CHARACTERS = 7, 12  # of a phrase said twice in a reply
_TITLE_MARK = "**"
_MAX_TITLE = 120  # characters; a ** that is not closed by then opened no title, and must not hold the rest back


def has_cjk(text: str) -> bool:
    return bool(_CJK_RE.search(text))


def words(text: str) -> list[Word]:
    """The words of a text in order, with half-open character spans; Chinese runs are segmented, punctuation is left out."""
    found: list[Word] = []
    for match in _WORD_RE.finditer(text):
        if has_cjk(match.group()):
            found.extend(_chinese_words(match.group(), match.start()))
        else:
            found.append(Word(match.group(), match.start(), match.end()))
    return found


def _chinese_words(run: str, offset: int) -> Iterator[Word]:
    import rjieba  # 4 MB with its dictionary: loaded only when Chinese is seen

    for piece in rjieba.cut(run):
        yield Word(piece, offset, offset + len(piece))
        offset += len(piece)


def person_spans(text: str) -> list[tuple[int, int]]:
    """The half-open spans of what may be persons' names in Chinese: what the segmenter takes for one, up to the next 的 or verb of making."""
    found: list[tuple[int, int]] = []
    for run in re.finditer(f"[{_CJK}]+", text):
        import rjieba  # see above

        position, start = run.start(), -1
        for piece, kind in rjieba.tag(run.group()):
            if start >= 0 and piece[0] in "的导执主拍演唱写":
                found.append((start, position))
                start = -1
            elif kind.startswith("nr") and start < 0 and piece[0] not in "太好最很别不老新":
                start = position
            elif kind in ("v", "c", "p"):
                start = -1
            position += len(piece)
    return found


def sentences(chunks: Iterable[str], *, is_ticking: bool = False) -> Iterator[str]:
    """The sentences of a stream, each as soon as it is certain to have ended. Joined they give the stream back.

    Where a sentence ends depends on the characters alone, never on how they were cut into chunks. With `is_ticking` an empty string follows every
    chunk, so that who reads on is not held up until a sentence ends.
    """
    buffer = ""
    for chunk in chunks:
        buffer += chunk
        while end := _first_end(buffer, is_final=False):
            yield buffer[:end]
            buffer = buffer[end:]
        if is_ticking:
            yield ""
    while buffer:
        end = _first_end(buffer, is_final=True) or len(buffer)
        yield buffer[:end]
        buffer = buffer[end:]


def stutters(text: str) -> bool:
    """Whether a sentence loops, as small models do: one or two words three times in a row, three or four words twice, a few characters five
    times, a longer run of them twice, or an article, a preposition or a year twice."""
    tokens = [word.text.lower() for word in words(_TITLE.sub("·", text))]  # a title may repeat what it likes
    for size, times in ((1, 3), (2, 3), (3, 2), (4, 2)):
        for start in range(len(tokens) - size * times + 1):
            runs = {tuple(tokens[start + size * turn : start + size * (turn + 1)]) for turn in range(times)}
            if len(runs) == 1:
                return True
    untitled = _TITLE.sub("·", text)
    return any(loop.search(untitled) for loop in (_LOOP, _DOUBLED, _SAME_YEAR))


def names_twice(text: str, labels: Collection[str]) -> bool:
    """Whether a sentence names one of the labels as two: "thriller and thriller", "Think marriage meets marriage", "科幻和科幻"."""
    found = re.findall(r"(?<!\w)(?:think )?([\w'’-]+(?: [\w'’-]+){0,2}?)(?:,| and| plus| meets) (?=(\1))", text.lower())
    found += re.findall(r"([\u3400-\u9fff]{2,6}?)[和加与跟、](?=(\1))", text)
    return any(label in labels for label, _ in found)


def says_twice(text: str, wishes: Iterable[str]) -> bool:
    """Whether a sentence says a wish of several words or Chinese characters twice, or one of one word twice in a breath: "it has to work for baking
    and for baking"."""
    untitled = _TITLE.sub("·", text).lower()
    for wish in map(str.lower, wishes):
        is_long = " " in wish or len(wish) > 2 and has_cjk(wish)
        if is_long and untitled.count(wish) > 1:
            return True
        if len(wish) > 1 and re.search(rf"(?<!\w){re.escape(wish)}\b.{{0,12}}\b{re.escape(wish)}(?!\w)", untitled):
            return True
    return False


def units(text: str) -> set[str]:
    """The words of a text in lower case, a Chinese one as its characters; what a writer's lexicon lists. Letters with a digit after them ("s4")
    are a word of their own."""
    found = {glued.lower() for glued in re.findall(r"(?<![A-Za-z])[A-Za-z]+\d+", text)}
    for match in _WORD_RE.finditer(text):
        if has_cjk(match.group()):
            found.update(match.group())
        elif not match.group()[0].isdigit():
            found.update(re.split(r"['’\-]", match.group().lower()))
    return found


def ends_whole(text: str) -> bool:
    """Whether a sentence ends with a mark that ends one, closing quotes and brackets aside."""
    return bool(re.search(r"[.!?…。！？:：;；][\s\"'”’）)\]】》」*]*$", text))


def begins_whole(text: str) -> bool:
    """Whether a sentence does not begin with what can only go on another one: a mark, or a Chinese particle ("的**隐形守护者**：…")."""
    return not re.match(r"\s*(?:[,.;:!?，。；：！？、]|[的了吗呢吧](?![士不解结]))", text)


def repeats(text: str, before: str, quotable: Iterable[str] = ()) -> bool:
    """Whether a sentence says a phrase again that stands in the text before it: seven words, or twelve Chinese characters. Titles and what is
    `quotable` (the visitor's wishes) may come again."""

    def phrases(said: str) -> set[str]:
        for quote in quotable:
            said = said.replace(quote, "·")
        said = _TITLE.sub("·", said).lower()
        if has_cjk(said):
            size, parts = _SAME_CHARACTERS, list(said)
            return {run for start in range(len(parts) - size + 1) if "·" not in (run := said[start : start + size])}
        size, parts = _SAME_WORDS, re.findall(r"[\w'’]+|·", said)
        runs = (parts[start : start + size] for start in range(len(parts) - size + 1))
        return {" ".join(run) for run in runs if "·" not in run}

    return not phrases(text).isdisjoint(phrases(before))


def _first_end(text: str, *, is_final: bool) -> int:
    """Where the first sentence ends (its trailing space belongs to it), or 0 while that cannot be known yet."""
    num_words, in_title, position, opened = 0, False, 0, 0
    while position < len(text):
        character = text[position]
        if text.startswith(_TITLE_MARK, position):
            in_title, opened = not in_title, position
            position += 2
            continue
        if in_title and position - opened > _MAX_TITLE:
            in_title = False
        if character == "\n":
            return _skip(text, position, "\n \t", is_final)
        if not in_title and character in _CJK_END + _LATIN_END + "…":
            after = position + 1
            while after < len(text) and text[after] in _CJK_END + _LATIN_END + "…":
                after += 1
            marks = text[position:after]
            while after < len(text) and text[after] in _CLOSERS and not _opens_title(text, after):
                after += 1
            if after >= len(text) and not is_final:
                return 0  # a closing mark or a space may still follow
            if set(marks) & set(_CJK_END) or (marks.strip(".…") and _CJK_RE.match(text[after : after + 1])):
                return _skip(text, after, " ", is_final)
            if after >= len(text):
                return after
            if text[after].isspace():
                end = _skip(text, after, " \t\n", is_final)
                if end == 0:
                    return 0
                is_end = _is_end(text, position, after, end, is_final)
                if is_end is None:
                    return 0
                if is_end:
                    return end
            position = after
            continue
        if character.isspace() or _CJK_RE.match(character):
            num_words += 1
            if num_words >= MAX_SENTENCE_WORDS and not in_title and character.isspace():
                return position + 1
            if num_words >= 3 * MAX_SENTENCE_WORDS and not in_title:
                return position + 1
        position += 1
    return 0


def _is_end(text: str, position: int, after: int, end: int, is_final: bool) -> bool | None:
    """Whether the marks at `position` (closing marks included up to `after`, space up to `end`) end a sentence; None while the next word is not
    whole. What follows decides where the marks alone do not."""
    following = text[end : end + 1]
    if "\n" in text[after:end]:
        return True
    marks = text[position:after].rstrip(_CLOSERS)
    if marks.endswith(_DOTS) or after - position > len(marks):  # a pause, or the end of what somebody says: he said
        return not following.islower()
    if marks != ".":
        return True
    written = re.split(r"[\s(“\"*]", text[:position])[-1]
    last = written.lower()
    if not text[:position].strip("0123456789 \t") and len(text[:position].strip()) < 3:
        return False  # the number of a list's line
    if last in _ABBREVIATIONS:
        return False
    if last in _BEFORE_NUMBERS:
        return not following.isdigit()
    is_initial = bool(re.fullmatch(r"(?:[A-Z]\.)*[A-Z]|(?:[a-z]\.)+[a-z]", written)) and last not in ("i", "a")
    if not is_initial and last not in _MAYBE_LAST:
        return True
    word = re.split(r"[^A-Za-z'’]", text[end:], maxsplit=1)[0]
    if end + len(word) >= len(text) and not is_final:
        return None
    return word[:1].isupper() and word.lower().replace("’", "'") in _STARTERS


def _opens_title(text: str, position: int) -> bool:
    """Whether the ** here opens a title (a letter follows) rather than closing one; only reached outside titles."""
    return text.startswith(_TITLE_MARK, position) and text[position + 2 : position + 3].strip() != ""


def _skip(text: str, position: int, characters: str, is_final: bool) -> int:
    """The position after a run of `characters`; 0 when the run reaches the end of a stream that goes on."""
    while position < len(text) and text[position] in characters:
        position += 1
    return position if position < len(text) or is_final else 0


def plain(text: str) -> str:
    """The text without the ** that make titles bold."""
    return text.replace(_TITLE_MARK, "")


def one_line(text: str) -> str:
    """Text from outside made safe to stand in one line of a prompt: no control characters, no line breaks, no bold marks."""
    if not (
        text.isascii() and text.isprintable()
    ):  # most cells of a large catalogue are, and need no look at each character
        text = unicodedata.normalize("NFC", text)
        text = "".join(" " if character.isspace() else character for character in text if is_printable(character))
    text = text.replace("*", "").replace("|", "/")
    return (re.sub(r" {2,}", " ", text) if "  " in text else text).strip()


def is_printable(character: str) -> bool:
    """False for control, format (zero-width, bidi, Unicode tags), surrogate and private-use characters; line breaks and
    tabs, and the joiners that scripts and emoji need, are kept."""
    return character in "\n\t\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


_SECOND_PERSON = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "i'm": "you're", "i've": "you've",
    "i'd": "you'd", "i'll": "you'll", "am": "are", "we": "you", "us": "you", "our": "your", "我": "你", "咱": "你",
}  # fmt: skip


# A word in small letters that is spoken with a vowel first: "an hour", but "a one-drop beat", "a unique place".
VOWEL_SOUND = r"(?:(?!one\b|once\b|eu|ewe|ukulele|uni(?![nm])|us[aeiu]|ut[io]|ur[aiu])[aeiou]|hour|honest|honou?r|heir)"


def with_article(words: str) -> str:
    """English words with "a" or "an" before them."""
    return f"{'an' if re.match(VOWEL_SOUND, words) else 'a'} {words}"


def second_person(text: str) -> str:
    """A visitor's phrase as it is said back to him: "films for my daughter" → "films for your daughter"; "US" and "AM" stay,
    and so do capitals inside titles ("Call Me by Your Name", "I, Robot")."""
    return re.sub(
        r"\b(?:[Ii]['’](?:m|ve|d|ll)|I)\b(?!,? [A-Z])|\b(?:i|me|mine|myself|my|am|we|us|our)\b|^(?:Me|Mine|Myself|My|We|Our)\b(?! [A-Z])|(?<!自)我|咱",
        lambda match: _SECOND_PERSON[match.group().lower().replace("’", "'")],
        text,
    )


def normalise(text: str) -> str:
    """Text for comparing: NFKC, lower case, accents and punctuation removed, single spaces. "Amélie!" → "amelie"."""
    if text.isascii():
        kept = text.lower()
    else:
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        kept = "".join([character for character in decomposed if not unicodedata.combining(character)])
    return " ".join(re.findall(r"\w+", kept))
