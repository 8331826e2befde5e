"""The rows of a catalogue file: JSONL, CSV with whatever delimiter and encoding, Parquet, and gzip of the first two.

A row comes as a flat mapping of column to value; one that cannot be used comes as the reason why. What cannot be read is never the end of
what could be: a file that breaks off gives its rows up to there. Memory stays bounded however a file is made: lines, cells, columns and what a
compressed file may unpack to have limits.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from genrec.catalogue.columns import is_known_name
from genrec.errors import CatalogueError
from genrec.text import one_line

Row = Mapping[str, Any]
MAX_LINE = 10_000_000  # characters of a line; a longer one is no row
MAX_CELL = 5_000  # characters of a text that are looked at
MAX_PARTS = 100  # of a list
MAX_COLUMNS = 200  # of a row
_MAX_RATIO = 200  # a compressed table unpacks to 3 to 30 times its size; beyond this and _FREE it is a bomb
_FREE = 100_000_000  # characters
_SNIFFED = 1_000_000  # bytes by which encoding and delimiter are told
_DELIMITERS = ",;\t|"
_TEXT_TYPES = (".jsonl", ".csv", ".tsv")


def read_rows(path: Path) -> Iterator[tuple[int, Row | CatalogueError]]:
    """(line number, row) of each row; in place of a row that cannot be used, the reason.

    Raises:
        CatalogueError: the file is of another type or cannot be opened.
    """
    is_packed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if is_packed else path.suffix.lower()
    if suffix == ".parquet" and not is_packed:
        yield from _parquet_rows(path)
        return
    if suffix not in _TEXT_TYPES:
        raise CatalogueError(
            f"{path.name}: a catalogue is a .jsonl or .csv file (both also as .gz), or a .parquet file.",
            f"{path.name}：目录须是.jsonl或.csv文件（也可以是它们的.gz），或者.parquet文件。",
        )
    line = 0
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            head = _head(file)  # type: ignore[arg-type]
            file.seek(0)
            encoding = _encoding(head)
            limit = _MAX_RATIO * path.stat().st_size + _FREE if is_packed else None
            with io.TextIOWrapper(file, encoding, errors="replace", newline="") as text:  # type: ignore[arg-type]
                lines = _lines(text, limit)
                sample = head.decode(encoding, errors="replace")
                for line, row in _json_rows(lines) if suffix == ".jsonl" else _csv_rows(lines, _delimiter(sample)):
                    yield line, row
    except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error, _Overlong) as error:
        yield line + 1, _unreadable(error)
    except OSError as error:
        raise CatalogueError(
            f"The catalogue {path} cannot be read: {error.strerror or error}.",
            f"读不了{path}：{error.strerror or error}。",
        ) from error


def _head(file: io.BufferedIOBase) -> bytes:
    """The first bytes of a file, as many as there are before it ends or breaks off."""
    head = b""
    with contextlib.suppress(EOFError, zlib.error):
        while len(head) < _SNIFFED and (chunk := file.read1(_SNIFFED)):
            head += chunk
    return head


def _unreadable(error: Exception) -> CatalogueError:
    """What is said of the rest of a file that breaks off."""
    chinese = error.chinese if isinstance(error, CatalogueError) else str(error)
    return CatalogueError(f"from here on the file cannot be read ({error})", f"文件从这里起读不了（{chinese}）")


class _Overlong(CatalogueError):
    """More text than a catalogue can be."""


def _lines(file: IO[str], limit: int | None) -> Iterator[str]:
    """The lines of a text; one longer than MAX_LINE comes cut to one character more than that."""
    total = 0
    while line := file.readline(MAX_LINE + 1):
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith("\n"):
            rest = file.readline(MAX_LINE + 1)
            total += len(rest)
        total += len(line)
        if limit is not None and total > limit:
            raise _Overlong(f"it unpacks to more than {_MAX_RATIO} times its size", f"解压后超过原来的{_MAX_RATIO}倍")
        yield line


def _json_rows(lines: Iterator[str]) -> Iterator[tuple[int, Row | CatalogueError]]:
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            yield number, CatalogueError(f"longer than {MAX_LINE:,} characters", f"超过{MAX_LINE:,}个字符")
        elif line.strip():
            try:
                value = json.loads(line)
            except RecursionError:  # nested a hundred thousand deep
                yield number, CatalogueError("nested too deep", "嵌套太深")
                continue
            except ValueError:
                yield number, CatalogueError("not JSON", "不是JSON")
                continue
            yield (
                number,
                _flat(value) if isinstance(value, dict) else CatalogueError("not a JSON object", "不是JSON对象"),
            )


def _csv_rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, Row | CatalogueError]]:
    def checked() -> Iterator[str]:
        for line in lines:
            if len(line) > MAX_LINE:
                raise _Overlong(f"a line is longer than {MAX_LINE:,} characters", f"有一行超过{MAX_LINE:,}个字符")
            yield line

    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(checked(), delimiter=delimiter)
    header: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(cells)
            if not _is_data(cells):
                continue
        if any(cell.strip() for cell in cells[len(header) :]):
            yield (
                reader.line_num,
                CatalogueError(
                    f"more cells than the header has columns ({len(header)})", f"单元格比表头的列数（{len(header)}）多"
                ),
            )
        else:
            yield (
                reader.line_num,
                _flat(dict(zip(header, cells))),
            )  # where the row ends: a quoted cell may hold line breaks


def _header(cells: Sequence[str]) -> list[str]:
    """A name for each column: those of the first row, unless that is data itself."""
    names: list[str] = []
    for number, cell in enumerate(cells[:MAX_COLUMNS], start=1):
        name = "" if _is_data(cells) else one_line(cell)[:60]
        name = name or ("title" if len(cells) == 1 else f"column {number}")
        names.append(name if name not in names else f"{name} ({number})")
    return names


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a first row is no header: none of its cells is the name of anything, and one is a number, or it has only one cell."""
    if any(is_known_name(cell) for cell in cells):
        return False
    return len(cells) == 1 or any(re.fullmatch(r"\s*-?\d+(?:[.,]\d+)?\s*", cell) for cell in cells)


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row | CatalogueError]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CatalogueError(
            f"{path.name}: reading Parquet needs pyarrow; `pip install pyarrow` adds it.",
            f"{path.name}：读Parquet需要pyarrow，可用`pip install pyarrow`安装。",
        ) from error
    line = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > _MAX_RATIO * path.stat().st_size + _FREE:
                raise CatalogueError(
                    f"{path.name} unpacks to more than {_MAX_RATIO} times its size.",
                    f"{path.name}解压后超过原来的{_MAX_RATIO}倍。",
                )
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    line += 1
                    yield line, _flat(row)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = one_line(str(error))[:200]
        if not line:
            raise CatalogueError(f"The catalogue {path} cannot be read: {reason}", f"读不了{path}：{reason}") from error
        yield line + 1, _unreadable(CatalogueError(reason))


