"""Anybody's table as a catalogue: reads it (JSONL, CSV, Parquet), tells its columns, checks every row, and answers look-ups by id and by title.

`files` gives rows, `columns` says which column is what, `items` makes items of rows. Bad rows are skipped and reported by line; catalogue text is
data and never interpreted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from genrec.catalogue.columns import Columns, infer_columns, parse_columns
from genrec.catalogue.files import MAX_CELL, Row, read_rows
from genrec.catalogue.items import MAX_FIELD, guess_kind, read_item, read_popularity, scaled_popularity
from genrec.errors import CatalogueError
from genrec.schema import Item
from genrec.text import has_cjk, normalise

__all__ = ["MAX_FIELD", "Catalogue", "Columns", "parse_columns", "read_catalogue", "read_item"]
MAX_TAGS = 5_000  # looked for in each message, which then takes 0.8 ms instead of 0.2 (2026-11)
MAX_KINDS = 50
MAX_REPORTED = 20  # lines named in a report; the rest is counted by reason


def _spoken(title: str) -> Iterator[str]:
    """A title as people say it, normalised: without its article ("Lord of the Rings") or one after a small word ("Fast and Furious"), with & for
    "and", without what follows a colon ("The Witcher 3"); none that is too short to tell."""
    for name in (title, re.split(r":\s|：", title)[0]):
        bare = re.sub(r"^(?:the|an?)\s+", "", name, flags=re.IGNORECASE)
        short = re.sub(r"\b(and|of|in|to)\s+(?:the|an?)\s+", r"\1 ", bare, flags=re.IGNORECASE)
        for said in {name, bare, short, short.replace(" and ", " & ")}:
            if len(said) >= 3 if has_cjk(said) else " " in normalise(said):
                yield normalise(said)


@dataclass(frozen=True)
class Report:
    """What was found wrong: the first MAX_REPORTED lines, the same in Chinese, and how often each reason came in all."""

    lines: tuple[str, ...] = ()
    chinese: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Catalogue:
    """Items in file order, how the table was read, what was wrong with it, and look-ups."""

    items: tuple[Item, ...]
    columns: Columns = field(default_factory=lambda: Columns({}))
    left_out: Report = Report()  # rows that are no items
    cleaned: Report = Report()  # cells that were left out of items
    by_id: dict[str, Item] = field(init=False, repr=False)
    by_title: dict[str, tuple[Item, ...]] = field(
        init=False, repr=False
    )  # normalised title, either language, whole or as people say it

    def __post_init__(self):
        by_title: dict[str, list[Item]] = {}
        for item in self.items:
            for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
                by_title.setdefault(title, []).append(item)
        spoken: dict[str, list[Item]] = {}
        for item in self.items:
            for name in {name for title in (item.title, item.title_zh) for name in _spoken(title)} - by_title.keys():
                spoken.setdefault(name, []).append(item)
        by_title |= spoken
        object.__setattr__(self, "by_id", {item.id: item for item in self.items})
        object.__setattr__(self, "by_title", {title: tuple(items) for title, items in by_title.items()})

    @property
    def problems(self) -> tuple[str, ...]:
        """The first rows left out, each with its line and reason."""
        return self.left_out.lines

    def titled(self, title: str) -> tuple[Item, ...]:
        """The items with this title in either language, case and punctuation aside."""
        return self.by_title.get(normalise(title), ())

    def with_tags(self, tag: Callable[[str], str]) -> Catalogue:
        """This catalogue with every tag put in the words that `tag` has for it, so that what two tables call differently is one."""
        known = {text: tag(text) for item in self.items for text in item.tags}
        items = (replace(item, tags=tuple(dict.fromkeys(known[text] for text in item.tags))) for item in self.items)
        return replace(self, items=tuple(items))

    def tags(self) -> set[str]:
        """The tags of the items: all, or where there are more than MAX_TAGS those that most items have."""
        counts = Counter(tag for item in self.items for tag in item.tags)
        return {tag for tag, _ in counts.most_common(MAX_TAGS)}

    def kinds(self) -> dict[str, int]:
        """The kinds of the items, those of most items first, and how many items are of each; at most MAX_KINDS."""
        return dict(Counter(item.kind for item in self.items).most_common(MAX_KINDS))


def read_catalogue(
    paths: Path | Sequence[Path], columns: Mapping[str, Sequence[str]] | None = None, *, max_rows: int | None = None
) -> Catalogue:
    """The catalogue of one file, or of several together (a folder stands for its *.jsonl files). `columns` (field → columns) corrects what
    the columns are taken for. `max_rows` bounds what is read of a stranger's table: its rows, and its text to as many times 5,000 characters.

    Raises:
        CatalogueError: a file is missing, unreadable, too long or of an unknown type, `columns` names what is not there, or no row can be used.
    """
    left_out, cleaned = _Reporter(), _Reporter()
    rows: list[tuple[Path, int, Row]] = []
    num_characters = 0
    for path in _files(paths):
        for line, row in read_rows(path):
            if isinstance(row, CatalogueError):
                left_out.add(path, line, row)
            else:
                rows.append((path, line, row))
                if max_rows is not None:
                    num_characters += sum(len(cell) for cell in row.values() if isinstance(cell, str))
                    if len(rows) > max_rows or num_characters > max_rows * MAX_CELL:
                        raise CatalogueError(
                            f"{path.name} has more than {max_rows:,} rows, or very long ones.",
                            f"{path.name}超过{max_rows:,}行，或者行太长。",
                        )
    inferred = infer_columns([row for _, _, row in rows], columns)
    kinds = {path: guess_kind(path.name, inferred) for path in {path for path, _, _ in rows}}
    items: dict[str, Item] = {}
    popularity = scaled_popularity([read_popularity(row, inferred) for _, _, row in rows])
    for (path, line, row), known in zip(rows, popularity.tolist()):
        try:
            item = read_item(
                row,
                default_id=f"{path.stem}-{line}",
                default_kind=kinds[path],
                popularity=known,
                columns=inferred,
                on_remark=lambda remark, path=path, line=line: cleaned.add(path, line, remark),  # type: ignore[misc]
            )
        except CatalogueError as error:
            left_out.add(path, line, error)
            continue
        if item.id in items:
            twice = CatalogueError(f"the id {item.id!r} is used twice", f"编号“{item.id}”用了两次")
            left_out.add(path, line, twice, reason="an id that is used twice")
            continue
        items[item.id] = item
    if not items:
        reason, chinese = " It is empty.", "它是空的。"
        if left_out.lines:
            reason, chinese = f" The first problem: {left_out.lines[0]}.", f"第一个问题：{left_out.chinese[0]}。"
        raise CatalogueError(f"No item could be read from {paths}.{reason}", f"{paths}里没有能用的条目。{chinese}")
    return Catalogue(tuple(items.values()), inferred, left_out.report(), cleaned.report())


class _Reporter:
    """Collects what is wrong, keeping the first lines and a count for each reason."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.chinese: list[str] = []
        self._counts: Counter[str] = Counter()

    def add(self, path: Path, line: int, fault: CatalogueError, *, reason: str = "") -> None:
        """Takes in the fault of a line; it is counted by its text, or by a `reason` that is the same for others."""
        self._counts[reason or str(fault)] += 1
        if len(self.lines) < MAX_REPORTED:
            unit = "row" if path.suffix == ".parquet" else "line"
            self.lines.append(f"{path.name} {unit} {line}: {fault}")
            self.chinese.append(f"{path.name}第{line}行：{fault.chinese}")

    def report(self) -> Report:
        return Report(tuple(self.lines), tuple(self.chinese), dict(self._counts.most_common()))


def _files(paths: Path | Sequence[Path]) -> Iterator[Path]:
    for path in [paths] if isinstance(paths, Path) else paths:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise CatalogueError(f"The catalogue {path} does not exist.", f"没有{path}这个目录文件。")
