"""Items out of rows whose columns are known. Cells are data: each becomes one clean line of plain text, and none is obeyed."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from genrec.catalogue.columns import Columns, Type, infer_columns, is_empty, number, parts, text_of, truth, year
from genrec.errors import CatalogueError
from genrec.schema import Attribute, Item
from genrec.text import has_cjk, one_line

MAX_FIELD = 400  # characters; a longer cell is cut
_MAX_PARTS = 100  # of a cell that holds a list
MAX_TITLE = 100  # in a reply a title stands between ** and must end within genrec.text's limit of 120
_TAG = re.compile(
    r"<(script|style)\b.*?(?:</\1\s*>|$)|<[/!|｜]{0,2}[A-Za-z][^<>]{0,300}>|<!--.*?-->", re.IGNORECASE | re.DOTALL
)
_ROLE = re.compile(r"<<?/?SYS>?>?|\[/?INST\]|^\s*#{1,6}\s*(?=\w)", re.IGNORECASE | re.MULTILINE)
_FORMULA = re.compile(r"[=@+-](?:[A-Za-z]\w*\(|cmd\b|\w+!)|=.*[|!]", re.IGNORECASE)  # what a spreadsheet would run
_ORDERS = re.compile(  # a description that means the model, not the reader
    r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:above|previous|prior|earlier|your|all)\b.{0,20}\b(?:instruction|prompt|rule|text|message|direction)s?\b"
    r"|\bsystem prompt\b|\byou are (?:now )?(?:an? )?(?:helpful )?(?:ai )?(?:assistant|language model|chatbot)\b|(?:^|[\s\n.!?>\]])(?:system|assistant|user|developer|human)\s*:\s*\S"
    r"|\b(?:always|only|must|should) recommend\b|\b(?:reply|respond|answer) (?:only )?with\b|<\s*[|｜]|\[/?INST\]|<</?SYS|</?(?:system|assistant|user|start_of_turn|end_of_turn)\b"
    r"|(?:忽略|无视|忘掉|忘记).{0,10}(?:以上|之前|前面|上面|所有).{0,8}(?:指令|提示|规则|内容)|系统提示|(?:必须|只能|始终|一定要)(?:推荐|回答|回复)",
    re.IGNORECASE | re.DOTALL,
)
_SHORTEST_ORDER = 6  # characters: "必须推荐这家"
_ORDER_WORDS = "ignore disregard forget override prompt chatbot model system assistant user developer human recommend reply respond answer < [ 忽略 无视 忘 系统提示 必须 只能 始终 一定要".split()
_SERIES = re.compile(
    r"(.+?)\s*\(([^()]+?),?\s+#\s?(\d[\d.\-–]*)[^()]*\)$"
)  # "The Hobbit (Middle-earth, #0)", as Goodreads has it
_YEAR_MARK = re.compile(
    r"(.+?)\s*[(（\[]([^()（）\[\]]{0,30}?(?<!\d)((?:1[4-9]|20)\d\d)(?!\d)[^()（）\[\]]{0,30})[)）\]]$"
)
_KIND_MARK = re.compile(
    r"(.+?)\s*[(（](?:film|movie|novel|book|album|song|tv series|电影|影片|电视剧|小说|专辑|歌曲|单曲)[)）]$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(.+), (The|A|An|Le|La|Les|Der|Die|Das|El|Los)$")
_KINDS = {
    "film": "film, films, movie, movies, motion picture, cinema, 电影, 影片",
    "series": "series, tv, tv series, tv show, tv shows, show, shows, 剧集, 电视剧, 连续剧",
    "book": "book, books, novel, novels, ebook, ebooks, 书, 书籍, 图书, 小说",
    "album": "album, albums, record, records, 专辑, 唱片",
    "song": "song, songs, track, tracks, single, singles, 歌曲, 单曲, 歌",
    "game": "game, games, video game, video games, board game, board games, 游戏, 桌游",
    "course": "course, courses, 课程",
    "dish": "dish, dishes, recipe, recipes, 菜, 菜谱, 菜品",
}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names.split(", ")}
_MAKES = {"director": "film", "directors": "film", "导演": "film", "author": "book", "authors": "book", "isbn": "book", "isbn13": "book", "作者": "book", "artist": "song", "artists": "song", "歌手": "song"}  # fmt: skip


def read_item(
    row: object,
    *,
    default_id: str,
    default_kind: str,
    popularity: float = 3.0,
    columns: Columns | None = None,
    on_remark: Callable[[CatalogueError], None] = lambda remark: None,
) -> Item:
    """The item of one row; `on_remark` hears of each cell that was left out. Without `columns` they are told by this row alone.

    Raises:
        CatalogueError: the row is no mapping, or has no title that could be shown.
    """
    if not isinstance(row, Mapping):
        raise CatalogueError("not a JSON object", "不是JSON对象")
    columns = columns or infer_columns([row])

    def first(name: str) -> Any:
        for column in columns.fields.get(name, ()):
            if not is_empty(value := row.get(column)):
                return value
        return None

    def cell(name: str, most_parts: int = 2) -> str:
        value = first(name)
        if value is None:
            return ""
        raw = text_of(value, most_parts)
        if _is_formula(raw) or _is_order(raw):
            on_remark(_no_text(name))
            return ""
        return clean(raw)[:MAX_FIELD]

    raw = next(
        (row[column] for column in columns.fields.get("title", ()) if row.get(column) not in (None, "", [])), None
    )
    title, title_zh = clean(text_of(raw)), cell("title_zh")
    if not title and not title_zh:
        names = "+".join(columns.fields.get("title", ("title",)))
        raise CatalogueError(f'the field "{names}" is missing or empty', f"“{names}”一栏缺失或为空")
    if _is_formula(text_of(raw)):
        raise CatalogueError("the title is a spreadsheet formula", "名称是电子表格公式")
    title, found_year, series = _parted_title(title, year(first("year")))
    pitch = dict.fromkeys(("pitch", "pitch_zh", "other_pitch", "other_pitch_zh"), "")
    for name in pitch:
        if (value := first(name)) is None:
            continue
        text = _pitch(value, on_remark)
        own = name + "_zh" if has_cjk(text) and not name.endswith("_zh") else name
        pitch[own] = pitch[own] or text
    attributes = _attributes(row, columns.attributes, on_remark)
    if series:
        attributes.setdefault("series", series)
    return Item(
        id=clean(text_of(first("id")))[:MAX_FIELD] or default_id,
        kind=_kind(cell("kind")) or default_kind,
        title=_shortened(title or title_zh),
        title_zh=_shortened(title_zh),
        creator=cell("creator"),
        creator_zh=cell("creator_zh"),
        year=found_year,
        country=cell("country"),
        tags=_list(row, columns.fields.get("tags", ())),
        moods=_list(row, columns.fields.get("moods", ())),
        popularity=popularity,
        attributes=attributes,
        **pitch,
    )


def read_popularity(row: Mapping[str, Any], columns: Columns) -> float:
    """What a row says of how well known its item is, in the table's own unit; NaN where it says nothing."""
    values = (number(row.get(column)) for column in columns.fields.get("popularity", ()))
    return next((float(value) for value in values if value is not None), math.nan)