def _flat(row: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """The row with objects inside it taken apart: their keys are columns too, unless a column of that name is there."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if len(flat) >= MAX_COLUMNS:
            break
        if isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            if depth < 2:
                for inner, part in _flat(value, depth + 1).items():
                    flat.setdefault(inner if inner not in row else f"{key}.{inner}"[:60], part)
        elif isinstance(value, str):
            flat[_name(key)] = value[:MAX_CELL]
        elif isinstance(value, (list, tuple)):
            flat[_name(key)] = value[:MAX_PARTS]
        elif value is not None and not isinstance(value, bytes):
            flat[_name(key)] = value
    return flat


@lru_cache(4096)
def _name(key: str) -> str:
    """A column's name as one short line."""
    return one_line(str(key))[:60]


def _encoding(head: bytes) -> str:
    """UTF-8 or UTF-16 by their mark; else UTF-8 where most of what is not ASCII is valid in it; else GB 18030 where the other bytes come in
    pairs, as Chinese does, and Windows-1252 where they stand alone, as accents do."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    text = head.decode("utf-8-sig", errors="replace")
    num_wide = sum(len(run) for run in re.findall(r"[^\x00-\x7f]+", text))
    if text.count("\ufffd") <= 0.2 * num_wide:
        return "utf-8-sig"
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", head)]
    if sum(length for length in runs if length > 1) < 0.7 * sum(runs):
        return "cp1252"
    return "gb18030"


def _delimiter(sample: str) -> str:
    """The delimiter that cuts most of the first lines into the same number of cells, more than one."""
    scores: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        try:
            cells = [
                len(row) for row, _ in zip(csv.reader(io.StringIO(sample), delimiter=delimiter), range(100)) if row
            ]
        except csv.Error:
            continue
        if cells and cells[0] > 1:
            scores[delimiter] = (round(cells.count(cells[0]) / len(cells), 1), cells[0])
    return max(scores, key=lambda delimiter: scores[delimiter], default=",")
