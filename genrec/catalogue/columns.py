"""Which column of a table is the title, the maker, the year …, and what type the others have.

By name first (the synonyms below, in any case and spelling: "Book Title", "book_title", "bookTitle"), else by what the cells hold. A guess is
shown to whoever brought the table and can be corrected, so it is kept simple.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from genrec.errors import CatalogueError
from genrec.text import one_line

Type = Literal["number", "boolean", "category", "text", "list"]
NUM_SAMPLED = 5_000  # rows, evenly spaced, by which columns are judged
_NUM_CELLS = 500  # of these, cells of one column
_SYNONYMS: dict[str, str] = {  # field: names of its columns, best first; compared without case, spaces and marks
    "id": "id item_id uid uuid guid key identifier asin isbn isbn13 sku imdb_id tmdb_id product_id 编号 序号 商品编号 货号",
    "title": "title name titles title_en english_title primary_title display_name label item product film movie book song game 标题 名称 名字 书名 片名 电影名 电影名称 歌名 歌曲名 歌曲名称 曲名 店名 商品名 商品名称 商品标题 品名 菜名 菜品 题名 剧名 课程 课程名 课程名称 游戏名 游戏名称 景点 景点名称 酒店名称 酒店 餐馆名称 名稱",
    "title_zh": "title_zh name_zh chinese_title title_cn title_chinese 中文名 中文名称 中文标题 中文片名 译名",
    "creator": "creator creators author authors writer artist artists director directors directed_by maker brand band singer musician developer manufacturer designer instructor teacher chef studio publisher by 作者 导演 歌手 演唱者 歌曲原唱 专辑歌手 艺人 艺术家 作家 品牌 厂商 开发商 讲师 主讲 老师 原唱 编剧 制作人 出版社",
    "creator_zh": "creator_zh author_zh director_zh",
    "year": "year release_year published publication_year original_publication_year year_published pub_year release_date released date_released date_published publication_date publish_date first_published premiered start_year airdate air_date first_air_date 年份 年代 年 上映时间 上映日期 上映年份 出版年 出版时间 出版日期 发行时间 发行日期 发行年份 发布时间 发布日期 首播 首播时间 出品时间",
    "country": "country countries production_country production_countries nationality origin 国家 产地 制片国家 制片国家/地区 制片地区 地区 国籍 国家/地区",
    "kind": "kind domain service item_type media_type content_type type category product_type 类别 品类 大类 种类 分类 领域",
    "tags": "tags tag genres genre keywords styles style topics topic subjects subject cuisine cuisines categories category subcategory type labels themes theme shelves tropes event_type 标签 类型 题材 风格 音乐风格 流派 菜系 主题 关键词 分类 酒店类型 推荐菜 特色菜",
    "moods": "moods mood vibe vibes 情绪 氛围 心情",
    "pitch": "pitch description desc overview summary plot synopsis abstract blurb about introduction intro tagline details long_description short_description product_description text content body 简介 介绍 描述 内容简介 剧情 剧情简介 摘要 概述 商品描述 商品详情 详情 推荐理由 推荐语 特色 景点介绍 内容",
    "pitch_zh": "pitch_zh description_zh summary_zh overview_zh 中文简介",
    "other_pitch": "other_pitch",
    "other_pitch_zh": "other_pitch_zh",
    "popularity": "popularity popularity_score ratings_count rating_count num_ratings number_of_ratings vote_count votes num_votes review_count reviews_count num_reviews number_of_reviews reviews plays play_count playcount listeners listens views view_count downloads num_downloads sales sold num_sold units_sold favorites favourites followers members copies mentions 热度 人气 人气值 销量 月销量 播放量 播放次数 评论数 评价数 评分人数 评价人数 点评数 收藏数 下载量 浏览量",
}  # fmt: skip
FIELDS = tuple(_SYNONYMS)
_WEAK = frozenset(
    "type category label item product film movie book song game key by text content body details reviews studio publisher 课程 景点 酒店 类别 品类 种类 分类 地区 年 特色 内容".split()
)
_TOPICS = frozenset(
    "tags tag genres genre keywords topics topic subjects themes 标签 类型 题材 流派 主题 关键词".split()
)
_KIND_WORDS = frozenset(
    "movie film book novel song track music album artist game item product hotel restaurant place event attraction course recipe dish show series anime video podcast wine beer shop store original primary main full".split()
)
_ONE_COLUMN = ("id", "kind", "popularity")
_POPULAR = re.compile(
    r"(?:mentions?|votes?|plays?|views|downloads|listeners|(?:rating|review|vote|play|view|like)s?(?:count|num)|(?:count|num|n)(?:rating|review|vote|play)s?)",
    re.I,
)
_EMPTY = frozenset(
    ("", "null", "none", "nan", "n/a", "na", "nil", "-", "--", "\\n", "无", "暂无", "未知", "unknown", "undefined")
)
_BOOLEANS = {
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
    "t": True,
    "f": False,
    "y": True,
    "n": False,
    "是": True,
    "否": False,
    "有": True,
    "无": False,
}
_NUMBER = re.compile(
    r"(?:[~≈约]\s*)?(?P<sign>-)?(?:US|NT|HK)?[$€£¥￥]?\s*(?P<digits>\d{1,3}(?:,\d{3})+|\d{1,15})(?P<rest>[.]\d{1,15}|,\d{1,2})?\s*(?P<unit>[A-Za-z]{1,7}\.?|%|[\u4e00-\u9fff]{1,3}|[€£])?"
)
_LARGEST = 1e18  # also False for NaN
_SCALES = {"k": 1e3, "m": 1e6, "万": 1e4, "亿": 1e8}
_LISTED = re.compile(
    r"\[\s*(?:['\"{\]].*)?\]\s*$", re.DOTALL
)  # a list in its programming form; "[INST] … [/INST]" is none
_SPLIT = re.compile(r"\s*[,;|、，；\n]\s*|\s+/\s+|\s+>\s+")


@dataclass(frozen=True)
class Column:
    """What the sampled cells of one column hold, as shares in [0, 1] of those that are not empty."""

    name: str
    num_filled: int
    fill: float  # of the sampled rows, those with a cell
    number: float
    boolean: float
    list: float  # lists, or short strings parted by delimiters
    num_distinct: int
    unique: float  # distinct texts
    length: float  # mean number of characters (of Chinese ones, each counts as two)
    reuse: float  # of the parts of lists, those seen more than once
    part_length: float
    wordless: float  # web addresses, hashes and long numbers
    year: float  # whole numbers of four digits between 1400 and 2100
    examples: tuple[str, ...] = ()

    @property
    def is_code(self) -> bool:
        return self.wordless > 0.5 and self.number < 0.5

    @property
    def type(self) -> Type:
        if self.boolean >= 0.95:
            return "boolean"
        if self.number >= 0.9:
            return "number"
        if self.list >= 0.5:
            return "list"
        is_category = self.length <= 60 and self.num_distinct <= 30
        return "category" if is_category else "text"


@dataclass(frozen=True)
class Columns:
    """Which columns each field of an item is read from, best first, and the columns that are kept as typed attributes."""

    fields: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Type] = field(default_factory=dict)
    unused: tuple[str, ...] = ()  # addresses, hashes and the like
    profiles: Mapping[str, Column] = field(default_factory=dict, repr=False)

    def described(self) -> dict[str, str]:
        """Each field with its columns, as `--columns` takes them."""
        return {name: "+".join(columns) for name, columns in self.fields.items()}


def parse_columns(text: str) -> dict[str, tuple[str, ...]]:
    """The corrections of a `--columns` option: "title=name,tags=genre+style,creator=" (nothing: no column).

    Raises:
        CatalogueError: it names no field of an item.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, mark, columns = pair.partition("=")
        if not mark or name.strip() not in FIELDS:
            raise CatalogueError(
                f"--columns takes pairs such as title=name; {pair!r} is none. The fields are {', '.join(FIELDS)}."
            )
        wanted[name.strip()] = tuple(filter(None, (column.strip() for column in columns.split("+"))))
    return wanted


