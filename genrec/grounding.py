"""Holds the prose to the facts: every bold title must be a catalogue item, every year and maker beside it must be its own.

A title with up to two typing errors is set right, and so is a pitch that is quoted with slips; a title that is not in the catalogue is marked. A year or a maker that contradicts the catalogue is corrected
where the sentence speaks of one item, else the sentence is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from genrec.schema import Item, Language, Mention
from genrec.text import VOWEL_SOUND, has_cjk, normalise, second_person, words

_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_YEAR = re.compile(r"(?<![\d.,:])(1[5-9]\d\d|20[0-4]\d)(?![\d%]|[.,:]\d)('?s\b|年代)?")
_YEAR_OF_TITLE = re.compile(r"\*\*([^*]+)\*\*(\s*[(（])(\d{4})(?=[)）])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_AMOUNT = re.compile(
    r"(\d+(?:\.\d+)?)\s*(?:(?:minute|hour|day|season|page|player)s?\b|分钟|个?小时|天(?!后|前)|季|页|人(?=[，。！？；、玩]|$))"
)
_NAME = r"[^\W\d_a-z][\w.'’\-]*(?:\s+(?:(?:de|del|della|la|van|von|der|den|bin|al|of|the|and|y|da|do|dos|le)\s+)*[^\W\d_a-z][\w.'’\-]*)*"
_DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday Christmas Easter January February March April May June July August September October November December"
# Only where a maker is named: right after a title or its year, or after a word of making. "Inspired by", "scored by" and "by Sunday" say something else.
_BY = re.compile(
    rf"(?:\*\*(?:\s*\(\d{{4}}\))?,?\s+by|\b(?:is|are|was|were|built|directed|written|created|made|composed|recorded|designed|taught|sung|released|film|movie|book|novel|album|series|game|record|course)\s+by"
    rf"|\b(?:[Dd]irector|[Aa]uthor|[Aa]rtist|[Cc]reator))\s+(?!(?:{_DAYS.replace(' ', '|')})\b)({_NAME})"
)
_BY_ZH = re.compile(r"(?:作者|导演|创作者|歌手|出品)(?:是|：)([\u3400-\u9fff·A-Za-z .]{2,24}?)(?=[，。！？；、]|$)")
_MADE_AS = tuple(  # what only items of these kinds are, by whomever: a series is not taught
    (frozenset(kinds.split()), re.compile(pattern, re.IGNORECASE))
    for kinds, pattern in (
        ("film series", r"\bdirected\s+by\b|\b(?:co-?)?director\s+(?:is|was)\b|执导|导演(?:是|：|的)"),
        ("course", r"\b(?:taught|lectured)\s+by\b|\b(?:lecturer|instructor|teacher)\s+(?:is|was)\b|主讲|授课|讲授|(?:讲师|老师)(?:是|：)"),
        ("album", r"\b(?:sung|performed)\s+by\b|演唱|主唱(?:是|：)"),
        ("album course series", r"\brecorded\s+by\b|录制"),
        ("book film series album game", r"\bwritten\s+by\b"),
        ("book course", r"\bauthor(?:ed\s+by|\s+(?:is|was))\b|作者(?:是|：)"),
    )
)  # fmt: skip
_DOT_ZH = re.compile(r"(?=([\u3400-\u9fff]·[\u3400-\u9fff]))")  # within a foreign person's name in Chinese
_PLAIN_LABELS = frozenset(  # "128 minutes long", "art running through it": words for other things
    "long short running play home free quick food classic walking evening weekend work conversation reading movies games 一个人 烹饪 下厨".split()
)
_ARTICLE = re.compile(rf"(?<![\w'*])([Aa]) (?={VOWEL_SOUND})")  # "a adventurous side"
MARK = {"en": " (not in the catalogue)", "zh": "（不在目录中）"}
UNVERIFIED = {"en": " (unverified)", "zh": "（未核实）"}
MAX_EDITS = 2
_QUOTE_SCORE = 85.0  # of 100: likeness from which a passage counts as a quotation of a pitch
_MIN_QUOTE = 12  # characters; a shorter pitch is like too much else
_MAX_BESIDE = 4  # words, or Chinese characters, beside a quotation that are looked at as no part of it
_PIECE = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")


@dataclass(frozen=True, slots=True)
class Grounded:
    """A sentence after the check: its text (maybe corrected or marked), the titles in it, and whether it must not be shown."""

    text: str
    mentions: tuple[Mention, ...] = ()
    is_false: bool = False


def ground(
    sentence: str,
    shelf: Sequence[Item],
    find: Callable[[str], Sequence[Item]],
    *,
    language: Language,
    known_text: str = "",
    about: Sequence[Item] = (),
    mentioned: Sequence[Item] = (),
    before: str = "",
    is_open: bool = False,
    labels: Callable[[Item], Collection[str]] = lambda item: (),
) -> Grounded:
    """The sentence held to the facts of `shelf` (what the model was given) and of the whole catalogue (`find` by title).

    `about` are the items that the last sentence with a title named, for sentences that say "it"; `mentioned` are all that were named in the reply,
    whose text so far is `before`. With `is_open` a title that is not in the catalogue is marked as unverified, and what else its sentence says is not judged,
    but for years beside known titles. `known_text` is text whose years, names and labels may be repeated (the visitor's message); `labels` are an item's tags and moods in the language.
    """

    def outside(part: str) -> str:
        return _ARTICLE.sub(r"\1n ", part) if language == "en" else part

    pieces: list[str] = []
    mentions: list[Mention] = []
    position = 0
    for match in _BOLD.finditer(sentence):
        pieces.append(outside(sentence[position : match.start()]))
        item, title = _match(match.group(1), shelf, find, language)
        start = sum(map(len, pieces))
        pieces.append(f"**{title}**" + ("" if item else (UNVERIFIED if is_open else MARK)[language]))
        mentions.append(Mention(title, start, start + len(title) + 4, item))
        position = match.end()
    pieces.append(outside(sentence[position:]))
    text = _quotes_set_right("".join(pieces), shelf, language)
    items = [mention.item for mention in mentions if mention.item]
    subjects = items or list(about)
    own_year = {
        mention.title: str(mention.item.year) for mention in mentions if mention.item and mention.item.year is not None
    }
    # Of two items in a sentence neither may lend the other its year.
    text = _YEAR_OF_TITLE.sub(
        lambda match: f"**{match.group(1)}**{match.group(2)}{own_year.get(match.group(1), match.group(3))}", text
    )
    if is_open and len(items) < len(mentions):
        return Grounded(text, _relocated(text, mentions))
    fixed, is_false = _check_years(text, subjects, shelf, known_text)
    if not is_false:
        fixed, is_false = _check_makers(fixed, subjects, shelf, known_text, language)
    is_false = is_false or _names_another_maker(fixed, subjects, shelf, known_text, language)
    is_false = is_false or _is_of_another_kind(fixed, _relocated(fixed, mentions), about, shelf, language)
    is_false = is_false or _has_unknown_number(fixed, [*shelf, *subjects], subjects, known_text)
    is_false = is_false or _lends_a_label(fixed, items, shelf, labels, known_text, language)
    is_false = is_false or _parts_a_wish(fixed, shelf, known_text, language)
    is_false = is_false or _is_mistold(fixed, items, shelf, language, about=about, mentioned=mentioned, before=before)
    return Grounded(fixed, _relocated(fixed, mentions), is_false)


_TURNS_AWAY: Mapping[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\blocked .{2,40} in the cellar|\b(?:by ruling out|ruled out|i have excluded|i've excluded|nothing that smells of|to wade through)\b|\bkeeps .{2,40} out of the room"
        r"|\bno to [^,.]{2,30}\.$|^without .{2,40}, here goes",
        re.IGNORECASE,
    ),
    "zh": re.compile(r"退散|先划掉|我会绕着走|不会出现在这里|^已排除|^既然不要"),
}
_DENIAL = re.compile(
    r"\b(?:no|not|never|none|without|except|but|avoid|skip|hate|dislike|sick|tired|enough|less|rather|instead|stop)\b|n['’]?t\b|[不别没非除勿少]|讨厌|腻|够了|怕|恨|算了",
    re.IGNORECASE,
)


def turns_away(sentence: str, known_text: str, language: Language) -> bool:
    """Whether the sentence says that something was ruled out, in the ways that the bundled writer learned to, though the visitor (`known_text`) ruled
    nothing out. It would be false, and can hurt: "黑人音乐推荐" was once answered with "黑人音乐退散，其余的往前站。"."""
    return _TURNS_AWAY[language].search(sentence.strip()) is not None and not _DENIAL.search(known_text)


_ANEW: Mapping[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:look(?:ed)?|start|try) again\b|^Next\.$|^Scratch that|\bgo another way, towards\b|^Recalculating|^Adjusted accordingly|\bi've kept (?:the idea|what you)\b|\boff the list\b"
        r"|\bthe order changes\b|^More along those",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        r"换一个|换个方向|不一样的|另作推荐|重新(?:推荐|排|看|筛|找)|一个跳过|^收到，跳过|^好，(?:换|下一|请下一)|^换[，。]|^不(?:合意|合口味|喜欢)就|再看看?别的|不合意就直说|刚才那|先放着"
    ),
}
_QUOTED: Mapping[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\byou(?:'ve| have)? (?:said|mentioned|asked for)\s+([^,.:;!?]{2,60}?)(?=[,.:;!?]|$)"
        r"|\b(?:you(?:'re| are)|being|feeling|feel) (tired|a bit low|restless|stressed|bored|homesick|anxious|lonely|burnt out|sleepy|heartbroken)\b",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        r"[你您](?:提到|提了|说到|说过|看重)(?:了|的)?(?:正是)?([^，。！？：；]{2,16}?)(?=[，。！？：；]|$)"
        r"|[你您](?:说|觉得|感觉)?(?:自己)?(有点累|心情低落|坐不住|压力很大|无聊|想家|焦虑|有点孤单|很兴奋|疲惫|失落|烦躁)"
    ),
}
_LIKED: Mapping[Language, re.Pattern[str]] = {
    "en": re.compile(r"^(?:(?:since|as|because) you liked?|you liked?)\b", re.IGNORECASE),
    "zh": re.compile(r"^(?:既然)?[你您]喜欢"),
}
_MIN_SAID = 0.8  # of the characters of a Chinese phrase; a name in other words has fewer


def misquotes(sentence: str, known_text: str, language: Language, *, is_first: bool, has_taste: bool) -> bool:
    """Whether the sentence says that the visitor (`known_text`) named or felt something that he did not, liked something though he told no taste, or turned
    something down in a message that `is_first`, in the ways that the bundled writer learned to: "你提到的游戏，它对得上" to one who asked for sights,
    "好，换一个" before anything was shown."""
    if is_first and _ANEW[language].search(sentence.strip()):
        return True
    if not has_taste and _LIKED[language].search(sentence.strip()):
        return True
    known = second_person(known_text).lower()
    for match in _QUOTED[language].finditer(_BOLD.sub("·", sentence)):
        if language == "zh":
            said = [character for character in match[match.lastindex or 0] if has_cjk(character)]
            if said and sum(character in known for character in said) < _MIN_SAID * len(said):
                return True
        else:
            content = [
                word for word in re.findall(r"[^\W\d_]{4,}", match[match.lastindex or 0].lower()) if word != "your"
            ]
            if any(word[:4] not in known for word in content):
                return True
    return False


def _match(
    title: str, shelf: Sequence[Item], find: Callable[[str], Sequence[Item]], language: Language
) -> tuple[Item | None, str]:
    """The item a title names and the title as it should be written."""
    wanted = normalise(title)
    for item in shelf:
        for known in (item.title_in(language), item.title, item.title_zh):
            if known and normalise(known) == wanted:
                return item, known
    found = find(title)
    if found:
        return found[0], title
    for item in shelf:
        known = item.title_in(language)
        limit = min(MAX_EDITS, len(wanted) // 4)  # two edits make another title of a short one
        if limit and Levenshtein.distance(normalise(known), wanted, score_cutoff=limit) <= limit:
            return item, known
    return None, title


def _check_years(text: str, subjects: list[Item], shelf: Sequence[Item], known_text: str) -> tuple[str, bool]:
    allowed = {str(item.year) for item in subjects if item.year is not None}
    numbers = (
        str(value) for item in [*shelf, *subjects] for value in item.attributes.values()
    )  # "1600 pages" is no year
    quoted = " ".join([known_text, *(_told(item) for item in shelf), *numbers])
    allowed |= set(re.findall(r"\d{4}", quoted))
    decades = {year[:3] + "0" for year in allowed}
    wrong = [
        match
        for match in _YEAR.finditer(text)
        if match.group(1) not in allowed
        and not (match.group(2) and match.group(1) in decades)
        and not _is_in_title(text, match.start())
    ]
    if not wrong:
        return text, False
    years = {item.year for item in subjects}
    if len(years) != 1 or None in years:
        return text, True
    right = str(years.pop())
    for match in reversed(wrong):
        text = text[: match.start(1)] + (right[:3] + "0" if match.group(2) else right) + text[match.end(1) :]
    return text, False


def _check_makers(
    text: str, subjects: list[Item], shelf: Sequence[Item], known_text: str, language: Language
) -> tuple[str, bool]:
    allowed = normalise(
        " ".join(
            [
                known_text,
                *(f"{_told(item)} {item.country}" for item in subjects),
            ]
        )
    )
    for match in reversed([*_BY.finditer(text), *_BY_ZH.finditer(text)]):
        name = match.group(1).rstrip(" .'’")
        if normalise(name) in allowed or _is_in_title(text, match.start(1)):
            continue
        makers = {item.creator_in(language) for item in subjects}
        if len(makers) != 1 or "" in makers:
            return text, True
        text = text[: match.start(1)] + makers.pop() + text[match.start(1) + len(name) :]
    return text, False


def _names_another_maker(
    text: str, subjects: Sequence[Item], shelf: Sequence[Item], known_text: str, language: Language
) -> bool:
    """Whether a sentence about some items names the maker of another one on the shelf, or a name that nobody there bears and the visitor did not say."""
    outside = normalise(_BOLD.sub("", text))
    own = normalise(" ".join([known_text, *(_told(item) for item in subjects)]))
    others = {normalise(item.creator_in(language)) for item in shelf}
    if subjects and any(len(maker) > 3 and maker in outside and maker not in own for maker in others):
        return True
    if not (dots := _DOT_ZH.findall(_BOLD.sub("，", text))):
        return False
    told = normalise(" ".join([known_text, *(_told(item) for item in [*shelf, *subjects])]))  # where a dot is a space
    return any(dot.replace("·", " ") not in told for dot in dots)


def _is_of_another_kind(
    text: str, mentions: Sequence[Mention], about: Sequence[Item], shelf: Sequence[Item], language: Language
) -> bool:
    """Whether an item is said to be made as items of its kind are not ("**I, Claudius** is taught by …"). A word of making speaks of the title before it,
    else of the one after it, else of what the talk is of; one inside a pitch speaks of neither."""
    quoted = copied_spans(text, shelf, language)
    for kinds, pattern in _MADE_AS:
        for match in pattern.finditer(text):
            if any(start <= match.start() < end for start, end in quoted):
                continue
            before = [one.item for one in mentions if one.end <= match.start()][-1:]
            meant = before or [one.item for one in mentions][:1] or list(about)
            if meant and all(item and item.kind not in kinds for item in meant):
                return True
    return False


def _has_unknown_number(text: str, items: Sequence[Item], subjects: Sequence[Item], known_text: str) -> bool:
    """Whether a number of two digits or more stands in no fact of the items nor in what the visitor said ("192 days"), or an amount ("3 minutes") in no
    fact of those that the sentence speaks of."""
    outside = _BOLD.sub("", text)
    known = _numbers_of(items, known_text)
    if any(len(number) > 1 and number not in known for number in _NUMBER.findall(outside)):
        return True
    own = _numbers_of(subjects, known_text)
    return bool(subjects) and any(number not in own for number in _AMOUNT.findall(outside))


def _numbers_of(items: Sequence[Item], known_text: str) -> set[str]:
    """The numbers that may be said of items: in their facts, a fact's hours as minutes, their decades; and those the visitor said."""
    facts = " ".join(f"{_told(item)} {item.year} {' '.join(map(str, item.attributes.values()))}" for item in items)
    hours = (item.attributes.get("hours") for item in items)
    minutes = {str(round(float(value) * 60)) for value in hours if isinstance(value, (int, float))}
    return (
        set(_NUMBER.findall(f"{facts} {known_text}"))
        | minutes
        | {f"{item.year // 10 * 10}" for item in items if item.year}
    )


def copied_spans(text: str, shelf: Sequence[Item], language: Language) -> list[tuple[int, int]]:
    """The half-open spans of titles and of pitches that are quoted exactly."""
    spans = [match.span() for match in _BOLD.finditer(text)]
    for pitch in (pitch for item in shelf for pitch in item.pitches_in(language)):
        start = text.find(pitch[1:])
        if start > 0:
            spans.append((start - 1, start - 1 + len(pitch)))
    return spans


def _quotes_set_right(text: str, shelf: Sequence[Item], language: Language) -> str:
    """The text with pitches that it quotes with slips ("Seaat drips, the fan will not turn") quoted exactly."""
    for pitch in (pitch for item in shelf for pitch in item.pitches_in(language)):
        found = (
            fuzz.partial_ratio_alignment(pitch, text, score_cutoff=_QUOTE_SCORE) if len(text) >= len(pitch) else None
        )
        if not found or len(pitch) < _MIN_QUOTE:
            continue
        start, end = found.dest_start, found.dest_end
        if not has_cjk(pitch):  # to whole words
            start -= len(re.findall(r"[\w'’-]*$", text[:start])[0])
            end += len(re.findall(r"^[\w'’-]*", text[end:])[0])
        while end > start and not text[end - 1].isalnum() and pitch[-1:].isalnum():
            end -= 1
        while start < end and not text[start].isalnum() and pitch[:1].isalnum():
            start += 1
        start, end = _own_span(text, start, end, pitch)
        quoted = text[start:end]
        if "**" in quoted or fuzz.ratio(pitch, quoted) < _QUOTE_SCORE:
            continue
        begun = pitch[:1] if has_cjk(pitch[:1]) else f"{pitch.split()[0]} "
        if re.search(
            rf"(?:^|\W|[^\x00-\x7f]){re.escape(begun)}$", text[:start], re.IGNORECASE
        ):  # "一一只鞋", "the the team"
            start -= len(begun)
        begins = quoted[:1].isupper() or not text[:start].strip()
        text = text[:start] + (pitch[:1].upper() if begins else pitch[:1]) + pitch[1:] + text[end:]
    return text


def _own_span(text: str, start: int, end: int, pitch: str) -> tuple[int, int]:
    """The half-open span without what stands at its ends and is no part of the pitch: it was found as long as the pitch is, so where words of that are
    left out it holds words beside ("1980's teenager in a …" of "a teenager in a …")."""
    pieces = [match.span() for match in _PIECE.finditer(text, start, end)]
    starts = [piece[0] for piece in pieces[: _MAX_BESIDE + 1]]
    ends = [piece[1] for piece in pieces[-_MAX_BESIDE - 1 :]]
    spans = [(low, high) for low in starts for high in ends if low < high]
    return max(spans, key=lambda span: (fuzz.ratio(pitch, text[span[0] : span[1]]), span[0] - span[1]))


def _lends_a_label(
    text: str,
    items: Sequence[Item],
    shelf: Sequence[Item],
    labels: Callable[[Item], Collection[str]],
    known_text: str,
    language: Language,
) -> bool:
    """Whether a sentence about some items gives them a tag or mood that only another one on the shelf has, and of which the visitor said nothing. A question
    claims nothing."""
    if not items or text.rstrip()[-1:] in ("?", "？"):
        return False
    own = {label for item in items for label in labels(item)}
    others = {label for item in shelf if item not in items for label in labels(item)} - own - _PLAIN_LABELS
    outside = list(text)
    for start, end in copied_spans(text, shelf, language):
        outside[start:end] = " " * (end - start)
    rest = normalise("".join(outside))
    tokens = {word.text for word in words(rest)}
    for label in others:
        said = label in rest if len(label) > 1 and has_cjk(label) else label in tokens or f" {label} " in f" {rest} "
        if said and label not in known_text.lower() and not any(label in one for one in own if one in rest):
            return True
    return False


def _parts_a_wish(text: str, shelf: Sequence[Item], known_text: str, language: Language) -> bool:
    """Whether a quoted pitch stands, without a mark before or after it, between words that the visitor said one after the other: "you said 1980's a
    teenager in a … movies"."""
    said = f" {normalise(known_text)} "
    for pitch in (pitch for item in shelf for pitch in item.pitches_in(language)):
        start = text.find(pitch[1:]) - 1
        if start < 0:
            continue
        left, right = text[:start], text[start + len(pitch) :]
        if has_cjk(pitch):
            before, after = re.findall(r"\w{0,2}$", left)[0], re.findall(r"^\w{0,2}", right)[0]
            joints = [before + after[:1], before[-1:] + after] if len(before) == len(after) == 2 else []
        else:
            before, after = re.findall(r"[\w'’-]* $|$", left)[0], re.findall(r"^ [\w'’-]*|^", right)[0]
            joints = [f" {normalise(before)} {normalise(after)} "] if before.strip() and after.strip() else []
        if any(joint in said for joint in joints):
            return True
    return False


def _is_mistold(
    text: str,
    items: Sequence[Item],
    shelf: Sequence[Item],
    language: Language,
    *,
    about: Sequence[Item],
    mentioned: Sequence[Item],
    before: str,
) -> bool:
    """Whether the sentence tells an item (by its pitch) as another, or again. Told without a title, an item must be what the talk is of, or one
    that is named next ("The story goes like this: …. That's **Alien**."); and then it must be named next. Right after an item that was named but not
    told ("**Alien**. What it brings: …") a pitch is heard as that item's, and may be no other's."""

    def told_in(part: str) -> list[Item]:
        return [item for item in shelf if any(_is_quoted(pitch, part) for pitch in item.pitches_in(language))]

    told, told_before = told_in(text), told_in(before)
    if any(item in told_before for item in told):
        return True
    unnamed = [item for item in told_before if item not in mentioned]
    if items:
        return any(item not in items for item in told) or bool(unnamed) and not any(item in items for item in unnamed)
    is_due = any(pitch and item not in told_before for item in about for pitch in item.pitches_in(language))
    if is_due and any(item not in about for item in told):
        return True
    return any(item in mentioned and item not in about for item in told) or bool(unnamed) and bool(told)


def _told(item: Item) -> str:
    """Everything that is told of an item in words, in both languages."""
    pitches = (*item.pitches_in("en"), *item.pitches_in("zh"))
    return " ".join([item.title, item.title_zh, item.creator, item.creator_zh, *pitches])


def _is_quoted(pitch: str, text: str) -> bool:
    """Whether a text uses a good part of a pitch: six words in a row, or ten Chinese characters."""
    if has_cjk(pitch):
        parts, size = list(pitch), 10
        return any("".join(parts[start : start + size]) in text for start in range(len(parts) - size + 1))
    tokens, said, size = normalise(pitch).split(), normalise(text), 6
    return any(" ".join(tokens[start : start + size]) in said for start in range(len(tokens) - size + 1))


def _is_in_title(text: str, position: int) -> bool:
    return text[:position].count("**") % 2 == 1


def _relocated(text: str, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
    """The mentions with their spans in the corrected text."""
    moved, position = [], 0
    for mention in mentions:
        start = text.find(f"**{mention.title}**", position)
        if start >= 0:
            position = start + len(mention.title) + 4
            moved.append(Mention(mention.title, start, position, mention.item))
    return tuple(moved)
