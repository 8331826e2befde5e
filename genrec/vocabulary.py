"""The curated words of the catalogue (tags, moods, kinds, countries) in English and Chinese, and where a text uses them.

The file `assets/catalogue/vocabulary.json` maps each group to {term: {"zh": …, "also": [other ways to say it], "short": [shorter ones, which may say several
things at once]}}. Terms are English and lower case (countries keep their capitals); the other ways may be in either language. The encoder was trained on
"also" alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from genrec.errors import AssetError
from genrec.schema import Language
from genrec.text import has_cjk

GROUPS = ("tags", "moods", "kinds", "countries")

_COMMON_KINDS = tuple(  # of catalogues from elsewhere, each with the names it goes by
    tuple(names.split(", "))
    for names in (
        "hotel, 酒店, 宾馆, 旅馆, 旅店, 住宿, accommodation, place to stay",
        "restaurant, 餐馆, 餐厅, 饭店, 饭馆, 美食, place to eat, somewhere to eat",
        "attraction, 景点, 名胜, 景区, sight, 好玩的地方",
        "song, 歌曲, 歌, 单曲, track, music",
        "music, 音乐, song, track, album, 歌",
        "travel, 旅行, 景点, 旅游, attraction",
        "event, 演出, 活动, concert, show",
        "anime, 动漫, 动画",
        "podcast, 播客",
        "video, 视频",
        "article, 文章",
        "shop, 商店, 店, store",
        "bar, 酒吧, pub",
        "cafe, 咖啡馆, 咖啡店, coffee shop",
        "museum, 博物馆",
        "wine, 葡萄酒",
        "beer, 啤酒",
        "car, 汽车, 车",
        "phone, 手机, smartphone",
        "app, 应用",
        "job, 职位, 工作",
    )
)

_ASKED_ELSEWHERE = {  # what people ask a recommender for and many catalogues do not have: by which words, beside which kinds, what it is called
    "hotel": (re.compile(r"\b(?:hotels?|motels?|hostels?|accommodations?|rooms?\s+(?:for|in)|places?\s+to\s+stay)\b|酒店|宾馆|旅馆|旅店|民宿|住宿", re.IGNORECASE), {"place"}, ("hotels", "酒店")),
    "restaurant": (re.compile(r"\b(?:restaurants?|eater(?:y|ies)|(?:places?|somewhere|where)\b[\w ]{0,20}\bto\s+(?:eat|dine)|dine\s+out)\b|餐馆|餐厅|饭店|饭馆", re.IGNORECASE), {"place", "dish"}, ("restaurants", "餐馆")),
    "podcast": (re.compile(r"\bpodcasts?\b|播客", re.IGNORECASE), {"album"}, ("podcasts", "播客")),
    "app": (re.compile(r"\bapps?\b(?=\s+(?:for|to|that)\b)|手机应用|什么(?:APP|app)", re.IGNORECASE), {"product"}, ("apps", "手机应用")),
}  # fmt: skip


def not_held(text: str, kinds: Collection[str], wanted: Collection[str]) -> tuple[str, str] | None:
    """What a text asks for (in English, in Chinese) that a catalogue of these kinds has none of; None where it has such, or another kind is wanted, too."""
    for kind, (pattern, beside, names) in _ASKED_ELSEWHERE.items():
        own = next((names for names in _COMMON_KINDS if names[0] == kind), (kind,))
        if set(wanted) <= beside and not set(own) & set(kinds) and pattern.search(text):
            return names
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """A term that a text uses: its group, the English term, and the half-open span of the words that say it."""

    group: str
    term: str
    start: int
    end: int


class Vocabulary:
    """Terms with their Chinese. Unknown terms translate to themselves, so any catalogue can be used."""

    def __init__(self, groups: dict[str, dict[str, dict]]):
        self._chinese = {term: entry["zh"] for group in GROUPS for term, entry in groups.get(group, {}).items()}
        self.terms = {group: tuple(groups.get(group, {})) for group in GROUPS}
        self._short = {
            way.lower() for group in groups.values() for one in group.values() for way in one.get("short", ())
        }
        self._english: dict[str, list[tuple[str, str]]] = {}
        self._han: dict[str, list[tuple[str, str]]] = {}
        for group in GROUPS:
            for term, entry in groups.get(group, {}).items():
                for way in {term, entry["zh"], *entry.get("also", ()), *entry.get("short", ())}:
                    table = self._han if has_cjk(way) else self._english
                    table.setdefault(way.lower(), []).append((group, term))
        self._english_re = _alternatives(self._english, r"(?<![\w-])(?:{})(?:s|es)?(?![\w])")
        self._han_re = _alternatives(self._han, "(?:{})")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        try:
            return cls(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise AssetError(f"The vocabulary {path} cannot be read: {error}") from error

    def translate(self, term: str, language: Language) -> str:
        return self._chinese.get(term, term) if language == "zh" else term

    def tag(self, text: str) -> str:
        """The tag that a text is a name of, in either language ("爱情" is romance, "sci-fi" science fiction); else the text itself."""
        owners = (self._han if has_cjk(text) else self._english).get(text.lower(), ())
        tags = {term for group, term in owners if group == "tags"}
        return tags.pop() if len(tags) == 1 else text

    def with_terms(self, tags: Iterable[str], kinds: Iterable[str] = ()) -> Vocabulary:
        """This vocabulary plus the tags and kinds of another catalogue, so that its words are found in messages too. Common kinds are known by
        their names in both languages."""
        groups: dict[str, dict[str, dict]] = {group: {} for group in GROUPS}
        for table in (self._english, self._han):
            for way, owners in table.items():
                for group, term in owners:
                    entry = groups[group].setdefault(term, {"zh": self._chinese[term], "also": [], "short": []})
                    entry["short" if way in self._short else "also"].append(way)
        for tag in tags:
            if len(tag) > 1:
                groups["tags"].setdefault(tag, {"zh": tag, "also": []})
        for kind in kinds:
            names = next((names for names in _COMMON_KINDS if kind in names), (kind,))
            chinese = kind if has_cjk(kind) else next(filter(has_cjk, names), kind)
            groups["kinds"].setdefault(kind, {"zh": chinese, "also": names})
        return Vocabulary(groups)

    def find(self, text: str) -> list[Found]:
        """Every term the text uses, longest first match, in order of position; one span may stand for several terms."""
        found: list[Found] = []
        lower = text.lower()
        if len(lower) == len(text):  # a few characters change length in lower case; offsets would shift
            for pattern, table in ((self._english_re, self._english), (self._han_re, self._han)):
                for match in pattern.finditer(lower):
                    way = match.group()
                    forms = [way] if table is self._han else _singulars(way)
                    owners = dict.fromkeys(owner for form in forms for owner in table.get(form, ()))
                    is_short = not self._short.isdisjoint(forms)  # "k-drama" is a kind, a tag and a country
                    if not is_short and any(
                        group == "kinds" for group, _ in owners
                    ):  # "movies" is a kind before it is anybody's tag
                        owners = {owner: None for owner in owners if owner[0] == "kinds"}
                    found.extend(Found(group, term, match.start(), match.end()) for group, term in owners)
        return sorted(found, key=lambda one: (one.start, one.group))


def _singulars(way: str) -> list[str]:
    """An English term as it stands, and what it is the plural of if it is one."""
    return [way, way.removesuffix("s"), way.removesuffix("es"), re.sub("ies$", "y", way)]


def _alternatives(table: dict[str, list], template: str) -> re.Pattern[str]:
    ways = sorted(table, key=len, reverse=True)
    pattern = "|".join(re.sub(r"y$", "(?:y|ie)", re.escape(way).replace(r"\ ", r"[\s-]")) for way in ways) or r"(?!)"
    return re.compile(template.format(pattern))
