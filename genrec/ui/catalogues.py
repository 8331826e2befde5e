"""Visitors' own catalogues: a table is read within limits, and an assistant made for whoever brought it. Others never see it, and no file is kept."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

from genrec.assistant import Assistant
from genrec.catalogue import Catalogue, read_catalogue
from genrec.errors import CatalogueError

MAX_BYTES = 5 * 2**20  # of a file
MAX_ITEMS = 10_000  # takes 7 s to read and rank on one core
_MAX_KEPT = 8  # at once, of all visitors; the one used longest ago goes
FIELDS = ("title", "creator", "year", "kind", "tags", "moods", "pitch")  # whose columns can be corrected on the screen


def read_upload(path: str, columns: Mapping[str, Sequence[str]] | None = None) -> Catalogue:
    """The catalogue in an uploaded file; `columns` as of read_catalogue.

    Raises:
        CatalogueError: it is too large, or cannot be read. The text names the file as the visitor knows it, without the folder it lies in here.
    """
    file = Path(path)
    try:
        if file.suffix.lower() == ".gz":
            raise CatalogueError(f"{file.name}: please unpack it first.", f"{file.name}：请先解压。")
        if file.stat().st_size > MAX_BYTES:
            size = MAX_BYTES // 2**20
            raise CatalogueError(f"{file.name} is larger than {size} MB.", f"{file.name}超过{size} MB。")
        return read_catalogue(file, columns, max_rows=MAX_ITEMS)
    except OSError:
        raise CatalogueError(
            f"{file.name} is no longer there; please choose it again.", f"{file.name}已经不在了，请重新选择。"
        ) from None
    except CatalogueError as error:
        texts = (text.replace(str(file), file.name) for text in (str(error), error.chinese))
        raise CatalogueError(*texts) from None


class Catalogues:
    """The assistants of the uploaded catalogues, by an id that nobody can guess."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Assistant] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, assistant: Assistant) -> str:
        key = uuid.uuid4().hex
        with self._lock:
            self._kept[key] = assistant
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return key

    def drop(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def get(self, key: str) -> Assistant | None:
        """The assistant with this id; None where it is no longer kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