def infer_columns(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, Sequence[str]] | None = None) -> Columns:
    """The columns of a table, with those of `wanted` (field → columns) put in their place.

    Raises:
        CatalogueError: `wanted` names a column or field that is not there.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    sample = rows[:: max(1, len(rows) // NUM_SAMPLED)]
    cells: dict[str, list[Any]] = {name: [] for name in names}
    for row in sample:
        for name, value in row.items():
            if not is_empty(value):
                cells[name].append(value)
    profiles = {name: _profile(name, values, len(sample)) for name, values in cells.items()}
    for field_name, columns in (wanted or {}).items():
        if field_name not in FIELDS:
            raise CatalogueError(
                f"There is no field {field_name!r}. The fields are {', '.join(FIELDS)}.",
                f"没有“{field_name}”这一栏。可用的有：{'、'.join(FIELDS)}。",
            )
        for column in columns:
            if column not in profiles:
                raise CatalogueError(
                    f"There is no column {column!r}. The columns are {', '.join(list(names)[:40])}.",
                    f"没有“{column}”这一列。表里的列有：{'、'.join(list(names)[:40])}。",
                )
    fields = {name: tuple(columns) for name, columns in (wanted or {}).items()}
    taken = {column for columns in fields.values() for column in columns}
    free = [column for column in profiles.values() if column.name not in taken and column.num_filled]
    for name in FIELDS:
        if name not in fields:
            found = [column.name for column in _by_name(name, free) if column.name not in taken]
            kept = found[:1] if name in _ONE_COLUMN else _in_turn(found, sample, is_strict=name == "title")
            if kept:
                fields[name] = tuple(kept)
                taken.update(found if name == "title" else kept)  # a second title is no fact about an item
    for name in ("title", "year", "tags", "pitch"):
        if name not in fields:
            guess = _by_content(name, [column for column in free if column.name not in taken])
            if guess:
                fields[name] = (guess,)
                taken.add(guess)
    fields = {name: fields[name] for name in FIELDS if fields.get(name)}
    taken -= {*fields.get("creator", ())[1:]}  # writer and studio beside the director: facts worth keeping
    taken -= {
        name for name in fields.get("tags", ()) if _key(name) not in _TOPICS
    }  # cuisines, facilities: may be demanded
    rest = {name: profile for name, profile in profiles.items() if name not in taken}
    attributes = {name: profile.type for name, profile in rest.items() if profile.num_filled and not profile.is_code}
    return Columns(fields, attributes, tuple(name for name in rest if name not in attributes), profiles)


def _in_turn(names: Sequence[str], rows: Sequence[Mapping[str, Any]], *, is_strict: bool) -> list[str]:
    """The columns without those that mostly repeat what better ones say, of all or only of those with a vague name: beside "genres", a
    "category" is a fact of its own."""
    kept: list[str] = []
    for name in names:
        is_asked = kept and (is_strict or _key(name) in _WEAK)
        filled = [row for row in rows if not is_empty(row.get(name))] if is_asked else []
        if sum(any(not is_empty(row.get(other)) for other in kept) for row in filled) <= 0.5 * len(filled):
            kept.append(name)
    return kept


def is_known_name(text: str) -> bool:
    """Whether a word is a usual name of some column."""
    return any(_rank(name, text) is not None for name in FIELDS) or bool(_POPULAR.search(_key(text)))


def is_empty(value: object) -> bool:
    """Whether a cell says nothing: no value, NaN, an empty list, "N/A" and its like."""
    if value is None or isinstance(value, float) and math.isnan(value):
        return True
    if isinstance(value, str):
        return len(value) < 10 and value.strip().lower() in _EMPTY
    return isinstance(value, (list, tuple, dict)) and not value


def number(value: object) -> int | float | None:
    """The number of a cell: 12, "1,234.5", "$9.99", "128 min", "1.2万"; None where there is none or it is not finite."""
    if isinstance(value, bool):
        return None
    if not isinstance(value, (int, float)):
        text = value.strip() if isinstance(value, str) else str(value) if hasattr(value, "as_tuple") else ""  # Decimal
        match = _NUMBER.fullmatch(text) if len(text) <= 40 else None
        if not match or match["digits"].startswith("0") and len(match["digits"]) > 1:  # 007 is a name
            return None
        rest = (match["rest"] or "").replace(",", ".")
        digits = match["digits"].replace(",", "")
        unit = (match["unit"] or "").lower()
        value = float(digits + rest) if rest else int(digits)
        value = -value if match["sign"] else value
        for sign, scale in _SCALES.items():
            if unit == sign or sign in "万亿" and unit.startswith(sign):
                value = value * scale
    return value if abs(value) < _LARGEST else None


def truth(value: object) -> bool | None:
    """The truth value of a cell: true, "Yes", "否"; None where it is none."""
    if isinstance(value, bool):
        return value
    return _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) and len(value) < 10 else None


def parts(value: object) -> list[str]:
    """The texts of a list in whatever form it comes: a list, "a, b", "['a', 'b']", '[{"name": "a"}]'."""
    if isinstance(value, str):
        text = value.strip()
        if _LISTED.match(text):
            try:
                return parts(json.loads(text))
            except (ValueError, RecursionError):
                text = re.sub(r"^\[|\]$|(?<![^\s,\[])['\"]|['\"](?=\s*(?:,|\]|$))", "", text)
        return [part for part in _SPLIT.split(text) if not is_empty(part)]
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "title", "label") if key in value), "")
        return [value] if isinstance(value, str) and value else []
    if isinstance(value, Iterable):
        found = []
        for part in value:
            if isinstance(part, str):
                found += [one for one in _SPLIT.split(part) if not is_empty(one)]
            elif isinstance(part, Mapping):
                found += parts(part)
            elif isinstance(part, (int, float)) and not isinstance(part, bool) and math.isfinite(part):
                found.append(str(part))
        return found
    return []


def text_of(value: object, most: int = 100) -> str:
    """A cell as text; of a list, its first `most` parts."""
    if isinstance(value, str):
        return ", ".join(parts(value)[:most]) if _LISTED.match(value) else value
    if isinstance(value, (list, tuple, Mapping)):
        names = [part for part in value if isinstance(part, str)] if not isinstance(value, Mapping) else []
        return ", ".join((names or parts(value))[:most])
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        return ""
    if isinstance(value, (bool, int, float, datetime.date)) or hasattr(value, "as_tuple"):
        return str(value)
    return ""


def year(value: object) -> int | None:
    """The year of a cell: 1995, "1995-12-15", "2004年06月25日", -380, "1995.0"."""
    if isinstance(value, datetime.date):
        return value.year
    text = text_of(value)[:100]
    match = re.search(r"(?<!\d)\d{4}(?!\d)", text) or re.fullmatch(r"(-?\d{1,4})(?:\.0+)?", text.strip())
    if not match:
        return None
    found = int(match.group(match.lastindex or 0))
    return found if -4000 <= found <= 2100 else None


def _profile(name: str, filled: Sequence[Any], num_rows: int) -> Column:
    values = filled[:: max(1, len(filled) // _NUM_CELLS)]
    texts = [text_of(value) for value in values]
    lists = [
        parts(value) if isinstance(value, (list, tuple, dict)) else _short_parts(text)
        for value, text in zip(values, texts)
    ]
    counts = Counter(part for found in lists for part in found)
    num_parts = sum(counts.values())
    count = max(1, len(values))
    distinct = len(set(texts))
    is_list = [isinstance(value, (list, tuple)) or len(found) > 1 for value, found in zip(values, lists)]
    return Column(
        name=name,
        num_filled=len(filled),
        fill=len(filled) / max(1, num_rows),
        number=sum(number(value) is not None for value in values) / count,
        boolean=sum(truth(value) is not None for value in values) / count,
        list=sum(is_list) / count,
        num_distinct=distinct,
        unique=distinct / count,
        length=sum(len(text) + len(re.findall(r"[\u3400-\u9fff]", text)) for text in texts) / count,
        reuse=sum(times for times in counts.values() if times > 1) / max(1, num_parts),
        part_length=sum(len(part) * times for part, times in counts.items()) / max(1, num_parts),
        wordless=sum(bool(re.match(r"(?:https?://|www\.|/)\S+$|[0-9a-f-]{16,}$|\d{6,}$|\S+@\S+$", text)) for text in texts) / count,
        year=sum(bool(re.fullmatch(r"(?:1[4-9]|20)\d\d(?:\.0)?", text)) for text in texts) / count,
        examples=tuple(dict.fromkeys(one_line(text)[:60] for text in texts[:20] if text))[:3],
    )  # fmt: skip


def _short_parts(text: str) -> list[str]:
    """The parts of a delimited cell that could be tags; none where one is as long as a clause."""
    found = parts(text) if len(text) <= 300 else []
    return found if all(len(part) <= 30 for part in found) else []


def _key(name: str) -> str:
    """A column's name for comparing: "Book Title", "book_title" and "bookTitle" are one."""
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W_]+", spaced.casefold())