def scaled_popularity(values: Sequence[float]) -> np.ndarray:
    """Popularity in 1…5 (num_items,) from counts of any size, by their logarithm; values that lie in 1…5 already are kept. What is not known
    lies in the middle."""
    known = np.array(values, float)
    known = known[np.isfinite(known)]
    if not known.size or known.max() <= 5:
        return np.clip(np.where(np.isfinite(values), values, 3.0), 1.0, 5.0)
    logs = np.log1p(np.clip(known, 0, None))
    low, high = logs.min(), np.quantile(logs, 0.999)
    if low == high:
        return np.full(len(values), 3.0)
    scaled = 1 + 4 * np.clip((np.log1p(np.clip(values, 0, None)) - low) / (high - low), 0, 1)
    return np.where(np.isfinite(values), scaled, np.nanmedian(scaled))


def guess_kind(file_name: str, columns: Columns) -> str:
    """What the things of a table without a kind are: by the file's name ("my_movies.csv"), else by who makes them; "item" when neither
    tells."""
    for word in re.findall(r"[^\W\d_]+", file_name.casefold()):
        for name, kind in _KIND.items():
            if (
                word == name
                or len(name) > 3
                and word.endswith(name)
                or has_cjk(name)
                and len(name) > 1
                and name in word
            ):
                return kind
    makers = (
        re.sub(r"[\W_]", "", column.casefold())
        for column in (*columns.fields.get("creator", ()), *columns.fields.get("id", ()))
    )
    return next((_MAKES[maker] for maker in makers if maker in _MAKES), "item")


def clean(text: str) -> str:
    """Text from outside as one line without markup, role marks of chat models, and invisible characters."""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "[" in text or "#" in text or "<" in text:
        text = _ROLE.sub(" ", text)
    return one_line(text)


def _no_text(name: str) -> CatalogueError:
    return CatalogueError(f"the {name} is a formula or speaks to the model", f"“{name}”是公式，或是在对模型说话")


