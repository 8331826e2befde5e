"""The bundled encoder without sentence-transformers, which it was trained with: a table of word vectors needs neither that library nor torch, and
importing them takes longer than all else that a first answer needs. The vectors are the same (a test compares them)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from genrec.errors import AssetError

_BATCH = 256  # texts whose word vectors are in memory at once


class StaticEncoder:
    """The mean of the word vectors of a text, at unit length. Safe to share between threads."""

    def __init__(self, tokenizer: Any, table: np.ndarray, weights: np.ndarray):
        self._tokenizer = tokenizer
        self._table = table  # (num_tokens, dim)
        self._weights = weights  # (num_tokens,)
        self._lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """The encoder of a folder that `genrec train encoder` has written.

        Raises:
            AssetError: a file is missing or has another form.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            tensors = load_file(folder / "model.safetensors")
            tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
            weights = tensors["weights"].copy()
            weights[_unknown(tokenizer)] = 0
            return cls(tokenizer, tensors["embeddings"], weights)
        except (OSError, KeyError, SafetensorError) as error:
            raise AssetError(f"The encoder {folder} cannot be loaded: {error}") from error

    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 (num_texts, dim); zeros for a text without words."""
        vectors = np.zeros((len(texts), self._table.shape[1]), np.float32)
        for begin in range(0, len(texts), _BATCH):
            with self._lock:
                encodings = self._tokenizer.encode_batch(texts[begin : begin + _BATCH], add_special_tokens=False)
            ids = [encoding.ids for encoding in encodings]
            rows = [begin + number for number, own in enumerate(ids) if own]
            if not rows:
                continue
            flat = np.concatenate([own for own in ids if own])  # (num_words,) of all texts
            starts = np.cumsum([0, *(len(own) for own in ids if own)])[:-1]
            words = self._table[flat] * self._weights[flat, None].astype(np.float32)  # (num_words, dim)
            vectors[rows] = np.add.reduceat(words, starts, axis=0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)


def _unknown(tokenizer: Any) -> list[int]:
    """The id that stands for unknown words. They have one vector in common, so titles in a script that the encoder does not know (Arabic, Thai) would be
    like each other and like any message with an unknown word."""
    ids = tokenizer.encode("\ua66e", add_special_tokens=False).ids  # ꙮ, a letter that no vocabulary has
    return ids if len(ids) == 1 and "unk" in str(tokenizer.id_to_token(ids[0])).lower() else []