_KEYS = {name: [_key(word) for word in words.split()] for name, words in _SYNONYMS.items()}


def _rank(field_name: str, column_name: str) -> float | None:
    """How well a column's name says a field, less is better; None: not at all. "movie_title" is a title, a bit less than "title" is one, and
    "author_name" an author."""
    keys, words = _KEYS[field_name], _words(column_name)
    if "".join(words) in keys:
        return keys.index("".join(words))
    if len(words) > 1 and words[0] in _KIND_WORDS and "".join(words[1:]) in keys:
        return 100 + keys.index("".join(words[1:]))
    if len(words) > 1 and words[-1] in ("name", "names") and "".join(words[:-1]) in keys and field_name != "title":
        return 200 + keys.index("".join(words[:-1]))
    return None


def _by_name(field_name: str, columns: Sequence[Column]) -> list[Column]:
    """The columns whose name says this field and whose cells do not speak against it, best first."""
    ranked = {}
    for column in columns:
        rank = _rank(field_name, column.name)
        if rank is None and field_name == "popularity" and _POPULAR.search(_key(column.name)):
            rank = 300
        if rank is not None and _can_be(field_name, column):
            ranked[column.name] = (rank, column)
    if field_name == "title":  # of "name" in every row and "movie_title" in some, the first
        return [column for _, column in sorted(ranked.values(), key=lambda pair: (pair[1].fill < 0.5, pair[0]))]
    return [column for _, column in sorted(ranked.values(), key=lambda pair: pair[0])]


