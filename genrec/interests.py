"""Reads a message: what the visitor wants and does not want, hard conditions, items he names, and what he asks for.

Rules over the words of the message, in English and Chinese; every finding keeps its character span. Later statements
win. The catalogue's titles and the vocabulary are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genrec.schema import Constraint, Interest, Item, Profile
from genrec.text import has_cjk, normalise, words
from genrec.vocabulary import Found, Vocabulary

Intent = Literal["recommend", "more", "reject", "about", "why", "compare", "maker", "greeting", "thanks", "none"]
MAX_INTERESTS = 12  # kept in a profile; the oldest go first
_MAX_PHRASE_WORDS = 9
_MAX_PHRASE_HAN = 16
_WORKS = ("film", "series", "book", "album", "game")  # naming one of these means "such as this one", not "give me this"

_CLAUSE = re.compile(
    r"\s*[(（]\d{4}[)）]|(?:[!?;:,\n。！？；：，、()（）]|\.(?!\d))+|(?<!anything)(?<!nothing)\s+but\s+|\s+(?:though|although|except for|except|because|so that|which|and also)\s+|但是|但|不过|而且|因为|(?=anything but)|\s+(?=that (?:isn'?t|is not|aren'?t|are not|doesn'?t))|\s+(?=without\b)|\s+(?=(?:with|and) no\b)|(?<!why)\s+(?=not\s)|(?=除了)",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"\b(?:but|though|although)\b|但是?|不过", re.IGNORECASE
)  # what follows is liked unless it says no itself
_NEGATIVE = re.compile(
    r"\b(?:not|no|without|don'?t|doesn'?t|didn'?t|hate[ds]?|dislike[ds]?|avoid(?:ed)?|nothing|never|except|anything but|isn'?t|aren'?t|wasn'?t|tired of|sick of|(?:can|could)(?:'?t|not) stand|less)\b"
    r"|不要|不想|不喜欢|不爱|不看|不吃|不能吃|讨厌|别|除了|受不了|不含|没兴趣",
    re.IGNORECASE,
)
_NOT_NEGATIVE = re.compile(
    r"\b(?:why not|are you looking for|do you like|not only|can'?t get enough|no problem|no idea|do not mind|(?:don|didn)'?t (?:mind|know)|nothing like a|not sure)\b|不错|不知道|不确定|别的",
    re.IGNORECASE,
)
_TRIGGER = re.compile(
    r"\b(?:lik(?:e|ed)|love[ds]?|enjoy(?:ed)?|want(?:ed)?|need|prefer|looking for|look for|search(?:ing)? for|interested in|into|in the mood for|fan of|fond of|adore|crav(?:e|ing)|"
    r"recommend|suggest|find|show me|give me|feel like|something|anything)\b"
    r"|喜欢|爱|想要|想|要|推荐|找|来点|来部|有没有|求|介绍",
    re.IGNORECASE,
)
_FILLER_EN = re.compile(
    r"^(?:can'?t get enough of|hi|hello|hey|good (?:morning|evening|afternoon)|there|thanks|thank you|ok(?:ay)?|well|so|oh|yes|yeah|please|maybe|also|really|actually|just|currently|mostly|usually|generally|"
    r"i'?m|i am|im|i'?ve|i have|been|i'?d|i would|i|we'?re|we are|we'?d|we|my friend|my wife|my husband|am|was|were|it'?s|it is|do you have|do you know|are there|is there|"
    r"can|could|would|will|you|help|me|us|to|lik(?:e|ed)|love[ds]?|enjoy(?:ed)?|want(?:ed)?|need|prefer|looking|look|searching|search|for|interested|in|into|the mood|a (?:big |huge )?fan|lots|of|fond|"
    r"adore|crav(?:e|ing)|recommend(?:ation)?s?|suggest(?:ion)?s?|find|show|give|tell|get|feel|know|about|some|any|a|an|the|good one|and|or|with|what|which|watch(?:ing)?|see|seeing|read(?:ing)?|listen(?:ing)?|"
    r"play(?:ing)?|try(?:ing)?|that is|that'?s|that are|one|stuff|kind of|sort of|mainly|especially|perhaps|probably|possibly|mine|how|let'?s|add|few|couple|kinda|more|other|another|really|too|very much|not|no|without|don'?t|doesn'?t|didn'?t|hate[ds]?|dislike[ds]?|avoid(?:ed)?|nothing|never|except|anything|but|isn'?t|aren'?t|rather|"
    r"tired|sick|can'?t stand|less|be|have|has)\b[\s']*",
    re.IGNORECASE,
)
_TAIL_EN = re.compile(
    r"[\s]+(?:please|thanks|thank you|to watch|to see|to read|to listen to|to play|to try|too|as well|tonight|today|for me|or so|etc|right now|a lot|very much|though|lately|recently)$",
    re.IGNORECASE,
)
_FILLER_ZH = re.compile(
    r"^(?:你好|您好|嗨|哈喽|请问|请|麻烦|劳驾|谢谢|那|嗯|好的|最近|今天|今晚|现在|周末|能不能|能|可不可以|可以|帮忙|帮|给|我们|我|咱们|你|您|特别|非常|很|最|也|都|就|还|再|比较|想要|想|要|喜欢|爱|推荐|介绍|寻找|找|看|听|读|吃|玩|去|学|买|来|"
    r"有没有|有什么|有|什么|一些|一点|一个|一部|一本|一张|一家|一款|一道|几部|几本|几个|个|些|点|部|本|家|不要|不想|不喜欢|不爱|不看|不吃|不能吃|讨厌|别|除了|受不了|不含|求|是|的|和|跟|一下|最好|希望|外出|需要|为|他|她)"
)
_TAIL_ZH = re.compile(
    r"(?:吗|呢|呗|吧|啊|呀|哦|谢谢|多谢|推荐一下|推荐|有吗|可以吗|好吗|行吗|怎么样|之类的|什么的|以外|之外|都可以|都行|了|看看|听听|玩玩|尝尝|呗)$"
)
_EMPTY = frozenset(
    (
        "it that this them those these one ones something anything thing things stuff movie movies "
        "film films show shows book books music song songs good nice great any some kind kinds more "
        "other others else"
    ).split()
)
_EMPTY_ZH = frozenset(
    (
        "这个 那个 这些 那些 别的 其他 东西 电影 片子 书 音乐 歌 游戏 地方 景点 菜 课程 活动 剧 好看 好听 好吃 好玩"
    ).split()
)

_ASKS: tuple[tuple[Intent, str], ...] = (
    ("why", r"^why\b(?! not)|\bwhy (?:this|that|did you|do you|would|is it|these)\b|为什么|为啥|咋想到|凭什么"),
    ("maker", r"\bwho (?:made|directed|wrote|is the (?:director|author|artist|maker)|created|designed|sings|teaches|is it by)\b|谁(?:拍|写|唱|做|导|演|设计|出|教)|(?:导演|作者|歌手|主唱)是谁|哪年的|什么时候(?:出|上映)|\bwhen (?:was|did) (?:it|this|that)\b"),
    ("compare", r"\bcompare\b|\bversus\b|\bvs\b|\bdifference between\b|\bwhich (?:of the two|one is better|is better)\b|对比|比较一下|哪个(?:更)?好|有什么区别"),
    ("about", r"\btell me (?:more|about)\b|\bmore about\b|\bwhat(?:'s| is) (?:it|that|this|the \w+) (?:about|like)\b|\bmore (?:details|info)|\bdescribe\b|讲讲|说说|介绍一下|详细|讲的(?:是)?什么|多说"),
    ("reject", r"\b(?:seen|read|heard|played|watched|tried|own|know) (?:it|that|this|those|them|both|all)\b|\b(?:already|have) (?:seen|read|heard|played|watched|own|tried)\b|\bnot (?:that|this|those)(?: one)?s?\b|\bsomething else\b|\banother(?: one)?\b|\bdon'?t like (?:it|that|this|them|those)\b|\bnext\b$|看过|听过|读过|玩过|去过|吃过|换一个|换个|换一部|不要这个|不喜欢这|别的"),
    ("more", r"\bmore like (?:this|that|it|these)\b|\bsimilar\b|\bmore of (?:this|that|the same)\b|^more\b|再来|类似|差不多的|还有吗|同类"),
    ("thanks", r"^(?:ok(?:ay)?[,!. ]*)?(?:thanks|thank you|thx|cheers|perfect|great)[\w ,!.]{0,24}$|^(?:好的?[,， ]*)?(?:谢谢|多谢|感谢)"),
    ("greeting", r"^(?:hi|hello|hey|yo|good (?:morning|evening|afternoon))(?: there)?[!. ,]*$|^(?:你好|您好|嗨|哈喽|在吗)[!！。~ ]*$"),
)  # fmt: skip
_INTENTS = tuple((intent, re.compile(pattern, re.IGNORECASE)) for intent, pattern in _ASKS)
_GREETING = re.compile(
    r"(?:hi+|hell+o+|hey+|good (?:morning|evening|afternoon|day))\b|你好|您好|嗨|哈喽", re.IGNORECASE
)
_PRAISE = re.compile(r"\b(?:loved?|liked|enjoyed|great|amazing|favou?rite)\b|喜欢|很好看|爱", re.IGNORECASE)
_TO_US = re.compile(
    r"\b(?:are|do|did|have) you (?:look|lik|want|prefer|think|enjoy|see|watch)", re.IGNORECASE
)  # a question to us tells nothing of him
_DECADE = re.compile(
    r"(?<!my )(?<!his )(?<!her )(?<!their )\b((?:19|20)?\d0)'?s\b|(?<!\d)((?:19|20)?\d0)年代", re.IGNORECASE
)
_YEARS = re.compile(
    r"\b(before|after|since|until|from|older than|newer than)\s+((?:19|20)\d\d)\b|((?:19|20)\d\d)年?(以前|之前|以后|之后)",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(?:under|less than|at most|no more than|shorter than|max(?:imum)?|within)\s+(\d+(?:\.\d+)?|one|two|three|an?)\s*(hours?|minutes?|mins?|pages?|h)\b|(\d+(?:\.\d+)?|[一两三半])个?(小时|分钟|页)(?:以内|之内|以下|内|能|就能|可以做|搞定)",
    re.IGNORECASE,
)
_PLAYERS = re.compile(
    r"\b(?:for |with )?(\d|two|three|four|five|six)[\s-]*(?:players?|people|of us)\b|\bfor (two|three|four)\b|(?<![第\d])([两二三四五六\d])个?人(?:玩)?",
    re.IGNORECASE,
)
_NUMBERS = {
    "one": 1,
    "a": 1,
    "an": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "一": 1,
    "两": 2,
    "二": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "半": 0.5,
}
_YEAR_AFTER = re.compile(r"\s*[(（](\d{4})[)）]")
_QUOTED = re.compile(r"[《“\"*]")


@dataclass(frozen=True, slots=True)
class Understanding:
    """What one message says: the profile with it taken in, what it asks for, the items it names, whether it holds any wish."""

    profile: Profile
    intent: Intent
    named: tuple[Item, ...] = ()
    has_wish: bool = False


def understand(
    message: str,
    profile: Profile,
    *,
    vocabulary: Vocabulary,
    by_title: Mapping[str, tuple[Item, ...]],
    last_items: Sequence[Item] = (),
    turn: int = 0,
) -> Understanding:
    """The message read in the light of the profile so far. `last_items` are those the last reply named."""
    named_spans = named_items(message, by_title)
    named = tuple(dict.fromkeys(item for item, _, _ in named_spans))
    found = [
        one for one in vocabulary.find(message) if not any(start <= one.start < end for _, start, end in named_spans)
    ]
    is_played = any(one.group == "kinds" and one.term in ("game", "activity") for one in found)
    constraints = [
        one
        for one in _constraints(message, turn)
        if one.field != "players" or is_played or "player" in one.text.lower()
    ]
    interests = _interests(message, found, [(start, end) for _, start, end in named_spans], constraints, turn)
    intent: Intent = next((asked for asked, pattern in _INTENTS if pattern.search(message.strip())), "none")
    has_wish = bool(interests or constraints or named)
    if intent == "none" or intent in ("greeting", "thanks") and has_wish:
        is_chat = not has_wish and _GREETING.match(message.strip()) and len(words(message)) <= 8
        intent = "greeting" if is_chat else "recommend"
    if intent == "reject" and len(interests) > 0 and not last_items and not named:
        intent = "recommend"
    kinds = tuple(
        dict.fromkeys(
            one.term
            for one in found
            if one.group == "kinds" and not _is_verb(message, one) and not _is_negated(message, one.start)
        )
    )

    liked, disliked, seen = list(profile.liked), list(profile.disliked), list(profile.seen)
    for item, start, _ in named_spans:
        if item.kind in _WORKS or intent == "reject":
            if _is_negated(message, start) or intent == "reject" and not _PRAISE.search(message):
                disliked.append(item.id)
            elif intent == "reject":
                seen.append(item.id)
                liked.append(item.id)
            elif intent not in ("about", "why", "compare", "maker"):
                liked.append(item.id)
    if intent == "reject" and not named:
        seen += [item.id for item in last_items]
    new_texts = {normalise(interest.text) for interest in interests}
    kept = [
        interest
        for interest in profile.interests
        if normalise(interest.text) not in new_texts and not _contradicts(interests, interest)
    ]
    fields = {constraint.field for constraint in constraints}
    updated = replace(
        profile,
        interests=tuple((kept + interests)[-MAX_INTERESTS:]),
        constraints=tuple(one for one in profile.constraints if one.field not in fields) + tuple(constraints),
        kinds=kinds or profile.kinds,
        liked=tuple(dict.fromkeys(liked)),
        disliked=tuple(dict.fromkeys(disliked)),
        seen=tuple(dict.fromkeys(seen)),
    )
    return Understanding(updated, intent, named, has_wish or bool(kinds))


def named_items(message: str, by_title: Mapping[str, tuple[Item, ...]]) -> list[tuple[Item, int, int]]:
    """Items whose title the message names, with half-open spans; the longest title wins, a year tells namesakes apart.

    A title of one common word counts only where it is marked: a capital inside the sentence, quotes, 《》, or a year after it.
    """
    found = []
    tokens = [
        (match.start(), match.end()) for match in re.finditer(r"[\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)?", message)
    ]
    position = 0
    while position < len(tokens):
        for last in range(min(len(tokens), position + 14), position, -1):
            start, end = tokens[position][0], tokens[last - 1][1]
            items = by_title.get(normalise(message[start:end]), ())
            if not items or not _is_marked(message, start, end, last - position):
                continue
            year = _YEAR_AFTER.match(message, end)
            if year and len(items) > 1:
                items = tuple(item for item in items if item.year == int(year.group(1))) or items
            found.append((max(items, key=_prominence), start, end))
            position = last - 1
            break
        position += 1
    return found


def _prominence(item: Item) -> tuple[float, int]:
    """Which of two namesakes is meant: the better known, and of equals the film before the book before the album."""
    return item.popularity, -_WORKS.index(item.kind) if item.kind in _WORKS else -len(_WORKS)


def _is_marked(message: str, start: int, end: int, num_words: int) -> bool:
    text = message[start:end]
    if _YEAR_AFTER.match(message, end) or (start > 0 and _QUOTED.match(message[start - 1])):
        return True
    if has_cjk(text):
        return len(text) >= 4
    if num_words >= 3:
        return True
    is_first = not message[:start].strip() or message[:start].rstrip()[-1:] in ".!?"
    capitals = [word[0].isupper() or word[0].isdigit() for word in text.split()]
    return all(capitals) and not (is_first and num_words == 1)


def _interests(
    message: str, found: list[Found], taken: list[tuple[int, int]], constraints: list[Constraint], turn: int
) -> list[Interest]:
    interests: list[Interest] = []
    has_trigger, is_like, start = False, True, 0
    joint = ""  # what stands before the clause
    bounds = list(_CLAUSE.finditer(message))
    ends = [match.start() for match in bounds] + [len(message)]
    nexts = [match.end() for match in bounds] + [len(message)]
    for end, following in zip(ends, nexts, strict=True):
        clause = message[start:end]
        is_negative = bool(_NEGATIVE.search(_NOT_NEGATIVE.sub(lambda match: " " * len(match.group()), clause)))
        has_own_trigger = bool(_TRIGGER.search(clause))
        if has_own_trigger or is_negative or len(words(clause)) > 5 or _CONTRAST.search(joint):
            is_like = not is_negative
        has_trigger = has_own_trigger or is_negative or (has_trigger and len(words(clause)) <= 5)
        if not any(start <= low < end for low, _ in taken) and not _TO_US.search(clause):
            for low, high in _phrases(message, start, end, found, constraints):
                terms = [one for one in found if low <= one.start < high]
                tags = tuple(dict.fromkeys(one.term for one in terms if one.group in ("tags", "moods", "countries")))
                text = message[low:high]
                if (tags or (has_trigger and is_like and not re.search(r"\d", text))) and not _is_empty(text):
                    interests.append(Interest(text, is_like, tags, low, high, turn))
        joint, start = message[end:following], following
    return interests


def _phrases(
    message: str, start: int, end: int, found: list[Found], constraints: list[Constraint]
) -> list[tuple[int, int]]:
    """The spans of the noun phrases of one clause: filler and hard conditions cut off at both ends, parted at "and" where both
    halves say something."""
    low, high = start, end
    for constraint in sorted(constraints, key=lambda one: -one.start):
        if low < constraint.start and high - 1 <= constraint.end and constraint.field not in ("year",):
            high = constraint.start
    while low < high:
        rest = message[low:high]
        match = re.match(r"\s+", rest) or (_FILLER_ZH.match(rest) if has_cjk(rest[:1]) else _FILLER_EN.match(rest))
        if not match or any(
            one.start == low and one.end >= low + len(match.group().strip()) and one.group != "kinds" for one in found
        ):
            break
        low += len(match.group())
    while low < high:
        rest = message[low:high]
        match = re.search(r"\s+$", rest) or _TAIL_EN.search(rest) or _TAIL_ZH.search(rest)
        if not match or match.start() == 0:
            break
        high = low + match.start()
    if low >= high:
        return []
    spans, cut = [], low
    for joint in re.finditer(r"\s+(?:and|or|&)\s+|[和与或/、]|以及|还有", message[low:high]):
        left, right = low + joint.start(), low + joint.end()
        if any(cut <= one.start < left for one in found) and any(right <= one.start < high for one in found):
            spans.append((cut, left))
            cut = right
    spans.append((cut, high))
    return [span for span in spans if _is_phrase(message[span[0] : span[1]])]


def _is_phrase(text: str) -> bool:
    num_han = sum(has_cjk(character) for character in text)
    num_letters = sum(character.isalpha() for character in text)
    return (
        num_letters >= 2 and num_han <= _MAX_PHRASE_HAN and len(text.split()) <= _MAX_PHRASE_WORDS and len(text) <= 80
    )


def _is_empty(text: str) -> bool:
    return all(word.text.lower() in _EMPTY for word in words(text)) or text in _EMPTY_ZH


def _is_negated(message: str, start: int) -> bool:
    clause = _CLAUSE.split(message[:start])[-1]
    return bool(_NEGATIVE.search(_NOT_NEGATIVE.sub("", clause)))


def _is_verb(message: str, found: Found) -> bool:
    """ "book a table" and "of course" name no kind."""
    before, after = message[: found.start].lower(), message[found.end :].lower()
    return (
        before.endswith("of ")
        and found.term == "course"
        or bool(found.term == "book" and re.match(r"\s+(?:a|an|me|the|it|us|my)\b", after))
    )


def _contradicts(new: list[Interest], old: Interest) -> bool:
    return any(
        interest.is_like != old.is_like and interest.tags and set(interest.tags) & set(old.tags) for interest in new
    )


def _constraints(message: str, turn: int) -> list[Constraint]:
    found: list[Constraint] = []

    def add(match: re.Match[str], field: str, op: Literal["<=", ">="], value: float) -> None:
        number = int(value) if value == int(value) else value
        found.append(Constraint(field, op, number, match.group().strip(), match.start(), match.end(), turn))

    for match in _DECADE.finditer(message):
        decade = int(match.group(1) or match.group(2))
        if decade < 100:
            decade += 2000 if decade <= 20 else 1900
        add(match, "year", ">=", decade)
        add(match, "year", "<=", decade + 9)
    for match in _YEARS.finditer(message):
        word, year = (match.group(1) or match.group(4)).lower(), int(match.group(2) or match.group(3))
        if word == "from" and not re.match(r"\s+on", message[match.end() :]):  # "from 1994" means that year
            add(match, "year", ">=", year)
            add(match, "year", "<=", year)
        elif word in ("before", "until", "older than", "以前", "之前"):
            add(match, "year", "<=", year if word == "until" else year - 1)
        else:
            add(match, "year", ">=", year if word in ("since", "from") else year + 1)
    for match in _LIMIT.finditer(message):
        amount, unit = (match.group(1) or match.group(3)).lower(), (match.group(2) or match.group(4)).lower()
        number = float(_NUMBERS.get(amount) or amount)
        if unit.startswith("page") or unit == "页":
            add(match, "pages", "<=", number)
        else:
            add(match, "minutes", "<=", number * 60 if unit.startswith("h") or unit == "小时" else number)
    for match in _PLAYERS.finditer(message):
        amount = next(group for group in match.groups() if group).lower()
        add(match, "players", ">=", float(_NUMBERS.get(amount) or amount))
    return found
