"""StaticEncoder gives what sentence-transformers gives for the bundled model."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.errors import AssetError
from genrec.static_encoder import StaticEncoder


@pytest.fixture(scope="module")
def static(assets):
    return StaticEncoder.load(assets / "models" / "encoder")


def test_vectors_are_those_of_sentence_transformers(static, encoder, catalogue):
    texts = ["slow jazz", "慢热的科幻片", "", "  \n", "🦊", "Ünïcödé ﬁlm", "word " * 500]
    texts += [f"{item.title} {item.pitch} {item.pitch_zh}" for item in catalogue.items[::10]]
    np.testing.assert_allclose(static.encode(texts), encoder.encode(texts), atol=2e-6)


def test_a_text_without_words_has_no_direction_and_all_others_unit_length(static):
    lengths = np.linalg.norm(static.encode(["", "sea", "", "海"]), axis=1)
    np.testing.assert_allclose(lengths, [0, 1, 0, 1], atol=1e-6)
    assert static.encode([]).shape[0] == 0


def test_a_batch_equals_its_singles(static):
    texts = [f"a film of the year {number}" if number % 3 else "" for number in range(300)]
    np.testing.assert_array_equal(static.encode(texts), np.concatenate([static.encode([text]) for text in texts]))


def test_a_folder_without_the_model_is_said(tmp_path):
    with pytest.raises(AssetError, match="cannot be loaded"):
        StaticEncoder.load(tmp_path)