def _pitch(value: object, on_remark: Callable[[CatalogueError], None]) -> str:
    """A description as one line, cut at the end of a sentence where there is one; "" for one that speaks to the model."""
    raw = text_of(value)
    text = clean(raw)
    if _is_order(raw) or text != raw and _is_order(text):
        on_remark(
            CatalogueError(
                "the description speaks to the model and not to a reader", "简介是在对模型说话，不是给读者看的"
            )
        )
        return ""
    if _is_formula(raw):
        on_remark(CatalogueError("the description is a spreadsheet formula", "简介是电子表格公式"))
        return ""
    if len(text) > MAX_FIELD:
        end = max(text.rfind(mark, MAX_FIELD // 4, MAX_FIELD) for mark in (". ", "! ", "? ", "。", "！", "？"))
        text = text[: end + 1] if end > 0 else text[:MAX_FIELD]
    return text.rstrip(".。")


def _is_formula(text: str) -> bool:
    return text[:1] in ("=", "@", "+", "-") and bool(_FORMULA.match(text))


def _is_order(text: str) -> bool:
    if len(text) < _SHORTEST_ORDER:
        return False
    lower = text.lower()
    for word in _ORDER_WORDS:  # a tenth of the time of the pattern, which few texts then need
        if word in lower:
            return bool(_ORDERS.search(text))
    return False


def _parted_title(title: str, known_year: int | None) -> tuple[str, int | None, str]:
    """(title, year, series) where a title has its year or series in brackets: "Toy Story (1995)", "Dune (Dune Chronicles, #1)"."""
    series = ""
    if title[-1:] in (")", "）", "]"):
        if match := _SERIES.fullmatch(title):
            title, series = match[1], f"{match[2]} #{match[3]}"
        if (match := _YEAR_MARK.fullmatch(title)) and known_year in (None, int(match[3])):
            title, known_year = match[1], int(match[3])
        if match := _KIND_MARK.fullmatch(title):
            title = match[1]
    if ", " in title and (match := _ARTICLE.fullmatch(title)):
        title = f"{match[2]} {match[1]}"
    return title, known_year, series


def _shortened(title: str) -> str:
    """A title that a reply can hold: cut before its subtitle, or at a word."""
    if len(title) <= MAX_TITLE:
        return title
    ends = [title.rfind(mark, 10, MAX_TITLE) for mark in (": ", " (", "：", "（", " - ")]
    end = max(ends) if max(ends) > 0 else title.rfind(" ", MAX_TITLE // 2, MAX_TITLE)
    return title[: end if end > 0 else MAX_TITLE].strip()


@lru_cache(1_000)
def _kind(text: str) -> str:
    """A kind as a word in the singular: "Restaurants_2" → "restaurant", "Movies" → "film"."""
    name = re.sub(r"[\s_-]*\d+$", "", text.lower().replace("_", " ")).strip()[:40]
    if name in _KIND:
        return _KIND[name]
    if name.endswith("ies") and len(name) > 5:
        return name[:-3] + "y"
    return name[:-1] if re.search(r"[a-z]{3}[^s]s$", name) and not name.endswith("us") else name


def _list(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for column in columns:
        cell = row.get(column)
        if isinstance(cell, (list, tuple)):
            cell = [part for part in cell if not (isinstance(part, str) and _is_formula(part))]
        elif isinstance(cell, str) and _is_formula(cell):
            continue
        found += parts(cell)
    return tuple(dict.fromkeys(filter(None, map(_tag, found))))[:20]


@lru_cache(50_000)  # a table uses few tags, each many times
def _tag(text: str) -> str:
    return "" if _is_order(text) else clean(text)[:60].lower()


def _attributes(
    row: Mapping[str, Any], types: Mapping[str, Type], on_remark: Callable[[CatalogueError], None]
) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for name, kind in types.items():
        cell = row.get(name)
        if is_empty(cell):
            continue
        value: Attribute | None
        if kind in ("number", "boolean"):
            value = number(cell) if kind == "number" else truth(cell)
            if value is None:
                wanted, chinese = ("number", "数字") if kind == "number" else ("yes or no", "是或否")
                on_remark(CatalogueError(f"the {name} is no {wanted}", f"“{name}”不是{chinese}"))
                continue
        else:
            is_list = isinstance(cell, (list, tuple))
            texts = parts(cell)[:_MAX_PARTS] if is_list else [text_of(cell)]
            if any(_is_formula(text) or _is_order(text) for text in texts):
                on_remark(_no_text(name))
                continue
            cleaned = tuple(dict.fromkeys(text for raw in texts if (text := clean(raw)[:MAX_FIELD])))
            value = cleaned if is_list else "".join(cleaned)
        if value not in ("", ()):
            attributes[name] = value
    return attributes
