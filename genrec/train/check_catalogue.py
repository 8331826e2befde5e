"""Checks the bundled catalogue: its facts against tables of facts from elsewhere, and its breadth.

`python -m genrec.train.check_catalogue --data FOLDER` reads the tables `items_*.jsonl` of the folder (ReDial, τ-Rec,
goodbooks, CPCD, SGD, KdConv, CrossWOZ) and compares title, maker, year, running time, number of tracks and country
wherever a work stands in both. A mismatch is either our error, to be corrected, or stands with its reason in
`catalogue_notes.tsv`. The exit status is 0 when everything is explained and broad enough, 1 when not, 2 when something
cannot be read. A work that no table has is not checked.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from genrec.catalogue import read_catalogue
from genrec.errors import CatalogueError, GenrecError
from genrec.schema import KINDS, Item
from genrec.settings import ASSETS
from genrec.text import has_cjk, normalise
from genrec.vocabulary import Vocabulary

NOTES = Path(__file__).with_name("catalogue_notes.tsv")
NOTE_COLUMNS = ["item id", "field", "ours", "theirs", "reason"]
MIN_ITEMS = 200  # of every kind
MIN_COUNTRIES = 60
WELL_KNOWN = 4.0  # popularity; below it an item is outside the obvious top
MIN_LESS_KNOWN = 0.4  # share of every kind
SAME_WORK_YEARS = 2  # from festival to release; a namesake by another maker and further away is another work
SAME_CUT_MINUTES = 5  # credits and television speed are counted differently
# Similarity from which two titles of one maker and year are one title misspelt. On the seven tables no other such pair
# is nearer than 0.59 ("Rare Exports" and its title with subtitle).
CLOSE_TITLE = 0.75


@dataclass(frozen=True)
class Entry:
    """What one row of a fact table says of a work; a field it says nothing of is empty.

    Several values are alternatives, but the creators of a work made it together.
    """

    table: str
    kind: str
    title: str
    creators: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    runtimes: tuple[int, ...] = ()  # minutes
    tracks: tuple[int, ...] = ()
    countries: tuple[str, ...] = ()  # in Chinese

    def says_something(self) -> bool:
        return any((self.creators, self.years, self.runtimes, self.tracks, self.countries))


@dataclass(frozen=True, order=True)
class Mismatch:
    """A fact of ours that a table gives otherwise, both as text."""

    item_id: str
    title: str
    field: str
    ours: str
    theirs: str
    table: str

    def key(self) -> tuple[str, ...]:
        """What a note must repeat to explain it."""
        return self.item_id, self.field, self.ours, self.theirs

    def line(self) -> str:
        return "\t".join((self.item_id, self.title, self.field, self.ours, self.theirs, self.table))


@dataclass
class Comparison:
    """What came of comparing: mismatches, the matched items of each table, and namesakes taken for other works."""

    mismatches: set[Mismatch] = field(default_factory=set)
    matched: dict[str, set[str]] = field(default_factory=dict)  # table → item ids
    namesakes: set[Mismatch] = field(default_factory=set)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the report; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check the facts and the breadth of the bundled catalogue.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the fact tables items_*.jsonl")
    parser.add_argument("--catalogue", type=Path, default=ASSETS / "catalogue", help="folder of the catalogue")
    parser.add_argument("--notes", type=Path, default=NOTES, help="explained mismatches (default: the bundled ones)")
    parser.add_argument("--namesakes", action="store_true", help="list the namesakes taken for other works too")
    args = parser.parse_args(argv)
    try:
        entries = read_tables(args.data)
        notes = read_notes(args.notes)
        catalogue = read_catalogue(args.catalogue)
        vocabulary = Vocabulary.load(args.catalogue / "vocabulary.json")
    except GenrecError as error:
        print(f"check_catalogue: {error}", file=sys.stderr)
        return 2
    comparison = compare(catalogue.items, entries, vocabulary)
    unexplained = report_facts(comparison, notes, tables=entries, with_namesakes=args.namesakes)
    problems = [*catalogue.problems, *breadth_problems(catalogue.items)]
    report_breadth(catalogue.items, problems)
    return 1 if unexplained or problems else 0


def read_tables(folder: Path) -> dict[str, list[Entry]]:
    """The comparable entries of each known table in the folder.

    Raises:
        CatalogueError: the folder is missing or has none of the tables, or a line of one cannot be read.
    """
    if not folder.is_dir():
        raise CatalogueError(f"The folder {folder} does not exist; give the one with items_*.jsonl as --data.")
    paths = {table: folder / f"items_{table}.jsonl" for table in _READERS}
    tables = {table: list(_entries(table, path)) for table, path in paths.items() if path.is_file()}
    if not tables:
        raise CatalogueError(f"The folder {folder} has none of the tables {', '.join(p.name for p in paths.values())}.")
    return tables


def _entries(table: str, path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = _READERS[table](json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CatalogueError(f"{path.name} line {number} cannot be read: {error!r}") from error
            if entry and entry.says_something():
                yield entry


def read_notes(path: Path) -> dict[tuple[str, ...], str]:
    """The reason of each explained mismatch, by its key.

    Raises:
        CatalogueError: the file cannot be read, or a line of it is not five filled columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    except (OSError, ValueError, csv.Error) as error:
        raise CatalogueError(f"The notes {path} cannot be read: {error}") from error
    if header != NOTE_COLUMNS:
        raise CatalogueError(f"{path.name} line 1: the columns must be {', '.join(NOTE_COLUMNS)}.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(NOTE_COLUMNS) or not all(cell.strip() for cell in row):
            raise CatalogueError(f"{path.name} line {number}: the {len(NOTE_COLUMNS)} columns must all be filled.")
    return {tuple(row[:-1]): row[-1] for row in rows}


def compare(items: Iterable[Item], tables: dict[str, list[Entry]], vocabulary: Vocabulary) -> Comparison:
    """Every fact of the items that a table gives otherwise, and how much could be compared."""
    items = tuple(items)
    found = Comparison(matched={table: set() for table in tables})
    for entries in tables.values():
        by_title: dict[tuple[str, str], list[Entry]] = {}
        by_year: dict[tuple[str, int], list[Entry]] = {}
        for entry in entries:
            for title in _titles(entry.title, entry.kind):
                by_title.setdefault((entry.kind, title), []).append(entry)
            for year in entry.years:
                by_year.setdefault((entry.kind, year), []).append(entry)
        for item in items:
            titles = _titles(item.title, item.kind) | _titles(item.title_zh, item.kind)
            same = [entry for title in titles for entry in by_title.get((item.kind, title), ())]
            if not same and item.year is not None:
                same = [entry for entry in by_year.get((item.kind, item.year), ()) if is_misspelt(item, entry)]
            for entry in same:
                _note_differences(found, item, entry, vocabulary)
    return found


def _note_differences(found: Comparison, item: Item, entry: Entry, vocabulary: Vocabulary) -> None:
    """Adds what came of one item and one entry of its title to `found`."""
    mismatches = {
        Mismatch(item.id, item.title, name, ours, theirs, entry.table)
        for name, (ours, theirs) in differences(item, entry, vocabulary).items()
    }
    if is_another_work(item, entry, {mismatch.field for mismatch in mismatches}):
        found.namesakes |= mismatches
        return
    found.matched[entry.table].add(item.id)
    found.mismatches |= mismatches


def differences(item: Item, entry: Entry, vocabulary: Vocabulary) -> dict[str, tuple[str, str]]:
    """field → (ours, theirs) for every field that both have and give differently."""
    found: dict[str, tuple[str, str]] = {}
    if entry.creators and item.creator and not _made_by(item, entry.creators):
        found["creator"] = (item.creator, ", ".join(entry.creators))
    if entry.years and item.year is not None and item.year not in entry.years:
        found["year"] = (str(item.year), _joined(entry.years))
    runtime = item.attributes.get("runtime_min")
    if isinstance(runtime, int) and all(
        abs(runtime - theirs) > SAME_CUT_MINUTES for theirs in entry.runtimes or (runtime,)
    ):
        found["runtime_min"] = (str(runtime), _joined(entry.runtimes))
    tracks = item.attributes.get("tracks")
    if entry.tracks and isinstance(tracks, int) and tracks not in entry.tracks:
        found["tracks"] = (str(tracks), _joined(entry.tracks))
    country = vocabulary.translate(item.country, "zh")
    short = country.removeprefix("中国") or country  # 中国台湾 and 台湾 are one
    if entry.countries and country and not any(short in theirs for theirs in entry.countries):
        found["country"] = (item.country, ", ".join(entry.countries))
    if is_misspelt(item, entry):
        found["title"] = (item.title, entry.title)
    return found


def is_another_work(item: Item, entry: Entry, differing: set[str]) -> bool:
    """Whether two works of one title are not the same: another maker at another time. One alone is a mismatch."""
    if not {"creator", "year"} <= differing or item.year is None:
        return False
    return all(abs(item.year - year) > SAME_WORK_YEARS for year in entry.years)


def is_misspelt(item: Item, entry: Entry) -> bool:
    """Whether maker and year are the same and the titles nearly, but neither of ours is theirs."""
    theirs = _titles(entry.title, entry.kind)
    ours = _titles(item.title, item.kind) | _titles(item.title_zh, item.kind)
    if ours & theirs or item.year not in entry.years or not entry.creators or not _made_by(item, entry.creators):
        return False
    return any(SequenceMatcher(None, one, other).ratio() >= CLOSE_TITLE for one in ours for other in theirs)


def _titles(title: str, kind: str) -> set[str]:
    """The ways a title is compared: without article and bracketed ending; a book's also without its subtitle."""
    bare = re.sub(r"\s*[(（].*[)）]\s*$", "", title) or title
    ways = [bare, bare.split(":")[0]] if kind == "book" else [bare]
    return {_comparable(way) for way in ways} - {""}


def _comparable(title: str) -> str:
    text = re.sub(r"^(?:the|an?) ", "", normalise(title.replace("&", " and ")))
    return text.replace(" ", "") if has_cjk(text) else text  # 时光·漫步 is 时光漫步


def _made_by(item: Item, creators: tuple[str, ...]) -> bool:
    """Whether all makers of the item, in one of its languages, are among the creators."""
    theirs = [name for creator in creators for name in _names(creator)]
    return any(
        all(any(is_same_name(one, other) for other in theirs) for one in _names(ours))
        for ours in (item.creator, item.creator_zh)
        if ours
    )


def _names(text: str) -> list[str]:
    return [name for name in re.split(r",| and | & |[，、/；;与和]", text) if normalise(name)]


def is_same_name(one: str, other: str) -> bool:
    """Whether two spellings are one name: any order, with or without middle names, first names cut to initials."""
    ours, theirs = normalise(one).split(), normalise(other).split()
    if sorted(ours) == sorted(theirs) or "".join(ours) == "".join(theirs):
        return True
    if min(len(ours), len(theirs)) < 2:
        return False
    is_shorter = set(ours) <= set(theirs) or set(theirs) <= set(ours)
    return is_shorter or (
        ours[-1] == theirs[-1] and (len(ours[0]) == 1 or len(theirs[0]) == 1) and ours[0][0] == theirs[0][0]
    )


def breadth_problems(items: Sequence[Item]) -> list[str]:
    """What the catalogue lacks in breadth, one line each."""
    problems = []
    sizes = Counter(item.kind for item in items)
    for kind in KINDS:
        if sizes[kind] < MIN_ITEMS:
            problems.append(f"{kind}: {sizes[kind]} items, {MIN_ITEMS} are needed")
        if sizes[kind] and (share := less_known_share(items, kind)) < MIN_LESS_KNOWN:
            problems.append(f"{kind}: {share:.0%} of the items are outside the top, {MIN_LESS_KNOWN:.0%} are needed")
    if (num_countries := len(_countries(items))) < MIN_COUNTRIES:
        problems.append(f"{num_countries} countries, {MIN_COUNTRIES} are needed")
    times = Counter((normalise(item.title), item.kind, item.year) for item in items)
    problems += [
        f"{kind} {title!r} ({year}) is there {count} times" for (title, kind, year), count in times.items() if count > 1
    ]
    return problems


def less_known_share(items: Sequence[Item], kind: str) -> float:
    """The share of a kind's items, in [0, 1], that are less than well known; 0 when there are none."""
    popularity = [item.popularity for item in items if item.kind == kind]
    return sum(value < WELL_KNOWN for value in popularity) / max(1, len(popularity))


def _countries(items: Iterable[Item]) -> set[str]:
    return {item.country for item in items} - {""}


def report_facts(
    comparison: Comparison, notes: dict[tuple[str, ...], str], *, tables: Iterable[str], with_namesakes: bool
) -> list[Mismatch]:
    """Prints every mismatch and the counts; returns the mismatches without a reason."""
    mismatches = sorted(comparison.mismatches)
    unexplained = [mismatch for mismatch in mismatches if mismatch.key() not in notes]
    for mismatch in mismatches:
        reason = notes.get(mismatch.key())
        print(f"explained\t{mismatch.line()}\t{reason}" if reason else f"MISMATCH\t{mismatch.line()}")
    for namesake in sorted(comparison.namesakes) if with_namesakes else ():
        print(f"another work\t{namesake.line()}")
    for key in sorted(set(notes) - {mismatch.key() for mismatch in mismatches}):
        print("unused note", *key, sep="\t")
    for table in _READERS:
        print(f"{table}: {len(comparison.matched[table])} items matched" if table in tables else f"{table}: not there")
    print(f"{len(mismatches)} mismatches, {len(mismatches) - len(unexplained)} explained, {len(unexplained)} not")
    return unexplained


def report_breadth(items: Sequence[Item], problems: Sequence[str]) -> None:
    sizes = Counter(item.kind for item in items)
    for kind in KINDS:
        print(f"{kind}: {sizes[kind]} items, {less_known_share(items, kind):.0%} outside the top")
    print(f"{len(_countries(items))} countries")
    for problem in problems:
        print(f"PROBLEM\t{problem}")


def _joined(numbers: Iterable[int]) -> str:
    return " / ".join(map(str, numbers))


# --- The tables. Each reader gives the entry of one row, or None for a row that is no work of a kind we have.


def _redial(row: dict[str, Any]) -> Entry:
    return Entry("redial_movies", "film", row["title"], _strings(row["directors"]), _years(row["year"]))


def _taurec(row: dict[str, Any]) -> Entry:
    return Entry(
        "taurec_movies", "film", row["title"], _strings(row["director"]), _years(row["year"]), _numbers(row["runtime"])
    )


def _goodbooks(row: dict[str, Any]) -> Entry:
    year = row["year"]
    return Entry("goodbooks", "book", row["title"], _strings(row["authors"]), () if year is None else (int(year),))


def _cpcd(row: dict[str, Any]) -> Entry:
    return Entry("cpcd_tracks", "album", row["release"] or "", _strings(row["artists"]))


def _sgd(row: dict[str, Any]) -> Entry | None:
    """Films with their director and albums with their artist; the year of a track is often that of its single."""
    attributes = row["attrs"]
    if row["service"] == "Movies_3":
        return Entry("sgd", "film", row["name"], _strings(attributes.get("directed_by")))
    if row["service"] == "Music_3" and attributes.get("album"):
        return Entry("sgd", "album", attributes["album"], _strings(attributes.get("artist")))
    return None


def _kdconv(row: dict[str, Any]) -> Entry | None:
    """Films, albums and sights of Beijing, without the people, songs and companies among them.

    The name may end in a gloss with the year.
    """
    name, attributes = row["name"], row["attrs"]
    gloss = name[len(re.sub(r"[(（].*$", "", name)) :]
    get = lambda *keys: tuple(text for key in keys for text in attributes.get(key, ()))
    if row["domain"] == "travel":
        return Entry("kdconv_zh", "place", name, countries=("中国",))
    if row["domain"] == "music":
        if not (get("专辑歌手", "曲目数量") or "专辑" in gloss):
            return None
        return Entry(
            "kdconv_zh",
            "album",
            name,
            _strings(get("专辑歌手")),
            _years(get("发行时间"), gloss),
            tracks=_numbers(get("曲目数量")),
        )
    released = get("上映时间", "上映日期", "出品时间")
    if not (released or get("导演", "片长", "制片地区")):
        return None
    return Entry(
        "kdconv_zh",
        "film",
        name,
        _strings(get("导演")),
        _years(released, gloss),
        _numbers(get("片长")),
        (),
        get("制片地区"),
    )


def _crosswoz(row: dict[str, Any]) -> Entry | None:
    """Sights of Beijing; hotels and restaurants are no places of ours."""
    return Entry("crosswoz_zh", "place", row["name"], countries=("中国",)) if row["domain"] == "景点" else None


_READERS: dict[str, Callable[[dict[str, Any]], Entry | None]] = {
    "redial_movies": _redial,
    "taurec_movies": _taurec,
    "goodbooks": _goodbooks,
    "cpcd_tracks": _cpcd,
    "sgd": _sgd,
    "kdconv_zh": _kdconv,
    "crosswoz_zh": _crosswoz,
}


def _strings(value: object) -> tuple[str, ...]:
    """The parts of a list or of a cell that lists them."""
    cells = [str(cell) for cell in value] if isinstance(value, (list, tuple)) else [str(value or "")]
    return tuple(
        dict.fromkeys(part.strip() for cell in cells for part in re.split(r"[,，、；;/]", cell) if part.strip())
    )


def _years(*values: object) -> tuple[int, ...]:
    return tuple(sorted({int(text) for value in values for text in re.findall(r"(?<!\d)[12]\d{3}(?!\d)", str(value))}))


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(int(text) for text in re.findall(r"\d{1,4}", str(value)))


if __name__ == "__main__":
    raise SystemExit(main())
