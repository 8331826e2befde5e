"""Reads a catalogue file (JSONL or CSV), checks every row, and answers look-ups by id and by title.

A catalogue from elsewhere may name its columns differently; the common names are understood. Bad rows are skipped and
reported by line. Catalogue text is data: it is cut to one clean line and never interpreted.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genrec.errors import CatalogueError
from genrec.schema import Attribute, Item
from genrec.text import normalise, one_line

MAX_FIELD = 400  # characters; a longer cell is cut
_NAMES = {  # field: the column names it is known by, best first
    "id": ("id", "item_id", "uid"),
    "kind": ("kind", "type", "category", "domain", "service"),
    "title": ("title", "name"),
    "title_zh": ("title_zh", "name_zh"),
    "creator": ("creator", "author", "authors", "artist", "artists", "director", "directors", "maker", "brand"),
    "creator_zh": ("creator_zh",),
    "year": ("year", "release_year", "published"),
    "country": ("country",),
    "tags": ("tags", "genres", "genre", "keywords"),
    "moods": ("moods", "mood"),
    "pitch": ("pitch", "description", "overview", "summary"),
    "pitch_zh": ("pitch_zh", "description_zh"),
    "other_pitch": ("other_pitch",),
    "other_pitch_zh": ("other_pitch_zh",),
    "popularity": ("popularity",),
}


@dataclass(frozen=True)
class Catalogue:
    """Items in file order, what was wrong with the rows left out, and look-ups."""

    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()
    by_id: dict[str, Item] = field(init=False, repr=False)
    by_title: dict[str, tuple[Item, ...]] = field(init=False, repr=False)  # normalised title, either language

    def __post_init__(self):
        by_title: dict[str, list[Item]] = {}
        for item in self.items:
            for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
                by_title.setdefault(title, []).append(item)
        object.__setattr__(self, "by_id", {item.id: item for item in self.items})
        object.__setattr__(self, "by_title", {title: tuple(items) for title, items in by_title.items()})

    def titled(self, title: str) -> tuple[Item, ...]:
        """The items with this title in either language, case and punctuation aside."""
        return self.by_title.get(normalise(title), ())

    def tags(self) -> set[str]:
        return {tag for item in self.items for tag in item.tags}


def read_catalogue(paths: Path | Sequence[Path]) -> Catalogue:
    """The catalogue of one file, or of several together (a folder stands for its *.jsonl files).

    Raises:
        CatalogueError: a file is missing or of an unknown type, or no row can be used.
    """
    items: dict[str, Item] = {}
    problems = []
    for path in _files(paths):
        for line, row in _rows(path):
            where = f"{path.name} line {line}"
            try:
                item = read_item(row, default_id=f"{path.stem}-{line}", default_kind="item")
            except (CatalogueError, ValueError, OverflowError) as error:
                problems.append(f"{where}: {error}")
                continue
            if item.id in items:
                problems.append(f"{where}: the id {item.id!r} is used twice")
                continue
            items[item.id] = item
    if not items:
        reason = f" The first problem: {problems[0]}." if problems else ""
        raise CatalogueError(f"No item could be read from {paths}.{reason}")
    return Catalogue(tuple(items.values()), tuple(problems))


def _files(paths: Path | Sequence[Path]) -> Iterator[Path]:
    for path in [paths] if isinstance(paths, Path) else paths:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise CatalogueError(f"The catalogue {path} does not exist.")


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    """(line number, row) of each row; a line that is not JSON comes as a string, for `read_item` to refuse."""
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".csv"):
        raise CatalogueError(f"{path.name}: a catalogue is a .jsonl or .csv file.")
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            if suffix == ".csv":
                csv.field_size_limit(10_000_000)
                reader = csv.DictReader(file)
                for row in reader:
                    yield reader.line_num, row  # where the row ends: a quoted cell may hold line breaks
                return
            for line, text in enumerate(file, start=1):
                if text.strip():
                    try:
                        yield line, json.loads(text)
                    except (ValueError, RecursionError):  # nested a hundred thousand deep
                        yield line, text
    except (OSError, csv.Error) as error:
        raise CatalogueError(f"The catalogue {path} cannot be read: {error}") from error


def read_item(row: object, *, default_id: str, default_kind: str) -> Item:
    """The item of one row.

    Raises:
        CatalogueError: the row is not an object or has no title.
    """
    if not isinstance(row, dict):
        raise CatalogueError("not a JSON object")
    found = {name: next((row[key] for key in keys if row.get(key)), None) for name, keys in _NAMES.items()}
    title = _cell(found["title"]) or _cell(found["title_zh"])
    if not title:
        raise CatalogueError('the field "title" (or "name") is missing or empty')
    return Item(
        id=_cell(found["id"]) or default_id,
        kind=_cell(found["kind"]).lower() or default_kind,
        title=title,
        title_zh=_cell(found["title_zh"]),
        creator=_cell(found["creator"]),
        creator_zh=_cell(found["creator_zh"]),
        year=_year(found["year"]),
        country=_cell(found["country"]),
        tags=_list(found["tags"]),
        moods=_list(found["moods"]),
        pitch=_cell(found["pitch"]).rstrip("."),
        pitch_zh=_cell(found["pitch_zh"]).rstrip("。"),
        popularity=_popularity(found["popularity"]),
        attributes=_attributes(row),
        other_pitch=_cell(found["other_pitch"]).rstrip("."),
        other_pitch_zh=_cell(found["other_pitch_zh"]).rstrip("。"),
    )


def _cell(value: object) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value[:2])
    return "" if value is None else one_line(str(value))[:MAX_FIELD]


def _list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"[,;|、，；]", value)
    if not isinstance(value, Iterable):
        return ()
    return tuple(dict.fromkeys(text for part in value if (text := one_line(str(part))[:60].lower())))[:20]


def _year(value: object) -> int | None:
    text = str(value)
    match = re.search(r"(?<!\d)\d{4}(?!\d)", text) or re.fullmatch(r"-?\d{1,4}", text.strip())
    return int(match.group()) if match else None


def _popularity(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        return 3.0
    return min(5.0, max(1.0, number)) if math.isfinite(number) else 3.0


def _attributes(row: dict) -> dict[str, Attribute]:
    """The typed attributes: those in "attributes" (or "attrs") and every other column of a plain type."""
    known = {key for keys in _NAMES.values() for key in keys} | {"attributes", "attrs"}
    nested = row.get("attributes") or row.get("attrs") or {}
    pairs = {
        **{key: value for key, value in row.items() if key not in known},
        **(nested if isinstance(nested, dict) else {}),
    }
    typed: dict[str, Attribute] = {}
    for key, value in pairs.items():
        if isinstance(value, bool) or (isinstance(value, (int, float)) and math.isfinite(value)):
            typed[one_line(str(key))[:60]] = value
        elif isinstance(value, list):
            if parts := tuple(dict.fromkeys(cell for part in value if (cell := _cell(part)))):
                typed[one_line(str(key))[:60]] = parts
        elif isinstance(value, str) and (text := _cell(value)):
            is_number = re.fullmatch(r"-?\d{1,12}(?:\.\d{1,6})?", text)
            typed[one_line(str(key))[:60]] = (float(text) if "." in text else int(text)) if is_number else text
    return typed
