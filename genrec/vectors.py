"""Vectors of whole catalogues: kept on disk between starts, and searched.

A file is named by what it was made of: the encoder and the texts. So nothing has to be invalidated; a changed catalogue is another file. Nothing
here is ever fatal: without a folder that can be written, encoding again costs time and no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

MIN_TEXTS = 256  # fewer are encoded as fast as a file is read
MAX_FILES = 8  # kept; those unused for longest go
MAX_EXACT = 100_000  # rows compared one by one: up to here a query takes milliseconds
NUM_NEAREST = 2_000  # rows that the index finds
_NUM_PROBED = 48  # of its cells
_BATCH = 2_000  # texts between two steps of a progress bar
_NUM_CHECKED = 8  # rows encoded anew before a file is believed
_LARGEST_ERROR = 1e-3  # of a value, between machines and versions; another encoder or text differs by 0.1 and more


class _Encoder(Protocol):
    def encode(self, texts: list[str]) -> np.ndarray: ...


class CachedEncoder:
    """An encoder that keeps the vectors of long lists of texts. `name` tells it from other encoders; `track` wraps the batches of a long
    encoding, for a progress bar."""

    def __init__(
        self,
        encoder: _Encoder,
        *,
        name: str,
        folder: Path | None,
        track: Callable[[Sequence[list[str]]], Iterable[list[str]]] = lambda batches: batches,
    ):
        self._encoder = encoder
        self._name = name
        self._folder = folder
        self._track = track

    @property
    def uncached(self) -> _Encoder:
        """The encoder itself, which keeps nothing."""
        return self._encoder

    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 (num_texts, dim)."""
        if len(texts) < MIN_TEXTS:
            return self._encoder.encode(texts)
        path = self._folder / f"{_digest(self._name, texts)}.npy" if self._folder else None
        vectors = self._read(path, texts) if path else None
        if vectors is None:
            batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
            vectors = np.concatenate([self._encoder.encode(batch) for batch in self._track(batches)])
            if path:
                _write(path, vectors)
        return vectors

    def _read(self, path: Path, texts: list[str]) -> np.ndarray | None:
        """The vectors of a file; None when there is none, or when it is not what it should be."""
        try:
            vectors = np.load(path, allow_pickle=False)
            os.utime(path)  # it was used: keep it
        except (OSError, ValueError, EOFError):
            return None
        rows = np.linspace(0, len(texts) - 1, _NUM_CHECKED).astype(int)
        fresh = self._encoder.encode([texts[row] for row in rows])  # (_NUM_CHECKED, dim)
        if vectors.dtype != np.float32 or vectors.shape != (len(texts), fresh.shape[1]):
            return None
        lengths = np.einsum("id,id->i", vectors, vectors)  # squared; 0 for an empty text
        is_sound = bool(np.all((np.abs(lengths - 1) < _LARGEST_ERROR) | (lengths == 0)))
        return vectors if is_sound and np.abs(vectors[rows] - fresh).max() < _LARGEST_ERROR else None


class VectorIndex:
    """The likeness of any query to every row of `vectors` (num_rows, dim): exact up to MAX_EXACT rows; above, exact for the nearest that a
    FAISS inverted file finds (8 bits a value), and for all others that of the farthest found.

    Without faiss it stays exact, and `is_exact` says so: slower, never wrong.
    """

    def __init__(self, vectors: np.ndarray):
        self._vectors = vectors
        self._index = _faiss_index(vectors) if len(vectors) > MAX_EXACT else None

    @property
    def is_exact(self) -> bool:
        return self._index is None

    def similarity(self, query: np.ndarray) -> np.ndarray:
        """Inner products, float32 (num_rows,)."""
        if self._index is None:
            return self._vectors @ query
        rows = self._index.search(query[None], NUM_NEAREST)[1][0]
        rows = rows[rows >= 0]  # fewer were found
        found = self._vectors[rows] @ query
        similarity = np.full(len(self._vectors), found.min() if found.size else 0, np.float32)
        similarity[rows] = found
        return similarity


def _faiss_index(vectors: np.ndarray):
    """A trained FAISS index with all rows in it; None where faiss is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    num_cells = int(4 * len(vectors) ** 0.5)  # FAISS's own guideline for up to a million rows
    index = faiss.index_factory(vectors.shape[1], f"IVF{num_cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, len(vectors) // (40 * num_cells))])
    index.add(vectors)
    index.nprobe = _NUM_PROBED
    return index


def _digest(name: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(name.encode())
    for text in texts:
        data = text.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _write(path: Path, vectors: np.ndarray) -> None:
    """Writes beside the file and renames, so that another program never reads a half; removes what was not used for longest."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.save(file, vectors, allow_pickle=False)
                file.close()
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
        kept = sorted(path.parent.glob("*.npy"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in kept[MAX_FILES:]:
            old.unlink()