def _can_be(field_name: str, column: Column) -> bool:
    key = _key(column.name)
    is_weak = key in _WEAK
    if field_name == "id":
        return key in ("id", "itemid", "uid") or column.unique > 0.99 and column.list < 0.5
    if field_name in ("title", "title_zh"):
        return column.wordless < 0.5 and not (
            is_weak and (column.unique < 0.7 or column.number > 0.5 or column.length > 80)
        )
    if field_name == "year":
        return sum(year(example) is not None for example in column.examples) * 2 >= len(column.examples)
    if field_name == "kind":
        is_small = column.list < 0.5 and column.number < 0.5 and column.num_distinct <= (12 if is_weak else 40)
        return is_small and column.length <= 30
    if field_name == "popularity":
        return column.number > 0.9 or column.num_filled < 20 and column.number > 0
    if field_name in ("tags", "moods"):
        return not is_weak or column.number < 0.5 and column.length <= 400
    if field_name == "pitch":
        return not is_weak or column.length > 40
    return column.boolean < 0.5 and (not is_weak or column.number < 0.5)


def _by_content(field_name: str, columns: Sequence[Column]) -> str:
    """The column whose cells look most like this field; "" when none does."""
    plain = [column for column in columns if column.number < 0.5 and column.boolean < 0.5 and column.wordless < 0.5]
    if field_name == "title":
        short = [
            column
            for column in plain
            if column.unique > 0.6
            and 2 <= column.length <= 80
            and column.fill > 0.8
            and not (column.list > 0.5 and column.reuse > 0.5)
        ]
        return max(short, key=lambda column: round(column.unique, 1), default=_NONE).name
    if field_name == "year":
        return next((column.name for column in columns if column.year > 0.9 and column.num_distinct > 1), "")
    if field_name == "tags":
        lists = [
            column
            for column in plain
            if column.list > 0.3 and column.reuse > 0.6 and column.part_length <= 25 and column.num_filled > 5
        ]
        return max(lists, key=lambda column: column.reuse, default=_NONE).name
    long = [column for column in plain if column.length > 60 and column.unique > 0.5 and column.list < 0.5]
    return max(long, key=lambda column: column.length, default=_NONE).name


_NONE = Column("", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
