"""Vectors are kept between starts, and nothing that happens to the folder is more than a loss of time."""

import sys

import numpy as np
import pytest

from genrec.vectors import MAX_FILES, MIN_TEXTS, CachedEncoder, VectorIndex

TEXTS = [f"text {number}" for number in range(MIN_TEXTS)]


class CountingEncoder:
    """Unit vectors drawn from the text itself; counts what it encodes."""

    def __init__(self, salt=0):
        self.num_encoded = 0
        self._salt = salt

    def encode(self, texts):
        self.num_encoded += len(texts)
        seeds = [sum(map(ord, text)) * 1000 + len(text) + self._salt for text in texts]
        rows = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def encode(folder, texts=TEXTS, name="a", salt=0):
    """(vectors, how many texts were encoded for them)"""
    encoder = CountingEncoder(salt)
    vectors = CachedEncoder(encoder, name=name, folder=folder).encode(texts)
    return vectors, encoder.num_encoded


def test_a_second_start_reads_what_the_first_encoded(tmp_path):
    first, num_first = encode(tmp_path / "new" / "folder")
    second, num_second = encode(tmp_path / "new" / "folder")
    assert np.array_equal(first, second) and second.dtype == np.float32
    assert num_first == len(TEXTS) and num_second < 10
    assert [path.suffix for path in (tmp_path / "new" / "folder").iterdir()] == [".npy"]


def test_other_texts_another_order_and_another_encoder_are_encoded_anew(tmp_path):
    encode(tmp_path)
    for texts, name in (
        ([*TEXTS[:-1], "other"], "a"),
        (TEXTS[::-1], "a"),
        (TEXTS, "b"),
        ([*TEXTS[:-2], "text 254text", " 255"], "a"),
    ):
        vectors, num_encoded = encode(tmp_path, texts, name)
        assert num_encoded >= len(TEXTS)
        assert np.array_equal(vectors, CountingEncoder().encode(texts))


def test_an_encoder_that_changed_under_its_name_is_noticed(tmp_path):
    encode(tmp_path)
    vectors, num_encoded = encode(tmp_path, salt=7)
    assert num_encoded >= len(TEXTS) and np.array_equal(vectors, CountingEncoder(7).encode(TEXTS))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"no array"),
        lambda path: np.save(path, np.zeros((len(TEXTS), 8), np.float64)),
        lambda path: np.save(path, np.zeros((3, 8), np.float32)),
        lambda path: np.save(path, np.full((len(TEXTS), 8), np.nan, np.float32)),
        lambda path: np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True),
    ],
)
def test_a_spoilt_file_is_replaced(tmp_path, spoil):
    encode(tmp_path)
    (path,) = tmp_path.glob("*.npy")
    spoil(path)
    vectors, num_encoded = encode(tmp_path)
    assert num_encoded >= len(TEXTS) and np.array_equal(vectors, CountingEncoder().encode(TEXTS))
    assert encode(tmp_path)[1] < 10


def test_without_a_folder_that_can_be_written_it_only_takes_longer(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (None, tmp_path / "file", tmp_path / "file" / "below"):
        vectors, num_encoded = encode(folder)
        assert num_encoded == len(TEXTS) and np.array_equal(vectors, CountingEncoder().encode(TEXTS))


def test_few_texts_leave_no_file_and_old_files_go(tmp_path):
    encode(tmp_path, TEXTS[:10])
    assert not list(tmp_path.iterdir())
    for number in range(MAX_FILES + 3):
        encode(tmp_path, [*TEXTS, str(number)])
    assert len(list(tmp_path.iterdir())) == MAX_FILES


def test_a_long_encoding_is_tracked_and_gives_the_same(tmp_path):
    seen = []

    def track(batches):
        for batch in batches:
            seen.append(len(batch))
            yield batch

    texts = [f"t{number}" for number in range(4500)]
    vectors = CachedEncoder(CountingEncoder(), name="a", folder=None, track=track).encode(texts)
    assert sum(seen) == len(texts) and len(seen) > 1
    assert np.array_equal(vectors, CountingEncoder().encode(texts))


def unit_rows(num_rows, seed=0):
    rows = np.random.default_rng(seed).normal(size=(num_rows, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_few_rows_are_compared_one_by_one():
    vectors = unit_rows(300)
    index = VectorIndex(vectors)
    assert index.is_exact and np.array_equal(index.similarity(vectors[7]), vectors @ vectors[7])


def test_many_rows_are_searched_by_faiss_where_it_is_there(monkeypatch):
    monkeypatch.setattr("genrec.vectors.MAX_EXACT", 1_000)
    monkeypatch.setattr("genrec.vectors.NUM_NEAREST", 100)
    vectors = unit_rows(6_000)
    monkeypatch.setitem(sys.modules, "faiss", None)  # importing it fails
    assert VectorIndex(vectors).is_exact
    monkeypatch.delitem(sys.modules, "faiss")
    pytest.importorskip("faiss")
    index, query = VectorIndex(vectors), unit_rows(1, seed=5)[0]
    assert not index.is_exact
    exact, found = vectors @ query, index.similarity(query)
    best = np.argsort(-exact)[:20]
    assert np.mean([exact[row] == pytest.approx(found[row], abs=1e-5) for row in best]) >= 0.9
    assert found.shape == exact.shape and (np.isclose(found, exact, atol=1e-5)).sum() >= 100
    assert found.min() >= np.sort(exact)[-3_000]  # what was not found counts as the farthest found
