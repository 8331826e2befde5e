"""Anybody's table as a catalogue: reads it (JSONL, CSV, Parquet), tells its columns, checks every row, and answers look-ups by id and by title.

`files` gives rows, `columns` says which column is what, `items` makes items of rows. Bad rows are skipped and reported by line; catalogue text is
data and never interpreted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from genrec.catalogue.columns import Columns, infer_columns, parse_columns
from genrec.catalogue.files import Row, read_rows
from genrec.catalogue.items import MAX_FIELD, guess_kind, read_item, read_popularity, scaled_popularity
from genrec.errors import CatalogueError
from genrec.schema import Item
from genrec.text import normalise

__all__ = ["MAX_FIELD", "Catalogue", "Columns", "parse_columns", "read_catalogue", "read_item"]
MAX_TAGS = 5_000  # looked for in each message, which then takes 0.8 ms instead of 0.2 (2026-11)
MAX_KINDS = 50
MAX_REPORTED = 20  # lines named in a report; the rest is counted by reason


@dataclass(frozen=True)
class Report:
    """What was found wrong: the first MAX_REPORTED lines, and how often each reason came in all."""

    lines: tuple[str, ...] = ()
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
    by_title: dict[str, tuple[Item, ...]] = field(init=False, repr=False)  # normalised title, either language

    def __post_init__(self):
        by_title: dict[str, list[Item]] = {}
        for item in self.items:
            for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
                by_title.setdefault(title, []).append(item)
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


def read_catalogue(paths: Path | Sequence[Path], columns: Mapping[str, Sequence[str]] | None = None) -> Catalogue:
    """The catalogue of one file, or of several together (a folder stands for its *.jsonl files). `columns` (field → columns) corrects what
    the columns are taken for.

    Raises:
        CatalogueError: a file is missing, unreadable or of an unknown type, `columns` names what is not there, or no row can be used.
    """
    left_out, cleaned = _Reporter(), _Reporter()
    rows: list[tuple[Path, int, Row]] = []
    for path in _files(paths):
        for line, row in read_rows(path):
            if isinstance(row, str):
                left_out.add(path, line, row)
            else:
                rows.append((path, line, row))
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
            left_out.add(path, line, str(error))
            continue
        if item.id in items:
            left_out.add(path, line, "an id that is used twice", f"the id {item.id!r} is used twice")
            continue
        items[item.id] = item
    if not items:
        reason = f" The first problem: {left_out.lines[0]}." if left_out.lines else " It is empty."
        raise CatalogueError(f"No item could be read from {paths}.{reason}")
    return Catalogue(tuple(items.values()), inferred, left_out.report(), cleaned.report())


class _Reporter:
    """Collects what is wrong, keeping the first lines and a count for each reason."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._counts: Counter[str] = Counter()

    @property
    def lines(self) -> list[str]:
        return self._lines

    def add(self, path: Path, line: int, reason: str, said: str = "") -> None:
        self._counts[reason] += 1
        if len(self._lines) < MAX_REPORTED:
            unit = "row" if path.suffix == ".parquet" else "line"
            self._lines.append(f"{path.name} {unit} {line}: {said or reason}")

    def report(self) -> Report:
        return Report(tuple(self._lines), dict(self._counts.most_common()))


def _files(paths: Path | Sequence[Path]) -> Iterator[Path]:
    for path in [paths] if isinstance(paths, Path) else paths:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise CatalogueError(f"The catalogue {path} does not exist.")
