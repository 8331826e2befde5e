"""A linear model over hashed n-grams: the second opinion beside the small BERT. It sees what word pieces hide, such as misspellings and Chinese words that no piece
stands for, and knows little of order. Toxicity is read off n-grams of characters and of words together, the other labels off those of characters. `genrec/train/toxicity.py` trains it; `genrec/safety/toxicity.py` mixes the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

NUM_CHARACTERS = 2**18  # 5 characters and 2**19 features gained nothing
NUM_FEATURES = 2**20  # with words
MAX_LENGTH = 4  # characters of an n-gram
COLUMNS = (0, 2, 3, 4, 5)  # where the labels stand among Detoxify's six; severe toxicity has too few rows
NGRAM_LABELS = ("toxicity", "obscene", "threat", "insult", "identity_attack")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_WORD = re.compile(r"[^\W\u3400-\u9fff\uf900-\ufaff]+|[^\w\s]")  # Chinese has none that a space parts


def counts(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Which character n-grams a normalised text has, int64 (num_features,) below NUM_CHARACTERS, and how much of each, float32: the square root of its
    l2-normed count."""
    found, number = np.unique(_hashes(text.lower()) % np.uint32(NUM_CHARACTERS), return_counts=True)
    values = np.sqrt(number / max(1.0, np.sqrt((number.astype(np.float64) ** 2).sum())))
    return found.astype(np.int64), values.astype(np.float32)


def counts_with_words(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Which n-grams of characters and of words a normalised text has, int64 (num_features,) below NUM_FEATURES, and how much of each, float32. Both
    kinds have an l2 norm of 1, so the whole has one of √2."""
    text = text.lower()
    found, number = np.unique(_hashes(text) % np.uint32(NUM_FEATURES), return_counts=True)
    words = _words(text)
    values = np.concatenate([np.sqrt(number / max(1, number.sum())), np.full(len(words), max(1, len(words)) ** -0.5)])
    return np.concatenate([found.astype(np.int64), words]), values.astype(np.float32)


def _words(text: str) -> np.ndarray:
    """The distinct hashes of a text's words, its pairs of neighbours and its pairs with one word between, int64 (num_words,)."""
    found = _WORD.findall(text)
    pairs = [f"{one} {other}" for one, other in zip(found, found[1:])]
    pairs += [f"{one} _ {other}" for one, other in zip(found, found[2:])]
    return np.array(sorted({crc32(part.encode()) % NUM_FEATURES for part in (*found, *pairs)}), np.int64)


def is_chinese(texts: Sequence[str]) -> np.ndarray:
    """1 for a text with a Chinese character in it, else 0, float32 (num_texts,)."""
    return np.array([_CHINESE.search(text) is not None for text in texts], np.float32)


def _hashes(text: str) -> np.ndarray:
    """The hashes of a text's character n-grams, uint32 (num_ngrams,), as often as they occur.

    The n-grams are those of its words with a space on either side; none goes over a space. Hashed here in arrays: scikit-learn's HashingVectorizer took 1.1 ms
    a sentence, this a tenth.
    """
    codes = np.frombuffer(f" {' '.join(text.split())} ".encode("utf-32-le"), np.uint32)
    is_space = codes == 32
    hashes = []
    rolled = np.zeros(len(codes), np.uint32)
    inside = np.ones(len(codes), bool)  # whether the n-gram that begins here has no space within
    for length in range(1, MAX_LENGTH + 1):
        size = len(codes) - length + 1
        if size <= 0:
            break
        rolled = rolled[:size] * np.uint32(0x01000193) + codes[length - 1 :]
        inside = inside[:size] & ~is_space[length - 2 : length - 2 + size] if length > 2 else inside[:size]
        kept = rolled[inside & ~is_space[:size]] if length == 1 else rolled[inside]
        hashes.append(kept * np.uint32(2 * length + 1))
    mixed = np.concatenate(hashes)
    mixed ^= mixed >> np.uint32(16)  # the finaliser of MurmurHash3, public domain
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    return mixed


@dataclass(frozen=True)
class Table:
    """Linear log-odds of some labels: int8 weights (num_features, num_labels), their scales and the biases, float32 (num_labels,)."""

    weights: np.ndarray
    scales: np.ndarray
    biases: np.ndarray

    @classmethod
    def quantised(cls, weights: np.ndarray, biases: np.ndarray) -> Table:
        """The table of float weights, each label's beyond its 99.99th percentile cut to that."""
        scales = np.maximum(np.quantile(np.abs(weights), 0.9999, axis=0) / 127, 1e-12).astype(np.float32)
        return cls(np.clip(np.rint(weights / scales), -127, 127).astype(np.int8), scales, biases.astype(np.float32))

    def logits(self, found: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Log-odds of each label, float32 (num_labels,), of a text with these features."""
        logits: np.ndarray = values @ self.weights[found].astype(np.float32) * self.scales + self.biases
        return logits


class NgramModel:
    """Log-odds of five labels from the n-grams of a normalised text. Holds the table of toxicity, over n-grams with words, that of the other four, over those of
    characters, and how they are mixed with the log-odds of another model, (4, 5): an intercept, what is added for Chinese, the weight of the other's, the weight of one's own."""

    def __init__(self, toxicity: Table, others: Table, mix: np.ndarray | None = None):
        self.toxicity, self.others = toxicity, others
        default = np.array([[0.0], [0.0], [1.0], [0.3]]).repeat(len(NGRAM_LABELS), 1)
        self.mix = (default if mix is None else mix).astype(np.float32)

    @classmethod
    def load(cls, path: Path) -> NgramModel:
        """The model that `save` wrote; nothing is unpickled."""
        with np.load(path, allow_pickle=False) as arrays:
            toxicity, others = (
                Table(*(arrays[f"{name}_{part}"] for part in ("weights", "scales", "biases")))
                for name in ("toxicity", "others")
            )
            return cls(toxicity, others, arrays["mix"])

    def save(self, path: Path) -> None:
        tables = {"toxicity": self.toxicity, "others": self.others}
        arrays = {f"{name}_{part}": array for name, table in tables.items() for part, array in vars(table).items()}
        np.savez_compressed(path, mix=self.mix, **arrays)

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of each of its labels, float32 (num_texts, 5)."""
        logits = np.zeros((len(texts), len(NGRAM_LABELS)), np.float32)
        for row, text in zip(logits, texts, strict=True):
            row[:1] = self.toxicity.logits(*counts_with_words(text))
            row[1:] = self.others.logits(*counts(text))
        return logits

    def mixed(self, logits: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of the six labels (num_texts, 6), with this model's mixed in where it has the label."""
        found = logits.copy()
        first, chinese, other, own = self.mix
        added = first + chinese * is_chinese(texts)[:, None]
        found[:, COLUMNS] = added + other * logits[:, COLUMNS] + own * self.logits(texts)
        return found
